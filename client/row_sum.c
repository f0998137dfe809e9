#include "client/row_sum.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "client/dtype.h"

enum { PIECE = 128 }; /* elements that are made f64 at once */

/* f32, which most are: 16 columns of all rows, so that their sums stay in registers. WIDE: 16 bytes
 * of f32 as f64. */
typedef double doubles __attribute__((vector_size(32)));

#define ADD_F32(name, attribute, WIDE)                                                             \
    attribute static void name(double *sums, const uint8_t *const *rows, size_t n, size_t columns) \
    {                                                                                              \
        for (size_t i = 0; i + 16 <= columns; i += 16) {                                           \
            doubles a, b, c, d;                                                                    \
                                                                                                   \
            memcpy(&a, sums + i, sizeof a);                                                        \
            memcpy(&b, sums + i + 4, sizeof b);                                                    \
            memcpy(&c, sums + i + 8, sizeof c);                                                    \
            memcpy(&d, sums + i + 12, sizeof d);                                                   \
            for (size_t k = 0; k < n; k++) {                                                       \
                const uint8_t *row = rows[k] + i * sizeof(float);                                  \
                                                                                                   \
                a += WIDE(row);                                                                    \
                b += WIDE(row + 16);                                                               \
                c += WIDE(row + 32);                                                               \
                d += WIDE(row + 48);                                                               \
            }                                                                                      \
            memcpy(sums + i, &a, sizeof a);                                                        \
            memcpy(sums + i + 4, &b, sizeof b);                                                    \
            memcpy(sums + i + 8, &c, sizeof c);                                                    \
            memcpy(sums + i + 12, &d, sizeof d);                                                   \
        }                                                                                          \
        for (size_t i = columns / 16 * 16; i < columns; i++)                                       \
            for (size_t k = 0; k < n; k++) {                                                       \
                float value;                                                                       \
                                                                                                   \
                memcpy(&value, rows[k] + i * sizeof value, sizeof value);                          \
                sums[i] += (double)value;                                                          \
            }                                                                                      \
    }

typedef float floats __attribute__((vector_size(16), aligned(1), may_alias));

#define WIDEN(data) __builtin_convertvector(*(const floats *)(const void *)(data), doubles)
ADD_F32(add_f32, , WIDEN)
#if defined(__x86_64__)
#define WIDEN_AVX2(data)                                                                           \
    ((doubles)_mm256_cvtps_pd(_mm_loadu_ps((const float *)(const void *)(data))))
ADD_F32(add_f32_avx2, __attribute__((target("avx2"))), WIDEN_AVX2)
#endif
#undef WIDEN
#undef ADD_F32

static void add_any(double *sums, const uint8_t *row, size_t columns, enum embmon_dtype dtype)
{
    double values[PIECE];

    for (size_t at = 0, n; at < columns; at += n) {
        n = columns - at < PIECE ? columns - at : PIECE;
        dtype_load(values, row + at * dtype_size((int)dtype), n, dtype);
        for (size_t i = 0; i < n; i++)
            sums[at + i] += values[i];
    }
}

void row_sum(double *sums, bool anew, const uint8_t *const *rows, size_t n, size_t columns,
             enum embmon_dtype dtype)
{
    if (anew)
        memset(sums, 0, columns * sizeof *sums);
    if (dtype != EMBMON_F32) {
        for (size_t k = 0; k < n; k++)
            add_any(sums, rows[k], columns, dtype);
        return;
    }
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) {
        add_f32_avx2(sums, rows, n, columns);
        return;
    }
#endif
    add_f32(sums, rows, n, columns);
}
