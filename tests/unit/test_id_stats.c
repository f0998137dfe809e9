#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/distinct.h"
#include "client/float_mode.h"
#include "client/id_stats.h"
#include "tests/unit/random.h"

enum { PADDING = 0 };

static struct rows_scratch scratch;
static struct ids_stats got;

static int open_scratch(void **state)
{
    (void)state;
    return rows_scratch_open(&scratch) ? 0 : -1;
}

static int close_scratch(void **state)
{
    (void)state;
    rows_scratch_close(&scratch);
    return 0;
}

/* Of a table of `rows` rows, with padding 0 unless said. */
static void take(struct id_batch batch)
{
    memset(&got, 0xa5, sizeof got);
    id_stats_take(&got, &batch, &scratch, NULL);
    assert_null(ids_check(&got));
    assert_int_equal(scratch.taken, 0);
    assert_int_equal(got.count, batch.count);
}

#define TAKE(array, type, ...)                                                                     \
    take((struct id_batch){.ids = (array),                                                         \
                           .count = sizeof(array) / sizeof((array)[0]),                            \
                           .dtype = (type),                                                        \
                           __VA_ARGS__})

/* ---- range ---- */

static void the_worst_id_is_the_farthest_outside_and_its_first_position_is_kept(void **state)
{
    const int32_t ids[] = {9, 10, -2, 12, 0, 12, -3, 13};

    (void)state;
    TAKE(ids, EMBMON_I32, .rows = 10);
    assert_int_equal(got.negative, 2);
    assert_int_equal(got.beyond, 4);
    assert_true(got.worst == 13);
    assert_int_equal(got.worst_position, 7);
    assert_int_equal(got.unique, 2);
    TAKE(ids, EMBMON_I32, .rows = 11); /* -3, 12 and 13 are 3, 2 and 3 outside */
    assert_true(got.worst == -3);
    assert_int_equal(got.worst_position, 6);
    TAKE(ids, EMBMON_I32, .rows = 14);
    assert_int_equal(got.beyond, 0);
    assert_true(got.worst == -3);
    TAKE(ids, EMBMON_I32, .rows = 0);
    assert_int_equal(got.beyond, 0);
    assert_int_equal(got.negative, 2);
}

static void the_ends_of_every_integer_are_read(void **state)
{
    const int8_t i8[] = {INT8_MIN, INT8_MAX};
    const int16_t i16[] = {INT16_MIN, INT16_MAX};
    const int32_t i32[] = {INT32_MIN, INT32_MAX};
    const int64_t i64[] = {INT64_MIN, INT64_MAX};

    (void)state;
#define ENDS(array, type, low)                                                                     \
    TAKE(array, type, .rows = 100);                                                                \
    assert_true(got.negative == 1 && got.beyond == 1 && got.worst == (low) && got.unique == 0);
    ENDS(i8, EMBMON_I8, -128)
    ENDS(i16, EMBMON_I16, -32768)
    ENDS(i32, EMBMON_I32, -0x1p31)
    ENDS(i64, EMBMON_I64, -0x1p63)
#undef ENDS
}

static void ids_may_lie_at_any_address(void **state)
{
    uint8_t bytes[5 * sizeof(int64_t) + 1];
    const int64_t ids[] = {1, 2, 3, 2, 99};

    (void)state;
    memcpy(bytes + 1, ids, sizeof ids);
    take((struct id_batch){.ids = bytes + 1, .count = 5, .dtype = EMBMON_I64, .rows = 50});
    assert_int_equal(got.unique, 3);
    assert_int_equal(got.beyond, 1);
    assert_true(got.busiest[0].id == 2 && got.busiest[0].count == 2);
}

static void the_padding_is_never_out_of_range(void **state)
{
    const int32_t ids[] = {-1, 3, -1, -2};

    (void)state;
    TAKE(ids, EMBMON_I32, .rows = 10, .has_padding = true, .padding_id = -1);
    assert_int_equal(got.negative, 1);
    assert_true(got.worst == -2);
    assert_int_equal(got.padded, 2);
    assert_int_equal(got.unique, 1);
}

/* ---- floats ---- */

static void floats_are_truncated_toward_zero(void **state)
{
    const double ids[] = {2.9, -0.9, 2, -1.5, 10.5, 9.99};

    (void)state;
    TAKE(ids, EMBMON_F64, .rows = 10);
    assert_int_equal(got.fractional, 5);
    assert_true(got.fractional_value == 2.9);
    assert_int_equal(got.fractional_position, 0);
    assert_int_equal(got.negative, 1); /* -0.9 is row 0 */
    assert_int_equal(got.beyond, 1);
    assert_true(got.worst == -1);
    assert_int_equal(got.worst_position, 3);
    assert_int_equal(got.unique, 3); /* 2, 0 and 9 */
    assert_true(got.busiest[0].id == 2 && got.busiest[0].count == 2);
}

static void what_is_no_number_is_no_id(void **state)
{
    const float ids[] = {1, NAN, INFINITY, -INFINITY, 1, -NAN};
    const int16_t f16[] = {0x3c00, 0x7e00, 0x7c00, -0x400}; /* 1, NaN, Inf, -Inf */
    const uint16_t bf16[] = {0x3f80, 0x7fc0, 0x7f80, 0xff80};

    (void)state;
    TAKE(ids, EMBMON_F32, .rows = 10);
    assert_int_equal(got.fractional, 4);
    assert_true(isnan(got.fractional_value));
    assert_int_equal(got.fractional_position, 1);
    assert_int_equal(got.negative + got.beyond + got.inexact, 0);
    assert_int_equal(got.unique, 1);
    TAKE(f16, EMBMON_F16, .rows = 10);
    assert_int_equal(got.fractional, 3);
    assert_int_equal(got.unique, 1);
    TAKE(bf16, EMBMON_BF16, .rows = 10);
    assert_int_equal(got.fractional, 3);
    assert_int_equal(got.unique, 1);
}

static void floats_beyond_every_integer_are_out_of_range(void **state)
{
    const double ids[] = {1e300, -0x1p63, -1e301, 0x1p63, 5};

    (void)state;
    TAKE(ids, EMBMON_F64, .rows = 10);
    assert_int_equal(got.negative, 2);
    assert_int_equal(got.beyond, 2);
    assert_true(got.worst == -1e301);
    assert_int_equal(got.fractional, 0);
    assert_int_equal(got.inexact, 4);
    assert_int_equal(got.unique, 1);
    TAKE(ids, EMBMON_F64, .rows = 0);
    assert_int_equal(got.beyond, 0);
    assert_int_equal(got.unique, 1); /* 5; the others are no integers to count */
}

static void inexact_is_where_the_dtype_cannot_tell_neighbours(void **state)
{
    const float f32[] = {16777215, 16777216, -16777216, INFINITY};
    const double f64[] = {0x1p53 - 1, 0x1p53, -0x1p53};
    const uint16_t f16[] = {0x67ff, 0x6800, 0xe800};  /* 2047, 2048, -2048 */
    const uint16_t bf16[] = {0x437f, 0x4380, 0xc380}; /* 255, 256, -256 */
    const int64_t i64[] = {INT64_MAX, INT64_MIN};

    (void)state;
    TAKE(f32, EMBMON_F32);
    assert_true(got.inexact == 2 && got.inexact_value == 0x1p24 && got.inexact_position == 1);
    TAKE(f64, EMBMON_F64);
    assert_true(got.inexact == 2 && got.inexact_value == 0x1p53 && got.inexact_position == 1);
    TAKE(f16, EMBMON_F16);
    assert_true(got.inexact == 2 && got.inexact_value == 2048 && got.inexact_position == 1);
    TAKE(bf16, EMBMON_BF16);
    assert_true(got.inexact == 2 && got.inexact_value == 256 && got.inexact_position == 1);
    TAKE(i64, EMBMON_I64);
    assert_int_equal(got.inexact, 0);
}

#if defined(__x86_64__)
static void a_register_that_flushes_changes_nothing_and_is_left_as_it_was(void **state)
{
    const float f32[] = {0x1p-149f, 0, 1, -0x1p-140f, 2.5f};
    const double f64[] = {0x1p-1074, 3};
    unsigned mode = _mm_getcsr(), during;

    (void)state;
    _mm_setcsr(mode | 0x8040);
    TAKE(f32, EMBMON_F32, .rows = 10);
    during = _mm_getcsr();
    _mm_setcsr(mode);
    assert_int_equal(during, mode | 0x8040);
    assert_int_equal(got.fractional, 3);
    assert_int_equal(got.unique, 3);
    _mm_setcsr(mode | 0x8040);
    TAKE(f64, EMBMON_F64, .rows = 10);
    _mm_setcsr(mode);
    assert_int_equal(got.fractional, 1);
    assert_int_equal(got.fractional_position, 0);
    assert_int_equal(_mm_getcsr(), mode);
}
#endif

/* ---- padding and sequences ---- */

static void each_side_of_padding_is_told(void **state)
{
    const int64_t ids[] = {
        0, 0, 1, 2, /* before */
        1, 2, 0, 0, /* after */
        0, 1, 2, 0, /* both */
        1, 0, 0, 2, /* within */
        1, 2, 3, 4, /* full */
        0, 0, 0, 0, /* empty */
        0, 0, 0, 5, /* one */
    };

    (void)state;
    TAKE(ids, EMBMON_I64, .rows = 10, .sequence_length = 4, .has_padding = true);
    assert_int_equal(got.sequences, 7);
    assert_int_equal(got.sequence_length, 4);
    assert_int_equal(got.padded, 15);
    assert_int_equal(got.leading, 3);
    assert_int_equal(got.trailing, 2);
    assert_int_equal(got.full, 1);
    assert_int_equal(got.empty, 1);
    assert_int_equal(got.empty_sequence, 5);
    assert_int_equal(got.length_min, 1);
    assert_int_equal(got.length_max, 4);
    assert_int_equal(got.varied, 6);
    assert_int_equal(got.unique, 5); /* the padding is left out */
    TAKE(ids, EMBMON_I64, .rows = 10, .sequence_length = 4);
    assert_int_equal(got.padded, 0);
    assert_int_equal(got.full, 7);
    assert_true(got.length_min == 4 && got.length_max == 4);
    assert_int_equal(got.unique, 6);
    TAKE(ids, EMBMON_I64, .rows = 10, .has_padding = true);
    assert_int_equal(got.padded, 15);
    assert_int_equal(got.sequences + got.leading + got.full + got.empty + got.varied, 0);
}

/* Sequences longer than the blocks they are read in. */
static void long_sequences_are_the_same_as_short_ones(void **state)
{
    enum { LENGTH = 1300, SEQUENCES = 5 };
    static const size_t before[SEQUENCES] = {0, 511, 512, 700, 1300};
    static const size_t after[SEQUENCES] = {800, 1, 0, 599, 0};
    static int16_t ids[SEQUENCES][LENGTH];

    (void)state;
    for (size_t k = 0; k < SEQUENCES; k++)
        for (size_t i = 0; i < LENGTH; i++)
            ids[k][i] = i >= before[k] && i < LENGTH - after[k];
    take((struct id_batch){.ids = ids,
                           .count = SEQUENCES * LENGTH,
                           .dtype = EMBMON_I16,
                           .rows = 2,
                           .sequence_length = LENGTH,
                           .has_padding = true});
    assert_int_equal(got.sequences, 5);
    assert_int_equal(got.leading, 3);
    assert_int_equal(got.trailing, 3);
    assert_int_equal(got.full, 0);
    assert_int_equal(got.empty, 1);
    assert_int_equal(got.empty_sequence, 4);
    assert_int_equal(got.length_min, 1);
    assert_int_equal(got.length_max, 788);
}

static void single_ids_are_sequences_too(void **state)
{
    enum { N = 1500 };
    static int32_t ids[N];

    (void)state;
    for (int i = 0; i < N; i++)
        ids[i] = i < 700 || i > 710 ? 7 : 0;
    TAKE(ids, EMBMON_I32, .rows = 10, .sequence_length = 1, .has_padding = true);
    assert_int_equal(got.sequences, N);
    assert_int_equal(got.empty, 11);
    assert_int_equal(got.empty_sequence, 700);
    assert_int_equal(got.full, N - 11);
    assert_int_equal(got.leading + got.trailing, 0);
    assert_true(got.length_min == 1 && got.length_max == 1);
    assert_int_equal(got.varied, 11);
}

static void sequences_vary_by_any_of_their_ids(void **state)
{
    const int8_t narrow[] = {1, 2, 3, 1, 2, 3, 1, 2, 4, 0, 2, 3};
    const int16_t pairs[] = {1, 2, 1, 2, 2, 1};
    const int32_t wide[] = {1, 2, 1, 2, 1, 1 << 30};

    (void)state;
    TAKE(narrow, EMBMON_I8, .sequence_length = 3);
    assert_int_equal(got.varied, 2);
    TAKE(pairs, EMBMON_I16, .sequence_length = 2);
    assert_int_equal(got.varied, 1);
    TAKE(wide, EMBMON_I32, .sequence_length = 2);
    assert_int_equal(got.varied, 1);
    TAKE(wide, EMBMON_I32, .sequence_length = 6);
    assert_int_equal(got.varied, 0);
}

static void a_mask_is_compared_with_the_padding(void **state)
{
    const int32_t ids[] = {5, 0, 6, 0, 0, 7};
    const uint8_t same[] = {1, 0, 255, 0, 0, 2}, other[] = {1, 0, 0, 0, 1, 1};

    (void)state;
    TAKE(ids, EMBMON_I32, .rows = 10, .has_padding = true, .mask = same);
    assert_int_equal(got.masked, 6);
    assert_int_equal(got.mismatched, 0);
    TAKE(ids, EMBMON_I32, .rows = 10, .has_padding = true, .mask = other);
    assert_int_equal(got.mismatched, 2);
    assert_int_equal(got.mismatch_position, 2);
    TAKE(ids, EMBMON_I32, .rows = 10, .has_padding = true);
    assert_int_equal(got.masked, 0);
    TAKE(ids, EMBMON_I32, .rows = 10, .mask = other); /* there is nothing to compare it with */
    assert_int_equal(got.masked, 6);
    assert_int_equal(got.mismatched, 0);
}

static void a_late_mismatch_has_its_own_position(void **state)
{
    static int8_t ids[2000];
    static uint8_t mask[2000];

    (void)state;
    memset(ids, 1, sizeof ids);
    memset(mask, 1, sizeof mask);
    mask[1999] = mask[1700] = 0;
    TAKE(ids, EMBMON_I8, .rows = 10, .has_padding = true, .mask = mask);
    assert_int_equal(got.mismatched, 2);
    assert_int_equal(got.mismatch_position, 1700);
}

static void nothing_is_nothing(void **state)
{
    (void)state;
    take((struct id_batch){.dtype = EMBMON_F16, .sequence_length = 7, .rows = 3});
    assert_int_equal(got.sequences, 0);
    assert_int_equal(got.length_min + got.length_max + got.unique + got.busiest_count, 0);
}

/* ---- distinct ids, and what has been seen ---- */

static void many_distinct_ids_are_exact_in_the_scratch(void **state)
{
    enum { N = 200000 };
    int64_t *ids = malloc(N * sizeof *ids);

    (void)state;
    assert_non_null(ids);
    for (int64_t i = 0; i < N; i++)
        ids[i] = i < N / 2 ? i * 3 : N / 2 * 3 + i % 10;
    take((struct id_batch){.ids = ids, .count = N, .dtype = EMBMON_I64, .rows = N * 10});
    assert_int_equal(got.unique, N / 2 + 10);
    assert_int_equal(got.unique_error, 0);
    assert_int_equal(got.busiest_error, 0);
    assert_int_equal(got.busiest[0].id, N / 2 * 3);
    assert_int_equal(got.busiest[0].count, N / 20);
    free(ids);
}

static void
where_the_scratch_is_in_use_the_error_is_stated_and_the_seen_rows_are_exact(void **state)
{
    enum { N = 50000 };
    int32_t *ids = malloc(N * sizeof *ids);
    void *all = rows_scratch_take(&scratch, ROWS_SCRATCH);
    struct id_batch batch = {.count = N, .dtype = EMBMON_I32, .rows = 20000};
    struct seen seen;
    struct seen_rows *rows;

    (void)state;
    assert_true(ids && all && seen_open(&seen));
    rows = seen_reserve(&seen, 20000);
    for (int i = 0; i < N; i++)
        ids[i] = i * 7 % 20000;
    batch.ids = ids;
    id_stats_take(&got, &batch, &scratch, rows);
    assert_null(ids_check(&got));
    assert_true(got.unique >= ID_STATS_SMALL && got.unique <= 20000);
    assert_true(got.unique_error > 0 && got.unique + got.unique_error >= 20000);
    assert_true(got.busiest_error >= 3);
    assert_int_equal(got.rows_seen, 20000);
    rows_scratch_give(&scratch, all, ROWS_SCRATCH);
    id_stats_take(&got, &batch, &scratch, rows);
    assert_int_equal(got.unique, 20000);
    assert_int_equal(got.unique_error, 0);
    assert_int_equal(got.rows_seen, 20000);
    seen_close(&seen);
    free(ids);
}

static void only_rows_of_the_table_are_seen(void **state)
{
    const int64_t ids[] = {-1, 0, 3, 3, 99, INT64_MAX, 1};
    struct id_batch batch = {.ids = ids,
                             .count = 7,
                             .dtype = EMBMON_I64,
                             .rows = 4,
                             .has_padding = true,
                             .padding_id = PADDING};
    struct seen seen;
    struct seen_rows *rows;

    (void)state;
    assert_true(seen_open(&seen));
    rows = seen_reserve(&seen, 4);
    id_stats_take(&got, &batch, &scratch, rows);
    assert_int_equal(got.rows_seen, 2); /* 3 and 1 */
    batch.has_padding = false;
    id_stats_take(&got, &batch, &scratch, rows);
    assert_int_equal(got.rows_seen, 3);
    seen_close(&seen);
}

/* Whatever the bytes say, the statistics hold together. */
static void any_bytes_are_ids(void **state)
{
    uint64_t seed = 12;

    (void)state;
    for (int round = 0; round < 3000; round++) {
        uint8_t bytes[4096], mask[4096];
        enum embmon_dtype dtype = (enum embmon_dtype)(1 + random_below(&seed, EMBMON_I64));
        size_t length = random_below(&seed, 30);
        size_t count = random_below(&seed, sizeof bytes / dtype_size((int)dtype) + 1);
        uint64_t small = random_below(&seed, 3);

        if (length > 0)
            count -= count % length;
        for (size_t i = 0; i < sizeof bytes; i++) {
            uint64_t any = random_next(&seed);

            bytes[i] = small == 0 || any >> 60 == 0 ? (uint8_t)any : (uint8_t)(any % 3 / 2);
            mask[i] = any >> 32 & 1;
        }
        take((struct id_batch){.ids = bytes,
                               .count = count,
                               .dtype = dtype,
                               .sequence_length = length,
                               .mask = round % 2 ? mask : NULL,
                               .rows = random_below(&seed, 4) * 100,
                               .has_padding = round % 3 > 0,
                               .padding_id = (int64_t)random_below(&seed, 3) - 1});
        if (length > 0)
            assert_int_equal(got.sequences, count / length);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_worst_id_is_the_farthest_outside_and_its_first_position_is_kept),
        cmocka_unit_test(the_ends_of_every_integer_are_read),
        cmocka_unit_test(ids_may_lie_at_any_address),
        cmocka_unit_test(the_padding_is_never_out_of_range),
        cmocka_unit_test(floats_are_truncated_toward_zero),
        cmocka_unit_test(what_is_no_number_is_no_id),
        cmocka_unit_test(floats_beyond_every_integer_are_out_of_range),
        cmocka_unit_test(inexact_is_where_the_dtype_cannot_tell_neighbours),
#if defined(__x86_64__)
        cmocka_unit_test(a_register_that_flushes_changes_nothing_and_is_left_as_it_was),
#endif
        cmocka_unit_test(each_side_of_padding_is_told),
        cmocka_unit_test(long_sequences_are_the_same_as_short_ones),
        cmocka_unit_test(single_ids_are_sequences_too),
        cmocka_unit_test(sequences_vary_by_any_of_their_ids),
        cmocka_unit_test(a_mask_is_compared_with_the_padding),
        cmocka_unit_test(a_late_mismatch_has_its_own_position),
        cmocka_unit_test(nothing_is_nothing),
        cmocka_unit_test(many_distinct_ids_are_exact_in_the_scratch),
        cmocka_unit_test(
            where_the_scratch_is_in_use_the_error_is_stated_and_the_seen_rows_are_exact),
        cmocka_unit_test(only_rows_of_the_table_are_seen),
        cmocka_unit_test(any_bytes_are_ids),
    };

    return cmocka_run_group_tests(tests, open_scratch, close_scratch);
}
