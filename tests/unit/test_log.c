#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "daemon/alert/change.h"
#include "daemon/log.h"
#include "embmon/embmon.h"
#include "tests/unit/caught.h"

static struct alert_change sample(uint32_t state)
{
    return (struct alert_change){
        .run = "reviews",
        .phase = EMBMON_TRAIN,
        .layer = "inner/embedding",
        .variable = "",
        .signal = "gradient",
        .detector = "gradient_nonfinite",
        .severity = EMBMON_CRITICAL,
        .state = state,
        .step = 12,
        .first_step = 12,
        .reason = "",
        .summary = "3 of 640 are NaN.",
        .hint = "Look at the division.",
    };
}

static void text_lines_carry_the_level(void **state)
{
    (void)state;
    log_configure(LOG_LEVEL_DEBUG, false);
    catch_stderr(CAUGHT_USUAL);
    log_error("e %d", 1);
    log_warn("w");
    log_info("i");
    log_debug("d");
    assert_string_equal(caught(), "embmond: error: e 1\nembmond: warning: w\nembmond: info: i\n"
                                  "embmond: debug: d\n");
}

static void quiet_means_warnings_and_errors(void **state)
{
    (void)state;
    struct alert_change pending = sample(EMBMON_PENDING), resolved = sample(EMBMON_RESOLVED);
    log_configure(LOG_LEVEL_WARN, false);
    catch_stderr(CAUGHT_USUAL);
    log_error("e");
    log_warn("w");
    log_info("i");
    log_debug("d");
    log_alert(&pending);
    log_alert(&resolved);
    assert_string_equal(caught(), "embmond: error: e\nembmond: warning: w\n");
}

static void control_characters_never_reach_a_terminal(void **state)
{
    (void)state;
    log_configure(LOG_LEVEL_INFO, false);
    catch_stderr(CAUGHT_USUAL);
    log_info("%s", "a\x1b[2J\nb\x7f\xc2\x9b \xff caf\xc3\xa9 100%");
    assert_string_equal(caught(),
                        "embmond: info: a\\x1b[2J\\x0ab\\x7f\\xc2\\x9b \\xff caf\xc3\xa9 100%\n");
}

static void a_long_message_is_cut_not_refused(void **state)
{
    (void)state;
    static char text[20000];
    memset(text, '\x01', sizeof text - 1);
    log_configure(LOG_LEVEL_INFO, false);
    catch_stderr(CAUGHT_USUAL);
    log_info("%s", text);
    const char *line = caught();
    assert_int_equal(line[strlen(line) - 1], '\n');
    assert_int_equal(strlen(line), strlen("embmond: info: \n") + 4 * 1023);
}

static void json_lines_are_objects(void **state)
{
    (void)state;
    log_configure(LOG_LEVEL_INFO, true);
    catch_stderr(CAUGHT_USUAL);
    log_warn("say \"%s\"", "caf\xc3\xa9\xff");
    json_t *object = json_loads(caught(), 0, NULL);
    assert_non_null(object);
    assert_string_equal(json_string_value(json_object_get(object, "level")), "warning");
    assert_string_equal(json_string_value(json_object_get(object, "message")),
                        "say \"caf\xc3\xa9\\xff\"");
    assert_true(json_real_value(json_object_get(object, "time")) > 1.6e9);
    assert_int_equal(json_object_size(object), 3);
    json_decref(object);
}

static void an_alert_is_two_lines_what_and_what_to_do(void **state)
{
    (void)state;
    struct alert_change firing = sample(EMBMON_FIRING), pending = sample(EMBMON_PENDING);
    log_configure(LOG_LEVEL_INFO, false);
    catch_stderr(CAUGHT_USUAL);
    log_alert(&firing);
    pending.variable = "kernel";
    log_alert(&pending);
    assert_string_equal(
        caught(),
        "embmond: warning: [reviews] critical firing: gradient_nonfinite inner/embedding, step 12: "
        "3 of 640 are NaN.\n    Look at the division.\n"
        "embmond: info: [reviews] critical pending: gradient_nonfinite inner/embedding/kernel, "
        "step 12: 3 of 640 are NaN.\n    Look at the division.\n");
}

static void what_is_resolved_needs_no_advice(void **state)
{
    (void)state;
    struct alert_change change = sample(EMBMON_RESOLVED);
    change.layer = "";
    log_configure(LOG_LEVEL_INFO, false);
    catch_stderr(CAUGHT_USUAL);
    log_alert(&change);
    assert_string_equal(caught(), "embmond: info: [reviews] critical resolved: gradient_nonfinite, "
                                  "step 12: 3 of 640 are NaN.\n");
}

static void an_alert_in_json_is_its_own_object(void **state)
{
    (void)state;
    struct alert_change change = sample(EMBMON_FIRING);
    log_configure(LOG_LEVEL_INFO, true);
    catch_stderr(CAUGHT_USUAL);
    log_alert(&change);
    json_t *object = json_loads(caught(), 0, NULL);
    assert_string_equal(json_string_value(json_object_get(object, "state")), "firing");
    assert_int_equal(json_object_size(object), 18);
    json_decref(object);
}

static void a_reader_that_does_not_read_never_blocks_us(void **state)
{
    (void)state;
    static char text[900];
    memset(text, 'x', sizeof text - 1);
    log_configure(LOG_LEVEL_INFO, false);
    catch_stderr(CAUGHT_USUAL);
    for (int i = 0; i < 200; i++) /* 180 KB into a pipe of 64 KiB; a hang is this test's failure */
        log_info("%s", text);
    const char *lines = caught();
    assert_in_range(strlen(lines), 1, 64 << 10);
    assert_memory_equal(lines, "embmond: info: xxx", 18);
}

static void what_happens_often_is_said_seldom(void **state)
{
    (void)state;
    struct log_seldom seldom = {0};
    log_configure(LOG_LEVEL_INFO, false);
    catch_stderr(CAUGHT_USUAL);
    for (uint64_t ms = 1000; ms <= 61000; ms += 1000)
        log_seldom(&seldom, ms, "again");
    assert_string_equal(caught(), "embmond: warning: again (1 so far)\n"
                                  "embmond: warning: again (61 so far)\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_lines_carry_the_level),
        cmocka_unit_test(quiet_means_warnings_and_errors),
        cmocka_unit_test(control_characters_never_reach_a_terminal),
        cmocka_unit_test(a_long_message_is_cut_not_refused),
        cmocka_unit_test(json_lines_are_objects),
        cmocka_unit_test(an_alert_is_two_lines_what_and_what_to_do),
        cmocka_unit_test(what_is_resolved_needs_no_advice),
        cmocka_unit_test(an_alert_in_json_is_its_own_object),
        cmocka_unit_test(a_reader_that_does_not_read_never_blocks_us),
        cmocka_unit_test(what_happens_often_is_said_seldom),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
