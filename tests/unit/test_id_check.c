#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "client/float_mode.h"
#include "client/id_check.h"
#include "client/summarize.h"
#include "tests/unit/random.h"

#define WRONG(array, type, ...)                                                                    \
    id_check_wrong(&(struct id_batch){.ids = (array),                                              \
                                      .count = sizeof(array) / sizeof((array)[0]),                 \
                                      .dtype = (type),                                             \
                                      __VA_ARGS__})

static void rows_and_the_padding_are_fine(void **state)
{
    const int32_t ids[] = {0, 9, 5, -1};
    const int64_t ends[] = {INT64_MAX, 0};
    const int8_t none[1] = {-1};

    (void)state;
    assert_false(WRONG(ids, EMBMON_I32, .rows = 10, .has_padding = true, .padding_id = -1));
    assert_true(WRONG(ids, EMBMON_I32, .rows = 10));
    assert_true(WRONG(ids, EMBMON_I32, .rows = 9, .has_padding = true, .padding_id = -1));
    assert_false(WRONG(ends, EMBMON_I64)); /* how many rows there are is not known */
    assert_true(WRONG(ends, EMBMON_I64, .rows = INT64_MAX));
    assert_true(WRONG(none, EMBMON_I8));
    assert_false(id_check_wrong(&(struct id_batch){.dtype = EMBMON_I64, .rows = 10}));
}

static void floats_that_are_no_ids_are_wrong(void **state)
{
    const double fine[] = {0, -0.0, 9}, fraction[] = {1.5}, outside[] = {10}, nan[] = {NAN},
                 infinite[] = {INFINITY}, tiny[] = {0x1p-1074}, huge[] = {0x1p53}, below[] = {-1};
    const float exact[] = {0x1p24f - 1}, inexact[] = {0x1p24f};

    (void)state;
    assert_false(WRONG(fine, EMBMON_F64, .rows = 10));
    assert_true(WRONG(fraction, EMBMON_F64, .rows = 10));
    assert_true(WRONG(outside, EMBMON_F64, .rows = 10));
    assert_true(WRONG(nan, EMBMON_F64));
    assert_true(WRONG(infinite, EMBMON_F64));
    assert_true(WRONG(tiny, EMBMON_F64));
    assert_true(WRONG(huge, EMBMON_F64));
    assert_true(WRONG(below, EMBMON_F64));
    assert_false(WRONG(below, EMBMON_F64, .has_padding = true, .padding_id = -1));
    assert_false(WRONG(exact, EMBMON_F32));
    assert_true(WRONG(inexact, EMBMON_F32));
}

/* The callers' floating-point mode may hide the smallest fraction, and stays as it is. */
static void the_callers_floating_point_mode_does_not_matter(void **state)
{
#if defined(__x86_64__)
    const float tiny[] = {1e-44f};
    uint32_t before = _mm_getcsr();
    bool wrong;

    (void)state;
    _mm_setcsr(before | 0x8040); /* flush to zero, denormals are zero */
    wrong = WRONG(tiny, EMBMON_F32, .rows = 10);
    assert_int_equal(_mm_getcsr() & 0x8040, 0x8040);
    _mm_setcsr(before);
    assert_true(wrong);
#else
    (void)state;
    skip();
#endif
}

/* A value that is mostly a row, in the dtype; NaN only of floats. */
static void put(uint8_t *to, enum embmon_dtype dtype, double value)
{
    float f32 = (float)value;
    int64_t i64 = isnan(value) ? 0 : (int64_t)value;
    uint32_t bits;

    memcpy(&bits, &f32, sizeof bits);
    bits >>= 16; /* bf16, and an f16 of any value */
    if (dtype == EMBMON_F64)
        memcpy(to, &value, 8);
    else if (dtype == EMBMON_F32)
        memcpy(to, &f32, 4);
    else if (dtype == EMBMON_F16 || dtype == EMBMON_BF16)
        memcpy(to, &bits, 2);
    else
        memcpy(to, &i64, dtype_size((int)dtype)); /* little-endian: cut to the size */
}

static void it_is_wrong_exactly_where_the_statistics_say_so(void **state)
{
    static uint8_t data[1200 * 8];
    struct rows_scratch scratch;
    uint64_t random = 3;
    unsigned wrong = 0;

    (void)state;
    assert_true(rows_scratch_open(&scratch));
    for (int round = 0; round < 4000; round++) {
        static const double odd[] = {-1, 100, 126, 1.5, NAN, 0x1p11, 0x1p24, 3};
        struct id_batch batch = {.ids = data,
                                 .count = random_below(&random, 1200),
                                 .dtype = (enum embmon_dtype)(1 + random_below(&random, 8)),
                                 .rows = random_below(&random, 3) ? 100 : 0,
                                 .has_padding = random_below(&random, 2),
                                 .padding_id = (int64_t)random_below(&random, 3) - 1};
        size_t size = dtype_size((int)batch.dtype);
        struct ids_stats s;

        for (size_t i = 0; i < batch.count; i++)
            put(data + i * size, batch.dtype, batch.dtype == EMBMON_F16 ? 0 : (double)(i % 100));
        for (uint64_t i = random_below(&random, 3); i > 0 && batch.count > 0; i--)
            put(data + random_below(&random, batch.count) * size, batch.dtype,
                odd[random_below(&random, 8)]);
        id_stats_take(&s, &batch, &scratch, NULL);
        assert_int_equal(id_check_wrong(&batch),
                         s.negative + s.beyond + s.fractional + s.inexact > 0);
        wrong += id_check_wrong(&batch);
    }
    assert_in_range(wrong, 1000, 3500); /* both sides were tried */
    rows_scratch_close(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_and_the_padding_are_fine),
        cmocka_unit_test(floats_that_are_no_ids_are_wrong),
        cmocka_unit_test(the_callers_floating_point_mode_does_not_matter),
        cmocka_unit_test(it_is_wrong_exactly_where_the_statistics_say_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
