#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fenv.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/float_mode.h"
#include "client/sample.h"
#include "tests/unit/random.h"

enum { MANY = SAMPLE_FROM + 1037, SEEDS = 40 };

static _Alignas(64) float values[MANY + 1];
static struct tally exact, sampled;

/* Of many octaves and both signs, with zeros; nothing else. */
static void fill(void)
{
    uint64_t seed = 1;

    for (size_t i = 0; i <= MANY; i++) {
        uint64_t random = random_next(&seed);
        float value = ldexpf((float)(random >> 40), -(int)(random & 15));

        values[i] = random >> 4 & 1 ? -value : random >> 5 & 1 ? value : 0;
    }
}

static uint64_t count_of(const struct tally *t, size_t sign, uint32_t bucket)
{
    return bucket >= t->low && bucket < t->high ? t->narrow[sign * BUCKET_TABLE + bucket] : 0;
}

static uint64_t counted(const struct tally *t)
{
    uint64_t sum = 0;

    for (size_t sign = 0; sign < 2; sign++)
        for (uint32_t bucket = 0; bucket < BUCKETS; bucket++)
            sum += count_of(t, sign, bucket);
    return sum;
}

static double sample(const void *data, size_t n, enum embmon_dtype dtype, uint64_t seed)
{
    tally_start(&exact);
    tally_add(&exact, data, n, dtype);
    tally_start(&sampled);
    return sample_add(&sampled, data, n, dtype, seed);
}

static void moments_must_be_exact(void)
{
    assert_int_equal(sampled.count, exact.count);
    assert_int_equal(sampled.zeros, exact.zeros);
    assert_int_equal(sampled.nans, exact.nans);
    assert_int_equal(sampled.infinities[0], exact.infinities[0]);
    assert_int_equal(sampled.infinities[1], exact.infinities[1]);
    assert_true(sampled.min == exact.min && sampled.max == exact.max);
    assert_true(fabs(sampled.sum - exact.sum) <= 1e-12 * exact.absolute_sum);
    assert_true(fabs(sampled.absolute_sum - exact.absolute_sum) <= 1e-12 * exact.absolute_sum);
    assert_true(fabs(sampled.square_sum - exact.square_sum) <= 1e-12 * exact.square_sum);
}

static void buckets_must_be_near(double error)
{
    assert_int_equal(counted(&sampled), counted(&exact));
    for (size_t sign = 0; sign < 2; sign++)
        for (uint32_t bucket = 0; bucket < BUCKETS; bucket++) {
            double off =
                (double)count_of(&sampled, sign, bucket) - (double)count_of(&exact, sign, bucket);

            if (!(fabs(off) <= 5 * error * (double)exact.count + 1))
                fail_msg("bucket %u is off by %g", bucket, off);
        }
}

static void few_elements_are_all_counted(void **state)
{
    const int32_t integers[] = {1, 2, 3};

    (void)state;
    fill();
    assert_true(sample(values, SAMPLE_FROM - 1, EMBMON_F32, 1) == 0);
    buckets_must_be_near(0);
    moments_must_be_exact();
    assert_true(sample(integers, 3, EMBMON_I32, 1) == 0);
    assert_int_equal(sampled.count, 3);
}

static void all_but_the_buckets_is_exact(void **state)
{
    double error;

    (void)state;
    fill();
    values[100] = NAN;
    values[70000] = INFINITY;
    values[70001] = -INFINITY;
    values[500000] = -0x1p100f; /* alone in its bucket, and hardly ever drawn */
    values[500001] = 0x1p120f;
    error = sample(values, MANY, EMBMON_F32, 7);
    assert_true(fabs(error - 0.5 / sqrt(MANY * 4 / SAMPLE_STRATUM)) < 1e-6);
    moments_must_be_exact();
    buckets_must_be_near(error);
    assert_true(count_of(&sampled, 1, (127 + 100) << 3) >= 1); /* it reaches to both ends */
    assert_true(count_of(&sampled, 0, (127 + 120) << 3) >= 1);
}

static void every_dtype_and_address_is_sampled(void **state)
{
    const enum embmon_dtype dtypes[] = {EMBMON_F32, EMBMON_BF16, EMBMON_F16, EMBMON_F64};

    (void)state;
    for (size_t d = 0; d < 4; d++) {
        size_t size = dtype_size((int)dtypes[d]);
        uint8_t *bytes = malloc((MANY + 1) * size + 1);

        assert_non_null(bytes);
        fill();
        for (size_t i = 0; i < MANY; i++) {
            uint32_t bits;
            double wide = (double)values[i];
            uint16_t half;

            memcpy(&bits, &values[i], sizeof bits);
            half = (uint16_t)(dtypes[d] == EMBMON_F16 ? bits >> 13 & 0xbfff : bits >> 16);
            memcpy(bytes + 1 + i * size,
                   size == 8   ? (void *)&wide
                   : size == 4 ? (void *)&bits
                               : (void *)&half,
                   size);
        }
        for (size_t off = 0; off < 2;
             off++) { /* unaligned elements, and lines that are not whole */
            double error;

            if (off == 1)
                memmove(bytes, bytes + 1, MANY * size);
            error = sample(bytes + 1 - off, MANY, dtypes[d], d);
            assert_true(error > 0);
            moments_must_be_exact();
            buckets_must_be_near(error);
        }
        free(bytes);
    }
}

/* Root mean square, over the seeds, of how far the bucket of 1 is off, by the number of elements;
 * and the mean. */
static double rms_of_one(double *mean, double *error)
{
    double squares = 0, sum = 0;

    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        double off;

        tally_start(&sampled);
        *error = sample_add(&sampled, values, SAMPLE_FROM, EMBMON_F32, seed);
        off = (double)count_of(&sampled, 0, 127 << 3) / SAMPLE_FROM - 0.5;
        squares += off * off;
        sum += off;
    }
    *mean = sum / SEEDS;
    return sqrt(squares / SEEDS);
}

/* The worst there is: lines all of 1 and lines all of 2, half of each stratum. The error is what
 * was said, on average there is none, and without chance there would be none either. */
static void the_error_is_as_stated(void **state)
{
    double mean, error, rms;

    (void)state;
    for (size_t i = 0; i < SAMPLE_FROM; i++)
        values[i] = i / 16 % 2 ? 1.0f : 2.0f;
    rms = rms_of_one(&mean, &error);
    assert_true(rms < 1.35 * error && rms > 0.65 * error);
    assert_true(fabs(mean) < 3.5 * error / sqrt(SEEDS));
}

/* Alike elements far from each other make a sample better, never worse. */
static void shuffled_elements_have_less_error(void **state)
{
    uint64_t seed = 5;
    double mean, error;
    size_t ones = SAMPLE_FROM / 2, left = SAMPLE_FROM;

    (void)state;
    for (size_t i = 0; i < SAMPLE_FROM; i++, left--) {
        bool one = random_below(&seed, left) < ones;

        values[i] = one ? 1.0f : 2.0f;
        ones -= one;
    }
    assert_true(rms_of_one(&mean, &error) < 0.5 * error);
}

static void a_few_among_zeros_are_all_counted(void **state)
{
    (void)state;
    memset(values, 0, sizeof values);
    for (size_t i = 0; i < 1000; i++)
        values[i * 1001] = (float)i + 1;
    assert_true(sample(values, MANY, EMBMON_F32, 3) == 0);
    assert_int_equal(counted(&exact), 1000);
    buckets_must_be_near(0);
    moments_must_be_exact();
    memset(values, 0, sizeof values);
    assert_true(sample(values, MANY, EMBMON_F32, 3) == 0);
    assert_int_equal(sampled.zeros, MANY);
    assert_int_equal(counted(&sampled), 0);
    for (size_t i = 0; i <= MANY; i++)
        values[i] = NAN;
    assert_true(sample(values, MANY, EMBMON_F32, 3) == 0);
    assert_int_equal(sampled.nans, MANY);
    assert_int_equal(counted(&sampled), 0);
}

static void the_callers_floating_point_state_is_untouched(void **state)
{
    (void)state;
    fill();
    feclearexcept(FE_ALL_EXCEPT);
    fesetround(FE_UPWARD);
    tally_start(&sampled);
    assert_true(sample_add(&sampled, values, MANY, EMBMON_F32, 1) > 0);
    assert_int_equal(fetestexcept(FE_ALL_EXCEPT), 0);
    assert_int_equal(fegetround(), FE_UPWARD);
    fesetround(FE_TONEAREST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_elements_are_all_counted),
        cmocka_unit_test(all_but_the_buckets_is_exact),
        cmocka_unit_test(every_dtype_and_address_is_sampled),
        cmocka_unit_test(the_error_is_as_stated),
        cmocka_unit_test(shuffled_elements_have_less_error),
        cmocka_unit_test(a_few_among_zeros_are_all_counted),
        cmocka_unit_test(the_callers_floating_point_state_is_untouched),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
