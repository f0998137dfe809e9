/* What the picture of embmonctl watch is drawn on: lines, and colours where there are any. */
#ifndef EMBMON_DAEMON_CTL_CANVAS_H
#define EMBMON_DAEMON_CTL_CANVAS_H

#include "daemon/ctl_screen.h"
#include "daemon/ctl_watched.h"

struct canvas {
    FILE *out;
    struct screen_look look;
    size_t lines; /* begun so far */
};

enum paint { PLAIN, BOLD, DIM, RED, YELLOW };

/* Begins the next line; the text of all lines has '\n' between them, none at the end. */
void canvas_line(struct canvas *canvas);

void canvas_paint(const struct canvas *canvas, enum paint paint);
enum paint paint_of(enum watched_state state);

/* "ok", "pending", "firing" */
const char *state_word(enum watched_state state);

#endif
