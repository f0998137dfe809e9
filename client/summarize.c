#include "client/summarize.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "client/float_mode.h"

/* Elements are taken in blocks that stay in the first cache: a block is loaded as f64 values and
 * table cells (what differs between dtypes), then counted and added up (what does not). */
enum { BLOCK = 512, NEGATIVE = BUCKET_TABLE, ZERO = 2 * BUCKET_TABLE };

#define F64_SIGN     ((uint64_t)1 << 63)
#define F64_INFINITY ((uint64_t)0x7ff << 52)

/* Several lanes at once: the compiler's vectors, which every target has in some form. */
enum { LANES = 4 };
typedef uint32_t lanes32 __attribute__((vector_size(LANES * 4)));
typedef float lanes_float __attribute__((vector_size(LANES * 4)));
typedef double lanes_double __attribute__((vector_size(LANES * 8)));
typedef int64_t lanes_mask __attribute__((vector_size(LANES * 8)));

/* A cell is a place in the table: ZERO, a bucket, or, for what is not finite, a place that no
 * bucket has. Behind the last element there is room up to whole lanes. */
struct block {
    _Alignas(64) double value[BLOCK];
    _Alignas(64) uint32_t cell[BLOCK];
};

size_t dtype_size(int dtype)
{
    switch (dtype) {
    case EMBMON_F32:
    case EMBMON_I32:
        return 4;
    case EMBMON_F64:
    case EMBMON_I64:
        return 8;
    case EMBMON_F16:
    case EMBMON_BF16:
    case EMBMON_I16:
        return 2;
    case EMBMON_I8:
        return 1;
    default:
        return 0;
    }
}

static uint64_t bits_of(double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static double saturate(double value)
{
    return value > DBL_MAX ? DBL_MAX : value < -DBL_MAX ? -DBL_MAX : value;
}

/* ---- loading: values and cells of one block ------------------------------------------------- */

/* bits: whole lanes of them; what is behind the n-th does not matter. */
static void load_bits32(struct block *b, const uint32_t *bits, size_t n)
{
    const lanes32 zero = {ZERO, ZERO, ZERO, ZERO};

    for (size_t i = 0; i < n; i += LANES) {
        lanes32 raw, is_zero, cell;
        lanes_float narrow;
        lanes_double value;

        memcpy(&raw, bits + i, sizeof raw);
        memcpy(&narrow, &raw, sizeof narrow);
        value = __builtin_convertvector(narrow, lanes_double);
        is_zero = (lanes32)(raw + raw == 0);
        cell = (raw >> BUCKET_SHIFT & ~is_zero) | (zero & is_zero);
        memcpy(b->value + i, &value, sizeof value);
        memcpy(b->cell + i, &cell, sizeof cell);
    }
}

static void load_f32(struct block *b, const uint8_t *data, size_t n)
{
    uint32_t bits[BLOCK];

    memcpy(bits, data, n * sizeof bits[0]);
    load_bits32(b, bits, n);
}

static void load_bf16(struct block *b, const uint8_t *data, size_t n)
{
    uint16_t half[BLOCK];
    uint32_t bits[BLOCK];

    memcpy(half, data, n * sizeof half[0]);
    for (size_t i = 0; i < n; i++)
        bits[i] = (uint32_t)half[i] << 16;
    load_bits32(b, bits, n);
}

/* Exact: every f16 is an f32. */
static uint32_t widen_f16(uint32_t half)
{
    uint32_t sign = (half & 0x8000) << 16;
    uint32_t exponent = half >> 10 & 0x1f;
    uint32_t mantissa = half & 0x3ff;

    if (exponent == 0x1f)
        return sign | 0x7f800000 | mantissa << 13;
    if (exponent == 0) {
        uint32_t shift;

        if (mantissa == 0)
            return sign;
        /* A subnormal: the leading one moves to the implicit place. */
        shift = (uint32_t)__builtin_clz(mantissa) - 21;
        return sign | (113 - shift) << 23 | (mantissa << shift & 0x3ff) << 13;
    }
    return sign | (exponent + 112) << 23 | mantissa << 13;
}

static void load_f16(struct block *b, const uint8_t *data, size_t n)
{
    uint16_t half[BLOCK];
    uint32_t bits[BLOCK];

    memcpy(half, data, n * sizeof half[0]);
    for (size_t i = 0; i < n; i++)
        bits[i] = widen_f16(half[i]);
    load_bits32(b, bits, n);
}

/* Bucket of a non-zero f64 rounded toward zero to f32: exponent and top 3 mantissa bits, with the
 * bias of f32. BUCKETS for what is not finite. */
static uint32_t bucket_of_f64(uint64_t magnitude)
{
    uint32_t top = (uint32_t)(magnitude >> 49);
    uint32_t exponent = top >> 3;

    if (exponent > 1023 + 127)
        return magnitude >= F64_INFINITY ? BUCKETS : BUCKETS - 1;
    if (exponent > 1023 - 127)
        return top - ((1023 - 127) << 3);
    /* Subnormal as f32: count in units of 2^-129. */
    exponent = 1023 - 126 - exponent;
    return exponent > 3 ? 0 : (8 | (top & 7)) >> exponent;
}

static void load_f64(struct block *b, const uint8_t *data, size_t n)
{
    memcpy(b->value, data, n * sizeof b->value[0]);
    for (size_t i = 0; i < n; i++) {
        uint64_t bits = bits_of(b->value[i]);

        uint32_t bucket = bucket_of_f64(bits & ~F64_SIGN);
        uint32_t sign = (uint32_t)(bits >> 63) * NEGATIVE;

        b->cell[i] = bits << 1 == 0 ? ZERO : bucket | sign;
    }
}

/* The integer itself, not its f64, is rounded toward zero: 2^60 - 1 stays below 2^60. */
static uint32_t cell_of_integer(int64_t value)
{
    uint64_t magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    uint32_t leading, mantissa;

    if (magnitude == 0)
        return ZERO;
    leading = (uint32_t)__builtin_clzll(magnitude);
    mantissa = (uint32_t)(magnitude << leading >> 60) & 7;
    return (127 + 63 - leading) << 3 | mantissa | (value < 0 ? NEGATIVE : 0);
}

static void load_integers(struct block *b, const int64_t *values, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        b->value[i] = (double)values[i];
        b->cell[i] = cell_of_integer(values[i]);
    }
}

#define LOAD_INTEGERS(name, type)                                                                  \
    static void name(struct block *b, const uint8_t *data, size_t n)                               \
    {                                                                                              \
        int64_t values[BLOCK];                                                                     \
                                                                                                   \
        for (size_t i = 0; i < n; i++) {                                                           \
            type value;                                                                            \
                                                                                                   \
            memcpy(&value, data + i * sizeof value, sizeof value);                                 \
            values[i] = value;                                                                     \
        }                                                                                          \
        load_integers(b, values, n);                                                               \
    }
LOAD_INTEGERS(load_i8, int8_t)
LOAD_INTEGERS(load_i16, int16_t)
LOAD_INTEGERS(load_i32, int32_t)
LOAD_INTEGERS(load_i64, int64_t)
#undef LOAD_INTEGERS

typedef void load_function(struct block *b, const uint8_t *data, size_t n);

static load_function *loader(enum embmon_dtype dtype)
{
    static load_function *const loaders[] = {
        [EMBMON_F32] = load_f32,   [EMBMON_F64] = load_f64, [EMBMON_F16] = load_f16,
        [EMBMON_BF16] = load_bf16, [EMBMON_I8] = load_i8,   [EMBMON_I16] = load_i16,
        [EMBMON_I32] = load_i32,   [EMBMON_I64] = load_i64,
    };

    return loaders[dtype];
}

static void load_floats(double *to, const uint8_t *data, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float value;

        memcpy(&value, data + i * sizeof value, sizeof value);
        to[i] = (double)value;
    }
}

void dtype_load(double *to, const void *data, size_t n, enum embmon_dtype dtype)
{
    struct block block;
    const uint8_t *bytes = data;

    for (size_t taken; n > 0; n -= taken) {
        taken = n < BLOCK ? n : BLOCK;
        if (dtype == EMBMON_F32) { /* no need of their buckets */
            load_floats(to, bytes, taken);
        } else {
            loader(dtype)(&block, bytes, taken);
            memcpy(to, block.value, taken * sizeof *to);
        }
        to += taken;
        bytes += taken * dtype_size(dtype);
    }
}

/* ---- counting and adding up ------------------------------------------------------------------ */

/* Takes the elements that are not finite out of the block; returns how many are left. */
static size_t sort_out(struct tally *t, struct block *b, size_t n)
{
    size_t kept = 0;

    for (size_t i = 0; i < n; i++) {
        uint64_t bits = bits_of(b->value[i]);
        uint64_t magnitude = bits & ~F64_SIGN;

        if (magnitude > F64_INFINITY)
            t->nans++;
        else if (magnitude == F64_INFINITY && bits == magnitude)
            t->positive_infinities++;
        else if (magnitude == F64_INFINITY)
            t->negative_infinities++;
        else
            b->value[kept++] = b->value[i];
    }
    return kept;
}

static bool has_nonfinite(const struct tally *t)
{
    uint32_t found = 0;

    for (size_t i = BUCKETS; i < BUCKET_TABLE; i++)
        found |= t->narrow[i] | t->narrow[NEGATIVE + i];
    return found > 0;
}

static void clear_nonfinite(struct tally *t)
{
    memset(&t->narrow[BUCKETS], 0, (BUCKET_TABLE - BUCKETS) * sizeof t->narrow[0]);
    memset(&t->narrow[NEGATIVE + BUCKETS], 0, (BUCKET_TABLE - BUCKETS) * sizeof t->narrow[0]);
}

/* Fills up whole lanes with a value that changes neither end; the sums take zeros for it. */
static void fill_up(struct block *b, size_t n, double value)
{
    for (; n % LANES; n++)
        b->value[n] = value;
}

static void find_ends(struct tally *t, struct block *b, size_t n)
{
    double low[LANES], high[LANES];

    fill_up(b, n, b->value[0]);
    for (size_t lane = 0; lane < LANES; lane++)
        low[lane] = high[lane] = b->value[lane];
    for (size_t i = LANES; i < n; i += LANES)
        for (size_t lane = 0; lane < LANES; lane++) {
            double value = b->value[i + lane];

            low[lane] = value < low[lane] ? value : low[lane];
            high[lane] = value > high[lane] ? value : high[lane];
        }
    if (t->finite == 0)
        t->min = t->max = b->value[0];
    for (size_t lane = 0; lane < LANES; lane++) {
        t->min = low[lane] < t->min ? low[lane] : t->min;
        t->max = high[lane] > t->max ? high[lane] : t->max;
    }
}

/* All values are finite; one addition need not wait for the one before. */
static void add_up(struct tally *t, struct block *b, size_t n)
{
    lanes_double sum = {0}, absolute = {0}, square = {0};

    fill_up(b, n, 0);
    for (size_t i = 0; i < n; i += LANES) {
        lanes_double value;
        lanes_mask bits;

        memcpy(&value, b->value + i, sizeof value);
        sum += value;
        square += value * value;
        memcpy(&bits, &value, sizeof bits);
        bits &= INT64_MAX;
        memcpy(&value, &bits, sizeof value);
        absolute += value;
    }
    for (size_t lane = 0; lane < LANES; lane++) {
        t->sum = saturate(t->sum + saturate(sum[lane]));
        t->absolute_sum = saturate(t->absolute_sum + absolute[lane]);
        t->square_sum = saturate(t->square_sum + square[lane]);
    }
}

/* Not inlined: the compiler may move arithmetic over float_mode_enter(), not over a call. */
__attribute__((noinline)) static void add_all(struct tally *t, const uint8_t *data, size_t n,
                                              load_function *load, size_t element)
{
    struct block block;

    while (n > 0) {
        size_t taken = n < BLOCK ? n : BLOCK;
        size_t kept = taken;

        if (t->narrow_filled > UINT32_MAX - BLOCK)
            tally_spill(t);
        load(&block, data, taken);
        for (size_t i = 0; i < taken; i++)
            t->narrow[block.cell[i]]++;
        if (has_nonfinite(t)) {
            clear_nonfinite(t);
            kept = sort_out(t, &block, taken);
        }
        if (kept > 0) {
            find_ends(t, &block, kept);
            add_up(t, &block, kept);
        }
        t->finite += kept;
        t->count += taken;
        t->narrow_filled += taken;
        data += taken * element;
        n -= taken;
    }
}

/* ---- the tally --------------------------------------------------------------------------------
 */

void tally_start(struct tally *t)
{
    memset(t, 0, offsetof(struct tally, wide)); /* wide is filled by the first spill */
}

void tally_add(struct tally *t, const void *data, size_t n, enum embmon_dtype dtype)
{
    struct float_mode mode = float_mode_enter();

    add_all(t, data, n, loader(dtype), dtype_size(dtype));
    float_mode_leave(mode);
}

void tally_spill(struct tally *t)
{
    if (!t->spilled)
        memset(t->wide, 0, sizeof t->wide);
    t->spilled = true;
    for (size_t i = 0; i < TALLY_CELLS; i++)
        t->wide[i] += t->narrow[i];
    memset(t->narrow, 0, sizeof t->narrow);
    t->narrow_filled = 0;
}

static uint64_t count_at(const struct tally *t, size_t cell)
{
    return t->narrow[cell] + (t->spilled ? t->wide[cell] : 0);
}

void tally_span(const struct tally *t, bool negative, uint32_t *first, uint32_t *length)
{
    size_t base = negative ? NEGATIVE : 0;
    uint32_t low = 0, end = BUCKETS;

    while (low < BUCKETS && count_at(t, base + low) == 0)
        low++;
    while (end > low && count_at(t, base + end - 1) == 0)
        end--;
    *length = end - low;
    *first = *length ? low : 0;
}

void tally_counts(const struct tally *t, bool negative, uint32_t first, uint32_t length,
                  uint64_t *counts)
{
    size_t base = (negative ? NEGATIVE : 0) + first;

    for (uint32_t i = 0; i < length; i++)
        counts[i] = count_at(t, base + i);
}

/* -0.0 is a zero like any other. */
void tally_moments(const struct tally *t, struct summary *s)
{
    memset(s, 0, sizeof *s);
    s->count = t->count;
    s->parts = 1;
    s->zeros = count_at(t, ZERO);
    s->nans = t->nans;
    s->positive_infinities = t->positive_infinities;
    s->negative_infinities = t->negative_infinities;
    s->min = bits_of(t->min) == F64_SIGN ? 0 : t->min;
    s->max = bits_of(t->max) == F64_SIGN ? 0 : t->max;
    s->sum = t->sum;
    s->absolute_sum = t->absolute_sum;
    s->square_sum = t->square_sum;
}
