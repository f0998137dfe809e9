/* The loops of one level; included by kernel.c once for each, which defines before:
 *
 *     LANES                          f32 in a vector
 *     LEVEL(name)                    name of this level's function or type
 *     TARGET                         the attribute that lets the compiler use the level
 *     LEAST_F32, GREATEST_F32(a, b)  of each lane; b where a is NaN. And the same of F64
 *     WIDEN_LOW, WIDEN_HIGH(floats)  half of the lanes as f64
 *     MULTIPLY_ADD(a, b, c)          a * b + c of f64; of what was f32 the product is exact anyway
 *     LOW_WORDS, HIGH_WORDS(a, b)    of the 64-bit lanes of two vectors, in one order
 *     IS_ZERO(bits)                  all bits of a vector are 0
 *     LOAD_F16(a, b, data)           2 * LANES f16 to two vectors of f32, in any order; or not
 *                                    defined, where the processor has no instruction for it
 *
 * All else are the compiler's own vectors. Everything is inlined into the loops at the end, where
 * dtype and variant are constants: what is not asked for there costs nothing.
 */
#define INLINE       static inline __attribute__((always_inline)) TARGET
#define VECTOR(type) type __attribute__((vector_size(LANES * 4)))

typedef VECTOR(uint32_t) LEVEL(bits);
typedef VECTOR(int32_t) LEVEL(ints);
typedef VECTOR(float) LEVEL(floats);
typedef VECTOR(uint64_t) LEVEL(wide_bits);
typedef VECTOR(int64_t) LEVEL(wide_ints);
typedef VECTOR(double) LEVEL(doubles);

/* What a loop adds up, lane by lane; two sums of each kind, so that one need not wait for the
 * other. Counts wrap after 2^32 groups. */
struct LEVEL(lanes) {
    LEVEL(floats) min, max, least;
    LEVEL(doubles) wide_min, wide_max, wide_least;
    LEVEL(doubles) sum[2], absolute[2], square[2];
    LEVEL(bits) zeros, negative_zeros, nans, infinities, negative_infinities;
    uint64_t skipped;
};

INLINE LEVEL(bits) LEVEL(load)(const uint8_t *data)
{
    LEVEL(bits) bits;

    memcpy(&bits, data, sizeof bits);
    return bits;
}

INLINE void LEVEL(clear)(struct LEVEL(lanes) * l)
{
    const float inf = __builtin_inff();

    memset(l, 0, sizeof *l);
    l->min += inf;
    l->max -= inf;
    l->least += inf;
    l->wide_min += (double)inf;
    l->wide_max -= (double)inf;
    l->wide_least += (double)inf;
}

/* ---- moments ----------------------------------------------------------------------------------*/

INLINE void LEVEL(add_up)(struct LEVEL(lanes) * l, size_t at, LEVEL(doubles) value)
{
    l->sum[at] += value;
    l->square[at] = MULTIPLY_ADD(value, value, l->square[at]);
    l->absolute[at] += (LEVEL(doubles))((LEVEL(wide_bits))value & INT64_MAX);
}

INLINE void LEVEL(add_ends_f32)(struct LEVEL(lanes) * l, LEVEL(bits) bits)
{
    l->min = LEAST_F32((LEVEL(floats))bits, l->min);
    l->max = GREATEST_F32((LEVEL(floats))bits, l->max);
}

INLINE void LEVEL(add_sums_f32)(struct LEVEL(lanes) * l, LEVEL(bits) bits)
{
    LEVEL(add_up)(l, 0, WIDEN_LOW((LEVEL(floats))bits));
    LEVEL(add_up)(l, 1, WIDEN_HIGH((LEVEL(floats))bits));
}

/* MEASURE: elements that are not finite are counted, and left out of the rest: as 0 of sums, as NaN
 * of what is least and greatest. */
INLINE void LEVEL(add_f32)(struct LEVEL(lanes) * l, LEVEL(bits) bits, const enum way way)
{
    LEVEL(bits) magnitude = bits & INT32_MAX;
    LEVEL(bits) is_zero = (LEVEL(bits))(magnitude == 0);
    LEVEL(bits) ends = bits;

    l->zeros -= is_zero;
    if (way == MEASURE) {
        LEVEL(bits) odd = (LEVEL(bits))((LEVEL(ints))magnitude >= 0x7f800000);

        l->negative_zeros -= (LEVEL(bits))(bits == 0x80000000u);
        l->nans -= (LEVEL(bits))((LEVEL(ints))magnitude > 0x7f800000);
        l->infinities -= (LEVEL(bits))(bits == 0x7f800000u);
        l->negative_infinities -= (LEVEL(bits))(bits == 0xff800000u);
        l->least = LEAST_F32((LEVEL(floats))(magnitude | is_zero | odd), l->least);
        ends |= odd;
        bits &= ~odd;
    }
    LEVEL(add_ends_f32)(l, ends);
    LEVEL(add_sums_f32)(l, bits);
}

INLINE void LEVEL(add_ends_f64)(struct LEVEL(lanes) * l, LEVEL(wide_bits) bits)
{
    l->wide_min = LEAST_F64((LEVEL(doubles))bits, l->wide_min);
    l->wide_max = GREATEST_F64((LEVEL(doubles))bits, l->wide_max);
}

INLINE void LEVEL(add_f64)(struct LEVEL(lanes) * l, size_t at, LEVEL(wide_bits) bits)
{
    LEVEL(add_ends_f64)(l, bits);
    LEVEL(add_up)(l, at, (LEVEL(doubles))bits);
}

/* All in lanes of 32 bits, as 16-byte vectors have no others to compare: a mask is made for the
 * half that tells, and brought to both. */
INLINE void LEVEL(add_f64_careful)(struct LEVEL(lanes) * l, size_t at, LEVEL(bits) bits)
{
    const LEVEL(bits) high_half = HIGH_HALF, magnitude_mask = ~(high_half & 0x80000000u);
    LEVEL(bits) magnitude = bits & magnitude_mask;
    LEVEL(bits) odd = BOTH_HIGH((LEVEL(bits))((bits & 0x7ff00000) == 0x7ff00000));
    LEVEL(bits) is_zero = (LEVEL(bits))(magnitude == 0);
    LEVEL(bits) is_infinite = (LEVEL(bits))(magnitude == (high_half & 0x7ff00000));
    LEVEL(bits) is_negative = BOTH_HIGH((LEVEL(bits))((LEVEL(ints))bits >> 31));
    LEVEL(bits) ends = bits | odd;

    is_zero &= SWAP(is_zero);
    is_infinite &= SWAP(is_infinite);
    l->zeros -= is_zero & high_half;
    l->negative_zeros -= is_zero & is_negative & high_half;
    l->nans -= odd & ~is_infinite & high_half;
    l->infinities -= is_infinite & ~is_negative & high_half;
    l->negative_infinities -= is_infinite & is_negative & high_half;
    l->wide_least = LEAST_F64((LEVEL(doubles))(magnitude | is_zero | odd), l->wide_least);
    l->wide_min = LEAST_F64((LEVEL(doubles))ends, l->wide_min);
    l->wide_max = GREATEST_F64((LEVEL(doubles))ends, l->wide_max);
    LEVEL(add_up)(l, at, (LEVEL(doubles))(bits & ~odd));
}

/* ---- loading: 2 * LANES elements as two vectors of f32, in any order --------------------------
 */

/* The lower and the upper half of each 32 bits. */
INLINE void LEVEL(load_bf16)(LEVEL(bits) * a, LEVEL(bits) * b, const uint8_t *data)
{
    LEVEL(bits) both = LEVEL(load)(data);

    *a = both << 16;
    *b = both & 0xffff0000u;
}

#ifndef LOAD_F16
/* By integers, and one subtraction for subnormals: as f32 these get an exponent and an implicit one
 * that the subtraction takes away again, exactly. */
INLINE LEVEL(bits) LEVEL(widen_f16)(LEVEL(bits) half)
{
    const LEVEL(bits) exponent = half & 0x7c00;
    LEVEL(bits) wide = ((half & 0x7fff) << 13) + ((127 - 15) << 23);
    LEVEL(bits) is_odd = (LEVEL(bits))(exponent == 0x7c00), is_small = (LEVEL(bits))(exponent == 0);
    LEVEL(bits) smallest = is_small & (113 << 23);

    wide += is_odd & ((128 - 16) << 23);
    wide += is_small & (1 << 23);
    wide = (LEVEL(bits))((LEVEL(floats))wide - (LEVEL(floats))smallest);
    return wide | (half & 0x8000) << 16;
}

INLINE void LEVEL(load_f16)(LEVEL(bits) * a, LEVEL(bits) * b, const uint8_t *data)
{
    LEVEL(bits) both = LEVEL(load)(data);

    *a = LEVEL(widen_f16)(both & 0xffff);
    *b = LEVEL(widen_f16)(both >> 16);
}
#else
INLINE void LEVEL(load_f16)(LEVEL(bits) * a, LEVEL(bits) * b, const uint8_t *data)
{
    LOAD_F16(*a, *b, data);
}
#endif

INLINE void LEVEL(load_pair)(LEVEL(bits) * a, LEVEL(bits) * b, const uint8_t *data, const int dtype)
{
    if (dtype == EMBMON_F16) {
        LEVEL(load_f16)(a, b, data);
    } else if (dtype == EMBMON_BF16) {
        LEVEL(load_bf16)(a, b, data);
    } else {
        *a = LEVEL(load)(data);
        *b = LEVEL(load)(data + sizeof *a);
    }
}

/* ---- one group of elements ---------------------------------------------------------------------
 */

/* All are 0 or -0. */
INLINE bool LEVEL(all_zero)(const uint8_t *data, const int dtype)
{
    const size_t bytes = KERNEL_GROUP * kernel_bytes(dtype);
    LEVEL(bits) found = {0};

#pragma GCC unroll 16
    for (size_t at = 0; at < bytes; at += sizeof found)
        found |= LEVEL(load)(data + at);
    if (dtype == EMBMON_F64)
        found &= ~((LEVEL(bits))HIGH_HALF & 0x80000000u);
    else
        found &= dtype == EMBMON_F32 ? 0x7fffffff : 0x7fff7fff;
    return IS_ZERO(found);
}

/* The places in the tables of f64, 0 for those that are not read as easily: outside the normal f32,
 * and zeros. None of the others is there. */
INLINE LEVEL(bits) LEVEL(places_f64)(LEVEL(bits) * is_zero, LEVEL(bits) a, LEVEL(bits) b)
{
    const uint32_t lowest = ((1023 - 127) << 3) + 8;
    LEVEL(bits) low = LOW_WORDS(a, b), high = HIGH_WORDS(a, b);
    LEVEL(bits) magnitude = high & INT32_MAX;
    LEVEL(bits) place = (magnitude >> 17) - (lowest - 8);
    LEVEL(bits) sign = high >> (31 - 11) & BUCKET_TABLE;
    /* As unsigned below BUCKETS - 8, by the comparison of signed that all levels have. */
    LEVEL(ints) above = (LEVEL(ints))((magnitude >> 17) - (lowest + (uint32_t)INT32_MIN));

    *is_zero = (LEVEL(bits))((magnitude | low) == 0);
    return (place | sign) & (LEVEL(bits))(above < INT32_MIN + BUCKETS - 8);
}

INLINE void LEVEL(take_f64)(struct LEVEL(lanes) * l, const uint8_t *data, kernel_tables tables,
                            const enum way way)
{
    _Alignas(64) uint32_t places[KERNEL_GROUP];

#pragma GCC unroll 8
    for (size_t i = 0; i < KERNEL_GROUP; i += LANES, data += LANES * sizeof(double)) {
        LEVEL(bits) a = LEVEL(load)(data), b = LEVEL(load)(data + sizeof a);
        LEVEL(bits) is_zero, at = LEVEL(places_f64)(&is_zero, a, b);

        l->zeros -= is_zero;
        memcpy(places + i, &at, sizeof at);
        LEVEL(add_f64)(l, 0, (LEVEL(wide_bits))a);
        LEVEL(add_f64)(l, 1, (LEVEL(wide_bits))b);
    }
    if (way == COUNT) {
        IN_MEMORY_F64(places);
        kernel_count_places(tables, places);
    }
}

INLINE void LEVEL(take)(struct LEVEL(lanes) * l, const uint8_t *data, kernel_tables tables,
                        const int dtype, const enum way way)
{
    _Alignas(64) uint32_t spilled[KERNEL_GROUP];
    const size_t bytes = 2 * LANES * kernel_bytes(dtype);

    if (way == COUNT && dtype == EMBMON_F32)
        kernel_count_f32(tables, data);
    if (way == COUNT && dtype == EMBMON_BF16)
        kernel_count_bf16(tables, data);
#pragma GCC unroll 8
    for (size_t i = 0; i < KERNEL_GROUP; i += 2 * LANES, data += bytes) {
        LEVEL(bits) a, b;

        LEVEL(load_pair)(&a, &b, data, dtype);
        if (way == COUNT && dtype == EMBMON_F16) {
            memcpy(spilled + i, &a, sizeof a);
            memcpy(spilled + i + LANES, &b, sizeof b);
        }
        LEVEL(add_f32)(l, a, way);
        LEVEL(add_f32)(l, b, way);
    }
    if (way == COUNT && dtype == EMBMON_F16) {
        IN_MEMORY_F16(spilled);
        kernel_count_f32(tables, (const uint8_t *)spilled);
    }
}

/* ---- the loops --------------------------------------------------------------------------------*/

/* Lane by lane, as two that have gone to opposite infinities would make NaN. A sum of absolute
 * values is finite where all are, but for f64 that are too large to be added up. */
INLINE void LEVEL(reduce_sums)(struct kernel_sums *sums, const struct LEVEL(lanes) * l)
{
    for (size_t at = 0; at < 2; at++)
        for (size_t i = 0; i < LANES / 2; i++) {
            sums->irregular |= !(l->absolute[at][i] <= DBL_MAX);
            sums->sum = kernel_saturate(sums->sum + kernel_saturate(l->sum[at][i]));
            sums->absolute_sum = kernel_saturate(sums->absolute_sum + l->absolute[at][i]);
            sums->square_sum = kernel_saturate(sums->square_sum + l->square[at][i]);
        }
}

INLINE void LEVEL(reduce_ends)(struct kernel_sums *sums, const struct LEVEL(lanes) * l,
                               const int dtype)
{
    const size_t lanes = dtype == EMBMON_F64 ? LANES / 2 : LANES;

    sums->min = sums->least = __builtin_inf();
    sums->max = -__builtin_inf();
    for (size_t i = 0; i < lanes; i++) {
        double min = dtype == EMBMON_F64 ? l->wide_min[i] : (double)l->min[i];
        double max = dtype == EMBMON_F64 ? l->wide_max[i] : (double)l->max[i];
        double least = dtype == EMBMON_F64 ? l->wide_least[i] : (double)l->least[i];

        sums->min = min < sums->min ? min : sums->min;
        sums->max = max > sums->max ? max : sums->max;
        sums->least = least < sums->least ? least : sums->least;
    }
    if (l->skipped > 0) {
        sums->min = sums->min < 0 ? sums->min : 0;
        sums->max = sums->max > 0 ? sums->max : 0;
    }
}

INLINE void LEVEL(reduce)(struct kernel_sums *sums, const struct LEVEL(lanes) * l, size_t n,
                          const int dtype)
{
    uint64_t zeros = 0;

    memset(sums, 0, sizeof *sums);
    for (size_t i = 0; i < LANES; i++) {
        zeros += l->zeros[i];
        sums->zeros[1] += l->negative_zeros[i];
        sums->nans += l->nans[i];
        sums->infinities[0] += l->infinities[i];
        sums->infinities[1] += l->negative_infinities[i];
    }
    sums->zeros[0] = zeros - sums->zeros[1];
    sums->skipped = l->skipped;
    sums->finite = n - sums->nans - sums->infinities[0] - sums->infinities[1];
    if (sums->finite > 0) {
        LEVEL(reduce_ends)(sums, l, dtype);
        LEVEL(reduce_sums)(sums, l);
    }
    if (sums->finite == zeros + l->skipped)
        sums->least = 0;
}

INLINE void LEVEL(scan)(struct kernel_sums *sums, const uint8_t *data, size_t n,
                        kernel_tables tables, const int dtype, const enum way way)
{
    const size_t bytes = KERNEL_GROUP * kernel_bytes(dtype);
    struct LEVEL(lanes) lanes;

    LEVEL(clear)(&lanes);
    for (size_t i = 0; i < n; i += KERNEL_GROUP, data += bytes) {
#pragma GCC unroll 4
        for (size_t line = 0; line < bytes; line += 64)
            __builtin_prefetch(data + PREFETCH + line);
        if (LEVEL(all_zero)(data, dtype))
            lanes.skipped += KERNEL_GROUP;
        else if (dtype == EMBMON_F64)
            LEVEL(take_f64)(&lanes, data, tables, way);
        else
            LEVEL(take)(&lanes, data, tables, dtype, way);
    }
    LEVEL(reduce)(sums, &lanes, n, dtype);
    if (way == COUNT)
        sums->irregular |= kernel_take_zeros(tables) != sums->zeros[0];
}

INLINE void LEVEL(measure_pair)(struct LEVEL(lanes) * l, const uint8_t *data, const int dtype)
{
    LEVEL(bits) a, b;

    LEVEL(load_pair)(&a, &b, data, dtype);
    if (dtype == EMBMON_F64) {
        LEVEL(add_f64_careful)(l, 0, a);
        LEVEL(add_f64_careful)(l, 1, b);
    } else {
        LEVEL(add_f32)(l, a, MEASURE);
        LEVEL(add_f32)(l, b, MEASURE);
    }
}

/* The last elements are filled up with NaN, which are then taken from their count: all bits set are
 * a NaN in each dtype. */
INLINE void LEVEL(measure)(struct kernel_sums *sums, const uint8_t *data, size_t n, const int dtype)
{
    const size_t pair = dtype == EMBMON_F64 ? LANES : 2 * LANES, bytes = kernel_bytes(dtype);
    size_t whole = n / pair * pair, filled = whole == n ? 0 : pair - (n - whole);
    _Alignas(64) uint8_t last[2 * LANES * sizeof(uint32_t)];
    struct LEVEL(lanes) lanes;

    LEVEL(clear)(&lanes);
    for (size_t i = 0; i < whole; i += pair)
        LEVEL(measure_pair)(&lanes, data + i * bytes, dtype);
    if (filled > 0) {
        memset(last, 0xff, sizeof last);
        memcpy(last, data + whole * bytes, (n - whole) * bytes);
        LEVEL(measure_pair)(&lanes, last, dtype);
    }
    LEVEL(reduce)(sums, &lanes, n + filled, dtype);
    sums->nans -= filled;
    sums->irregular = false;
}

#define LOOPS(suffix, dtype)                                                                       \
    TARGET static void LEVEL(count_##suffix)(struct kernel_sums * sums, const void *data,          \
                                             size_t n, kernel_tables tables)                       \
    {                                                                                              \
        LEVEL(scan)(sums, data, n, tables, dtype, COUNT);                                          \
    }                                                                                              \
    TARGET static void LEVEL(sum_##suffix)(struct kernel_sums * sums, const void *data, size_t n,  \
                                           kernel_tables tables)                                   \
    {                                                                                              \
        LEVEL(scan)(sums, data, n, tables, dtype, SUM);                                            \
    }                                                                                              \
    TARGET static void LEVEL(measure_##suffix)(struct kernel_sums * sums, const void *data,        \
                                               size_t n)                                           \
    {                                                                                              \
        LEVEL(measure)(sums, data, n, dtype);                                                      \
    }
LOOPS(f32, EMBMON_F32)
LOOPS(f64, EMBMON_F64)
LOOPS(f16, EMBMON_F16)
LOOPS(bf16, EMBMON_BF16)

#undef LOOPS
#include "client/kernel_pairs.h"
#define SET(suffix)                                                                                \
    {                                                                                              \
        LEVEL(count_##suffix), LEVEL(sum_##suffix), LEVEL(measure_##suffix), PAIRS(suffix)         \
    }
static const struct kernel LEVEL(kernel) = {SET(f32), SET(f64), SET(f16), SET(bf16), FOLD_PAIRS};

#undef SET
#undef PAIRS
#undef FOLD_PAIRS
#undef VECTOR
#undef INLINE
#undef LANES
#undef LEVEL
#undef TARGET
#undef LEAST_F32
#undef GREATEST_F32
#undef LEAST_F64
#undef GREATEST_F64
#undef WIDEN_LOW
#undef WIDEN_HIGH
#undef MULTIPLY_ADD
#undef LOW_WORDS
#undef HIGH_WORDS
#undef HIGH_HALF
#undef BOTH_HIGH
#undef SWAP
#undef IS_ZERO
#undef LOAD_F16
#undef IN_MEMORY_F16
#undef IN_MEMORY_F64
