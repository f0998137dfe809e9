#include "client/dtype.h"

#include <string.h>

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

uint32_t dtype_widen_f16(uint32_t half)
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

static double from_bits32(uint32_t bits)
{
    float value;

    memcpy(&value, &bits, sizeof value);
    return (double)value;
}

static double from_f16(uint16_t half)
{
    return from_bits32(dtype_widen_f16(half));
}

static double from_bf16(uint16_t half)
{
    return from_bits32((uint32_t)half << 16);
}

static double from_integer(int64_t value)
{
    return (double)value;
}

#define LOAD(name, type, from)                                                                     \
    static void name(double *to, const uint8_t *data, size_t n)                                    \
    {                                                                                              \
        for (size_t i = 0; i < n; i++) {                                                           \
            type value;                                                                            \
                                                                                                   \
            memcpy(&value, data + i * sizeof value, sizeof value);                                 \
            to[i] = from(value);                                                                   \
        }                                                                                          \
    }
LOAD(load_f16, uint16_t, from_f16)
LOAD(load_bf16, uint16_t, from_bf16)
LOAD(load_i8, int8_t, from_integer)
LOAD(load_i16, int16_t, from_integer)
LOAD(load_i32, int32_t, from_integer)
LOAD(load_i64, int64_t, from_integer)
#undef LOAD

/* What most tensors are, four at a time. */
static void load_f32(double *to, const uint8_t *data, size_t n)
{
    typedef float floats __attribute__((vector_size(16)));
    typedef double doubles __attribute__((vector_size(32)));
    size_t i = 0;

    for (; i + 4 <= n; i += 4) {
        floats narrow;
        doubles wide;

        memcpy(&narrow, data + i * sizeof(float), sizeof narrow);
        wide = __builtin_convertvector(narrow, doubles);
        memcpy(to + i, &wide, sizeof wide);
    }
    for (; i < n; i++) {
        float value;

        memcpy(&value, data + i * sizeof value, sizeof value);
        to[i] = (double)value;
    }
}

static void load_f64(double *to, const uint8_t *data, size_t n)
{
    memcpy(to, data, n * sizeof *to);
}

void dtype_load(double *to, const void *data, size_t n, enum embmon_dtype dtype)
{
    static void (*const loaders[])(double *, const uint8_t *, size_t) = {
        [EMBMON_F32] = load_f32,   [EMBMON_F64] = load_f64, [EMBMON_F16] = load_f16,
        [EMBMON_BF16] = load_bf16, [EMBMON_I8] = load_i8,   [EMBMON_I16] = load_i16,
        [EMBMON_I32] = load_i32,   [EMBMON_I64] = load_i64,
    };

    loaders[dtype](to, data, n);
}
