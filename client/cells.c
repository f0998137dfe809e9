#include "client/cells.h"

#include <string.h>

#include "client/dtype.h"

#define F64_SIGN     ((uint64_t)1 << 63)
#define F64_INFINITY ((uint64_t)0x7ff << 52)

enum { BIAS64 = 1023, BIAS32 = 127, PER_OCTAVE = 8 };

/* Of what is outside the normal f32. */
static uint32_t odd_bucket_of_f64(uint64_t magnitude)
{
    uint32_t top = (uint32_t)(magnitude >> 49), exponent = top / PER_OCTAVE;

    if (exponent > BIAS64)
        return magnitude >= F64_INFINITY ? BUCKETS : BUCKETS - 1;
    /* Subnormal as f32: count in units of 2^-129. */
    exponent = BIAS64 - BIAS32 + 1 - exponent;
    return exponent > 3 ? 0 : (PER_OCTAVE | top % PER_OCTAVE) >> exponent;
}

static inline uint32_t cell_of_bits64(uint64_t bits)
{
    uint64_t magnitude = bits & ~F64_SIGN;
    /* The exponent and 3 bits of the mantissa, with the bias of f32; wraps below. */
    uint32_t bucket = (uint32_t)(magnitude >> 49) - (BIAS64 - BIAS32) * PER_OCTAVE;

    if (bucket - PER_OCTAVE >= BUCKETS - PER_OCTAVE)
        bucket = odd_bucket_of_f64(magnitude);
    return bucket + (uint32_t)(bits >> 63) * BUCKET_TABLE;
}

uint32_t cell_of_f64(uint64_t bits)
{
    return cell_of_bits64(bits);
}

/* The integer itself, not its f64, is rounded toward zero: 2^60 - 1 stays below 2^60. */
uint32_t cell_of_integer(int64_t value)
{
    uint64_t magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    uint32_t leading, mantissa;

    if (magnitude == 0)
        return 0;
    leading = (uint32_t)__builtin_clzll(magnitude);
    mantissa = (uint32_t)(magnitude << leading >> 60) % PER_OCTAVE;
    return (BIAS32 + 63 - leading) * PER_OCTAVE + mantissa + (value < 0 ? BUCKET_TABLE : 0);
}

/* Infinities and NaN have no bucket as it is. */
static uint32_t cell_of_bits(uint32_t bits)
{
    return bits >> BUCKET_SHIFT;
}

static uint32_t cell_of_f16(uint16_t half)
{
    return dtype_widen_f16(half) >> BUCKET_SHIFT;
}

static uint32_t cell_of_bf16(uint16_t half)
{
    return (uint32_t)half >> (BUCKET_SHIFT - 16);
}

#define EACH(type, statement)                                                                      \
    for (size_t i = 0; i < n; i++) {                                                               \
        type value;                                                                                \
                                                                                                   \
        memcpy(&value, (const uint8_t *)data + i * sizeof value, sizeof value);                    \
        statement;                                                                                 \
    }

void cells_count(uint32_t cells[CELLS], const void *data, size_t n, enum embmon_dtype dtype)
{
    switch (dtype) {
    case EMBMON_F32:
        EACH(uint32_t, cells[cell_of_bits(value)]++);
        break;
    case EMBMON_F64:
        EACH(uint64_t, cells[cell_of_bits64(value)]++);
        break;
    case EMBMON_F16:
        EACH(uint16_t, cells[cell_of_f16(value)]++);
        break;
    case EMBMON_BF16:
        EACH(uint16_t, cells[cell_of_bf16(value)]++);
        break;
    case EMBMON_I8:
        EACH(int8_t, cells[cell_of_integer(value)]++);
        break;
    case EMBMON_I16:
        EACH(int16_t, cells[cell_of_integer(value)]++);
        break;
    case EMBMON_I32:
        EACH(int32_t, cells[cell_of_integer(value)]++);
        break;
    case EMBMON_I64:
        EACH(int64_t, cells[cell_of_integer(value)]++);
        break;
    }
}

/* Neither a zero nor, by its bucket, one that the loops count. */
static bool is_irregular(uint64_t bits)
{
    uint64_t magnitude = bits & ~F64_SIGN;
    uint64_t exponent = magnitude >> 52;

    return magnitude > 0 && magnitude < F64_INFINITY &&
           (exponent <= BIAS64 - BIAS32 || exponent > BIAS64 + BIAS32);
}

static bool is_lowest(uint32_t bits)
{
    return bits << 1 != 0 && bits << 1 >> 1 < 1u << BUCKET_SHIFT;
}

void cells_count_irregular(uint32_t cells[CELLS], const void *data, size_t n,
                           enum embmon_dtype dtype)
{
    if (dtype == EMBMON_F64) {
        EACH(uint64_t, if (is_irregular(value)) cells[cell_of_bits64(value)]++);
    } else if (dtype == EMBMON_F32) {
        EACH(uint32_t, if (is_lowest(value)) cells[cell_of_bits(value)]++);
    } else if (dtype == EMBMON_BF16) {
        EACH(uint16_t, if (is_lowest((uint32_t)value << 16)) cells[cell_of_bf16(value)]++);
    } /* no f16 is in the lowest bucket */
}
#undef EACH
