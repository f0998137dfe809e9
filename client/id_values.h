/* Floats that are to be ids, for id_stats.c and id_check.c. Values are sorted by their bits where
 * NaN may be one of them. */
#ifndef EMBMON_CLIENT_ID_VALUES_H
#define EMBMON_CLIENT_ID_VALUES_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "embmon/embmon.h"

/* Neither NaN nor infinite. */
static inline bool id_is_number(double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof bits);
    return (bits >> 52 & 0x7ff) != 0x7ff;
}

static inline double id_magnitude(double value)
{
    return value < 0 ? -value : value;
}

/* Truncated toward zero. INT64_MIN for what is no number: never a row, never the padding. */
static inline int64_t id_truncated(double value)
{
    if (!id_is_number(value))
        return INT64_MIN;
    if (id_magnitude(value) < 0x1p63)
        return (int64_t)value;
    return value < 0 ? INT64_MIN : INT64_MAX;
}

/* With a fraction, or no number. id: what it is truncated to. */
static inline bool id_is_fractional(double value, int64_t id)
{
    return !id_is_number(value) || (id_magnitude(value) < 0x1p52 && (double)id != value);
}

/* The magnitude from which on neighbours are the same. */
static inline double id_exact_below(enum embmon_dtype dtype)
{
    switch ((int)dtype) {
    case EMBMON_F16:
        return 0x1p11;
    case EMBMON_BF16:
        return 0x1p8;
    case EMBMON_F32:
        return 0x1p24;
    default:
        return 0x1p53;
    }
}

#endif
