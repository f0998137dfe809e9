#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/ctl_spark.h"

static void must_be(const double *numbers, size_t count, size_t columns, bool utf8,
                    const char *expected)
{
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);

    spark_put(out, numbers, count, columns, utf8);
    fclose(out);
    assert_string_equal(text, expected);
    free(text);
}

#define SPARK(columns, utf8, expected, ...)                                                        \
    must_be((const double[]){__VA_ARGS__}, sizeof(const double[]){__VA_ARGS__} / sizeof(double),   \
            columns, utf8, expected)

static void decades_are_even_steps(void **state)
{
    (void)state;
    SPARK(9, false, ".:-=+*#@@", 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1);
    SPARK(2, true, "\xe2\x96\x81\xe2\x96\x88", 1e-9, 1);
}

static void noise_stays_flat(void **state)
{
    (void)state;
    SPARK(4, false, "++++", 1, 1.1, 1.05, 1.2);
    SPARK(1, false, "+", 42);
}

static void the_newest_is_at_the_right_end(void **state)
{
    (void)state;
    SPARK(4, false, "  .@", 1, 1000);
    SPARK(2, false, ".@", 1e9, 1, 1000); /* the oldest is not shown and sets no scale */
    SPARK(0, false, "", 1, 2);
}

static void zero_and_what_is_not_finite_have_signs_of_their_own(void **state)
{
    (void)state;
    SPARK(5, false, "+0!!!", 1, 0, NAN, INFINITY, -INFINITY);
    SPARK(2, true, "0!", 0, NAN);
}

static void numbers_at_the_ends_of_a_double_are_drawn(void **state)
{
    (void)state;
    SPARK(2, false, ".@", 5e-324, 1.7e308);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decades_are_even_steps),
        cmocka_unit_test(noise_stays_flat),
        cmocka_unit_test(the_newest_is_at_the_right_end),
        cmocka_unit_test(zero_and_what_is_not_finite_have_signs_of_their_own),
        cmocka_unit_test(numbers_at_the_ends_of_a_double_are_drawn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
