#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>

#include "daemon/notice.h"
#include "embmon/embmon.h"

static void a_notice_says_what_the_change_says(void **state)
{
    struct alert_change change = {
        .time = 12.5,
        .phase = EMBMON_VALIDATE,
        .layer = "inner/embedding",
        .variable = "kernel",
        .signal = "gradient",
        .detector = "gradient_spike",
        .severity = EMBMON_WARNING,
        .state = EMBMON_FIRING,
        .step = 90,
        .first_step = 88,
        .value = 4,
        .threshold = 3,
        .baseline = 2,
        .value_given = true,
        .threshold_given = true,
        .reason = "cleared",
        .summary = "s",
        .hint = "h",
    };
    struct msg_notice notice = notice_of(&change);

    (void)state;
    assert_true(notice.time == 12.5);
    assert_int_equal(notice.phase, EMBMON_VALIDATE);
    assert_string_equal(notice.layer, "inner/embedding");
    assert_string_equal(notice.variable, "kernel");
    assert_string_equal(notice.signal, "gradient");
    assert_string_equal(notice.detector, "gradient_spike");
    assert_int_equal(notice.severity, EMBMON_WARNING);
    assert_int_equal(notice.state, EMBMON_FIRING);
    assert_int_equal(notice.step, 90);
    assert_int_equal(notice.first_step, 88);
    assert_true(notice.value == 4 && notice.threshold == 3);
    assert_true(isnan(notice.baseline)); /* not given */
    assert_string_equal(notice.reason, "cleared");
    assert_string_equal(notice.summary, "s");
    assert_string_equal(notice.hint, "h");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_notice_says_what_the_change_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
