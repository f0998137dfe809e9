#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

#include "client/collapse.h"

enum { ROWS = 500, WIDE = 200 };

static float values[ROWS * WIDE];
static int64_t ids[ROWS];
static double scratch[COLLAPSE_SCRATCH / sizeof(double)];

/* Between -1 and 1, the same in every run. */
static double noise(void)
{
    static uint64_t random = 1;

    random = random * 6364136223846793005u + 1442695040888963407u;
    return (double)(random >> 33) / (double)(1u << 30) - 1;
}

/* Rows of noise around a common one of `common` in each column. */
static void fill(size_t width, double common)
{
    for (size_t i = 0; i < ROWS; i++) {
        ids[i] = (int64_t)i;
        for (size_t k = 0; k < width; k++)
            values[i * width + k] = (float)(common + noise());
    }
}

static struct collapse measured(size_t width, size_t n)
{
    struct collapse collapse = {NAN, NAN};

    assert_true(collapse_measure(values, ROWS, width, EMBMON_F32, ids, n, scratch, &collapse));
    return collapse;
}

static void rows_that_differ_in_all_directions_have_no_cosine_and_full_rank(void **state)
{
    struct collapse c;

    (void)state;
    fill(16, 0);
    c = measured(16, ROWS);
    assert_true(fabs(c.cosine) < 0.02);
    assert_true(c.spread > 0.95 && c.spread <= 1);
}

static void rows_that_are_all_alike_have_cosine_1_and_rank_1(void **state)
{
    struct collapse c;

    (void)state;
    fill(16, 1e5);
    c = measured(16, ROWS);
    assert_true(c.cosine > 0.9999);
    assert_true(c.spread < 0.07); /* 1 of 16 */
}

static void a_common_direction_alone_is_no_collapse(void **state)
{
    struct collapse c;

    (void)state;
    fill(16, 3); /* noise of variance 1/3: cosine 27/28 */
    c = measured(16, ROWS);
    assert_true(fabs(c.cosine - 27.0 / 28) < 0.01);
    assert_true(c.spread > 0.3);
}

/* Two orthogonal directions: half of the pairs have cosine 1, and the rank is 2. */
static void the_rank_is_that_of_the_rows(void **state)
{
    struct collapse c;

    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        ids[i] = (int64_t)i;
        for (size_t k = 0; k < 8; k++)
            values[i * 8 + k] = k == i % 2 ? 0.25f : 0;
    }
    c = measured(8, ROWS);
    assert_true(fabs(c.cosine - 249.0 / 499) < 1e-9);
    assert_true(fabs(c.spread - 2.0 / 8) < 1e-6);
}

/* Rows that are the axes of a turned cross, each as often as its singular value's square says. */
static void known_singular_values(void **state)
{
    (void)state;
    for (size_t width = 1; width <= COLLAPSE_COLUMNS; width++) {
        double sum = 0, entropy = 0;
        size_t n = 0;

        for (size_t axis = 0; axis < width; axis++)
            for (size_t times = 0; times < 2 + axis * axis % 11; times++, n++) {
                ids[n] = (int64_t)n;
                for (size_t k = 0; k < width; k++)
                    values[n * width + k] = (float)((k == axis) - 2.0 / (double)width);
            }
        for (size_t axis = 0; axis < width; axis++)
            sum += sqrt((double)(2 + axis * axis % 11));
        for (size_t axis = 0; axis < width; axis++) {
            double share = sqrt((double)(2 + axis * axis % 11)) / sum;

            entropy -= share * log(share);
        }
        assert_true(n <= ROWS);
        assert_true(fabs(measured(width, n).spread - exp(entropy) / (double)width) < 1e-6);
    }
}

static void of_a_wide_table_columns_at_even_distances_are_looked_at(void **state)
{
    struct collapse c;

    (void)state;
    fill(WIDE, 0);
    c = measured(WIDE, ROWS);
    assert_true(c.spread > 0.9);
    fill(WIDE, 1e5);
    assert_true(measured(WIDE, ROWS).spread < 0.02);
}

static void every_dtype_of_weights_is_read(void **state)
{
    double wide[32 * 2];
    uint16_t half[32 * 2];
    struct collapse a, b;

    (void)state;
    for (size_t i = 0; i < 32; i++) {
        ids[i] = (int64_t)i;
        wide[2 * i] = 1;
        wide[2 * i + 1] = i % 2 ? 1 : -1;
        half[2 * i] = 0x3f80; /* 1 as bf16 */
        half[2 * i + 1] = i % 2 ? 0x3f80 : 0xbf80;
    }
    assert_true(collapse_measure(wide, 32, 2, EMBMON_F64, ids, 32, scratch, &a));
    assert_true(collapse_measure(half, 32, 2, EMBMON_BF16, ids, 32, scratch, &b));
    assert_true(fabs(a.spread - 1) < 1e-9 && fabs(b.spread - 1) < 1e-9);
    assert_true(fabs(a.cosine - b.cosine) < 1e-12);
}

static void where_too_few_rows_say_something_nothing_is_said(void **state)
{
    struct collapse c;

    (void)state;
    fill(16, 0);
    assert_false(collapse_measure(values, ROWS, 16, EMBMON_F32, ids, 31, scratch, &c));
    assert_true(collapse_measure(values, ROWS, 16, EMBMON_F32, ids, 32, scratch, &c));
    assert_false(collapse_measure(values, 31, 16, EMBMON_F32, ids, 31, scratch, &c));
    assert_false(collapse_measure(values, ROWS, 0, EMBMON_F32, ids, 32, scratch, &c));
    for (size_t k = 0; k < 16; k++)
        values[k] = 0; /* row 0 has no direction */
    values[16] = NAN;
    assert_false(collapse_measure(values, ROWS, 16, EMBMON_F32, ids, 33, scratch, &c));
    assert_true(collapse_measure(values, ROWS, 16, EMBMON_F32, ids, 34, scratch, &c));
    ids[2] = -1, ids[3] = ROWS; /* no rows of it */
    assert_false(collapse_measure(values, ROWS, 16, EMBMON_F32, ids, 35, scratch, &c));
    assert_true(collapse_measure(values, ROWS, 16, EMBMON_F32, ids, 36, scratch, &c));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_that_differ_in_all_directions_have_no_cosine_and_full_rank),
        cmocka_unit_test(rows_that_are_all_alike_have_cosine_1_and_rank_1),
        cmocka_unit_test(a_common_direction_alone_is_no_collapse),
        cmocka_unit_test(the_rank_is_that_of_the_rows),
        cmocka_unit_test(known_singular_values),
        cmocka_unit_test(of_a_wide_table_columns_at_even_distances_are_looked_at),
        cmocka_unit_test(every_dtype_of_weights_is_read),
        cmocka_unit_test(where_too_few_rows_say_something_nothing_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
