/* What is counted by pairs against client/cells.h, at every level that does, in any window: each
 * dtype, each length, each edge there is. And when a window is opened. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <float.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "client/pairs.h"
#include "client/summarize.h"
#include "tests/unit/random.h"

enum {
    MOST = 700000,                        /* more elements than pairs hold, five times */
    BASE = (128 << 3) - KERNEL_PLACES_END /* of a window that ends at 2 */
};

static const enum embmon_dtype floats[] = {EMBMON_F32, EMBMON_F64, EMBMON_F16, EMBMON_BF16};

static struct pairs_boards boards;
static uint8_t *data; /* MOST f64 */

static int start(void **state)
{
    (void)state;
    data = aligned_alloc(64, MOST * sizeof(double));
    return data && pairs_open(&boards) ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    pairs_close(&boards);
    free(data);
    return 0;
}

#define FOR_EACH_LEVEL(level)                                                                      \
    for (int level = 0; level < KERNEL_LEVELS; level++)                                            \
        if (kernel_at((enum kernel_level)level))

/* ---- elements ----------------------------------------------------------------------------------
 */

/* As f32, of which f16 keeps what it can. */
static void put(size_t i, enum embmon_dtype dtype, float value)
{
    uint32_t bits, magnitude;
    double wide = (double)value;
    uint16_t half;

    memcpy(&bits, &value, sizeof bits);
    magnitude = bits & INT32_MAX;
    half = (uint16_t)(bits >> 16);
    if (dtype == EMBMON_F16) {
        half &= 0x8000;
        half |= (uint16_t)(magnitude > 0x7f800000   ? 0x7e00
                           : magnitude >= 143 << 23 ? 0x7c00
                           : magnitude >= 113 << 23 ? (magnitude - (112 << 23)) >> 13
                           : magnitude >= 102 << 23
                               ? (0x800000 | (magnitude & 0x7fffff)) >> (126 - (magnitude >> 23))
                               : 0);
    }
    memcpy(data + i * dtype_size((int)dtype),
           dtype == EMBMON_F32   ? (void *)&bits
           : dtype == EMBMON_F64 ? (void *)&wide
                                 : (void *)&half,
           dtype_size((int)dtype));
}

/* Any exponent from `from` to below `to`, any mantissa, either sign. */
static float number(uint64_t *seed, uint64_t from, uint64_t to)
{
    uint64_t random = random_next(seed);
    uint32_t bits = (uint32_t)((random & 1) << 31 | (from + random_below(seed, to - from)) << 23 |
                               (random >> 1 & 0x7fffff));
    float value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Near 1, as gradients are: fewer the smaller. */
static float usual(uint64_t *seed)
{
    uint64_t octaves = (uint64_t)__builtin_ctzll(random_next(seed) | 1 << 12);

    return number(seed, 127 - octaves, 128 - octaves);
}

static float zero(uint64_t *seed)
{
    return random_below(seed, 2) ? 0.0f : -0.0f;
}

/* In the octaves of the ends of a window at BASE and beside them, at both ends of each bucket. */
static float near_window(uint64_t *seed)
{
    uint64_t octaves[] = {111, 112, 127, 128}, exponent = octaves[random_below(seed, 4)];
    uint32_t ends[] = {0, 1, (1 << 20) - 1};
    uint32_t bits = (uint32_t)(random_below(seed, 2) << 31 | exponent << 23 |
                               random_below(seed, 8) << 20 | ends[random_below(seed, 3)]);
    float value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

/* 0, subnormal, the least, the greatest, infinite, NaN. */
static float odd(uint64_t *seed)
{
    const uint32_t chosen[] = {0,          1,          0xffff,     0x10000,
                               0x7fffff,   0x800000,   0x800001,   0x100000,
                               0x0fffff,   0x7f7fffff, 0x7f800000, 0x7f800001,
                               0x7fffffff, 0x33800000, 0x387fffff, 0x38800000};
    uint32_t bits = chosen[random_below(seed, 16)] | (uint32_t)random_below(seed, 2) << 31;
    float value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

static float any(uint64_t *seed)
{
    return number(seed, 0, 256);
}

static float positive(uint64_t *seed)
{
    return fabsf(usual(seed));
}

typedef float kind(uint64_t *seed);

/* One element of `rare` among so many of `common`; 0: none. */
static const struct mixture {
    kind *common, *rare;
    uint64_t one_of;
} mixtures[] = {
    {usual, NULL, 0},   {near_window, NULL, 0},    {any, NULL, 0},     {odd, NULL, 0},
    {zero, NULL, 0},    {usual, zero, 2},          {usual, zero, 300}, {usual, odd, 300},
    {zero, usual, 90},  {usual, near_window, 900}, {usual, any, 90},   {positive, NULL, 0},
    {usual, odd, 5000}, {positive, zero, 3},
};
enum { MIXTURES = sizeof mixtures / sizeof mixtures[0] };

static void fill(size_t from, size_t n, enum embmon_dtype dtype, const struct mixture *m,
                 uint64_t *seed)
{
    for (size_t i = from; i < from + n; i++) {
        bool rare = m->one_of > 0 && random_below(seed, m->one_of) == 0;

        put(i, dtype, (rare ? m->rare : m->common)(seed));
    }
}

/* ---- the judge ---------------------------------------------------------------------------------
 */

struct wanted {
    uint64_t zeros[2], nans, infinities;
    double min, max, sum, absolute, square;
};

static void measure(struct wanted *w, size_t n, enum embmon_dtype dtype)
{
    static double values[MOST];
    long double sum = 0, absolute = 0, square = 0;
    bool found = false;

    *w = (struct wanted){.min = 0};
    dtype_load(values, data, n, dtype);
    for (size_t i = 0; i < n; i++) {
        double v = values[i];

        w->nans += isnan(v) ? 1 : 0;
        w->infinities += isinf(v) ? 1 : 0;
        if (!isfinite(v))
            continue;
        w->zeros[signbit(v) ? 1 : 0] += v == 0;
        w->min = !found || v < w->min ? v : w->min;
        w->max = !found || v > w->max ? v : w->max;
        sum += v;
        absolute += fabs(v);
        square += (long double)v * v;
        found = true;
    }
    w->sum = (double)sum;
    w->absolute = (double)fminl(absolute, DBL_MAX);
    w->square = (double)fminl(square, DBL_MAX);
}

static void must_be_near(double value, double wanted, double scale)
{
    if (!(fabs(value - wanted) <= 1e-12 * fmax(scale, DBL_MIN)))
        fail_msg("%a is not %a", value, wanted);
}

/* n elements are in the tally. */
static void judge(const struct tally *t, size_t n, enum embmon_dtype dtype)
{
    static uint32_t cells[CELLS];
    static uint64_t counts[BUCKETS];
    struct wanted w;

    memset(cells, 0, sizeof cells);
    cells_count(cells, data, n, dtype);
    measure(&w, n, dtype);
    cells[0] -= (uint32_t)w.zeros[0];
    cells[BUCKET_TABLE] -= (uint32_t)w.zeros[1];
    assert_int_equal(t->count, n);
    assert_int_equal(t->zeros, w.zeros[0] + w.zeros[1]);
    assert_int_equal(t->nans, w.nans);
    assert_int_equal(t->infinities[0] + t->infinities[1], w.infinities);
    assert_true(t->min == w.min && t->max == w.max);
    must_be_near(t->sum, w.sum, w.absolute);
    must_be_near(t->absolute_sum, w.absolute, w.absolute);
    must_be_near(t->square_sum, w.square, w.square);
    for (int negative = 0; negative <= 1; negative++) {
        const uint32_t *from = cells + (negative ? BUCKET_TABLE : 0);
        uint32_t first, length;

        tally_span(t, negative != 0, &first, &length);
        tally_counts(t, negative != 0, first, length, counts);
        for (uint32_t i = 0; i < BUCKETS; i++)
            assert_int_equal(from[i], i >= first && i < first + length ? counts[i - first] : 0);
    }
}

static bool has_pairs(int level)
{
    return kernel_at((enum kernel_level)level)->fold_pairs != NULL;
}

static bool is_clear(const struct pairs *pairs)
{
    const uint8_t *bytes = (const uint8_t *)pairs->counts;

    return pairs->filled == 0 && bytes[0] == 0 &&
           memcmp(bytes, bytes + 1, sizeof pairs->counts - 1) == 0;
}

static struct tally *started(enum kernel_level level, struct pairs *pairs)
{
    static struct tally t;

    memset(&t, 0xa5, sizeof t); /* what is undefined must not matter */
    tally_start(&t);
    t.kernel = kernel_at(level);
    t.pairs = pairs;
    return &t;
}

/* ---- the loops, in a window that a test opens --------------------------------------------------
 */

/* `before` elements in the tables, whose ends are then known, and all others by pairs. Returns how
 * many were in pairs at the end. */
static size_t must_agree_in(uint32_t base, bool dense, size_t before, size_t n,
                            enum embmon_dtype dtype, enum kernel_level level)
{
    static _Alignas(64) kernel_tables tables;
    struct pairs *pairs = pairs_take(&boards);
    struct tally *t = started(level, pairs);
    size_t filled;

    assert_non_null(pairs);
    tally_open_tables(t, &tables);
    pairs->wait = 1000; /* does not ask by itself */
    tally_add(t, data, before, dtype);
    pairs->open = t->kernel->fold_pairs != NULL;
    pairs->base = base;
    pairs->dense = dense ? 1000 : 0;
    tally_add(t, data + before * dtype_size((int)dtype), n, dtype);
    filled = pairs->filled;
    tally_close_tables(t);
    assert_true(is_clear(pairs));
    pairs_give(pairs);
    judge(t, before + n, dtype);
    return filled;
}

static void every_kind_agrees_in_every_window(void **state)
{
    const uint32_t bases[] = {KERNEL_LOWEST_BASE, BASE, 118 << 3, (140 << 3) + 3,
                              KERNEL_HIGHEST_BASE};
    uint64_t seed = 1;

    (void)state;
    for (size_t d = 0; d < 4; d++)
        for (size_t m = 0; m < MIXTURES; m++)
            for (size_t k = 0; k < 30; k++) {
                size_t before = random_below(&seed, 3) * 300, n = random_below(&seed, 3000);

                fill(0, before + n, floats[d], &mixtures[m], &seed);
                FOR_EACH_LEVEL(level)
                must_agree_in(bases[k % 5], k % 2, before, n, floats[d], (enum kernel_level)level);
            }
}

static void every_length_agrees(void **state)
{
    uint64_t seed = 2;

    (void)state;
    for (size_t d = 0; d < 4; d++)
        for (size_t n = 0; n <= 3 * KERNEL_PAIRED + 1; n++) {
            fill(0, 40 + n, floats[d], &mixtures[n % MIXTURES], &seed);
            FOR_EACH_LEVEL(level)
            must_agree_in(BASE, n / MIXTURES % 2, 40, n, floats[d], (enum kernel_level)level);
        }
}

/* Among others that are as usual, wherever it is in two groups. */
static void one_odd_element_is_found_wherever_it_is(void **state)
{
    uint64_t seed = 3;

    (void)state;
    for (size_t d = 0; d < 4; d++)
        for (size_t at = 0; at < 2 * KERNEL_PAIRED; at++)
            for (size_t k = 0; k < 4; k++) {
                fill(0, 3 * KERNEL_PAIRED, floats[d], &mixtures[0], &seed);
                put(KERNEL_PAIRED + at, floats[d], (k & 1 ? odd : near_window)(&seed));
                FOR_EACH_LEVEL(level)
                must_agree_in(BASE, k & 2, KERNEL_PAIRED, 2 * KERNEL_PAIRED, floats[d],
                              (enum kernel_level)level);
            }
}

/* An f64 that no f32 is, and what is no more than the lowest bit. */
static void f64_beyond_f32_are_counted(void **state)
{
    const double chosen[] = {1e300,    -1e300,   1e-300,    -1e-300,  0x1p-1074, 0x1p128,
                             -0x1p128, 0x1p-127, -0x1p-149, 0x1p-150, DBL_MAX};
    uint64_t seed = 4;

    (void)state;
    for (size_t at = 0; at < 11 * 64; at++)
        for (int dense = 0; dense <= 1; dense++) {
            fill(0, 640, EMBMON_F64, &mixtures[0], &seed);
            memcpy(data + (64 + at % 500) * sizeof(double), &chosen[at % 11], sizeof(double));
            FOR_EACH_LEVEL(level)
            must_agree_in(BASE, dense != 0, 64, 576, EMBMON_F64, (enum kernel_level)level);
        }
}

/* Rows of zeros, which are skipped where they fill a group. */
static void runs_of_zeros_agree(void **state)
{
    uint64_t seed = 5;

    (void)state;
    for (size_t d = 0; d < 4; d++)
        for (size_t width = 16; width < 400; width += 1 + width / 2) {
            size_t row_bytes = width * dtype_size((int)floats[d]);

            fill(0, 30 * width, floats[d], &mixtures[0], &seed);
            for (size_t row = 1; row < 30; row++)
                if (random_below(&seed, 10) < 7)
                    memset(data + row * row_bytes, 0, row_bytes);
            FOR_EACH_LEVEL(level)
            must_agree_in(BASE, width & 1, width, 29 * width, floats[d], (enum kernel_level)level);
        }
}

/* The nearer end to 0 is an end where all have one sign. */
static void elements_of_one_sign_have_ends(void **state)
{
    uint64_t seed = 14;

    (void)state;
    for (size_t d = 0; d < 4; d++)
        for (int negative = 0; negative <= 1; negative++) {
            for (size_t i = 0; i < 960; i++) {
                float value = fabsf(i < 320 ? number(&seed, 125, 128) : number(&seed, 118, 121));

                put(i, floats[d], negative ? -value : value);
            }
            FOR_EACH_LEVEL(level)
            must_agree_in(BASE, false, 320, 640, floats[d], (enum kernel_level)level);
        }
}

/* All in one pair: it is full after 65,535. */
static void one_pair_does_not_wrap(void **state)
{
    (void)state;
    for (size_t d = 0; d < 4; d++) {
        for (size_t i = 0; i < MOST; i++)
            put(i, floats[d], i % 2 ? 1.5f : -0.75f);
        FOR_EACH_LEVEL(level)
        for (int dense = 0; dense <= 1; dense++)
            assert_int_equal(must_agree_in(120 << 3, dense != 0, 96, MOST - 96, floats[d],
                                           (enum kernel_level)level) > 0,
                             has_pairs(level));
    }
}

/* ---- the window, as it opens by itself ---------------------------------------------------------
 */

/* Summarises n elements; by pairs, if it pays. Returns whether a window was open at the end. */
static bool summarised(size_t n, enum embmon_dtype dtype, enum kernel_level level)
{
    struct pairs *pairs = pairs_take(&boards);
    struct tally *t = started(level, pairs);
    bool open;

    assert_non_null(pairs);
    tally_add(t, data, n, dtype);
    open = pairs->open;
    assert_int_equal(pairs->filled, 0);
    pairs_give(pairs);
    judge(t, n, dtype);
    return open && t->kernel->fold_pairs != NULL;
}

static void a_gradient_is_counted_by_pairs(void **state)
{
    uint64_t seed = 6;

    (void)state;
    for (size_t d = 0; d < 4; d++) {
        fill(0, 300001, floats[d], &mixtures[0], &seed);
        FOR_EACH_LEVEL(level)
        assert_int_equal(summarised(300001, floats[d], (enum kernel_level)level), has_pairs(level));
    }
}

/* Down to the least normal f32, and up to the greatest; then with what is beyond among it. */
static void windows_end_where_f32_do(void **state)
{
    const enum embmon_dtype wide[] = {EMBMON_F32, EMBMON_F64, EMBMON_BF16};
    const uint64_t ends[][2] = {{1, 9}, {246, 255}};
    uint64_t seed = 13;

    (void)state;
    for (size_t d = 0; d < 3; d++)
        for (size_t k = 0; k < 2; k++) {
            for (size_t i = 0; i < 140000; i++)
                put(i, wide[d],
                    i > 70000 && random_below(&seed, 500) == 0
                        ? odd(&seed)
                        : number(&seed, ends[k][0] - (i > 70000 && k == 0), ends[k][1]));
            FOR_EACH_LEVEL(level)
            {
                (void)summarised(140000, wide[d], (enum kernel_level)level);
                assert_int_equal(summarised(70000, wide[d], (enum kernel_level)level),
                                 has_pairs(level));
            }
        }
}

static void zeros_among_it_are_no_hindrance(void **state)
{
    const struct mixture with_zeros[] = {{usual, zero, 3}, {zero, usual, 4}};
    uint64_t seed = 7;

    (void)state;
    for (size_t d = 0; d < 4; d++)
        for (size_t k = 0; k < 2; k++) {
            fill(0, 200000, floats[d], &with_zeros[k], &seed);
            FOR_EACH_LEVEL(level)
            assert_int_equal(summarised(200000, floats[d], (enum kernel_level)level),
                             has_pairs(level));
        }
}

static void what_is_all_alike_or_far_apart_is_not(void **state)
{
    const struct mixture not_worth[] = {{any, NULL, 0}, {zero, NULL, 0}};
    uint64_t seed = 8;

    (void)state;
    for (size_t d = 0; d < 4; d++)
        for (size_t k = 0; k < 3; k++) {
            if (k < 2)
                fill(0, 150000, floats[d], &not_worth[k], &seed);
            else
                for (size_t i = 0; i < 150000; i++)
                    put(i, floats[d], 0.7f);
            FOR_EACH_LEVEL(level)
            assert_false(summarised(150000, floats[d], (enum kernel_level)level));
        }
}

/* A tensor that is put together from others: smaller by 20 octaves, then as before, with a piece
 * that is nothing but odd. */
static void a_window_follows_what_changes(void **state)
{
    uint64_t seed = 9;

    (void)state;
    for (size_t d = 0; d < 4; d++) {
        enum embmon_dtype dtype = floats[d];

        fill(0, 150000, dtype, &mixtures[0], &seed);
        for (size_t i = 150000; i < 400000; i++)
            put(i, dtype, usual(&seed) * (dtype == EMBMON_F16 ? 0x1p-11f : 0x1p-20f));
        fill(400000, 40000, dtype, &mixtures[3], &seed);
        fill(440000, 200000, dtype, &mixtures[0], &seed);
        FOR_EACH_LEVEL(level)
        (void)summarised(640000, dtype, (enum kernel_level)level);
    }
}

static void every_mixture_agrees(void **state)
{
    uint64_t seed = 10;

    (void)state;
    for (size_t m = 0; m < MIXTURES; m++) {
        enum embmon_dtype dtype = floats[m % 4];

        fill(0, 140000, dtype, &mixtures[m], &seed);
        FOR_EACH_LEVEL(level)
        (void)summarised(140000, dtype, (enum kernel_level)level);
    }
}

/* ---- boards ------------------------------------------------------------------------------------
 */

static void who_finds_none_counts_one_by_one(void **state)
{
    struct pairs *held[PAIRS_BOARDS];
    uint64_t seed = 11;

    (void)state;
    for (size_t i = 0; i < PAIRS_BOARDS; i++)
        assert_non_null(held[i] = pairs_take(&boards));
    assert_null(pairs_take(&boards));
    fill(0, 200000, EMBMON_F32, &mixtures[0], &seed);
    FOR_EACH_LEVEL(level)
    {
        struct tally *t = started((enum kernel_level)level, pairs_take(&boards));

        tally_add(t, data, 200000, EMBMON_F32);
        judge(t, 200000, EMBMON_F32);
    }
    pairs_give(held[0]);
    assert_ptr_equal(pairs_take(&boards), held[0]);
    for (size_t i = 0; i < PAIRS_BOARDS; i++)
        pairs_give(held[i]);
    pairs_give(NULL);
}

static void without_memory_there_are_none(void **state)
{
    struct pairs_boards none = {NULL};

    (void)state;
    assert_null(pairs_take(&none));
    pairs_close(&none);
}

static void *summarise_often(void *sum)
{
    for (int i = 0; i < 20; i++) {
        struct tally t;

        tally_start(&t);
        t.pairs = pairs_take(&boards);
        tally_add(&t, data, 140000, EMBMON_F32);
        pairs_give(t.pairs);
        for (uint32_t bucket = t.low; bucket < t.high; bucket++)
            *(uint64_t *)sum +=
                bucket * ((uint64_t)t.narrow[bucket] + t.narrow[BUCKET_TABLE + bucket]);
    }
    return NULL;
}

static void threads_share_them(void **state)
{
    enum { THREADS = PAIRS_BOARDS + 1 };
    uint64_t sums[THREADS] = {0}, alone = 0, seed = 12;
    pthread_t threads[THREADS];

    (void)state;
    fill(0, 140000, EMBMON_F32, &mixtures[0], &seed);
    (void)summarise_often(&alone);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, summarise_often, &sums[i]), 0);
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(sums[i], alone);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_agrees_in_every_window),
        cmocka_unit_test(every_length_agrees),
        cmocka_unit_test(one_odd_element_is_found_wherever_it_is),
        cmocka_unit_test(f64_beyond_f32_are_counted),
        cmocka_unit_test(runs_of_zeros_agree),
        cmocka_unit_test(elements_of_one_sign_have_ends),
        cmocka_unit_test(one_pair_does_not_wrap),
        cmocka_unit_test(a_gradient_is_counted_by_pairs),
        cmocka_unit_test(windows_end_where_f32_do),
        cmocka_unit_test(zeros_among_it_are_no_hindrance),
        cmocka_unit_test(what_is_all_alike_or_far_apart_is_not),
        cmocka_unit_test(a_window_follows_what_changes),
        cmocka_unit_test(every_mixture_agrees),
        cmocka_unit_test(who_finds_none_counts_one_by_one),
        cmocka_unit_test(without_memory_there_are_none),
        cmocka_unit_test(threads_share_them),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
