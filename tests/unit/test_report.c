#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/report.h"
#include "tests/unit/fake_runs.h"

static void must_report(size_t runs, const char *expected)
{
    struct registry registry = fake_registry(runs);
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    report_print(out, &registry);
    fclose(out);
    assert_string_equal(text, expected);
    free(text);
}

static void each_run_says_what_ever_fired(void **state)
{
    (void)state;
    must_report(2, "embmond: run reviews, 97 steps:\n"
                   "embmond:     critical loss_nonfinite: first at step 95, now firing\n"
                   "embmond:     warning gradient_vanishing in inner/embedding: first at step 40, "
                   "over at step 90\n"
                   "embmond: run quiet, 0 steps:\n"
                   "embmond:     nothing flagged\n");
}

/* What fired of one run: n warnings, then a critical one, as many as `kept` of them kept. */
static char *report_of(size_t n, size_t kept)
{
    static struct fake_alert alerts[REPORT_ALERTS + 2];
    struct run run = {
        .status = {.name = "reviews", .fired = {[EMBMON_WARNING] = n - 1, [EMBMON_CRITICAL] = 1}},
        .alerts = alerts,
        .alert_count = kept};
    struct registry registry = {.runs = &run, .count = 1, .logdir = "/logs"};
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);

    for (size_t i = 0; i < n; i++)
        alerts[i] = fake_alerts[i + 1 == n];
    report_print(out, &registry);
    fclose(out);
    return text;
}

static size_t lines_of(const char *text)
{
    size_t lines = 0;

    for (; *text; text++)
        lines += *text == '\n';
    return lines;
}

static void so_many_are_said_the_worst_first(void **state)
{
    (void)state;
    for (size_t n = REPORT_ALERTS - 1; n <= REPORT_ALERTS + 1; n++) {
        char *text = report_of(n, n);
        const char *more = strstr(text, "embmond:     and 1 more, 1 warning: see "
                                        "/logs/reviews/embmon/alerts.jsonl\n");

        assert_memory_equal(strchr(text, '\n') + 1, "embmond:     critical", 21);
        assert_int_equal(lines_of(text), n + 1);
        assert_int_equal(more != NULL, n > REPORT_ALERTS);
        free(text);
    }
}

static void what_is_not_kept_is_counted(void **state)
{
    char *text = report_of(10, 4);

    (void)state;
    assert_int_equal(lines_of(text), 6);
    assert_non_null(strstr(text, "\nembmond:     and 6 more, 1 critical, 5 warning: see "));
    free(text);
    text = report_of(10, 0);
    assert_int_equal(lines_of(text), 2);
    assert_non_null(strstr(text, "and 10 more, 1 critical, 9 warning"));
    free(text);
}

static void a_command_that_posted_nothing_is_told_so(void **state)
{
    (void)state;
    must_report(0, "embmond: the command posted nothing, so nothing was watched\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_run_says_what_ever_fired),
        cmocka_unit_test(so_many_are_said_the_worst_first),
        cmocka_unit_test(what_is_not_kept_is_counted),
        cmocka_unit_test(a_command_that_posted_nothing_is_told_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
