/* Every level of the loops against values.h, which goes one value after the other: each dtype, each
 * length, each edge there is. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/float_mode.h"
#include "client/summarize.h"
#include "tests/unit/random.h"
#include "tests/unit/values.h"

enum { MOST = 3 * 4096 + 100 };

static const enum embmon_dtype floats[] = {EMBMON_F32, EMBMON_F64, EMBMON_F16, EMBMON_BF16};
static const char *const level_names[] = {"base", "avx2", "avx512"};

/* How many bits of a dtype are mantissa and exponent. */
struct layout {
    unsigned mantissa, exponent;
};

static struct layout layout_of(enum embmon_dtype dtype)
{
    switch ((int)dtype) {
    case EMBMON_F32:
        return (struct layout){23, 8};
    case EMBMON_F64:
        return (struct layout){52, 11};
    case EMBMON_F16:
        return (struct layout){10, 5};
    default:
        return (struct layout){7, 8};
    }
}

static void put(uint8_t *data, size_t i, enum embmon_dtype dtype, uint64_t bits)
{
    memcpy(data + i * dtype_size((int)dtype), &bits, dtype_size((int)dtype)); /* little-endian */
}

/* ---- kinds of elements -------------------------------------------------------------------------
 */

/* Near 1, of any mantissa and either sign. */
static uint64_t usual(struct layout l, uint64_t *seed)
{
    uint64_t bias = ((uint64_t)1 << (l.exponent - 1)) - 1, random = random_next(seed);
    uint64_t exponent = bias - random_below(seed, bias / 2);

    return (random & 1) << (l.mantissa + l.exponent) | exponent << l.mantissa |
           (random >> 1 & (((uint64_t)1 << l.mantissa) - 1));
}

static uint64_t zero(struct layout l, uint64_t *seed)
{
    return random_below(seed, 2) << (l.mantissa + l.exponent);
}

/* At the ends of an exponent's range, of a bucket or of all: 0, subnormal, infinite, NaN as well.
 */
static uint64_t edge(struct layout l, uint64_t *seed)
{
    uint64_t one = 1, mantissas = (one << l.mantissa) - 1, top = one << (l.mantissa - 3);
    uint64_t chosen[] = {0, 1, mantissas, top, top - 1, top + 1, one << (l.mantissa - 1)};
    uint64_t exponents = one << l.exponent, bias = exponents / 2 - 1;
    uint64_t near_f32[] = {bias - 150, bias - 149, bias - 127, bias - 126, bias + 127, bias + 128};
    uint64_t near_ends[] = {0, 0, 1, exponents - 2, exponents - 1, exponents - 1};
    uint64_t exponent =
        (l.exponent > 8 && random_below(seed, 2) ? near_f32 : near_ends)[random_below(seed, 6)];

    return random_below(seed, 2) << (l.mantissa + l.exponent) | exponent << l.mantissa |
           chosen[random_below(seed, 7)];
}

static uint64_t any(struct layout l, uint64_t *seed)
{
    return random_next(seed) & (((uint64_t)2 << (l.mantissa + l.exponent)) - 1);
}

typedef uint64_t kind(struct layout l, uint64_t *seed);

/* One element of `rare` among so many of `common`; 0: none. */
struct mixture {
    kind *common, *rare;
    uint64_t one_of;
};
static const struct mixture mixtures[] = {
    {usual, NULL, 0},   {zero, NULL, 0},   {edge, NULL, 0},     {any, NULL, 0},
    {usual, zero, 2},   {usual, edge, 40}, {zero, usual, 90},   {zero, edge, 90},
    {usual, edge, 900}, {usual, any, 900}, {zero, usual, MOST},
};
enum { MIXTURES = sizeof mixtures / sizeof mixtures[0] };

static void fill(uint8_t *data, size_t n, enum embmon_dtype dtype, const struct mixture *m,
                 uint64_t *seed)
{
    struct layout l = layout_of(dtype);

    for (size_t i = 0; i < n; i++) {
        bool rare = m->one_of > 0 && random_below(seed, m->one_of) == 0;

        put(data, i, dtype, (rare ? m->rare : m->common)(l, seed));
    }
}

/* ---- the judge ---------------------------------------------------------------------------------
 */

static void must_be_near(double value, double wanted, double scale)
{
    if (!(fabs(value - wanted) <= 1e-12 * fmax(scale, DBL_MIN)))
        fail_msg("%a is not %a", value, wanted);
}

static void judge_sums(const struct summary *s, const double *values, size_t n)
{
    double sum = 0, absolute = 0, square = 0;

    for (size_t i = 0; i < n; i++) {
        if (!isfinite(values[i]))
            continue;
        sum += values[i];
        absolute += fabs(values[i]);
        square += values[i] * values[i];
    }
    absolute = fmin(absolute, DBL_MAX);
    assert_true(isfinite(s->sum) && isfinite(s->absolute_sum) && isfinite(s->square_sum));
    if (absolute < DBL_MAX) /* else it depends on the order */
        must_be_near(s->sum, sum, absolute);
    must_be_near(s->absolute_sum, absolute, absolute);
    must_be_near(s->square_sum, fmin(square, DBL_MAX), fmin(square, DBL_MAX));
}

static void judge_span(const struct tally *t, bool negative, const struct summary_span *wanted)
{
    static uint64_t counts[BUCKETS];
    uint32_t first, length;

    tally_span(t, negative, &first, &length);
    assert_int_equal(length, wanted->length);
    assert_int_equal(first, wanted->first);
    tally_counts(t, negative, first, length, counts);
    if (length > 0)
        assert_memory_equal(counts, wanted->counts, length * sizeof counts[0]);
}

static void judge(const struct tally *t, const double *values, size_t n)
{
    struct summary wanted, s;

    assert_true(values_summarise(&wanted, values, n));
    tally_moments(t, &s);
    assert_int_equal(s.count, n);
    assert_int_equal(s.zeros, wanted.zeros);
    assert_int_equal(s.nans, wanted.nans);
    assert_int_equal(s.positive_infinities, wanted.positive_infinities);
    assert_int_equal(s.negative_infinities, wanted.negative_infinities);
    assert_true(s.min == wanted.min && s.max == wanted.max);
    judge_span(t, false, &wanted.positive);
    judge_span(t, true, &wanted.negative);
    judge_sums(&s, values, n);
    summary_free(&wanted);
}

/* As a trainer may have it: upward rounding, subnormals flushed and taken for zeros. */
static void set_strange_mode(void)
{
#if defined(__x86_64__)
    _mm_setcsr(0x1f80 | 0x8040 | 0x4000);
#elif defined(__aarch64__)
    __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)1 << 24 | (uint64_t)1 << 22) : "memory");
#endif
}

/* Summarises at a level, at an address that is no multiple of anything, and judges. */
static void must_agree(enum kernel_level level, const uint8_t *data, size_t n,
                       enum embmon_dtype dtype)
{
    static double values[MOST];
    static struct tally t;
    struct float_mode mode;

    memset(&t, 0xa5, sizeof t); /* what is undefined must not matter */
    tally_start(&t);
    t.kernel = kernel_at(level);
    mode = float_mode_enter();
    set_strange_mode();
    tally_add(&t, data, n, dtype);
    float_mode_leave(mode);
    dtype_load(values, data, n, dtype);
    judge(&t, values, n);
}

static uint8_t *new_data(void)
{
    uint8_t *memory = malloc(MOST * sizeof(double) + 1);

    assert_non_null(memory);
    return memory + 1;
}

static void free_data(uint8_t *data)
{
    free(data - 1);
}

#define FOR_EACH_LEVEL(level)                                                                      \
    for (int level = 0; level < KERNEL_LEVELS; level++)                                            \
        if (kernel_at((enum kernel_level)level))

/* ---- the tests ---------------------------------------------------------------------------------
 */

static void the_best_level_is_one_that_there_is(void **state)
{
    bool is_there = false;

    (void)state;
    assert_non_null(kernel_at(KERNEL_BASE));
    FOR_EACH_LEVEL(level)
    {
        print_message("level %s\n", level_names[level]);
        is_there |= kernel_best() == kernel_at((enum kernel_level)level);
    }
    assert_true(is_there);
    assert_null(kernel_at(KERNEL_LEVELS));
}

static void every_length_agrees(void **state)
{
    uint8_t *data = new_data();
    uint64_t seed = 1;

    (void)state;
    for (size_t d = 0; d < 4; d++)
        for (size_t m = 0; m < MIXTURES; m++)
            for (size_t n = 0; n <= 3 * KERNEL_GROUP; n++) {
                fill(data, n, floats[d], &mixtures[m], &seed);
                FOR_EACH_LEVEL(level)
                must_agree((enum kernel_level)level, data, n, floats[d]);
            }
    free_data(data);
}

/* By the tables, with pieces that are irregular and pieces that are not. */
static void every_length_of_many_agrees(void **state)
{
    uint8_t *data = new_data();
    uint64_t seed = 2;

    (void)state;
    for (size_t d = 0; d < 4; d++)
        for (size_t m = 0; m < MIXTURES; m++)
            for (size_t k = 0; k < 8; k++) {
                size_t n = 4096 + random_below(&seed, MOST - 4096);

                fill(data, n, floats[d], &mixtures[m], &seed);
                FOR_EACH_LEVEL(level)
                must_agree((enum kernel_level)level, data, n, floats[d]);
            }
    free_data(data);
}

/* Rows of zeros of every length, which the loops skip where they fill a group. */
static void runs_of_zeros_agree(void **state)
{
    uint8_t *data = new_data();
    uint64_t seed = 3;

    (void)state;
    for (size_t d = 0; d < 4; d++)
        for (size_t width = 1; width < 200; width += 1 + width / 4) {
            size_t n = 4096 + width * 20, row_bytes = width * dtype_size((int)floats[d]);

            fill(data, n, floats[d], &mixtures[0], &seed);
            for (size_t row = 0; row < n / width; row++)
                if (random_below(&seed, 10) < 7)
                    memset(data + row * row_bytes, 0, row_bytes);
            FOR_EACH_LEVEL(level)
            must_agree((enum kernel_level)level, data, n, floats[d]);
        }
    free_data(data);
}

/* One element that is not as the others, at every place of two groups. */
static void one_odd_element_is_found_wherever_it_is(void **state)
{
    uint8_t *data = new_data();
    uint64_t seed = 4;

    (void)state;
    for (size_t d = 0; d < 4; d++)
        for (size_t at = 0; at < 2 * KERNEL_GROUP; at++) {
            fill(data, 4096, floats[d], &mixtures[at % 2], &seed);
            put(data, at, floats[d], edge(layout_of(floats[d]), &seed));
            FOR_EACH_LEVEL(level)
            must_agree((enum kernel_level)level, data, 4096, floats[d]);
        }
    free_data(data);
}

static bool all_finite(const double *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(values[i]))
            return false;
    return true;
}

static void judge_scan(const struct kernel_loops *loops, const uint8_t *data, size_t n,
                       enum embmon_dtype dtype)
{
    static double values[MOST];
    struct kernel_sums sums, wanted;

    dtype_load(values, data, n, dtype);
    loops->sum(&sums, data, n, NULL);
    loops->measure(&wanted, data, n);
    assert_false(wanted.irregular);
    if (!all_finite(values, n))
        assert_true(sums.irregular);
    else if (wanted.absolute_sum < DBL_MAX)
        assert_false(sums.irregular);
    if (sums.irregular)
        return;
    assert_int_equal(sums.zeros[0] + sums.zeros[1] + sums.skipped,
                     wanted.zeros[0] + wanted.zeros[1]);
    assert_int_equal(sums.finite, n);
    assert_true(sums.min == wanted.min && sums.max == wanted.max);
    must_be_near(sums.sum, wanted.sum, wanted.absolute_sum);
    must_be_near(sums.absolute_sum, wanted.absolute_sum, wanted.absolute_sum);
    must_be_near(sums.square_sum, wanted.square_sum, wanted.square_sum);
}

static void sums_without_counts_are_the_same(void **state)
{
    uint8_t *data = new_data();
    uint64_t seed = 5;

    (void)state;
    for (size_t d = 0; d < 4; d++)
        for (size_t m = 0; m < MIXTURES; m++)
            for (size_t groups = 1; groups < 9; groups++) {
                fill(data, groups * KERNEL_GROUP, floats[d], &mixtures[m], &seed);
                FOR_EACH_LEVEL(level)
                judge_scan(kernel_of(kernel_at((enum kernel_level)level), floats[d]), data,
                           groups * KERNEL_GROUP, floats[d]);
            }
    free_data(data);
}

/* Dirty upper halves of the wide registers would make the trainer's narrow ones slow. */
static bool upper_halves_are_clean(void)
{
#if defined(__x86_64__)
    uint32_t a, b, c, d;

    __asm__ volatile("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(13), "c"(1));
    if (!(a & 4) || !__builtin_cpu_supports("avx"))
        return true; /* the processor does not say */
    __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(1));
    return (a & 0x44) == 0; /* of 16 registers the upper halves of 32 and of 64 bytes */
#else
    return true;
#endif
}

static void registers_are_left_clean(void **state)
{
    static _Alignas(64) kernel_tables tables;
    static _Alignas(64) kernel_pairs pairs;
    static uint8_t data[4 * KERNEL_GROUP * sizeof(double)];
    static uint32_t counts[KERNEL_PLACES];
    uint64_t seed = 6;

    (void)state;
    for (size_t d = 0; d < 4; d++)
        FOR_EACH_LEVEL(level)
        {
            const struct kernel_loops *loops =
                kernel_of(kernel_at((enum kernel_level)level), floats[d]);
            struct kernel_window window = {KERNEL_LOWEST_BASE, d % 2 ? 100 : 1, 0, 0, 0};
            struct kernel_sums sums;

            fill(data, 4 * KERNEL_GROUP, floats[d], &mixtures[0], &seed);
            loops->count(&sums, data, 4 * KERNEL_GROUP, tables);
            assert_true(upper_halves_are_clean());
            loops->sum(&sums, data, 4 * KERNEL_GROUP, NULL);
            assert_true(upper_halves_are_clean());
            loops->measure(&sums, data, 4 * KERNEL_GROUP - 1);
            assert_true(upper_halves_are_clean());
            if (!loops->count_pairs)
                continue;
            loops->count_pairs(&sums, data, 4 * KERNEL_GROUP, tables, pairs, &window);
            assert_true(upper_halves_are_clean());
            kernel_at((enum kernel_level)level)->fold_pairs(pairs, counts);
            assert_true(upper_halves_are_clean());
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_best_level_is_one_that_there_is),
        cmocka_unit_test(every_length_agrees),
        cmocka_unit_test(every_length_of_many_agrees),
        cmocka_unit_test(runs_of_zeros_agree),
        cmocka_unit_test(one_odd_element_is_found_wherever_it_is),
        cmocka_unit_test(sums_without_counts_are_the_same),
        cmocka_unit_test(registers_are_left_clean),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
