#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <time.h>

#include "daemon/ctl_changes.h"
#include "tests/unit/watched.h"

#define ALERT(detector, layer, state, time, step)                                                  \
    "{\"detector\":\"" detector "\",\"layer\":\"" layer "\",\"state\":\"" state                    \
    "\",\"time\":" #time ",\"step\":" #step ",\"severity\":\"warning\",\"phase\":\"training\","    \
    "\"variable\":\"\",\"summary\":\"It is so.\"}"
#define ALERTS(...) "{\"alerts\":[" __VA_ARGS__ "]}"

static int start(void **state)
{
    (void)state;
    setenv("TZ", "UTC", 1);
    tzset();
    return 0;
}

static void must_print(const char *before, const char *now, const char *expected)
{
    struct watched old = before ? watched_from(before) : (struct watched){0};
    struct watched new = watched_from(now);
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);

    changes_print(out, before ? &old : NULL, &new);
    assert_int_equal(fclose(out), 0);
    assert_string_equal(text, expected);
    free(text);
    watched_free(&old);
    watched_free(&new);
}

static void the_first_look_tells_what_is_wrong_now(void **state)
{
    (void)state;
    must_print(NULL,
               ALERTS(ALERT("a", "x", "firing", 2, 7) "," ALERT(
                   "b", "", "pending", 1.5, 6) "," ALERT("c", "x", "resolved", 3, 5)),
               "1970-01-01T00:00:01+0000 pending warning b (model) step 6: It is so.\n"
               "1970-01-01T00:00:02+0000 firing warning a x step 7: It is so.\n");
}

/* Whoever answers there: he makes no line of his own, and does nothing to a terminal. */
static void a_change_is_one_plain_line(void **state)
{
    (void)state;
    must_print(NULL, ALERTS(ALERT("a", "x\\n1970 resolved \\u001b[2J\\u202e", "firing", 2, 7)),
               "1970-01-01T00:00:02+0000 firing warning a x?1970 resolved ?[2J? step 7: It is "
               "so.\n");
}

static void only_what_changed_is_told_after_that(void **state)
{
    (void)state;
    const char before[] =
        ALERTS(ALERT("a", "x", "firing", 2, 7) "," ALERT("b", "y", "pending", 2, 7));
    must_print(before, before, "");
    must_print(before, ALERTS(ALERT("a", "x", "firing", 2, 7) "," ALERT("b", "y", "firing", 9, 8)),
               "1970-01-01T00:00:09+0000 firing warning b y step 8: It is so.\n");
    must_print(before,
               ALERTS(ALERT("a", "x", "resolved", 9, 8) "," ALERT("b", "y", "pending", 2, 7)),
               "1970-01-01T00:00:09+0000 resolved warning a x step 8: It is so.\n");
}

static void what_went_and_came_back_between_two_looks_is_told(void **state)
{
    (void)state;
    must_print(ALERTS(ALERT("a", "x", "firing", 2, 7)), ALERTS(ALERT("a", "x", "firing", 5, 9)),
               "1970-01-01T00:00:05+0000 firing warning a x step 9: It is so.\n");
}

static void the_same_detector_of_another_layer_is_another_alert(void **state)
{
    (void)state;
    must_print(ALERTS(ALERT("a", "x", "firing", 2, 7)),
               ALERTS(ALERT("a", "x", "firing", 2, 7) "," ALERT("a", "y", "resolved", 2, 7)),
               "1970-01-01T00:00:02+0000 resolved warning a y step 7: It is so.\n");
}

static void a_step_of_another_phase_says_so(void **state)
{
    (void)state;
    must_print(
        NULL,
        "{\"alerts\":[{\"detector\":\"a\",\"layer\":\"x\",\"state\":\"firing\","
        "\"time\":2,\"step\":7,\"severity\":\"warning\",\"phase\":\"validation\","
        "\"variable\":\"kernel\",\"summary\":\"It is so.\"}]}",
        "1970-01-01T00:00:02+0000 firing warning a x/kernel step 7 of validation: It is so.\n");
}

static void must_differ(const char *before, const char *now, bool expected)
{
    struct watched old = watched_from(before), new = watched_from(now);

    assert_int_equal(changes_any(&old, &new), expected);
    watched_free(&old);
    watched_free(&new);
}

static void time_alone_is_no_change(void **state)
{
    (void)state;
    must_differ("{\"time\":1,\"age\":2,\"step\":3}", "{\"time\":2,\"age\":3,\"step\":3}", false);
    must_differ("{\"time\":1,\"age\":2,\"step\":3}", "{\"time\":1,\"age\":2,\"step\":4}", true);
    must_differ("{\"layers\":[{\"norms\":[1,2]}]}", "{\"layers\":[{\"norms\":[1,3]}]}", true);
    must_differ("{\"live\":true}", "{\"live\":false}", true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_change_is_one_plain_line),
        cmocka_unit_test(the_first_look_tells_what_is_wrong_now),
        cmocka_unit_test(only_what_changed_is_told_after_that),
        cmocka_unit_test(what_went_and_came_back_between_two_looks_is_told),
        cmocka_unit_test(the_same_detector_of_another_layer_is_another_alert),
        cmocka_unit_test(a_step_of_another_phase_says_so),
        cmocka_unit_test(time_alone_is_no_change),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
