/* The judge of the numbers is tests/test_summarize.py; here is what it cannot see. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fenv.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/float_mode.h"
#include "client/summarize.h"
#include "tests/unit/random.h"

static void a_small_tensor_is_summarised(void **state)
{
    const double values[] = {1, -1, 0.5, 0, -0.0, INFINITY, -INFINITY, NAN, DBL_MAX, 0x1p-1074};
    struct tally t;
    struct summary s;
    uint32_t first, length;
    uint64_t counts[BUCKETS];

    (void)state;
    tally_start(&t);
    tally_add(&t, values, 10, EMBMON_F64);
    tally_moments(&t, &s);
    assert_int_equal(s.count, 10);
    assert_int_equal(s.zeros, 2);
    assert_int_equal(s.nans, 1);
    assert_int_equal(s.positive_infinities, 1);
    assert_int_equal(s.negative_infinities, 1);
    assert_true(s.min == -1 && s.max == DBL_MAX);
    assert_true(s.square_sum == DBL_MAX);
    tally_span(&t, true, &first, &length);
    assert_int_equal(first, 127 << 3);
    assert_int_equal(length, 1);
    tally_span(&t, false, &first, &length);
    assert_int_equal(first, 0);
    assert_int_equal(length, BUCKETS);
    tally_counts(&t, false, first, length, counts);
    assert_int_equal(counts[0], 1);
    assert_int_equal(counts[127 << 3], 1);
    assert_int_equal(counts[126 << 3], 1);
    assert_int_equal(counts[BUCKETS - 1], 1);
}

static void a_tally_goes_on_where_it_stopped(void **state)
{
    const float values[] = {3, NAN, -4};
    struct tally t;

    (void)state;
    tally_start(&t);
    tally_add(&t, values, 1, EMBMON_F32);
    tally_add(&t, values + 1, 1, EMBMON_F32);
    tally_add(&t, values + 2, 1, EMBMON_F32);
    assert_int_equal(t.count, 3);
    assert_true(t.min == -4 && t.max == 3 && t.square_sum == 25);
}

/* 4 billion elements would take a while: the count is set to where the table is about to wrap. */
static void the_table_is_emptied_before_it_wraps(void **state)
{
    static float values[1024];
    struct tally t;
    struct summary s;
    uint64_t count;

    (void)state;
    for (size_t i = 0; i < 1024; i++)
        values[i] = i % 2 ? 1.0f : 0.0f;
    tally_start(&t);
    tally_add(&t, values, 1024, EMBMON_F32);
    assert_int_equal(t.narrow[127 << 3], 512);
    t.narrow[127 << 3] = UINT32_MAX - 300;
    t.narrow_filled = UINT32_MAX - 300;
    tally_add(&t, values, 1024, EMBMON_F32);
    assert_true(t.spilled);
    tally_counts(&t, false, 127 << 3, 1, &count);
    assert_int_equal(count, (uint64_t)UINT32_MAX - 300 + 512);
    tally_moments(&t, &s);
    assert_int_equal(s.zeros, 1024);
}

/* More than the tables of a loop hold. */
static void many_elements_of_one_bucket_are_counted(void **state)
{
    enum { MANY = 3 * UINT16_MAX * 4 + 5 };
    float *values = malloc(MANY * sizeof *values);

    (void)state;
    assert_non_null(values);
    for (size_t i = 0; i < MANY; i++)
        values[i] = 1;
    for (int level = 0; level < KERNEL_LEVELS; level++) {
        struct tally t;
        uint64_t count;

        if (!kernel_at((enum kernel_level)level))
            continue;
        tally_start(&t);
        t.kernel = kernel_at((enum kernel_level)level);
        tally_add(&t, values, MANY, EMBMON_F32);
        tally_counts(&t, false, 127 << 3, 1, &count);
        assert_int_equal(count, MANY);
        assert_true(t.sum == MANY && t.count == MANY);
    }
    free(values);
}

/* In any order small and large, with what no loop counts among it, into the same tables. */
static void pieces_add_up_to_the_whole(void **state)
{
    static float values[8192];
    static struct tally whole, pieces;
    static _Alignas(64) kernel_tables tables;
    static uint64_t counts[2][BUCKETS];
    uint64_t seed = 1;

    (void)state;
    for (size_t i = 0; i < 8192; i++)
        values[i] = i % 3 == 0   ? 0
                    : i == 5000  ? 0x1p-149f
                    : i == 5001  ? -0x1p-140f
                    : i % 7 == 0 ? -(float)i
                                 : (float)random_below(&seed, 1000);
    tally_start(&whole);
    tally_add(&whole, values, 8192, EMBMON_F32);
    tally_start(&pieces);
    tally_add(&pieces, values, 10, EMBMON_F32);
    tally_open_tables(&pieces, &tables);
    for (size_t at = 10, n; at < 8192; at += n) {
        n = random_below(&seed, 70);
        n = n > 8192 - at ? 8192 - at : n;
        tally_add(&pieces, values + at, n, EMBMON_F32);
    }
    tally_close_tables(&pieces);
    assert_int_equal(pieces.count, whole.count);
    assert_int_equal(pieces.zeros, whole.zeros);
    assert_true(pieces.min == whole.min && pieces.max == whole.max);
    assert_true(pieces.sum == whole.sum); /* whole numbers, but for two that are nothing beside */
    for (int negative = 0; negative <= 1; negative++) {
        uint32_t first, length, other_first, other_length;

        tally_span(&whole, negative, &first, &length);
        tally_span(&pieces, negative, &other_first, &other_length);
        assert_int_equal(first, other_first);
        assert_int_equal(length, other_length);
        tally_counts(&whole, negative, first, length, counts[0]);
        tally_counts(&pieces, negative, first, length, counts[1]);
        assert_memory_equal(counts[0], counts[1], length * sizeof counts[0][0]);
    }
}

static void unaligned_data_are_read(void **state)
{
    uint8_t bytes[17] = {0};
    const double one = 1;
    struct tally t;

    (void)state;
    memcpy(bytes + 1, &one, sizeof one);
    tally_start(&t);
    tally_add(&t, bytes + 1, 2, EMBMON_F64);
    assert_true(t.sum == 1);
}

static void the_callers_floating_point_state_is_untouched(void **state)
{
    const double values[] = {1e300, 1e-300, 0x1p-1074, NAN, 0.1};
    struct tally t;
    fenv_t before, after;

    (void)state;
    fesetround(FE_UPWARD);
    feclearexcept(FE_ALL_EXCEPT);
#if defined(__x86_64__)
    _mm_setcsr(_mm_getcsr() | 0x8040);
#endif
    fegetenv(&before);
    tally_start(&t);
    tally_add(&t, values, 5, EMBMON_F64);
    fegetenv(&after);
    assert_int_equal(fetestexcept(FE_ALL_EXCEPT), 0);
    assert_int_equal(fegetround(), FE_UPWARD);
    assert_memory_equal(&before, &after, sizeof before);
    fesetenv(FE_DFL_ENV);
    assert_true(t.min == 0x1p-1074); /* and theirs does not reach our numbers */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_tensor_is_summarised),
        cmocka_unit_test(a_tally_goes_on_where_it_stopped),
        cmocka_unit_test(the_table_is_emptied_before_it_wraps),
        cmocka_unit_test(many_elements_of_one_bucket_are_counted),
        cmocka_unit_test(pieces_add_up_to_the_whole),
        cmocka_unit_test(unaligned_data_are_read),
        cmocka_unit_test(the_callers_floating_point_state_is_untouched),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
