#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/dtype.h"
#include "client/moved.h"
#include "tests/unit/random.h"

static int make(void **state)
{
    *state = moved_new();
    return *state ? 0 : -1;
}

static int end(void **state)
{
    moved_free(*state);
    return 0;
}

static struct moved_value value(const void *data, size_t rows, size_t columns,
                                enum embmon_dtype dtype)
{
    return (struct moved_value){data, rows, columns, dtype};
}

static void all_of_a_variable(void **state)
{
    const float before[] = {1, 2, 3, 4, 5, 6}, after[] = {1, 1, 4, 4, 5.5F, -6};
    const float expected[] = {0, -1, 1, 0, 0.5F, -12};
    const struct moved_value was = value(before, 3, 2, EMBMON_F32);
    const struct moved_value is = value(after, 3, 2, EMBMON_F32);
    const struct moved_rows all = {0};
    struct moved_difference d;

    assert_false(moved_is_kept(*state));
    assert_true(moved_keep(*state, &was, &all));
    assert_true(moved_is_kept(*state));
    assert_true(moved_take(*state, &is, &d));
    assert_int_equal(d.dtype, EMBMON_F32);
    assert_null(d.ids);
    assert_int_equal(d.count, 3);
    assert_int_equal(d.columns, 2);
    assert_memory_equal(d.values, expected, sizeof expected);
    moved_drop(*state);
    assert_false(moved_is_kept(*state));
    assert_false(moved_take(*state, &is, &d));
}

static void rows_once_each_and_none_outside(void **state)
{
    const float before[] = {0, 0, 10, 10, 20, 20, 30, 30}, after[] = {1, 1, 12, 13, 24, 25, 36, 37};
    const int32_t ids[] = {2, 0, 2, -1, 4, 2, 0, INT32_MAX};
    const float expected[] = {4, 5, 1, 1};
    const struct moved_value was = value(before, 4, 2, EMBMON_F32);
    const struct moved_value is = value(after, 4, 2, EMBMON_F32);
    const struct moved_rows rows = {ids, 8, EMBMON_I32};
    struct moved_difference d;

    assert_true(moved_keep(*state, &was, &rows));
    assert_true(moved_take(*state, &is, &d));
    assert_int_equal(d.count, 2);
    assert_int_equal(d.ids[0], 2);
    assert_int_equal(d.ids[1], 0);
    assert_memory_equal(d.values, expected, sizeof expected);
}

/* The same as rows that were found one by one. */
static void many_rows_by_chance(void **state)
{
    enum { ROWS = 3000, COLUMNS = 3, IDS = 5000 };
    static double before[ROWS * COLUMNS], after[ROWS * COLUMNS];
    static int64_t ids[IDS];
    static bool seen[ROWS];
    const struct moved_value was = value(before, ROWS, COLUMNS, EMBMON_F64);
    const struct moved_value is = value(after, ROWS, COLUMNS, EMBMON_F64);
    const struct moved_rows rows = {ids, IDS, EMBMON_I64};
    struct moved_difference d;
    uint64_t seed = 1;
    size_t found = 0;

    for (size_t i = 0; i < ROWS * COLUMNS; i++) {
        before[i] = (double)(random_next(&seed) % 1000);
        after[i] = (double)(random_next(&seed) % 1000);
    }
    for (size_t i = 0; i < IDS; i++)
        ids[i] = (int64_t)(random_next(&seed) % (ROWS + 10));
    assert_true(moved_keep(*state, &was, &rows));
    assert_true(moved_take(*state, &is, &d));
    for (size_t i = 0; i < IDS; i++) {
        if (ids[i] >= ROWS || seen[ids[i]])
            continue;
        seen[ids[i]] = true;
        assert_true(found < d.count);
        assert_int_equal(d.ids[found], ids[i]);
        for (size_t c = 0; c < COLUMNS; c++) {
            size_t at = (size_t)ids[i] * COLUMNS + c;

            assert_true(((const double *)d.values)[found * COLUMNS + c] == after[at] - before[at]);
        }
        found++;
    }
    assert_int_equal(found, d.count);
}

/* Half floats become f32 where they lie: longer than a piece, rows and all. */
static void half_floats_are_widened(void **state)
{
    enum { ROWS = 3, COLUMNS = 700 };
    static uint16_t before[ROWS * COLUMNS], after[ROWS * COLUMNS];
    static double wide[2][ROWS * COLUMNS];
    const int32_t ids[] = {2, 1};
    struct moved_difference d;
    uint64_t seed = 7;

    for (size_t i = 0; i < ROWS * COLUMNS; i++) {
        before[i] = (uint16_t)(0x3c00 + random_next(&seed) % 512);
        after[i] = (uint16_t)(0xbc00 + random_next(&seed) % 512);
    }
    for (int which = 0; which < 2; which++) {
        enum embmon_dtype dtype = which ? EMBMON_BF16 : EMBMON_F16;
        const struct moved_value was = value(before, ROWS, COLUMNS, dtype);
        const struct moved_value is = value(after, ROWS, COLUMNS, dtype);
        const struct moved_rows rows = {ids, 2, EMBMON_I32}, all = {0};

        dtype_load(wide[0], before, ROWS * COLUMNS, dtype);
        dtype_load(wide[1], after, ROWS * COLUMNS, dtype);
        for (int some = 0; some < 2; some++) {
            assert_true(moved_keep(*state, &was, some ? &rows : &all));
            assert_true(moved_take(*state, &is, &d));
            assert_int_equal(d.dtype, EMBMON_F32);
            for (size_t i = 0; i < d.count * COLUMNS; i++) {
                size_t at = some ? (size_t)ids[i / COLUMNS] * COLUMNS + i % COLUMNS : i;

                assert_true(((const float *)d.values)[i] == (float)(wide[1][at] - wide[0][at]));
            }
        }
    }
}

static void what_cannot_be_kept_is_not(void **state)
{
    const float data[] = {1, 2};
    const int32_t ids[] = {0};
    const struct moved_rows all = {0};
    const struct moved_rows narrow = {ids, 2, EMBMON_I16};
    const struct moved_rows many = {ids, MOVED_BYTES / 8 + 1, EMBMON_I32};
    struct moved_value v = value(data, 1, 2, EMBMON_F32);
    struct moved_difference d;

    assert_false(moved_keep(*state, &v, &many));
    v.rows = MOVED_BYTES / 8 + 1;
    assert_false(moved_keep(*state, &v, &all)); /* nothing of it is read */
    v = value(data, 1, 2, EMBMON_I32);
    assert_false(moved_keep(*state, &v, &all));
    v = value(data, 1, 0, EMBMON_F32);
    assert_false(moved_keep(*state, &v, &all));
    v = value(data, 1, 2, EMBMON_F32);
    assert_false(moved_keep(*state, &v, &narrow)); /* would be read beyond its end */
    assert_false(moved_is_kept(*state));
    v = value(data, 1, 2, EMBMON_F32);
    assert_true(moved_keep(*state, &v, &all));
    v = value(data, 2, 1, EMBMON_F32);
    assert_false(moved_take(*state, &v, &d)); /* another form */
    v = value(data, 1, 2, EMBMON_BF16);
    assert_false(moved_take(*state, &v, &d));
}

static void nothing_looked_up(void **state)
{
    const float data[] = {1, 2};
    const int32_t ids[] = {9};
    const struct moved_value v = value(data, 1, 2, EMBMON_F32);
    const struct moved_rows rows = {ids, 1, EMBMON_I32};
    struct moved_difference d;

    assert_true(moved_keep(*state, &v, &rows));
    assert_true(moved_take(*state, &v, &d));
    assert_int_equal(d.count, 0);
    assert_non_null(d.ids);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_of_a_variable, make, end),
        cmocka_unit_test_setup_teardown(rows_once_each_and_none_outside, make, end),
        cmocka_unit_test_setup_teardown(many_rows_by_chance, make, end),
        cmocka_unit_test_setup_teardown(half_floats_are_widened, make, end),
        cmocka_unit_test_setup_teardown(what_cannot_be_kept_is_not, make, end),
        cmocka_unit_test_setup_teardown(nothing_looked_up, make, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
