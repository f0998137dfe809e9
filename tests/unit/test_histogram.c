#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/tensorboard/histogram.h"
#include "tests/unit/plain_histogram.h"
#include "tests/unit/random.h"
#include "tests/unit/values.h"

/* Elements that belong left of an edge: a bucket owns its end that is nearer to zero. */
static size_t left_of(const double *values, size_t n, double edge)
{
    size_t count = 0;

    for (size_t i = 0; i < n; i++)
        count += isfinite(values[i]) && (edge < 0 ? values[i] <= edge : values[i] < edge);
    return count;
}

static size_t finite_among(const double *values, size_t n)
{
    size_t count = 0;

    for (size_t i = 0; i < n; i++)
        count += isfinite(values[i]) != 0;
    return count;
}

static void assert_edges(const struct histogram *h, double min, double max)
{
    assert_in_range(h->length, 1, HISTOGRAM_BUCKETS_MAX);
    assert_true(h->left[0] == min);
    assert_true(h->right[h->length - 1] == max);
    assert_true(h->count[0] > 0);
    assert_true(h->count[h->length - 1] > 0);
    for (size_t i = 0; i < h->length; i++) {
        assert_true(isfinite(h->left[i]) && isfinite(h->right[i]));
        assert_true(h->left[i] <= h->right[i]);
        assert_true(i == 0 || h->left[i] == h->right[i - 1]);
        assert_true(i == 0 || h->count[i] > 0 || h->count[i - 1] > 0);
    }
}

/* Checks every count against the values; *h is left for more. */
static void must_show(struct histogram *h, const double *values, size_t n)
{
    struct summary s;
    size_t before = 0;

    assert_true(values_summarise(&s, values, n));
    assert_true(histogram_linear(&s, h));
    assert_edges(h, s.min, s.max);
    for (size_t i = 0; i < h->length; i++) {
        size_t upto =
            i + 1 == h->length ? finite_among(values, n) : left_of(values, n, h->right[i]);

        assert_true(h->count[i] == (double)(upto - before));
        before = upto;
    }
    assert_int_equal(before, finite_among(values, n));
    summary_free(&s);
}

enum { MANY = 20000 };
static double values[MANY];

static double uniform(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (double)(*seed >> 11) * 0x1p-53;
}

static double normal(uint64_t *seed)
{
    double radius = sqrt(-2 * log(1 - uniform(seed)));

    return radius * cos(6.283185307179586 * uniform(seed));
}

static void a_normal_tensor_keeps_counts_and_quantiles(void **state)
{
    (void)state;
    struct histogram h;
    uint64_t seed = 1;
    double median = 0, seen = 0;

    for (size_t i = 0; i < MANY; i++)
        values[i] = (float)normal(&seed);
    must_show(&h, values, MANY);
    assert_in_range(h.length, 40, 64);
    for (size_t i = 0; i < h.length; i++) {
        if (seen <= MANY / 2.0 && seen + h.count[i] > MANY / 2.0)
            median = h.left[i] + (MANY / 2.0 - seen) / h.count[i] * (h.right[i] - h.left[i]);
        assert_true(h.count[i] < MANY / 16.0);
        seen += h.count[i];
    }
    assert_true(fabs(median) < 0.03);
}

static void forty_decades_keep_their_counts(void **state)
{
    (void)state;
    struct histogram h;
    uint64_t seed = 2;

    for (size_t i = 0; i < MANY; i++)
        values[i] = (uniform(&seed) < 0.5 ? -1 : 1) * pow(10, 40 * uniform(&seed) - 30);
    must_show(&h, values, MANY);
    assert_in_range(h.length, 30, 64);
}

static void values_after_relu_keep_their_zeros_apart(void **state)
{
    (void)state;
    struct histogram h;
    uint64_t seed = 3;
    size_t zeros = 0;

    for (size_t i = 0; i < MANY; i++) {
        values[i] = fmax(0, (float)normal(&seed));
        zeros += !(values[i] > 0);
    }
    must_show(&h, values, MANY);
    assert_true(h.left[0] == 0);
    assert_true(h.right[0] < 0.005);
    assert_true(h.count[0] == (double)zeros);
}

static void zeros_among_both_signs_get_a_narrow_bucket(void **state)
{
    (void)state;
    const double few[] = {-5, -5, 0, 0, 0, 7, 7, 7, 7};
    struct histogram h;
    size_t i = 0;

    must_show(&h, few, 9);
    while (!(h.left[i] <= 0 && h.right[i] >= 0 && h.count[i] > 0))
        i++;
    assert_true(h.count[i] == 3);
    assert_true(h.right[i] - h.left[i] < 12.0 / 256);
}

static void zeros_above_negative_values_are_the_last_bucket(void **state)
{
    (void)state;
    const double few[] = {-5, -6, -7, 0, 0, 0, 0};
    struct histogram h;

    must_show(&h, few, 7);
    assert_true(h.right[h.length - 1] == 0);
    assert_true(h.count[h.length - 1] == 4);
    assert_true(h.left[h.length - 1] > -0.01);
}

static void one_value_is_one_bucket(void **state)
{
    (void)state;
    const double same[] = {0.3, 0.3, 0.3}, zeros[] = {0, -0.0};
    struct histogram h;

    must_show(&h, same, 3);
    assert_int_equal(h.length, 1);
    assert_true(h.left[0] == 0.3 && h.right[0] == 0.3 && h.count[0] == 3);
    must_show(&h, zeros, 2);
    assert_int_equal(h.length, 1);
    assert_true(h.count[0] == 2);
}

static void values_on_the_edges_of_buckets_are_counted_once(void **state)
{
    (void)state;
    double edges[96];
    struct histogram h;
    const double two[] = {1, 2}, minus[] = {-2, -1}, both[] = {-1, 1};

    for (int i = 0; i < 96; i++)
        edges[i] = (i < 48 ? -1 : 1) * bucket_low(1000 + (uint32_t)i % 48);
    must_show(&h, edges, 96);
    must_show(&h, two, 2);
    must_show(&h, minus, 2);
    must_show(&h, both, 2);
    assert_true(h.left[0] == -1 && h.right[h.length - 1] == 1);
}

static void one_outlier_leaves_the_rest_readable(void **state)
{
    (void)state;
    struct histogram h;
    uint64_t seed = 4;
    size_t below_one = 0;

    for (size_t i = 0; i < MANY; i++)
        values[i] = (float)uniform(&seed);
    values[77] = 1e6;
    must_show(&h, values, MANY);
    for (size_t i = 0; i < h.length; i++)
        below_one += h.right[i] <= 1;
    assert_true(below_one >= 15);
}

static void what_f32_cannot_hold_keeps_edges_finite_and_ascending(void **state)
{
    (void)state;
    const double huge[] = {-1e308, -1e300, 1, 2, 1e300, 1e308, DBL_MAX};
    const double high[] = {1e308, DBL_MAX}, low[] = {-DBL_MAX, -1e308};
    const double tiny[] = {-5e-324, 5e-324, 1e-310, 1e-300, 0, 1e-45};
    const double wide[] = {-DBL_MAX, DBL_MAX}, above[] = {1, 0x1p128, 0x1.8p128};
    struct histogram h;

    must_show(&h, huge, 7);
    must_show(&h, high, 2);
    must_show(&h, low, 2);
    must_show(&h, tiny, 6);
    must_show(&h, wide, 2);
    must_show(&h, above, 3);
}

static void subnormal_values_keep_their_counts(void **state)
{
    (void)state;
    struct histogram h;
    uint64_t seed = 5;

    for (size_t i = 0; i < MANY; i++)
        values[i] = (double)(int)(uniform(&seed) * 16777216 - 8388608) * 0x1p-149;
    must_show(&h, values, MANY);
    assert_true(h.length >= 8);
}

static void nan_and_infinities_are_left_out(void **state)
{
    (void)state;
    const double mixed[] = {NAN, 1, INFINITY, 3, -INFINITY, NAN}, none[] = {NAN, INFINITY};
    struct histogram h;
    struct summary s;

    must_show(&h, mixed, 6);
    assert_true(h.left[0] == 1 && h.right[h.length - 1] == 3);
    assert_true(values_summarise(&s, none, 2));
    assert_false(histogram_linear(&s, &h));
    assert_int_equal(h.length, 0);
    assert_false(histogram_log10(&s, &h));
    summary_free(&s);
}

static void random_tensors_of_every_kind_keep_their_counts(void **state)
{
    (void)state;
    uint64_t seed = 6;
    struct histogram h;

    for (int round = 0; round < 400; round++) {
        size_t n = 1 + (size_t)(uniform(&seed) * 200);
        double scale = pow(10, 80 * uniform(&seed) - 40), spread = 30 * uniform(&seed);

        for (size_t i = 0; i < n; i++) {
            double kind = uniform(&seed);

            values[i] = scale * normal(&seed) * pow(10, spread * (uniform(&seed) - 0.5));
            values[i] = kind < 0.1   ? 0
                        : kind < 0.2 ? bucket_low(values_bucket(values[i]))
                                     : values[i];
        }
        must_show(&h, values, n);
    }
}

static void a_summary_that_contradicts_itself_does_no_harm(void **state)
{
    (void)state;
    uint64_t one = 1;
    struct summary s = {.count = 5, .parts = 1, .zeros = 5, .min = -1, .max = 1};
    struct summary t = {.count = 1, .parts = 1, .min = 1e30, .max = 2e30};
    struct histogram h;

    assert_true(histogram_linear(&s, &h));
    assert_int_equal(h.length, 1);
    t.positive = (struct summary_span){10, 1, &one, 1};
    assert_true(histogram_linear(&t, &h));
    assert_true(h.left[0] <= h.right[0]);
}

static double log_counts(const struct histogram *h, double from, double to)
{
    double sum = 0;

    for (size_t i = 0; i < h->length; i++) {
        assert_true(isfinite(h->left[i]) && isfinite(h->right[i]) && h->left[i] < h->right[i]);
        assert_true(i == 0 || h->left[i] == h->right[i - 1]);
        if (h->left[i] >= from && h->right[i] <= to)
            sum += h->count[i];
    }
    return sum;
}

static void log10_shows_magnitudes_of_both_signs(void **state)
{
    (void)state;
    const double some[] = {-0.001, 0.001, 0.001, 1, 0, 0};
    struct summary s;
    struct histogram h;

    assert_true(values_summarise(&s, some, 6));
    assert_true(histogram_log10(&s, &h));
    assert_in_range(h.length, 32, 64);
    assert_true(h.count[0] == 3 && h.count[h.length - 1] == 1);
    assert_true(log_counts(&h, -4, 1) == 4);
    assert_true(h.left[0] <= -3 && h.left[0] > -3.06);
    assert_true(h.right[h.length - 1] > 0 && h.right[h.length - 1] < 0.06);
    summary_free(&s);
}

static void log10_of_the_whole_range_is_finite(void **state)
{
    (void)state;
    const double all[] = {1e-310, -1e308, 1, 1e-40};
    struct summary s;
    struct histogram h;

    assert_true(values_summarise(&s, all, 4));
    assert_true(histogram_log10(&s, &h));
    assert_in_range(h.length, 60, 64);
    assert_true(log_counts(&h, -50, 50) == 4);
    assert_true(fabs(h.left[0] + 44.853) < 0.01);
    assert_true(fabs(h.right[h.length - 1] - 38.532) < 0.01);
    summary_free(&s);
}

/* By the table, compared with log10() of the edge itself. */
static void every_edge_has_its_logarithm(void **state)
{
    (void)state;
    struct histogram h;

    for (uint32_t i = 0; i < BUCKETS; i++) {
        uint64_t count = 1;
        struct summary s = {.count = 1, .parts = 1, .positive = {i, 1, &count, 1}};
        double left = log10(i ? bucket_low(i) : 0x1p-149), right = log10(bucket_low(i + 1));

        assert_true(histogram_log10(&s, &h));
        assert_int_equal(h.length, 1);
        assert_true(fabs(h.left[0] - left) <= 1e-15 * fmax(1, fabs(left)));
        assert_true(fabs(h.right[0] - right) <= 1e-15 * fmax(1, fabs(right)));
        assert_true(h.left[0] < h.right[0]);
    }
}

static void log10_edges_stand_still_while_values_move(void **state)
{
    (void)state;
    struct histogram h, moved;
    struct summary s;
    int same = 0;
    double a[] = {1e-9, 1e3}, b[] = {3e-9, 3e3};

    assert_true(values_summarise(&s, a, 2) && histogram_log10(&s, &h));
    summary_free(&s);
    assert_true(values_summarise(&s, b, 2) && histogram_log10(&s, &moved));
    summary_free(&s);
    for (size_t i = 1; i < h.length; i++)
        for (size_t j = 1; j < moved.length; j++)
            same += h.left[i] == moved.left[j];
    assert_true(same >= 50);
}

static void log10_of_nothing_but_zeros_is_none(void **state)
{
    (void)state;
    const double zeros[] = {0, 0};
    struct summary s;
    struct histogram h;

    assert_true(values_summarise(&s, zeros, 2));
    assert_false(histogram_log10(&s, &h));
    assert_true(histogram_linear(&s, &h));
    summary_free(&s);
}

static void random_span(uint64_t *seed, struct summary_span *span, uint64_t *counts)
{
    uint32_t length = (uint32_t)random_below(seed, random_below(seed, 6) ? 60 : BUCKETS);

    for (uint32_t i = 0; i < length; i++)
        counts[i] = random_below(seed, 3) ? random_below(seed, 1000) : 0;
    if (length > 0)
        counts[0] = counts[length - 1] = 1 + random_below(seed, 9);
    *span =
        (struct summary_span){.first = length ? (uint32_t)random_below(seed, BUCKETS - length) : 0,
                              .length = length,
                              .counts = counts};
    if (length && random_below(seed, 8) == 0)
        span->first = 0;
}

/* Buckets anywhere, of one sign or both, with zeros or without. */
static void what_is_stepped_over_is_not_missed(void **state)
{
    static uint64_t negative[BUCKETS], positive[BUCKETS];
    uint64_t seed = 1;

    (void)state;
    for (int i = 0; i < 20000; i++) {
        struct summary s = {.parts = 1,
                            .zeros = random_below(&seed, 3) * random_below(&seed, 5000)};
        struct histogram h, plain;
        bool there;

        random_span(&seed, &s.negative, negative);
        random_span(&seed, &s.positive, positive);
        if (random_below(&seed, 3) == 0)
            s.negative = (struct summary_span){0};
        if (random_below(&seed, 4) == 0)
            s.positive = (struct summary_span){0};
        s.count = s.zeros;
        for (uint32_t k = 0; k < s.negative.length; k++)
            s.count += negative[k];
        for (uint32_t k = 0; k < s.positive.length; k++)
            s.count += positive[k];
        s.min = s.negative.length ? -bucket_low(s.negative.first + s.negative.length) : 0;
        s.max = s.positive.length ? bucket_low(s.positive.first + s.positive.length) : 0;
        if (s.zeros == 0 && s.negative.length == 0)
            s.min = bucket_low(s.positive.first);
        if (s.zeros == 0 && s.positive.length == 0)
            s.max = -bucket_low(s.negative.first);
        memset(&h, 0, sizeof h);
        memset(&plain, 0, sizeof plain);
        there = histogram_linear(&s, &h);
        assert_int_equal(there, plain_linear(&s, &plain));
        assert_memory_equal(&h, &plain, sizeof h);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_stepped_over_is_not_missed),
        cmocka_unit_test(a_normal_tensor_keeps_counts_and_quantiles),
        cmocka_unit_test(forty_decades_keep_their_counts),
        cmocka_unit_test(values_after_relu_keep_their_zeros_apart),
        cmocka_unit_test(zeros_among_both_signs_get_a_narrow_bucket),
        cmocka_unit_test(zeros_above_negative_values_are_the_last_bucket),
        cmocka_unit_test(one_value_is_one_bucket),
        cmocka_unit_test(values_on_the_edges_of_buckets_are_counted_once),
        cmocka_unit_test(one_outlier_leaves_the_rest_readable),
        cmocka_unit_test(what_f32_cannot_hold_keeps_edges_finite_and_ascending),
        cmocka_unit_test(subnormal_values_keep_their_counts),
        cmocka_unit_test(nan_and_infinities_are_left_out),
        cmocka_unit_test(random_tensors_of_every_kind_keep_their_counts),
        cmocka_unit_test(a_summary_that_contradicts_itself_does_no_harm),
        cmocka_unit_test(log10_shows_magnitudes_of_both_signs),
        cmocka_unit_test(log10_of_the_whole_range_is_finite),
        cmocka_unit_test(every_edge_has_its_logarithm),
        cmocka_unit_test(log10_edges_stand_still_while_values_move),
        cmocka_unit_test(log10_of_nothing_but_zeros_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
