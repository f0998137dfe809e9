#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <float.h>
#include <math.h>
#include <string.h>

#include "client/cells.h"
#include "client/dtype.h"
#include "client/kernel.h"
#include "tests/unit/random.h"
#include "tests/unit/values.h"

static uint64_t bits_of(double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static uint32_t cell_of(double value)
{
    return cell_of_f64(bits_of(value));
}

static void an_f64_is_where_its_edges_are(void **state)
{
    uint64_t seed = 1;

    (void)state;
    for (uint32_t bucket = 0; bucket < BUCKETS; bucket++) {
        double low = bucket_low(bucket), high = nextafter(bucket_low(bucket + 1), 0);

        if (bucket > 0)
            assert_int_equal(cell_of(low), bucket);
        assert_int_equal(cell_of(high), bucket);
        assert_int_equal(cell_of(-high), BUCKET_TABLE + bucket);
    }
    for (size_t i = 0; i < 100000; i++) {
        uint64_t bits = random_next(&seed);
        double value;

        memcpy(&value, &bits, sizeof value);
        if (isfinite(value))
            assert_int_equal(cell_of(value),
                             values_bucket(fabs(value)) + (bits >> 63 ? BUCKET_TABLE : 0));
    }
}

static void what_f32_cannot_hold_is_in_the_outermost_buckets(void **state)
{
    (void)state;
    assert_int_equal(cell_of(0x1p-1074), 0);
    assert_int_equal(cell_of(-0x1p-150), BUCKET_TABLE);
    assert_int_equal(cell_of(DBL_MAX), BUCKETS - 1);
    assert_int_equal(cell_of(0x1p128), BUCKETS - 1);
    assert_int_equal(cell_of(-0.0), BUCKET_TABLE);
    assert_true(cell_of((double)INFINITY) >= BUCKETS && cell_of((double)INFINITY) < BUCKET_TABLE);
    assert_true(cell_of((double)-INFINITY) >= BUCKET_TABLE + BUCKETS);
    assert_true(cell_of(fabs((double)NAN)) >= BUCKETS && cell_of(fabs((double)NAN)) < BUCKET_TABLE);
}

/* Where f64 has them, an integer is in the same bucket; above it is rounded toward zero by itself.
 */
static void an_integer_is_where_it_is_itself(void **state)
{
    uint64_t seed = 2;

    (void)state;
    assert_int_equal(cell_of_integer(0), 0);
    assert_int_equal(cell_of_integer(INT64_MIN), cell_of(-0x1p63));
    assert_int_equal(cell_of_integer(((int64_t)1 << 60) - 1), cell_of(0x1p60) - 1);
    assert_int_equal(cell_of_integer(INT64_MAX), cell_of(0x1p63) - 1);
    for (size_t i = 0; i < 100000; i++) {
        int64_t value = (int64_t)(random_next(&seed) >> (11 + random_below(&seed, 53)));

        assert_int_equal(cell_of_integer(value), cell_of((double)value));
        if (value > 0)
            assert_int_equal(cell_of_integer(-value), cell_of((double)-value));
    }
}

static uint64_t total(const uint32_t *cells, size_t first, size_t end)
{
    uint64_t sum = 0;

    for (size_t i = first; i < end; i++)
        sum += cells[i];
    return sum;
}

static void every_f16_and_bf16_is_where_its_f64_is(void **state)
{
    const enum embmon_dtype dtypes[] = {EMBMON_F16, EMBMON_BF16};

    (void)state;
    for (size_t d = 0; d < 2; d++)
        for (uint32_t half = 0; half <= UINT16_MAX; half++) {
            uint32_t cells[CELLS] = {0};
            uint16_t stored = (uint16_t)half;
            double value;

            cells_count(cells, &stored, 1, dtypes[d]);
            dtype_load(&value, &stored, 1, dtypes[d]);
            if (isfinite(value)) {
                assert_int_equal(cells[cell_of(value)], 1);
            } else {
                uint64_t nowhere = total(cells, BUCKETS, BUCKET_TABLE) +
                                   total(cells, BUCKET_TABLE + BUCKETS, CELLS);

                assert_int_equal(nowhere, 1);
            }
        }
}

static void integers_of_each_width_are_read(void **state)
{
    const int8_t i8[] = {-3, 0};
    const int16_t i16[] = {-300, 0};
    const int32_t i32[] = {-70000, 0};
    const int64_t i64[] = {-((int64_t)1 << 40), 0};
    static uint32_t cells[CELLS];

    (void)state;
    cells_count(cells, i8, 2, EMBMON_I8);
    cells_count(cells, i16, 2, EMBMON_I16);
    cells_count(cells, i32, 2, EMBMON_I32);
    cells_count(cells, i64, 2, EMBMON_I64);
    assert_int_equal(cells[0], 4);
    assert_int_equal(cells[cell_of(-3)], 1);
    assert_int_equal(cells[cell_of(-300)], 1);
    assert_int_equal(cells[cell_of(-70000)], 1);
    assert_int_equal(cells[cell_of(-0x1p40)], 1);
}

/* The loop's counts and those of the irregular ones together are the counts of all. */
static void the_irregular_ones_are_those_that_loops_leave(void **state)
{
    static _Alignas(64) kernel_tables tables;
    static uint32_t all[CELLS], left[CELLS];
    static double values[4 * KERNEL_GROUP];
    struct kernel_sums sums;
    uint64_t seed = 3;

    (void)state;
    for (size_t i = 0; i < 4 * KERNEL_GROUP; i++)
        values[i] = ldexp(1, (int)random_below(&seed, 400) - 200);
    cells_count(all, values, 4 * KERNEL_GROUP, EMBMON_F64);
    cells_count_irregular(left, values, 4 * KERNEL_GROUP, EMBMON_F64);
    kernel_best()->f64.count(&sums, values, 4 * KERNEL_GROUP, tables);
    assert_true(sums.irregular);
    assert_true(total(left, 0, CELLS) > 0);
    for (size_t i = 0; i < CELLS; i++) {
        for (size_t k = 0; k < KERNEL_TABLES; k++)
            left[i] += tables[k][i];
        assert_int_equal(left[i], all[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_f64_is_where_its_edges_are),
        cmocka_unit_test(what_f32_cannot_hold_is_in_the_outermost_buckets),
        cmocka_unit_test(an_integer_is_where_it_is_itself),
        cmocka_unit_test(every_f16_and_bf16_is_where_its_f64_is),
        cmocka_unit_test(integers_of_each_width_are_read),
        cmocka_unit_test(the_irregular_ones_are_those_that_loops_leave),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
