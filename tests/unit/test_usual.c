#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>

#include "daemon/usual.h"

static void add(struct usual *usual, double value, int times)
{
    for (int i = 0; i < times; i++)
        usual_add(usual, value);
}

static void must_be(double value, double expected)
{
    assert_true(fabs(value - expected) < 1e-12);
}

static void the_median_is_there_after_10_values_and_the_level_after_25(void **state)
{
    struct usual usual = {0};

    (void)state;
    for (int i = 1; i <= 25; i++) {
        assert_int_equal(!isnan(usual_median(&usual)), i > 10);
        assert_true(isnan(usual_level(&usual)));
        usual_add(&usual, i);
    }
    must_be(usual_median(&usual), 13);
    must_be(usual_level(&usual), 13);
}

static void an_even_number_of_values_has_the_median_between_two(void **state)
{
    struct usual usual = {0};

    (void)state;
    add(&usual, 1, 5);
    add(&usual, 2, 5);
    must_be(usual_median(&usual), 1.5);
}

static void the_median_is_of_the_last_25(void **state)
{
    struct usual usual = {0};

    (void)state;
    add(&usual, 1, 100);
    add(&usual, 5, 12);
    must_be(usual_median(&usual), 1);
    add(&usual, 5, 1);
    must_be(usual_median(&usual), 5);
}

static void the_level_creeps_up_and_falls_at_once(void **state)
{
    struct usual usual = {0};

    (void)state;
    add(&usual, 0.25, 25);
    add(&usual, 0.75, 12);
    must_be(usual_level(&usual), 0.25);
    add(&usual, 0.75, 10);
    must_be(usual_level(&usual), 0.255);
    add(&usual, 0.125, 13);
    must_be(usual_level(&usual), 0.125);
}

static void what_is_not_finite_is_no_value(void **state)
{
    struct usual usual = {0};

    (void)state;
    add(&usual, NAN, 30);
    add(&usual, INFINITY, 30);
    assert_int_equal(usual.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_median_is_there_after_10_values_and_the_level_after_25),
        cmocka_unit_test(an_even_number_of_values_has_the_median_between_two),
        cmocka_unit_test(the_median_is_of_the_last_25),
        cmocka_unit_test(the_level_creeps_up_and_falls_at_once),
        cmocka_unit_test(what_is_not_finite_is_no_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
