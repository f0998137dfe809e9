#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>

#include "daemon/ctl_canvas.h"

static const char *drawn(bool colours)
{
    static char text[256];
    struct canvas c = {.out = fmemopen(text, sizeof text, "w"), .look.colours = colours};

    canvas_line(&c);
    canvas_paint(&c, paint_of(WATCHED_FIRING));
    fputs(state_word(WATCHED_FIRING), c.out);
    canvas_paint(&c, PLAIN);
    canvas_line(&c);
    canvas_paint(&c, paint_of(WATCHED_PENDING));
    fputs(state_word(WATCHED_PENDING), c.out);
    canvas_line(&c);
    canvas_paint(&c, paint_of(WATCHED_OK));
    fputs(state_word(WATCHED_OK), c.out);
    assert_int_equal(c.lines, 3);
    fclose(c.out);
    return text;
}

static void lines_have_ends_between_them(void **state)
{
    (void)state;
    assert_string_equal(drawn(false), "firing\npending\nok");
}

static void colours_are_escape_sequences(void **state)
{
    (void)state;
    assert_string_equal(drawn(true), "\x1b[1;31mfiring\x1b[0m\n\x1b[33mpending\n\x1b[0mok");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_have_ends_between_them),
        cmocka_unit_test(colours_are_escape_sequences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
