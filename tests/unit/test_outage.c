#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "client/outage.h"

struct lines {
    int count;
    char last[1024];
};

static void note(void *context, const char *line)
{
    struct lines *lines = context;

    lines->count++;
    snprintf(lines->last, sizeof lines->last, "%s", line);
}

static void one_line_for_the_outage_and_one_for_its_end(void **state)
{
    struct lines lines = {0};
    struct outage o = {.log = note, .context = &lines};

    (void)state;
    outage_begins(&o, 0, "unix:/s", "nobody listens there");
    outage_begins(&o, 0, "unix:/s", "nobody listens there");
    assert_int_equal(lines.count, 1);
    assert_string_equal(lines.last,
                        "embmon: no daemon at unix:/s: nobody listens there (start embmond beside "
                        "training, or set EMBMON_ADDRESS to where it is); posts are kept, oldest "
                        "dropped when 32 MiB wait");
    outage_ends(&o, 0, "unix:/s", "r", 0);
    assert_int_equal(lines.count, 2);
    assert_string_equal(lines.last,
                        "embmon: the daemon at unix:/s is there; run r; nothing was dropped");
    outage_begins(&o, 0, "unix:/s", "it closed the connection");
    assert_int_equal(lines.count, 3);
    assert_string_equal(lines.last, "embmon: lost the daemon at unix:/s: it closed the connection; "
                                    "posts are kept, oldest dropped when 32 MiB wait");
    outage_ends(&o, 0, "unix:/s", "r", 7);
    assert_string_equal(lines.last,
                        "embmon: the daemon at unix:/s is there; run r; 7 posts were dropped");
    assert_int_equal(lines.count, 4);
}

static void nothing_is_said_where_all_goes_well(void **state)
{
    struct lines lines = {0};
    struct outage o = {.log = note, .context = &lines};

    (void)state;
    outage_ends(&o, 0, "unix:/s", "r", 0);
    assert_int_equal(lines.count, 0);
}

static void a_refusal_is_told_once_with_its_reason(void **state)
{
    struct lines lines = {0};
    struct outage o = {.log = note, .context = &lines};

    (void)state;
    outage_refused(&o, 0, "unix:/s", "no folder");
    outage_begins(&o, 0, "unix:/s", "it refuses this client");
    outage_refused(&o, 0, "unix:/s", "no folder");
    assert_int_equal(lines.count, 1);
    assert_string_equal(lines.last, "embmon: the daemon at unix:/s refuses this client: no folder");
}

static void a_long_line_is_cut(void **state)
{
    struct lines lines = {0};
    struct outage o = {.log = note, .context = &lines};
    char detail[4097];

    (void)state;
    memset(detail, 'a', sizeof detail - 1);
    detail[sizeof detail - 1] = '\0';
    outage_refused(&o, 0, "unix:/s", detail);
    assert_int_equal(strlen(lines.last), 1022);
}

/* One that welcomes and hangs up, again and again. */
static void beyond_16_lines_there_is_one_a_minute(void **state)
{
    struct lines lines = {0};
    struct outage o = {.log = note, .context = &lines};
    int64_t now = 0;

    (void)state;
    for (; now < 6000; now += 100) {
        outage_begins(&o, now, "unix:/s", "it closed the connection");
        outage_ends(&o, now, "unix:/s", "r", 0);
    }
    assert_int_equal(lines.count, OUTAGE_LINES);
    for (; now < 3600 * 1000; now += 100) {
        outage_begins(&o, now, "unix:/s", "it closed the connection");
        outage_ends(&o, now, "unix:/s", "r", 0);
    }
    assert_in_range(lines.count, OUTAGE_LINES + 58, OUTAGE_LINES + 60);
    assert_non_null(strstr(lines.last, "lines like this one were left out)"));
    for (int i = 0; i < OUTAGE_LINES; i++)
        outage_refused(&o, now + 3600 * 1000, "unix:/s", "no"), o.said = false;
    assert_in_range(lines.count, 2 * OUTAGE_LINES + 58, 2 * OUTAGE_LINES + 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_line_for_the_outage_and_one_for_its_end),
        cmocka_unit_test(nothing_is_said_where_all_goes_well),
        cmocka_unit_test(a_refusal_is_told_once_with_its_reason),
        cmocka_unit_test(a_long_line_is_cut),
        cmocka_unit_test(beyond_16_lines_there_is_one_a_minute),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
