#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/alert/change.h"

static void every_value_has_its_word(void **state)
{
    (void)state;
    assert_string_equal(phase_name(1), "training");
    assert_string_equal(phase_name(2), "validation");
    assert_string_equal(phase_name(3), "inference");
    assert_string_equal(severity_name(1), "info");
    assert_string_equal(severity_name(2), "warning");
    assert_string_equal(severity_name(3), "critical");
    assert_string_equal(state_name(0), "resolved");
    assert_string_equal(state_name(1), "pending");
    assert_string_equal(state_name(2), "firing");
}

static void values_of_nobody_are_unknown_not_a_crash(void **state)
{
    (void)state;
    assert_string_equal(phase_name(0), "unknown");
    assert_string_equal(phase_name(4), "unknown");
    assert_string_equal(severity_name(0), "unknown");
    assert_string_equal(severity_name(UINT32_MAX), "unknown");
    assert_string_equal(state_name(3), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_value_has_its_word),
        cmocka_unit_test(values_of_nobody_are_unknown_not_a_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
