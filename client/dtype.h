/* The types of elements: their size, and any of them as f64. */
#ifndef EMBMON_CLIENT_DTYPE_H
#define EMBMON_CLIENT_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "embmon/embmon.h"

/* Bytes of an element; 0 for what is not a dtype. */
size_t dtype_size(int dtype);

static inline bool dtype_is_float(enum embmon_dtype dtype)
{
    return dtype == EMBMON_F32 || dtype == EMBMON_F64 || dtype == EMBMON_F16 ||
           dtype == EMBMON_BF16;
}

/* Id i of an array of I32 or I64, aligned or not. */
static inline int64_t dtype_id(const void *ids, size_t i, enum embmon_dtype dtype)
{
    int32_t narrow;
    int64_t wide;

    if (dtype == EMBMON_I64) {
        memcpy(&wide, (const uint8_t *)ids + i * sizeof wide, sizeof wide);
        return wide;
    }
    memcpy(&narrow, (const uint8_t *)ids + i * sizeof narrow, sizeof narrow);
    return narrow;
}

/* The bits of the f32 that is equal to an f16. */
uint32_t dtype_widen_f16(uint32_t half);

/* to[0 ... n) = data, exactly converted but for integers above 2^53. data: aligned as its dtype
 * asks, or at least readable byte by byte. To be called under float_mode_enter(). */
void dtype_load(double *to, const void *data, size_t n, enum embmon_dtype dtype);

#endif
