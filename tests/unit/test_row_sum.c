#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "client/dtype.h"
#include "client/row_sum.h"
#include "tests/unit/random.h"

enum { ROWS = 9, COLUMNS = 300 };

static const enum embmon_dtype dtypes[] = {EMBMON_F32, EMBMON_F64, EMBMON_F16, EMBMON_BF16};

static void rows_are_added_up_in_their_order(void **state)
{
    const float values[] = {1e8f, 1, -1e8f, 5, -0.0f, 2}; /* in f32 the 1 would be lost */
    const uint8_t *rows[3];
    double sums[2] = {7, 7};

    (void)state;
    for (size_t k = 0; k < 3; k++)
        rows[k] = (const uint8_t *)(values + 2 * k);
    row_sum(sums, true, rows, 3, 2, EMBMON_F32);
    assert_true(sums[0] == 0 && sums[1] == 8);
    row_sum(sums, false, rows, 1, 2, EMBMON_F32);
    assert_true(sums[0] == 1e8 && sums[1] == 9);
    row_sum(sums, true, rows, 0, 2, EMBMON_F32);
    assert_true(sums[0] == 0 && sums[1] == 0);
}

/* Of any width, at any address, and nothing behind it. */
static void each_element_is_what_is_plain(void **state)
{
    uint8_t *bytes = malloc(ROWS * COLUMNS * sizeof(double) + 1);
    uint64_t seed = 5;

    (void)state;
    assert_non_null(bytes);
    for (int round = 0; round < 400; round++) {
        enum embmon_dtype dtype = dtypes[round % 4];
        size_t size = dtype_size((int)dtype), columns = random_below(&seed, COLUMNS);
        size_t n = random_below(&seed, ROWS + 1);
        double wanted[COLUMNS] = {0}, values[COLUMNS];
        double *sums = malloc((columns + 1) * sizeof *sums);
        const uint8_t *rows[ROWS];

        assert_non_null(sums);
        for (size_t i = 0; i < ROWS * COLUMNS * size; i++)
            bytes[1 + i] = (uint8_t)random_next(&seed);
        for (size_t i = 0; i < ROWS * COLUMNS; i++) /* finite */
            bytes[(i + 1) * size] &= 0xbf;
        for (size_t k = 0; k < n; k++) {
            rows[k] = bytes + 1 + random_below(&seed, ROWS) * columns * size;
            dtype_load(values, rows[k], columns, dtype);
            for (size_t i = 0; i < columns; i++)
                wanted[i] += values[i];
        }
        memset(sums, 0xff, (columns + 1) * sizeof *sums);
        row_sum(sums, true, rows, n / 2, columns, dtype);
        row_sum(sums, false, rows + n / 2, n - n / 2, columns, dtype);
        assert_memory_equal(sums, wanted, columns * sizeof *sums);
        assert_int_equal(((uint8_t *)&sums[columns])[0], 0xff);
        free(sums);
    }
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_added_up_in_their_order),
        cmocka_unit_test(each_element_is_what_is_plain),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
