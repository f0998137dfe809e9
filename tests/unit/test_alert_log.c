#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "daemon/alert/alert_log.h"
#include "daemon/detect/detect.h"
#include "daemon/log.h"
#include "embmon/embmon.h"
#include "tests/unit/caught.h"

static struct alert_log *alert_log;

static int start(void **state)
{
    (void)state;
    log_configure(LOG_LEVEL_INFO, false);
    alert_log = alert_log_new();
    return alert_log == NULL;
}

static int stop(void **state)
{
    (void)state;
    alert_log_free(alert_log);
    return 0;
}

/* The number of lines that were logged since catch_stderr(). */
static size_t lines_caught(void)
{
    size_t lines = 0;

    for (const char *at = caught(); *at; at++)
        lines += *at == '\n';
    return lines;
}

static void put_unfiled(const char *detector, uint32_t severity, uint32_t state, uint64_t now_ms,
                        bool filed)
{
    struct alert_change change = {
        .run = "reviews",
        .phase = EMBMON_TRAIN,
        .layer = "dense",
        .variable = "",
        .signal = "gradient",
        .detector = detector,
        .severity = severity,
        .state = state,
        .reason = "",
        .summary = "It is so.",
        .hint = "",
    };

    alert_log_put(alert_log, &change, filed, now_ms);
}

static void put(const char *detector, uint32_t severity, uint32_t state, uint64_t now_ms)
{
    put_unfiled(detector, severity, state, now_ms, true);
}

static size_t summed_up(uint64_t now_ms, bool force)
{
    catch_stderr(CAUGHT_MOST);
    alert_log_sum_up(alert_log, "/logs", "reviews", now_ms, force);
    return lines_caught();
}

static void fill(uint64_t now_ms, size_t n)
{
    for (size_t i = 0; i < n; i++)
        put("activation_dead", EMBMON_WARNING, EMBMON_FIRING, now_ms);
}

static void so_many_are_said_in_a_minute(void **state)
{
    (void)state;
    for (size_t n = ALERT_LOG_MINUTE - 1; n <= ALERT_LOG_MINUTE + 1; n++) {
        size_t said = n < ALERT_LOG_MINUTE ? n : ALERT_LOG_MINUTE;

        alert_log_free(alert_log);
        alert_log = alert_log_new();
        catch_stderr(CAUGHT_MOST);
        fill(1000, n);
        assert_int_equal(lines_caught(), said);
        assert_int_equal(summed_up(1000, true), n - said);
    }
    assert_string_equal(
        caught_stderr.text,
        "embmond: warning: [reviews] changes of alerts left out here: 1 in 0 s, 1 "
        "of them to firing: activation_dead 1; each is in /logs/reviews/embmon/alerts.jsonl\n");
}

static void a_minute_later_all_are_said_again(void **state)
{
    (void)state;
    catch_stderr(CAUGHT_MOST);
    fill(1000, ALERT_LOG_MINUTE + 3);
    fill(60999, 1);
    assert_int_equal(lines_caught(), ALERT_LOG_MINUTE);
    catch_stderr(CAUGHT_MOST);
    fill(61000, 1);
    assert_int_equal(lines_caught(), 1);
}

static void what_was_left_out_is_said_once_a_minute(void **state)
{
    (void)state;
    catch_stderr(CAUGHT_MOST);
    fill(1000, ALERT_LOG_MINUTE);
    lines_caught();
    assert_int_equal(summed_up(90000, true), 0); /* nothing was */
    put("activation_dead", EMBMON_WARNING, EMBMON_FIRING, 2000);
    for (size_t i = 0; i < 3; i++)
        put("gradient_vanishing", EMBMON_WARNING, EMBMON_PENDING, 3000);
    assert_int_equal(summed_up(61999, false), 0);
    assert_int_equal(summed_up(62000, false), 1);
    assert_string_equal(
        caught_stderr.text,
        "embmond: warning: [reviews] changes of alerts left out here: 4 in 60 s, 1 of "
        "them to firing: "
        "gradient_vanishing 3, activation_dead 1; each is in "
        "/logs/reviews/embmon/alerts.jsonl\n");
    assert_int_equal(summed_up(900000, true), 0);
}

static void what_fires_first_of_its_kind_is_said_always(void **state)
{
    (void)state;
    catch_stderr(CAUGHT_MOST);
    fill(1000, ALERT_LOG_MINUTE);
    lines_caught();
    catch_stderr(CAUGHT_MOST);
    put("gradient_nonfinite", EMBMON_CRITICAL, EMBMON_PENDING, 1000);
    assert_int_equal(lines_caught(), 0);
    catch_stderr(CAUGHT_MOST);
    put("gradient_nonfinite", EMBMON_WARNING, EMBMON_FIRING, 1000);
    put("gradient_nonfinite", EMBMON_WARNING, EMBMON_FIRING, 1000); /* nothing new */
    put("gradient_nonfinite", EMBMON_CRITICAL, EMBMON_FIRING, 1000);
    put("gradient_nonfinite", EMBMON_CRITICAL, EMBMON_FIRING, 1000);
    put("activation_dead", EMBMON_WARNING, EMBMON_FIRING, 1000); /* it was said before */
    put("activation_dead", EMBMON_CRITICAL, EMBMON_FIRING, 1000);
    assert_int_equal(lines_caught(), 3);
    assert_int_equal(summed_up(1000, true), 1);
    assert_non_null(strstr(caught_stderr.text, " here: 4 in "));
    catch_stderr(CAUGHT_MOST); /* all is new again, as often as that is said */
    put("activation_dead", EMBMON_WARNING, EMBMON_FIRING, 1000);
    assert_int_equal(lines_caught(), 1);
}

/* However many detectors there are, and whatever they do. */
static void a_storm_has_a_bound(void **state)
{
    (void)state;
    catch_stderr(CAUGHT_MOST);
    for (uint64_t ms = 0; ms < 600000; ms += 100) {
        for (size_t d = 0; d < detector_count; d++) {
            put(detectors[d].name, 1 + (uint32_t)(ms / 100 % 3), EMBMON_FIRING, ms);
            put(detectors[d].name, 1, EMBMON_RESOLVED, ms);
        }
        alert_log_sum_up(alert_log, "/logs", "reviews", ms, false);
    }
    assert_in_range(lines_caught(), 10 * ALERT_LOG_MINUTE,
                    10 * (ALERT_LOG_MINUTE + 1 + EMBMON_CRITICAL * detector_count));
}

static void few_detectors_are_named_the_rest_is_counted(void **state)
{
    (void)state;
    catch_stderr(CAUGHT_MOST);
    fill(0, ALERT_LOG_MINUTE);
    lines_caught();
    for (size_t d = 0; d < 8; d++) {
        for (size_t i = 0; i <= d; i++)
            put(detectors[d].name, EMBMON_INFO, EMBMON_RESOLVED, 0);
    }
    assert_int_equal(summed_up(0, true), 1);
    assert_non_null(
        strstr(caught_stderr.text,
               "info: [reviews] changes of alerts left out here: 36 in ")); /* none of them fires */
    assert_non_null(strstr(caught_stderr.text, "others 3; each is"));
}

static void what_the_file_could_not_take_is_said(void **state)
{
    (void)state;
    catch_stderr(CAUGHT_MOST);
    fill(0, ALERT_LOG_MINUTE);
    lines_caught();
    put("activation_dead", EMBMON_WARNING, EMBMON_FIRING, 0);
    put_unfiled("activation_dead", EMBMON_WARNING, EMBMON_FIRING, 0, false);
    put_unfiled("activation_dead", EMBMON_WARNING, EMBMON_FIRING, 0, false);
    assert_int_equal(summed_up(0, true), 1);
    assert_non_null(strstr(caught_stderr.text, " here: 3 in "));
    assert_non_null(strstr(caught_stderr.text, "; all but 2 are in /logs/"));
}

static void a_quiet_log_counts_what_it_would_say(void **state)
{
    (void)state;
    log_configure(LOG_LEVEL_WARN, false);
    catch_stderr(CAUGHT_MOST);
    for (size_t i = 0; i < 2 * ALERT_LOG_MINUTE; i++)
        put("activation_dead", EMBMON_WARNING, EMBMON_PENDING, 0);
    fill(0, ALERT_LOG_MINUTE);
    assert_int_equal(lines_caught(), ALERT_LOG_MINUTE);
    assert_int_equal(summed_up(0, true), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(so_many_are_said_in_a_minute),
        TEST(a_minute_later_all_are_said_again),
        TEST(what_was_left_out_is_said_once_a_minute),
        TEST(what_fires_first_of_its_kind_is_said_always),
        TEST(a_storm_has_a_bound),
        TEST(few_detectors_are_named_the_rest_is_counted),
        TEST(what_the_file_could_not_take_is_said),
        TEST(a_quiet_log_counts_what_it_would_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
