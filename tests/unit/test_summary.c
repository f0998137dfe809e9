#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#ifdef __SSE2__
#include <xmmintrin.h>
#endif

#include "proto/summary.h"
#include "tests/unit/random.h"

/* The summary of f32 values, made the plain way: the caller frees it. */
static struct summary summary_of(const float *values, size_t n)
{
    static uint64_t tables[2][BUCKET_TABLE];
    struct summary s = {0};

    memset(tables, 0, sizeof tables);
    s.parts = 1;
    s.count = n;
    for (size_t i = 0; i < n; i++) {
        double value = (double)values[i];
        uint32_t bits;

        memcpy(&bits, &values[i], sizeof bits);
        if (isnan(value)) {
            s.nans++;
        } else if (isinf(value)) {
            s.positive_infinities += value > 0;
            s.negative_infinities += value < 0;
        } else {
            bool first = i - summary_nonfinite(&s) == 0;

            s.min = first || value < s.min ? value : s.min;
            s.max = first || value > s.max ? value : s.max;
            s.sum += value;
            s.absolute_sum += fabs(value);
            s.square_sum += value * value;
            s.zeros += bits << 1 == 0;
            if (bits << 1 != 0)
                tables[bits >> 31][bucket_of_bits(bits & 0x7fffffff)]++;
        }
    }
    assert_true(summary_set_span(&s.positive, 0, tables[0], BUCKET_TABLE));
    assert_true(summary_set_span(&s.negative, 0, tables[1], BUCKET_TABLE));
    assert_null(summary_check(&s));
    return s;
}

static void assert_span_equal(const struct summary_span *a, const struct summary_span *b)
{
    assert_int_equal(a->first, b->first);
    assert_int_equal(a->length, b->length);
    for (uint32_t i = 0; i < a->length; i++)
        assert_int_equal(a->counts[i], b->counts[i]);
}

static void assert_near(double a, double b)
{
    assert_true(fabs(a - b) <= 1e-12 * (fabs(a) + fabs(b)) + 1e-300);
}

static void assert_summary_equal(const struct summary *a, const struct summary *b)
{
    assert_int_equal(a->count, b->count);
    assert_int_equal(a->parts, b->parts);
    assert_int_equal(a->zeros, b->zeros);
    assert_int_equal(a->nans, b->nans);
    assert_int_equal(a->positive_infinities, b->positive_infinities);
    assert_int_equal(a->negative_infinities, b->negative_infinities);
    assert_true(a->min == b->min && a->max == b->max);
    assert_true(fabs(a->sum - b->sum) <= 1e-9 * a->absolute_sum);
    assert_near(a->absolute_sum, b->absolute_sum);
    assert_near(a->square_sum, b->square_sum);
    assert_span_equal(&a->negative, &b->negative);
    assert_span_equal(&a->positive, &b->positive);
    assert_int_equal(a->extra_count, b->extra_count);
}

/* A value of a random class: NaN, infinity, zero, subnormal, or of any exponent. */
static float any_value(uint64_t *seed)
{
    uint32_t bits = (uint32_t)random_next(seed);
    float value;

    switch (random_below(seed, 8)) {
    case 0:
        return random_below(seed, 2) ? NAN : (random_below(seed, 2) ? INFINITY : -INFINITY);
    case 1:
        return random_below(seed, 2) ? 0.0f : -0.0f;
    case 2:
        bits &= 0x807fffff;
        break;
    default:
        bits = (bits & 0x87ffffff) | 0x38000000; /* 2^-15 ... 2 */
    }
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* ---- spans ---- */

static void a_span_is_trimmed_of_zero_ends(void **state)
{
    static const uint64_t counts[] = {0, 0, 7, 0, 9, 0};
    struct summary_span span = {0};

    (void)state;
    assert_true(summary_set_span(&span, 100, counts, 6));
    assert_int_equal(span.first, 102);
    assert_int_equal(span.length, 3);
    assert_int_equal(span.counts[0], 7);
    assert_int_equal(span.counts[1], 0);
    assert_int_equal(span.counts[2], 9);
    assert_true(summary_set_span(&span, 100, counts, 2)); /* nothing but zeros */
    assert_int_equal(span.first, 0);
    assert_int_equal(span.length, 0);
    assert_true(summary_set_span(&span, 100, NULL, 0));
    assert_int_equal(span.length, 0);
    free(span.counts);
}

static void a_span_stays_within_the_table(void **state)
{
    static const uint64_t counts[] = {1, 2, 0, 0};
    struct summary_span span = {0};

    (void)state;
    assert_true(summary_set_span(&span, BUCKETS - 2, counts, 4));
    assert_int_equal(span.first, 2038);
    assert_int_equal(span.length, 2);
    assert_false(summary_set_span(&span, BUCKETS - 1, counts, 2));
    assert_false(summary_set_span(&span, BUCKETS, counts, 1));
    assert_false(summary_set_span(&span, UINT32_MAX, counts, 2));
    assert_int_equal(span.first, 2038); /* unchanged */
    assert_int_equal(span.length, 2);
    assert_int_equal(span.counts[1], 2);
    free(span.counts);
}

/* ---- merging ---- */

static void nothing_added_to_nothing_is_nothing(void **state)
{
    struct summary a = {0}, b = {0};

    (void)state;
    assert_null(summary_check(&a));
    assert_true(summary_add(&a, &b));
    assert_null(summary_check(&a));
    assert_int_equal(a.count, 0);
    assert_null(a.negative.counts);
}

static void min_and_max_ignore_parts_without_finite_elements(void **state)
{
    static const float nan_only[] = {NAN}, positive[] = {3, 5}, negative[] = {-4};
    struct summary a = summary_of(nan_only, 1), b = summary_of(positive, 2);
    struct summary c = summary_of(negative, 1), all = {0};

    (void)state;
    assert_true(summary_add(&all, &a));
    assert_true(all.min == 0 && all.max == 0);
    assert_true(summary_add(&all, &b));
    assert_true(all.min == 3 && all.max == 5); /* not 0: nothing finite had been there */
    assert_true(summary_add(&all, &a));
    assert_true(all.min == 3 && all.max == 5);
    assert_true(summary_add(&all, &c));
    assert_true(all.min == -4 && all.max == 5);
    assert_int_equal(all.parts, 4);
    assert_int_equal(all.count, 5);
    assert_int_equal(all.nans, 2);
    assert_true(all.sum == 4 && all.absolute_sum == 12 && all.square_sum == 50);
    assert_null(summary_check(&all));
    summary_free(&a), summary_free(&b), summary_free(&c), summary_free(&all);
}

static void subnormals_are_ordered_by_their_bits(void **state)
{
    struct summary a = {.count = 1, .parts = 1, .zeros = 1};
    struct summary b = {.count = 1, .parts = 1, .zeros = 1};

    (void)state;
    a.min = a.max = 0x1p-1070;
    b.min = b.max = -0x1p-1074;
    assert_true(summary_add(&a, &b));
    assert_true(a.min == -0x1p-1074 && a.max == 0x1p-1070);
    b.min = b.max = 0x1p-1072;
    assert_true(summary_add(&b, &a));
    assert_true(b.min == -0x1p-1074 && b.max == 0x1p-1070);
}

/* Flush-to-zero and denormals-are-zero, as trainers set them. */
static void nothing_depends_on_how_subnormals_are_treated(void **state)
{
#ifdef __SSE2__
    static const double low = -0x1p-1074, high = 0x1p-1070, f32_low = 0x1p-149;
    static const uint64_t counts[] = {3};
    struct summary a = {.count = 1, .parts = 1, .zeros = 1}, b = a, c = a;
    const char *good, *bad;
    unsigned mode = _mm_getcsr();
    double quantile;
    bool added;

    (void)state;
    assert_true(summary_set_span(&c.positive, 0, counts, 1));
    c.count = 3, c.zeros = 0, c.min = f32_low, c.max = 0x1p-129;
    a.min = low, a.max = high;
    b.min = b.max = high;
    _mm_setcsr(mode | 0x8040);
    added = summary_add(&b, &a);
    good = summary_check(&b);
    a.min = high, a.max = low;
    bad = summary_check(&a);
    quantile = summary_quantile(&c, 0.5);
    _mm_setcsr(mode);
    assert_true(added);
    assert_null(good);
    assert_string_equal(bad, "min is greater than max");
    assert_memory_equal(&b.min, &low, sizeof low);
    assert_memory_equal(&b.max, &high, sizeof high);
    assert_true(quantile == 0x1p-130);
    summary_free(&c);
#else
    (void)state;
    skip();
#endif
}

static void spans_grow_to_their_union_in_both_directions(void **state)
{
    static const uint64_t counts[] = {1, 2, 3};
    struct summary s[3] = {{0}}, all = {0};
    static const uint32_t firsts[] = {1000, 0, BUCKETS - 3};

    (void)state;
    for (int i = 0; i < 3; i++) {
        s[i].count = 6;
        s[i].parts = 1;
        assert_true(summary_set_span(&s[i].positive, firsts[i], counts, 3));
        assert_true(summary_add(&all, &s[i]));
        assert_null(summary_check(&all));
    }
    assert_int_equal(all.positive.first, 0);
    assert_int_equal(all.positive.length, BUCKETS);
    assert_int_equal(all.positive.capacity, BUCKETS);
    for (uint32_t i = 0; i < BUCKETS; i++) {
        uint64_t expected = i < 3 ? i + 1 : 0;

        expected = i >= 1000 && i < 1003 ? i - 999 : expected;
        expected = i >= BUCKETS - 3 ? i - (BUCKETS - 4) : expected;
        assert_int_equal(all.positive.counts[i], expected);
    }
    assert_int_equal(summary_bytes(&all), sizeof all + BUCKETS * 8);
    for (int i = 0; i < 3; i++)
        summary_free(&s[i]);
    summary_free(&all);
}

static void the_parts_added_are_the_whole(void **state)
{
    enum { N = 4000 };
    static float values[N];
    uint64_t seed = 6;

    (void)state;
    for (int round = 0; round < 200; round++) {
        struct summary whole, sum = {0}, again = {0};
        size_t n = random_below(&seed, N) + 1, pieces = 0;

        for (size_t i = 0; i < n; i++)
            values[i] = any_value(&seed);
        whole = summary_of(values, n);
        for (size_t i = 0, piece; i < n; i += piece, pieces++) {
            struct summary part;

            piece = random_below(&seed, n - i) + 1;
            part = summary_of(values + i, piece);
            assert_true(summary_add(&sum, &part));
            assert_null(summary_check(&sum));
            summary_free(&part);
        }
        whole.parts = pieces;
        assert_summary_equal(&sum, &whole);
        assert_true(summary_add(&again, &sum)); /* the empty one is neutral */
        assert_summary_equal(&again, &whole);
        summary_free(&whole), summary_free(&sum), summary_free(&again);
    }
}

static void a_summary_may_be_added_to_itself(void **state)
{
    static const float values[] = {-2, -1, 0, 1, 8, NAN, INFINITY};
    struct summary s = summary_of(values, 7);

    (void)state;
    assert_true(summary_set_extra(&s, EXTRA_ROWS_TOUCHED, 3));
    assert_true(summary_add(&s, &s));
    assert_null(summary_check(&s));
    assert_int_equal(s.count, 14);
    assert_int_equal(s.negative.counts[0], 2);
    assert_true(s.sum == 12 && s.square_sum == 140);
    assert_true(summary_extra(&s, EXTRA_ROWS_TOUCHED, 0) == 6);
    summary_free(&s);
}

static void a_count_that_would_wrap_changes_nothing(void **state)
{
    struct summary a = {.count = UINT64_MAX - 1, .parts = 1, .zeros = UINT64_MAX - 1};
    struct summary b = {.count = 2, .parts = 1, .zeros = 2};
    struct summary c = {.parts = UINT64_MAX};

    (void)state;
    assert_false(summary_add(&a, &b));
    assert_int_equal(a.count, UINT64_MAX - 1);
    assert_int_equal(a.zeros, UINT64_MAX - 1);
    assert_int_equal(a.parts, 1);
    assert_false(summary_add(&a, &c));
    assert_int_equal(a.parts, 1);
    b.count = b.zeros = 1;
    assert_true(summary_add(&a, &b));
    assert_int_equal(a.count, UINT64_MAX);
    assert_null(summary_check(&a));
}

static void moments_saturate(void **state)
{
    struct summary a = {.count = 1, .parts = 1, .zeros = 1}, b;

    (void)state;
    a.min = -DBL_MAX;
    a.sum = -DBL_MAX;
    a.absolute_sum = DBL_MAX;
    a.square_sum = DBL_MAX;
    b = a;
    assert_true(summary_add(&a, &b));
    assert_true(a.sum == -DBL_MAX);
    assert_true(a.absolute_sum == DBL_MAX);
    assert_true(a.square_sum == DBL_MAX);
    assert_null(summary_check(&a));
}

static void clearing_keeps_the_memory(void **state)
{
    static const float values[] = {-1, 1};
    struct summary s = summary_of(values, 2);
    const uint64_t *memory = s.positive.counts;

    (void)state;
    summary_clear(&s);
    assert_null(summary_check(&s));
    assert_int_equal(s.count, 0);
    assert_int_equal(s.positive.length, 0);
    assert_ptr_equal(s.positive.counts, memory);
    assert_true(summary_bytes(&s) > sizeof s);
    summary_free(&s);
    assert_int_equal(summary_bytes(&s), sizeof s);
}

/* ---- extras ---- */

static void extras_stay_in_order(void **state)
{
    struct summary s = {0};

    (void)state;
    assert_false(summary_set_extra(&s, 0, 1));
    for (uint32_t key = SUMMARY_EXTRAS_MAX; key >= 1; key--)
        assert_true(summary_set_extra(&s, key * 2, key));
    for (uint32_t i = 0; i < SUMMARY_EXTRAS_MAX; i++)
        assert_int_equal(s.extras[i].key, 2 * (i + 1));
    assert_false(summary_set_extra(&s, 3, 1)); /* no place */
    assert_true(summary_set_extra(&s, 4, 70)); /* replaced */
    assert_int_equal(s.extra_count, SUMMARY_EXTRAS_MAX);
    assert_true(summary_extra(&s, 4, -1) == 70);
    assert_true(summary_extra(&s, 3, -1) == -1);
    assert_true(summary_extra(&s, 99, -1) == -1);
}

static void extras_merge_as_their_key_says(void **state)
{
    struct summary a = {.parts = 1}, b = {.parts = 1}, c = {.parts = 1};

    (void)state;
    assert_true(summary_set_extra(&a, EXTRA_ROWS_TOUCHED, 5));
    assert_true(summary_set_extra(&b, EXTRA_ROWS_LOOKED_UP, 7));
    assert_true(summary_set_extra(&b, EXTRA_ROWS_TOUCHED, 6));
    assert_true(summary_set_extra(&b, EXTRA_UNCOALESCED, 1));
    assert_true(summary_set_extra(&b, EXTRA_BUCKET_ERROR, 0.01));
    assert_true(summary_set_extra(&c, EXTRA_BUCKET_ERROR, 0.02));
    assert_true(summary_set_extra(&c, EXTRA_UNCOALESCED, 0));
    assert_true(summary_add(&a, &b));
    assert_true(summary_add(&a, &c));
    assert_true(summary_add(&a, &b));
    assert_true(summary_extra(&a, EXTRA_ROWS_LOOKED_UP, -1) == 14);
    assert_true(summary_extra(&a, EXTRA_ROWS_TOUCHED, -1) == 17);
    assert_true(summary_extra(&a, EXTRA_UNCOALESCED, -1) == 1);
    assert_true(summary_extra(&a, EXTRA_BUCKET_ERROR, -1) == 0.02);
    assert_null(summary_check(&a));
}

static void extras_that_do_not_fit_change_nothing(void **state)
{
    struct summary a = {.parts = 1}, b = {.parts = 1};

    (void)state;
    for (uint32_t key = 1; key <= SUMMARY_EXTRAS_MAX; key++)
        assert_true(summary_set_extra(&a, key, 1));
    assert_true(summary_set_extra(&b, SUMMARY_EXTRAS_MAX + 1, 1));
    assert_false(summary_add(&a, &b));
    assert_int_equal(a.parts, 1);
    assert_int_equal(a.extra_count, SUMMARY_EXTRAS_MAX);
}

/* ---- the invariants ---- */

#define ASSERT_BROKEN(change, sentence)                                                            \
    do {                                                                                           \
        uint64_t negative[] = {1, 0, 2}, positive[] = {3};                                         \
        struct summary s = {.count = 13, .parts = 2, .zeros = 2, .nans = 3};                       \
        s.positive_infinities = s.negative_infinities = 1;                                         \
        s.min = -3, s.max = 2, s.sum = -1, s.absolute_sum = 9, s.square_sum = 20;                  \
        s.negative = (struct summary_span){1000, 3, negative, 3};                                  \
        s.positive = (struct summary_span){2039, 1, positive, 1};                                  \
        assert_true(summary_set_extra(&s, 1, 4));                                                  \
        assert_null(summary_check(&s));                                                            \
        change;                                                                                    \
        assert_non_null(summary_check(&s));                                                        \
        assert_string_equal(summary_check(&s), sentence);                                          \
    } while (0)

static void every_broken_invariant_is_named(void **state)
{
    static const char counts[] = "the counts do not add up to count";
    static const char finite[] = "a moment is not finite";
    static const char table[] = "a span reaches beyond the bucket table";
    static const char ends[] = "a span has a zero count at an end";
    static const char keys[] = "the extras' keys do not ascend from 1";
    static const char value[] = "an extra is negative or not finite";
    static const char sums[] = "a sum of absolute values or of squares is negative";

    (void)state;
    ASSERT_BROKEN(s.count++, counts);
    ASSERT_BROKEN(s.zeros--, counts);
    ASSERT_BROKEN(negative[1]++, counts);
    ASSERT_BROKEN((s.zeros = UINT64_MAX, s.nans += 3), counts); /* wraps to 13 */
    ASSERT_BROKEN((positive[0] = UINT64_MAX, s.zeros += 4), counts);
    ASSERT_BROKEN(s.parts = 0, "there are elements but no parts");
    ASSERT_BROKEN(s.min = NAN, finite);
    ASSERT_BROKEN(s.max = INFINITY, finite);
    ASSERT_BROKEN(s.sum = -INFINITY, finite);
    ASSERT_BROKEN(s.absolute_sum = NAN, finite);
    ASSERT_BROKEN(s.square_sum = INFINITY, finite);
    ASSERT_BROKEN(s.absolute_sum = -1, sums);
    ASSERT_BROKEN(s.square_sum = -1, sums);
    ASSERT_BROKEN(s.min = 2.5, "min is greater than max");
    ASSERT_BROKEN(negative[0] = 0, ends);
    ASSERT_BROKEN(negative[2] = 0, ends);
    ASSERT_BROKEN(s.positive.length = 2, table);
    ASSERT_BROKEN(s.positive.first = UINT32_MAX, table);
    ASSERT_BROKEN(s.positive.length = UINT32_MAX, table);
    ASSERT_BROKEN(s.positive.length = 0, "an empty span does not begin at 0");
    ASSERT_BROKEN(s.extra_count = SUMMARY_EXTRAS_MAX + 1, "there are too many extras");
    ASSERT_BROKEN(s.extras[0].key = 0, keys);
    ASSERT_BROKEN((s.extra_count = 2, s.extras[1] = s.extras[0]), keys);
    ASSERT_BROKEN(s.extras[0].key = EXTRA_KEY_MAX + 1, "an extra has an unknown key");
    ASSERT_BROKEN(s.extras[0].value = NAN, value);
    ASSERT_BROKEN(s.extras[0].value = -1, value);
    ASSERT_BROKEN((s.count = 5, s.zeros = 0, s.negative = s.positive = (struct summary_span){0}),
                  "a moment is not 0 though no element is finite");
    ASSERT_BROKEN((s = (struct summary){.extra_count = 1}, s.extras[0].key = 1),
                  "there are extras but no parts");
}

/* ---- what is read from it ---- */

static void a_norm_does_not_grow_with_ranks_unless_sharded(void **state)
{
    struct summary s = {.count = 8, .parts = 4, .nans = 3, .square_sum = 100};

    (void)state;
    assert_true(summary_norm(&s, false) == 5);
    assert_true(summary_norm(&s, true) == 10);
    assert_int_equal(summary_finite(&s), 5);
    assert_int_equal(summary_nonfinite(&s), 3);
    assert_true(summary_rms(&s) == sqrt(20));
    memset(&s, 0, sizeof s);
    assert_true(summary_norm(&s, false) == 0 && summary_norm(&s, true) == 0);
    assert_true(summary_rms(&s) == 0);
}

static void quantiles_of_few_values_are_theirs(void **state)
{
    static const float values[] = {-8, -1, 0, 0, 1, 8, NAN, INFINITY};
    struct summary s = summary_of(values, 8);

    (void)state;
    assert_true(summary_quantile(&s, 0) == -8);
    assert_true(summary_quantile(&s, -1) == -8);
    assert_true(summary_quantile(&s, NAN) == -8);
    assert_true(summary_quantile(&s, 1) == 8);
    assert_true(summary_quantile(&s, 7) == 8);
    assert_true(summary_quantile(&s, 0.5) == 0);
    assert_true(summary_quantile(&s, 0.4) == 0);
    assert_true(summary_quantile(&s, 2.9 / 6) == 0);
    assert_true(summary_quantile(&s, 1.0 / 6) == -8);
    assert_true(summary_quantile(&s, 2.0 / 6) == -1);
    assert_true(summary_quantile(&s, 4.5 / 6) == 1.0625); /* halfway through 1 ... 1.125 */
    assert_true(summary_quantile(&s, 1.5 / 6) == -1.0625);
    assert_true(summary_quantile(&s, 5.5 / 6) == 8);
    summary_free(&s);
    assert_true(isnan(summary_quantile(&s, 0.5)));
    s.count = s.nans = s.parts = 1;
    assert_true(isnan(summary_quantile(&s, 0.5)));
}

static void quantiles_of_one_value_repeated_are_that_value(void **state)
{
    static const float values[] = {1.0078125f, 1.0078125f, 1.0078125f};
    struct summary s = summary_of(values, 3);

    (void)state;
    for (int i = 0; i <= 10; i++)
        assert_true(summary_quantile(&s, i / 10.0) == 1.0078125);
    summary_free(&s);
}

static int compare(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;

    return (x > y) - (x < y);
}

/* Position on the line of buckets: negative ones below 0, zero 0, positive ones above. */
static int line_of(double value)
{
    float f = (float)value;
    uint32_t bits;

    memcpy(&bits, &f, sizeof bits);
    if (bits << 1 == 0)
        return 0;
    return bits >> 31 ? -(int)bucket_of_bits(bits & 0x7fffffff) - 1 : (int)bucket_of_bits(bits) + 1;
}

static void quantiles_are_right_to_one_bucket_and_never_fall(void **state)
{
    enum { N = 500 };
    static float values[N], finite[N];
    uint64_t seed = 7;

    (void)state;
    for (int round = 0; round < 300; round++) {
        size_t n = random_below(&seed, N) + 1, m = 0;
        struct summary s;
        double last;

        for (size_t i = 0; i < n; i++) {
            values[i] = any_value(&seed);
            if (isfinite(values[i]))
                finite[m++] = values[i];
        }
        if (m == 0)
            continue;
        qsort(finite, m, sizeof *finite, compare);
        s = summary_of(values, n);
        last = s.min;
        for (int i = 1; i <= 256; i++) { /* q * m is exact */
            double q = i / 256.0, value = summary_quantile(&s, q), rank = q * (double)m;
            size_t k = (size_t)ceil(rank);
            int exact = line_of((double)finite[k > 0 ? k - 1 : 0]);

            assert_true(value >= last && value >= s.min && value <= s.max);
            assert_true(abs(line_of(value) - exact) <= 1);
            last = value;
        }
        summary_free(&s);
    }
}

static void the_outermost_buckets_reach_to_min_and_max(void **state)
{
    static const uint64_t counts[] = {4};
    struct summary s = {.count = 8, .parts = 1, .min = 0x1p-1000, .max = DBL_MAX};

    (void)state;
    assert_true(summary_set_span(&s.positive, 0, counts, 1));
    s.positive.capacity = 1;
    assert_true(summary_quantile(&s, 0.25) >= s.min);
    s.count = 4;
    assert_true(summary_quantile(&s, 0.25) <= 0x1p-129);
    assert_true(summary_quantile(&s, 0.25) > 0);
    assert_true(summary_set_span(&s.positive, BUCKETS - 1, counts, 1));
    assert_true(summary_quantile(&s, 0.5) >= bucket_low(BUCKETS - 1));
    assert_true(summary_quantile(&s, 1) == DBL_MAX);
    summary_free(&s);
}

static void buckets_begin_where_they_are_drawn(void **state)
{
    (void)state;
    assert_true(bucket_low(0) == 0);
    assert_true(bucket_low(1) == 0x1p-129);
    assert_true(bucket_low(7) == 7 * 0x1p-129);
    assert_true(bucket_low(8) == 0x1p-126);
    assert_true(bucket_low(1016) == 1);
    assert_true(bucket_low(1017) == 1.125);
    assert_true(bucket_low(1024) == 2);
    assert_true(bucket_low(2039) == 0x1.ep127);
    assert_true(bucket_low(2040) == 0x1p128);
    for (uint32_t i = 0; i < BUCKETS; i++)
        assert_true(bucket_low(i) < bucket_low(i + 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_span_is_trimmed_of_zero_ends),
        cmocka_unit_test(a_span_stays_within_the_table),
        cmocka_unit_test(nothing_added_to_nothing_is_nothing),
        cmocka_unit_test(min_and_max_ignore_parts_without_finite_elements),
        cmocka_unit_test(subnormals_are_ordered_by_their_bits),
        cmocka_unit_test(nothing_depends_on_how_subnormals_are_treated),
        cmocka_unit_test(spans_grow_to_their_union_in_both_directions),
        cmocka_unit_test(the_parts_added_are_the_whole),
        cmocka_unit_test(a_summary_may_be_added_to_itself),
        cmocka_unit_test(a_count_that_would_wrap_changes_nothing),
        cmocka_unit_test(moments_saturate),
        cmocka_unit_test(clearing_keeps_the_memory),
        cmocka_unit_test(extras_stay_in_order),
        cmocka_unit_test(extras_merge_as_their_key_says),
        cmocka_unit_test(extras_that_do_not_fit_change_nothing),
        cmocka_unit_test(every_broken_invariant_is_named),
        cmocka_unit_test(a_norm_does_not_grow_with_ranks_unless_sharded),
        cmocka_unit_test(quantiles_of_few_values_are_theirs),
        cmocka_unit_test(quantiles_of_one_value_repeated_are_that_value),
        cmocka_unit_test(quantiles_are_right_to_one_bucket_and_never_fall),
        cmocka_unit_test(the_outermost_buckets_reach_to_min_and_max),
        cmocka_unit_test(buckets_begin_where_they_are_drawn),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
