#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/usual.h"
#include "tests/unit/random.h"

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

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

/* Against the plain way: sort them. */
static void the_median_is_that_of_the_sorted_values(void **state)
{
    double values[500], last[USUAL_VALUES];
    struct usual usual = {0};
    uint64_t seed = 1;

    (void)state;
    for (size_t i = 0; i < 500; i++) {
        size_t n = i < USUAL_VALUES ? i + 1 : USUAL_VALUES;

        values[i] = (double)random_below(&seed, 40) - 20;
        usual_add(&usual, values[i]);
        memcpy(last, &values[i + 1 - n], n * sizeof *last);
        qsort(last, n, sizeof *last, by_value);
        assert_int_equal(usual.count, n);
        for (size_t k = 0; k < n; k++)
            must_be(usual.values[usual.order[k]], last[k]);
        if (n >= USUAL_MEDIAN_MIN)
            must_be(usual_median(&usual), 0.5 * (last[(n - 1) / 2] + last[n / 2]));
    }
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
        cmocka_unit_test(the_median_is_that_of_the_sorted_values),
        cmocka_unit_test(what_is_not_finite_is_no_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
