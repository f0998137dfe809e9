#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

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

static void a_copy_outlives_what_it_was_made_of(void **state)
{
    (void)state;
    char text[] = "borrowed";
    uint32_t ranks[] = {0, 7};
    struct alert_change change = {
        .time = 2.5,
        .run = text,
        .layer = text,
        .variable = "",
        .signal = text,
        .detector = text,
        .reason = text,
        .summary = text,
        .hint = text,
        .ranks = ranks,
        .rank_count = 2,
        .value = 3,
        .value_given = true,
    };
    struct alert_change *copy = change_copy(&change);

    assert_non_null(copy);
    memset(text, 'x', sizeof text - 1);
    memset(ranks, 0xff, sizeof ranks);
    assert_string_equal(copy->run, "borrowed");
    assert_string_equal(copy->layer, "borrowed");
    assert_string_equal(copy->variable, "");
    assert_string_equal(copy->signal, "borrowed");
    assert_string_equal(copy->detector, "borrowed");
    assert_string_equal(copy->reason, "borrowed");
    assert_string_equal(copy->summary, "borrowed");
    assert_string_equal(copy->hint, "borrowed");
    assert_int_equal(copy->rank_count, 2);
    assert_int_equal(copy->ranks[0], 0);
    assert_int_equal(copy->ranks[1], 7);
    assert_float_equal(copy->value, 3, 0);
    free(copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_value_has_its_word),
        cmocka_unit_test(a_copy_outlives_what_it_was_made_of),
        cmocka_unit_test(values_of_nobody_are_unknown_not_a_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
