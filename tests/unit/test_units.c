#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/units.h"
#include "tests/unit/random.h"

static struct rows_scratch scratch;

static int start(void **state)
{
    (void)state;
    return rows_scratch_open(&scratch) ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    assert_int_equal(scratch.taken, 0);
    rows_scratch_close(&scratch);
    return 0;
}

static struct unit_counts measured(const float *values, size_t count, size_t units, size_t example,
                                   enum unit_function function)
{
    return units_measure(values, count, EMBMON_F32, (struct unit_shape){units, example}, function,
                         &scratch);
}

/* ---- shapes */

static void must_be_shaped(const int64_t *shape, uint32_t rank, size_t count, size_t units,
                           size_t example)
{
    struct unit_shape found = units_shape(shape, rank, count);

    assert_int_equal(found.units, units);
    if (units > 0)
        assert_int_equal(found.example, example);
}

static void a_unit_is_the_last_dimension_and_an_example_all_but_the_first(void **state)
{
    (void)state;
    must_be_shaped((const int64_t[]){-1, 16}, 2, 64, 16, 16);
    must_be_shaped((const int64_t[]){-1, 20, 16}, 3, 640, 16, 320);
    must_be_shaped((const int64_t[]){4, 16}, 2, 64, 16, 16);
    must_be_shaped((const int64_t[]){16}, 1, 64, 16, 16);
    must_be_shaped((const int64_t[]){-1, -1, 16}, 3, 640, 16, 16); /* the length varies */
    must_be_shaped((const int64_t[]){-1, 1024, 1024, 8}, 4, 16 << 20, 8, 8 << 20);
    must_be_shaped((const int64_t[]){-1, 20, 16}, 3, 160, 16, 16); /* other lengths came */
}

static void what_is_not_known_or_does_not_fit_has_no_units(void **state)
{
    (void)state;
    must_be_shaped(NULL, 0, 64, 0, 0);
    must_be_shaped((const int64_t[]){-1, -1}, 2, 64, 0, 0);
    must_be_shaped((const int64_t[]){-1, 0}, 2, 64, 0, 0);
    must_be_shaped((const int64_t[]){-1, 16}, 2, 63, 0, 0);
    must_be_shaped((const int64_t[]){-1, 16}, 2, 0, 0, 0);
    must_be_shaped((const int64_t[]){-1, UNITS_MAX + 1}, 2, 2 * (UNITS_MAX + 1), 0, 0);
    must_be_shaped((const int64_t[]){-1, INT64_MAX, INT64_MAX, 2}, 4, 8, 2, 2);
    assert_int_equal(measured((const float[]){1}, 1, 0, 1, UNITS_ANY).units, 0);
}

/* ---- dead */

static void a_unit_is_dead_that_is_0_in_the_whole_batch(void **state)
{
    const float values[] = {0, 1, 0, -0.0f, 0, 0, 3, 0, 1e-45f, -0.0f, 0, 0};
    struct unit_counts c = measured(values, 12, 4, 4, UNITS_ANY);

    (void)state;
    assert_int_equal(c.units, 4);
    assert_int_equal(c.examples, 3);
    assert_int_equal(c.dead, 1); /* the last; the least subnormal is not 0 */
    assert_int_equal(c.saturated, 0);
}

static void the_bits_of_each_dtype_are_looked_at(void **state)
{
    const double wide[] = {0, 5e-324, -0.0, 0};
    const uint16_t half[] = {0x8000, 1, 0, 0};

    (void)state;
    struct unit_counts c =
        units_measure(wide, 4, EMBMON_F64, (struct unit_shape){2, 2}, UNITS_ANY, &scratch);
    assert_int_equal(c.dead, 1);
    c = units_measure(half, 4, EMBMON_BF16, (struct unit_shape){2, 2}, UNITS_ANY, &scratch);
    assert_int_equal(c.dead, 1);
    c = units_measure(half, 4, EMBMON_F16, (struct unit_shape){4, 4}, UNITS_ANY, &scratch);
    assert_int_equal(c.dead, 3);
}

static void units_go_round_over_blocks_of_any_size(void **state)
{
    static float values[3 * 700];

    (void)state;
    values[2 * 700 + 699] = NAN; /* not 0 either */
    values[700 + 3] = -1;
    assert_int_equal(measured(values, 3 * 700, 700, 700, UNITS_ANY).dead, 698);
    assert_int_equal(measured(values, 3 * 700, 7, 7, UNITS_ANY).dead, 5);
    assert_int_equal(measured(values, 3 * 700, 1, 1, UNITS_ANY).dead, 0);
}

/* ---- saturated */

static void a_limit_is_reached_within_a_ten_thousandth(void **state)
{
    const float values[] = {0,        0.00009f, 0.00011f,  0.5f,     0.99989f,
                            0.99991f, 1,        -0.99989f, -0.99991f};

    (void)state;
    assert_int_equal(measured(values, 9, 1, 1, UNITS_TANH).saturated, 3);
    assert_int_equal(measured(values, 7, 1, 1, UNITS_SIGMOID).saturated, 4);
    assert_int_equal(measured(values, 9, 1, 1, UNITS_ANY).saturated, 0);
}

static void functions_are_known_by_their_names(void **state)
{
    (void)state;
    assert_int_equal(units_function("tanh"), UNITS_TANH);
    assert_int_equal(units_function("sigmoid"), UNITS_SIGMOID);
    assert_int_equal(units_function("hard_sigmoid"), UNITS_ANY);
    assert_int_equal(units_function(""), UNITS_ANY);
}

/* ---- variance */

static void equal_examples_have_a_variance_of_exactly_0(void **state)
{
    static float values[40 * 3];

    (void)state;
    for (size_t i = 0; i < 40; i++)
        values[3 * i] = 0.1f, values[3 * i + 1] = 1e20f, values[3 * i + 2] = -3;
    assert_true(measured(values, 120, 3, 3, UNITS_ANY).variance == 0);
}

static void the_variance_is_the_mean_over_what_an_example_consists_of(void **state)
{
    const float values[] = {1000001, 5, 1000003, 5}; /* 1 and 0 */

    (void)state;
    assert_true(fabs(measured(values, 4, 2, 2, UNITS_ANY).variance - 0.5) < 1e-12);
    /* As 4 examples of one unit each: around 500003.5. */
    assert_true(measured(values, 4, 1, 1, UNITS_ANY).variance > 2e11);
}

/* Positions differ, examples do not: an example is the whole sequence. */
static void a_sequence_is_compared_position_by_position(void **state)
{
    static float values[10 * 4 * 2];

    (void)state;
    for (size_t i = 0; i < 80; i++)
        values[i] = (float)(i % 8);
    assert_true(measured(values, 80, 2, 8, UNITS_ANY).variance == 0);
    assert_true(measured(values, 80, 2, 2, UNITS_ANY).variance > 1);
}

static void of_a_large_batch_64_examples_at_even_distances_are_looked_at(void **state)
{
    static float values[6400];

    (void)state;
    for (size_t i = 0; i < 6400; i++)
        values[i] = i >= 3200; /* a batch that is sorted */
    assert_true(fabs(measured(values, 6400, 1, 1, UNITS_ANY).variance - 0.25) < 1e-12);
}

static void what_is_not_finite_has_no_variance(void **state)
{
    const float values[] = {1, NAN, 2, 3, INFINITY, 0};

    (void)state;
    assert_true(isnan(measured(values, 3, 1, 1, UNITS_ANY).variance));
    assert_true(isnan(measured(values + 3, 3, 1, 1, UNITS_ANY).variance));
}

/* ---- against the plain way: to the bit */

static double plain_variance(const double *values, size_t examples, size_t length)
{
    size_t taken = examples < 64 ? examples : 64;
    double total = 0;

    for (size_t block = 0; block < length; block += 512) {
        double part = 0;

        for (size_t at = block; at < length && at < block + 512; at++) {
            double sum = 0, squares = 0, mean, variance;

            for (size_t k = 0; k < taken; k++) {
                double distance = values[k * examples / taken * length + at] - values[at];

                sum += distance;
                squares += distance * distance;
            }
            mean = sum / (double)taken;
            variance = squares / (double)taken - mean * mean;
            part += variance < 0 ? 0 : variance;
        }
        total += part;
    }
    total /= (double)length;
    return isfinite(total) ? total : NAN;
}

static void each_dtype_says_what_is_plain(void **state)
{
    static const enum embmon_dtype dtypes[] = {EMBMON_F32, EMBMON_F64, EMBMON_F16, EMBMON_BF16};
    enum { MOST = 40000 };
    double *values = malloc(MOST * sizeof *values);
    uint8_t *bytes = malloc(MOST * sizeof *values + 1);
    uint64_t seed = 8;

    (void)state;
    assert_true(values && bytes);
    for (int round = 0; round < 300; round++) {
        enum embmon_dtype dtype = dtypes[round % 4];
        size_t units = 1 + random_below(&seed, 40), size = dtype_size((int)dtype), dead = 0;
        size_t length = units * (1 + random_below(&seed, round % 9 ? 4 : 40));
        size_t examples = 1 + random_below(&seed, MOST / length < 150 ? MOST / length : 150);
        size_t n = examples * length;
        struct unit_counts got;
        double variance;

        for (size_t i = 0; i < n * size; i++)
            bytes[1 + i] = (uint8_t)random_next(&seed);
        for (size_t i = 0; i < n; i++) { /* of some size, and some units that are 0 */
            bytes[1 + (i + 1) * size - 1] &= round % 5 ? 0xbf : 0xff;
            if (i % units % 3 == 1)
                memset(bytes + 1 + i * size, 0, size);
        }
        dtype_load(values, bytes + 1, n, dtype);
        got = units_measure(bytes + 1, n, dtype, (struct unit_shape){units, length}, UNITS_ANY,
                            &scratch);
        variance = plain_variance(values, examples, length);
        for (size_t unit = 0; unit < units; unit++) {
            size_t at = unit;

            while (at < n && values[at] == 0)
                at += units;
            dead += at >= n;
        }
        assert_int_equal(got.dead, dead);
        assert_true(isnan(variance) ? isnan(got.variance)
                                    : memcmp(&got.variance, &variance, sizeof variance) == 0);
    }
    free(values);
    free(bytes);
}

static void without_scratch_nothing_is_known(void **state)
{
    const float one = 1;
    void *all = rows_scratch_take(&scratch, ROWS_SCRATCH);

    (void)state;
    assert_non_null(all);
    assert_int_equal(measured(&one, 1, 1, 1, UNITS_ANY).units, 0);
    rows_scratch_give(&scratch, all, ROWS_SCRATCH);
}

#define units_test(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        units_test(a_unit_is_the_last_dimension_and_an_example_all_but_the_first),
        units_test(what_is_not_known_or_does_not_fit_has_no_units),
        units_test(a_unit_is_dead_that_is_0_in_the_whole_batch),
        units_test(the_bits_of_each_dtype_are_looked_at),
        units_test(units_go_round_over_blocks_of_any_size),
        units_test(a_limit_is_reached_within_a_ten_thousandth),
        units_test(functions_are_known_by_their_names),
        units_test(equal_examples_have_a_variance_of_exactly_0),
        units_test(the_variance_is_the_mean_over_what_an_example_consists_of),
        units_test(a_sequence_is_compared_position_by_position),
        units_test(of_a_large_batch_64_examples_at_even_distances_are_looked_at),
        units_test(what_is_not_finite_has_no_variance),
        units_test(each_dtype_says_what_is_plain),
        units_test(without_scratch_nothing_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
