/* The bucket layout that both ends share.
 *
 * A finite, non-zero value is rounded toward zero to f32; its bucket is read from the bits:
 *
 *     31 30      23 22  20 19                 0
 *    +--+----------+------+--------------------+
 *    |s | exponent | top 3|  dropped           |      index = bits 30..20, 0 ... 2039
 *    +--+----------+------+--------------------+      sign picks one of two tables
 *
 * so a bucket is one eighth of a power of two: relative width 1/8 at its low end, 1/15 at its high
 * end. Exponent 0 (subnormals, below 2^-126) has buckets of equal width 2^-129. Indices 2040 and up
 * would be infinities and NaN, which are counted apart and never get here.
 *
 * Class and bucket come from integer bits, never from a float comparison: trainers run with
 * flush-to-zero on, where subnormals compare equal to zero, and NaN compares false with everything.
 */
#ifndef EMBMON_PROTO_BUCKETS_H
#define EMBMON_PROTO_BUCKETS_H

#include <stdint.h>
#include <string.h>

enum {
    BUCKET_SHIFT = 20,
    BUCKETS = 2040,     /* per sign */
    BUCKET_TABLE = 2048 /* per sign, with the places that no finite value reaches */
};

/* Bits of an f32 with its sign removed, finite and not zero -> index of its bucket. */
static inline uint32_t bucket_of_bits(uint32_t magnitude)
{
    return magnitude >> BUCKET_SHIFT;
}

/* The bucket's smallest magnitude, exact; index BUCKETS gives 2^128, the end of the last one. */
static inline double bucket_low(uint32_t index)
{
    uint32_t bits = index << BUCKET_SHIFT;
    float low;

    if (index >= BUCKETS)
        return 0x1p128;
    memcpy(&low, &bits, sizeof low);
    /* A subnormal would read as zero under denormals-are-zero: count in units of 2^-129. */
    return index < 8 ? (double)index * 0x1p-129 : (double)low;
}

#endif
