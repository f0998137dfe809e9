#include "daemon/ctl_canvas.h"

void canvas_line(struct canvas *canvas)
{
    if (canvas->lines++ > 0)
        fputc('\n', canvas->out);
}

void canvas_paint(const struct canvas *canvas, enum paint paint)
{
    static const char *const codes[] = {"0", "1", "2", "1;31", "33"};

    if (canvas->look.colours)
        fprintf(canvas->out, "\x1b[%sm", codes[paint]);
}

enum paint paint_of(enum watched_state state)
{
    return state == WATCHED_FIRING ? RED : state == WATCHED_PENDING ? YELLOW : PLAIN;
}

const char *state_word(enum watched_state state)
{
    return state == WATCHED_FIRING ? "firing" : state == WATCHED_PENDING ? "pending" : "ok";
}
