#include "client/units.h"

#include <math.h>
#include <string.h>

#include "client/float_mode.h"
#include "client/summarize.h"

enum { BLOCK = 512, EXAMPLES_LOOKED_AT = 64 };

static const double LIMIT = 1e-4; /* so near to it counts as reached */

enum unit_function units_function(const char *activation)
{
    if (strcmp(activation, "tanh") == 0)
        return UNITS_TANH;
    return strcmp(activation, "sigmoid") == 0 ? UNITS_SIGMOID : UNITS_ANY;
}

struct unit_shape units_shape(const int64_t *shape, uint32_t rank, size_t count)
{
    struct unit_shape found = {0, 1};

    if (rank == 0 || shape[rank - 1] <= 0 || shape[rank - 1] > UNITS_MAX || count == 0)
        return found;
    found.units = (size_t)shape[rank - 1];
    for (uint32_t i = rank > 1; i < rank; i++) {
        if (shape[i] <= 0 ||
            __builtin_mul_overflow(found.example, (size_t)shape[i], &found.example)) {
            found.example = found.units; /* one varies */
            break;
        }
    }
    if (count % found.example)
        found.example = found.units;
    if (count % found.units)
        found.units = 0;
    return found;
}

/* ---- is a unit ever not 0: by the bits as they are, OR-ed over the batch. Narrow layers are gone
 * over several examples at a time, so that the loop is long enough to be worth its start. */

enum { PERIOD_MIN = 64 };

#define SEE(name, type)                                                                            \
    static void name(void *seen, size_t period, const uint8_t *data, size_t count)                 \
    {                                                                                              \
        typedef type lanes __attribute__((vector_size(16)));                                       \
        type *bits = seen;                                                                         \
                                                                                                   \
        for (size_t n; count > 0; count -= n, data += n * sizeof(type)) {                          \
            size_t i = 0;                                                                          \
                                                                                                   \
            n = count < period ? count : period;                                                   \
            for (; i + sizeof(lanes) / sizeof(type) <= n; i += sizeof(lanes) / sizeof(type)) {     \
                lanes many, found;                                                                 \
                                                                                                   \
                memcpy(&many, data + i * sizeof(type), sizeof many);                               \
                memcpy(&found, bits + i, sizeof found);                                            \
                found |= many + many; /* -0 is 0 */                                                \
                memcpy(bits + i, &found, sizeof found);                                            \
            }                                                                                      \
            for (; i < n; i++) {                                                                   \
                type value;                                                                        \
                                                                                                   \
                memcpy(&value, data + i * sizeof value, sizeof value);                             \
                bits[i] = (type)(bits[i] | (type)(value << 1));                                    \
            }                                                                                      \
        }                                                                                          \
    }
SEE(see16, uint16_t)
SEE(see32, uint32_t)
SEE(see64, uint64_t)
#undef SEE

static bool was_seen(const void *seen, size_t at, size_t size)
{
    static const uint8_t zero[sizeof(uint64_t)];

    return memcmp((const uint8_t *)seen + at * size, zero, size) != 0;
}

/* seen: zeroed, of period * size bytes. */
static uint64_t count_dead(void *seen, size_t period, size_t units, const uint8_t *data,
                           size_t count, size_t size)
{
    uint64_t dead = 0;

    if (size == 2)
        see16(seen, period, data, count);
    else if (size == 4)
        see32(seen, period, data, count);
    else
        see64(seen, period, data, count);
    for (size_t unit = 0; unit < units; unit++) {
        size_t at = unit;

        while (at < period && !was_seen(seen, at, size))
            at += units;
        dead += at >= period;
    }
    return dead;
}

/* ---- is the limit reached. Not inlined: it runs under the default floating-point mode
 * (float_mode.h), as those below. */

typedef double pair __attribute__((vector_size(16)));
typedef int64_t pair_mask __attribute__((vector_size(16)));

__attribute__((noinline)) static uint64_t
count_saturated(const uint8_t *data, size_t count, enum embmon_dtype dtype, double low, double high)
{
    _Alignas(16) double values[BLOCK + 1];
    pair_mask saturated = {0};

    for (size_t n; count > 0; count -= n, data += n * dtype_size((int)dtype)) {
        n = count < BLOCK ? count : BLOCK;
        dtype_load(values, data, n, dtype);
        values[n] = (low + high) / 2;
        for (size_t i = 0; i < n; i += 2) {
            pair two;

            memcpy(&two, values + i, sizeof two);
            saturated -= (pair_mask)(two < low) | (pair_mask)(two > high);
        }
    }
    return (uint64_t)saturated[0] + (uint64_t)saturated[1];
}

/* ---- how far do examples differ: block by block of what they consist of. Each element as its
 * distance from the first example's, so that equal ones give exactly 0 and nearly equal ones do not
 * cancel. */

struct examples {
    const uint8_t *data;
    size_t count, length; /* elements of one */
    enum embmon_dtype dtype;
};

/* Of each element of a block. */
struct spread {
    double first[BLOCK], sums[BLOCK], squares[BLOCK];
};

/* As many elements at a time as a vector of `bytes` holds in f64; each for itself, so that all ways
 * say the same to the bit. */
#define ADD_DISTANCES(name, type, bytes, attribute)                                                \
    attribute static void name(struct spread *s, const void *data, size_t n)                       \
    {                                                                                              \
        enum { LANES = (bytes) / sizeof(double) };                                                 \
        typedef type some __attribute__((vector_size(LANES * sizeof(type))));                      \
        typedef double wide __attribute__((vector_size(bytes)));                                   \
        size_t i = 0;                                                                              \
                                                                                                   \
        for (; i + LANES <= n; i += LANES) {                                                       \
            some values;                                                                           \
            wide distance, sum, square;                                                            \
                                                                                                   \
            memcpy(&values, (const type *)data + i, sizeof values);                                \
            memcpy(&distance, s->first + i, sizeof distance);                                      \
            memcpy(&sum, s->sums + i, sizeof sum);                                                 \
            memcpy(&square, s->squares + i, sizeof square);                                        \
            distance = __builtin_convertvector(values, wide) - distance;                           \
            sum += distance;                                                                       \
            square += distance * distance;                                                         \
            memcpy(s->sums + i, &sum, sizeof sum);                                                 \
            memcpy(s->squares + i, &square, sizeof square);                                        \
        }                                                                                          \
        for (; i < n; i++) {                                                                       \
            type value;                                                                            \
            double distance;                                                                       \
                                                                                                   \
            memcpy(&value, (const type *)data + i, sizeof value);                                  \
            distance = (double)value - s->first[i];                                                \
            s->sums[i] += distance;                                                                \
            s->squares[i] += distance * distance;                                                  \
        }                                                                                          \
    }
ADD_DISTANCES(add_f32, float, 16, )
ADD_DISTANCES(add_f64, double, 16, )
#if defined(__x86_64__)
ADD_DISTANCES(add_f32_avx2, float, 32, __attribute__((target("avx2"))))
#endif
#undef ADD_DISTANCES

static void add_distances(struct spread *s, const uint8_t *data, size_t n, enum embmon_dtype dtype)
{
    double values[BLOCK];

#if defined(__x86_64__)
    if (dtype == EMBMON_F32 && __builtin_cpu_supports("avx2")) {
        add_f32_avx2(s, data, n);
        return;
    }
#endif
    if (dtype == EMBMON_F32) {
        add_f32(s, data, n);
    } else {
        dtype_load(values, data, n, dtype);
        add_f64(s, values, n);
    }
}

/* Sum of the variances of n elements from `at` on. */
static double variances_of(const struct examples *e, size_t at, size_t n)
{
    size_t taken = e->count < EXAMPLES_LOOKED_AT ? e->count : EXAMPLES_LOOKED_AT;
    size_t size = dtype_size((int)e->dtype);
    struct spread s;
    double total = 0;

    if (taken == 0)
        return NAN;
    dtype_load(s.first, e->data + at * size, n, e->dtype);
    memset(s.sums, 0, n * sizeof s.sums[0]);
    memset(s.squares, 0, n * sizeof s.squares[0]);
    for (size_t k = 0; k < taken; k++)
        add_distances(&s, e->data + (k * e->count / taken * e->length + at) * size, n, e->dtype);
    for (size_t i = 0; i < n; i++) {
        double mean = s.sums[i] / (double)taken;
        double variance = s.squares[i] / (double)taken - mean * mean;

        total += variance < 0 ? 0 : variance; /* NaN stays */
    }
    return total;
}

__attribute__((noinline)) static double mean_variance(const struct examples *e)
{
    double total = 0;

    for (size_t at = 0; at < e->length; at += BLOCK)
        total += variances_of(e, at, e->length - at < BLOCK ? e->length - at : BLOCK);
    total /= (double)e->length;
    return isfinite(total) ? total : NAN;
}

/* ---- all of it */

struct unit_counts units_measure(const void *data, size_t count, enum embmon_dtype dtype,
                                 struct unit_shape shape, enum unit_function function,
                                 struct rows_scratch *scratch)
{
    size_t size = dtype_size((int)dtype);
    size_t period = shape.units ? (PERIOD_MIN + shape.units - 1) / shape.units * shape.units : 0;
    struct unit_counts counts = {.variance = NAN};
    struct examples examples = {data, 0, shape.example, dtype};
    struct float_mode mode;
    void *seen = rows_scratch_take(scratch, period * size);

    if (!seen)
        return counts;
    memset(seen, 0, period * size);
    counts.units = shape.units;
    counts.dead = count_dead(seen, period, shape.units, data, count, size);
    rows_scratch_give(scratch, seen, period * size);
    counts.examples = examples.count = count / shape.example;
    mode = float_mode_enter();
    if (function != UNITS_ANY)
        counts.saturated = count_saturated(data, count, dtype,
                                           function == UNITS_TANH ? -1 + LIMIT : LIMIT, 1 - LIMIT);
    counts.variance = mean_variance(&examples);
    float_mode_leave(mode);
    return counts;
}
