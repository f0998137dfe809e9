#include "client/kernel.h"

#include <float.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#else
#include <arm_neon.h>
#endif

/* The three loops of kernel.h. */
enum way { COUNT, SUM, MEASURE };

/* So many bytes ahead of where a loop is, memory is asked for what comes: tensors that no cache
 * holds are else waited for, most of all where something else was read between two pieces. */
enum { PREFETCH = 8 << 10 };

static inline size_t kernel_bytes(const int dtype)
{
    return dtype == EMBMON_F64 ? 8 : dtype == EMBMON_F32 ? 4 : 2;
}

static inline double kernel_saturate(double value)
{
    return value > DBL_MAX ? DBL_MAX : value < -DBL_MAX ? -DBL_MAX : value;
}

/* ---- counting, the same at all levels: a bucket is read from the bits, several in a word ------
 */

#define INLINE static inline __attribute__((always_inline))

INLINE void kernel_count_f32(kernel_tables tables, const uint8_t *data)
{
#pragma GCC unroll 16
    for (size_t i = 0; i < KERNEL_GROUP; i += 2) {
        uint64_t word;

        memcpy(&word, data + i * sizeof(float), sizeof word);
        tables[i % KERNEL_TABLES][(uint32_t)word >> BUCKET_SHIFT]++;
        tables[(i + 1) % KERNEL_TABLES][word >> (32 + BUCKET_SHIFT)]++;
    }
}

INLINE void kernel_count_bf16(kernel_tables tables, const uint8_t *data)
{
#pragma GCC unroll 8
    for (size_t i = 0; i < KERNEL_GROUP; i += 4) {
        uint64_t word;

        memcpy(&word, data + i * sizeof(uint16_t), sizeof word);
        tables[0][(uint16_t)word >> (BUCKET_SHIFT - 16)]++;
        tables[1][(uint32_t)word >> BUCKET_SHIFT]++;
        tables[2][(uint16_t)(word >> 32) >> (BUCKET_SHIFT - 16)]++;
        tables[3][word >> (32 + BUCKET_SHIFT)]++;
    }
}

INLINE void kernel_count_places(kernel_tables tables, const uint32_t *places)
{
#pragma GCC unroll 16
    for (size_t i = 0; i < KERNEL_GROUP; i += 2) {
        uint64_t word;

        memcpy(&word, places + i, sizeof word);
        tables[i % KERNEL_TABLES][(uint32_t)word]++;
        tables[(i + 1) % KERNEL_TABLES][word >> 32]++;
    }
}

/* Pairs of places, one after the other. */
INLINE void kernel_count_pairs(kernel_pairs pairs, const uint8_t places[KERNEL_PAIRED])
{
    uint16_t *counts = pairs[0];

#pragma GCC unroll 16
    for (size_t i = 0; i < KERNEL_PAIRED; i += 4) {
        uint32_t word;

        memcpy(&word, places + i, sizeof word);
        counts[(uint16_t)word]++;
        counts[word >> 16]++;
    }
}

/* Zeros are many, and a count that was just stored is waited for: the four places that mean nothing
 * take turns, so that pairs of zeros are counted in 16 places. By what is added to place 0. */
#define KERNEL_TURN(a) 0x00, a, 0x7f, a, 0x80, a, 0xff, a
static const uint8_t kernel_apart[KERNEL_PAIRED] __attribute__((aligned(64))) = {
    KERNEL_TURN(0x00), KERNEL_TURN(0x7f), KERNEL_TURN(0x80), KERNEL_TURN(0xff),
    KERNEL_TURN(0x00), KERNEL_TURN(0x7f), KERNEL_TURN(0x80), KERNEL_TURN(0xff)};
#undef KERNEL_TURN

/* Bits below those that tell a bucket, in the upper 16 bits of an element. */
INLINE unsigned kernel_upper_shift(const int dtype)
{
    return dtype == EMBMON_F64 ? 1 : 4;
}

INLINE uint16_t kernel_upper_base(uint32_t base, const int dtype)
{
    const uint32_t bias = dtype == EMBMON_F64 ? 1023 - 127 : 0;

    return (uint16_t)((base + (bias << 3)) << kernel_upper_shift(dtype));
}

/* Takes out of the lowest buckets what was counted there, zeros and what is not, and returns how
 * many they were. Not called but inlined, as all is here: after a call the compiler may forget to
 * clean the upper halves of wide registers, which makes all narrow ones slow. */
INLINE uint64_t kernel_take_zeros(kernel_tables tables)
{
    uint64_t sum = 0;

    for (size_t k = 0; k < KERNEL_TABLES; k++) {
        sum += (uint64_t)tables[k][0] + tables[k][BUCKET_TABLE];
        tables[k][0] = tables[k][BUCKET_TABLE] = 0;
    }
    return sum;
}
#undef INLINE

/* Places that are made by vectors and read one by one go through memory, where the compiler would
 * take them out of their registers: which is slower where there are many vectors for few places. */
#define IN_MEMORY(places) __asm__("" : "+m"(places))

/* What was loaded before is not kept in registers until it is needed again: there are too few. */
#define LOADED_ANEW(data) __asm__("" : "+r"(data))

/* ---- the levels --------------------------------------------------------------------------------
 */

#if defined(__x86_64__)

#define LANES       4
#define LEVEL(name) name##_base
#define TARGET
#define LEAST_F32(a, b)       (LEVEL(floats)) _mm_min_ps((__m128)(a), (__m128)(b))
#define GREATEST_F32(a, b)    (LEVEL(floats)) _mm_max_ps((__m128)(a), (__m128)(b))
#define LEAST_F64(a, b)       (LEVEL(doubles)) _mm_min_pd((__m128d)(a), (__m128d)(b))
#define GREATEST_F64(a, b)    (LEVEL(doubles)) _mm_max_pd((__m128d)(a), (__m128d)(b))
#define WIDEN_LOW(v)          (LEVEL(doubles)) _mm_cvtps_pd((__m128)(v))
#define WIDEN_HIGH(v)         (LEVEL(doubles)) _mm_cvtps_pd(_mm_movehl_ps((__m128)(v), (__m128)(v)))
#define MULTIPLY_ADD(a, b, c) ((a) * (b) + (c))
#define LOW_WORDS(a, b)       __builtin_shufflevector(a, b, 0, 2, 4, 6)
#define HIGH_WORDS(a, b)      __builtin_shufflevector(a, b, 1, 3, 5, 7)
#define BOTH_HIGH(a)          __builtin_shufflevector(a, a, 1, 1, 3, 3)
#define SWAP(a)               __builtin_shufflevector(a, a, 1, 0, 3, 2)
#define HIGH_HALF                                                                                  \
    (LEVEL(bits))                                                                                  \
    {                                                                                              \
        0, UINT32_MAX, 0, UINT32_MAX                                                               \
    }
#define IS_ZERO(v)    (_mm_movemask_epi8(_mm_cmpeq_epi32((__m128i)(v), _mm_setzero_si128())) == 0xffff)
#define IN_MEMORY_F16 IN_MEMORY
#define IN_MEMORY_F64 IN_MEMORY
#include "client/kernel_loop.h"

/* clang 14 cannot ask the processor for F16C, and does without. */
#if defined(__clang__)
#define AVX2       "avx2,fma"
#define HAS_AVX2() (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
#else
#define AVX2 "avx2,fma,f16c"
#define HAS_AVX2()                                                                                 \
    (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&                            \
     __builtin_cpu_supports("f16c"))
#define LOAD_F16(a, b, data)                                                                       \
    do {                                                                                           \
        (a) = (LEVEL(bits))_mm256_cvtph_ps(_mm_loadu_si128((const __m128i_u *)(data)));            \
        (b) = (LEVEL(bits))_mm256_cvtph_ps(_mm_loadu_si128((const __m128i_u *)(data) + 1));        \
    } while (0)
#endif
#define LANES              8
#define LEVEL(name)        name##_avx2
#define TARGET             __attribute__((target(AVX2)))
#define LEAST_F32(a, b)    (LEVEL(floats)) _mm256_min_ps((__m256)(a), (__m256)(b))
#define GREATEST_F32(a, b) (LEVEL(floats)) _mm256_max_ps((__m256)(a), (__m256)(b))
#define LEAST_F64(a, b)    (LEVEL(doubles)) _mm256_min_pd((__m256d)(a), (__m256d)(b))
#define GREATEST_F64(a, b) (LEVEL(doubles)) _mm256_max_pd((__m256d)(a), (__m256d)(b))
#define WIDEN_LOW(v)       (LEVEL(doubles)) _mm256_cvtps_pd(_mm256_castps256_ps128((__m256)(v)))
#define WIDEN_HIGH(v)      (LEVEL(doubles)) _mm256_cvtps_pd(_mm256_extractf128_ps((__m256)(v), 1))
#define MULTIPLY_ADD(a, b, c)                                                                      \
    (LEVEL(doubles)) _mm256_fmadd_pd((__m256d)(a), (__m256d)(b), (__m256d)(c))
#define LOW_WORDS(a, b)  __builtin_shufflevector(a, b, 0, 2, 8, 10, 4, 6, 12, 14)
#define HIGH_WORDS(a, b) __builtin_shufflevector(a, b, 1, 3, 9, 11, 5, 7, 13, 15)
#define BOTH_HIGH(a)     __builtin_shufflevector(a, a, 1, 1, 3, 3, 5, 5, 7, 7)
#define SWAP(a)          __builtin_shufflevector(a, a, 1, 0, 3, 2, 5, 4, 7, 6)
#define HIGH_HALF                                                                                  \
    (LEVEL(bits))                                                                                  \
    {                                                                                              \
        0, UINT32_MAX, 0, UINT32_MAX, 0, UINT32_MAX, 0, UINT32_MAX                                 \
    }
#define IS_ZERO(v) _mm256_testz_si256((__m256i)(v), (__m256i)(v))
#define IN_MEMORY_F16(places)
#define IN_MEMORY_F64  IN_MEMORY
#define MERGE(a, b)    (LEVEL(words)) _mm256_blend_epi16((__m256i)((a) >> 16), (__m256i)(b), 0xaa)
#define SUBTRACT(a, b) (LEVEL(words)) _mm256_subs_epu16((__m256i)(a), (__m256i)(b))
#define PACK(a, b)     (LEVEL(bytes)) _mm256_packs_epi16((__m256i)(a), (__m256i)(b))
#define MORE(a, b)     (LEVEL(bytes)) _mm256_max_epu8((__m256i)(a), (__m256i)(b))
#define ANY_REACHES(a, b)                                                                          \
    (_mm256_movemask_epi8(_mm256_cmpeq_epi8((__m256i)MORE(a, b), (__m256i)(a))) != 0)
#define COUNT(a) (size_t) __builtin_popcount((unsigned)_mm256_movemask_epi8((__m256i)(a)))
#include "client/kernel_loop.h"

#define LANES              16
#define LEVEL(name)        name##_avx512
#define TARGET             __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")))
#define LEAST_F32(a, b)    (LEVEL(floats)) _mm512_min_ps((__m512)(a), (__m512)(b))
#define GREATEST_F32(a, b) (LEVEL(floats)) _mm512_max_ps((__m512)(a), (__m512)(b))
#define LEAST_F64(a, b)    (LEVEL(doubles)) _mm512_min_pd((__m512d)(a), (__m512d)(b))
#define GREATEST_F64(a, b) (LEVEL(doubles)) _mm512_max_pd((__m512d)(a), (__m512d)(b))
#define WIDEN_LOW(v)       (LEVEL(doubles)) _mm512_cvtps_pd(_mm512_castps512_ps256((__m512)(v)))
#define WIDEN_HIGH(v)      (LEVEL(doubles)) _mm512_cvtps_pd(_mm512_extractf32x8_ps((__m512)(v), 1))
#define MULTIPLY_ADD(a, b, c)                                                                      \
    (LEVEL(doubles)) _mm512_fmadd_pd((__m512d)(a), (__m512d)(b), (__m512d)(c))
#define LOW_WORDS(a, b)                                                                            \
    __builtin_shufflevector(a, b, 0, 2, 16, 18, 4, 6, 20, 22, 8, 10, 24, 26, 12, 14, 28, 30)
#define HIGH_WORDS(a, b)                                                                           \
    __builtin_shufflevector(a, b, 1, 3, 17, 19, 5, 7, 21, 23, 9, 11, 25, 27, 13, 15, 29, 31)
#define BOTH_HIGH(a)                                                                               \
    __builtin_shufflevector(a, a, 1, 1, 3, 3, 5, 5, 7, 7, 9, 9, 11, 11, 13, 13, 15, 15)
#define SWAP(a) __builtin_shufflevector(a, a, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14)
#define HIGH_HALF                                                                                  \
    (LEVEL(bits))                                                                                  \
    {                                                                                              \
        0, UINT32_MAX, 0, UINT32_MAX, 0, UINT32_MAX, 0, UINT32_MAX, 0, UINT32_MAX, 0, UINT32_MAX,  \
            0, UINT32_MAX, 0, UINT32_MAX                                                           \
    }
#define IS_ZERO(v) (_mm512_test_epi32_mask((__m512i)(v), (__m512i)(v)) == 0)
#define LOAD_F16(a, b, data)                                                                       \
    do {                                                                                           \
        (a) = (LEVEL(bits))_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i_u *)(data)));         \
        (b) = (LEVEL(bits))_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i_u *)(data) + 1));     \
    } while (0)
#define IN_MEMORY_F16(places)
#define IN_MEMORY_F64(places)
#define MERGE(a, b)       (LEVEL(words))((a) >> 16 | ((b)&0xffff0000u))
#define SUBTRACT(a, b)    (LEVEL(words)) _mm512_subs_epu16((__m512i)(a), (__m512i)(b))
#define PACK(a, b)        (LEVEL(bytes)) _mm512_packs_epi16((__m512i)(a), (__m512i)(b))
#define MORE(a, b)        (LEVEL(bytes)) _mm512_max_epu8((__m512i)(a), (__m512i)(b))
#define ANY_REACHES(a, b) (_mm512_cmpge_epu8_mask((__m512i)(a), (__m512i)(b)) != 0)
#define COUNT(a)          (size_t) __builtin_popcountll(_mm512_movepi8_mask((__m512i)(a)))
#include "client/kernel_loop.h"

#elif defined(__aarch64__)

#define LANES       4
#define LEVEL(name) name##_base
#define TARGET
#define LEAST_F32(a, b)    (LEVEL(floats)) vminnmq_f32((float32x4_t)(a), (float32x4_t)(b))
#define GREATEST_F32(a, b) (LEVEL(floats)) vmaxnmq_f32((float32x4_t)(a), (float32x4_t)(b))
#define LEAST_F64(a, b)    (LEVEL(doubles)) vminnmq_f64((float64x2_t)(a), (float64x2_t)(b))
#define GREATEST_F64(a, b) (LEVEL(doubles)) vmaxnmq_f64((float64x2_t)(a), (float64x2_t)(b))
#define WIDEN_LOW(v)       (LEVEL(doubles)) vcvt_f64_f32(vget_low_f32((float32x4_t)(v)))
#define WIDEN_HIGH(v)      (LEVEL(doubles)) vcvt_high_f64_f32((float32x4_t)(v))
#define MULTIPLY_ADD(a, b, c)                                                                      \
    (LEVEL(doubles)) vfmaq_f64((float64x2_t)(c), (float64x2_t)(a), (float64x2_t)(b))
#define LOW_WORDS(a, b)  __builtin_shufflevector(a, b, 0, 2, 4, 6)
#define HIGH_WORDS(a, b) __builtin_shufflevector(a, b, 1, 3, 5, 7)
#define BOTH_HIGH(a)     __builtin_shufflevector(a, a, 1, 1, 3, 3)
#define SWAP(a)          __builtin_shufflevector(a, a, 1, 0, 3, 2)
#define HIGH_HALF                                                                                  \
    (LEVEL(bits))                                                                                  \
    {                                                                                              \
        0, UINT32_MAX, 0, UINT32_MAX                                                               \
    }
#define IS_ZERO(v)    (vmaxvq_u32((uint32x4_t)(v)) == 0)
#define IN_MEMORY_F16 IN_MEMORY
#define IN_MEMORY_F64 IN_MEMORY
#include "client/kernel_loop.h"

#else
#error "embmond knows the vectors of x86-64 and aarch64 only"
#endif

const struct kernel *kernel_at(enum kernel_level level)
{
    if (level == KERNEL_BASE)
        return &kernel_base;
#if defined(__x86_64__)
    if (level == KERNEL_AVX2 && HAS_AVX2())
        return &kernel_avx2;
    /* Processors that have these, but not VBMI2, lower the clock of the whole core while they use
     * wide registers: the trainer would pay for it. */
    if (level == KERNEL_AVX512 && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512vbmi2"))
        return &kernel_avx512;
#endif
    return NULL;
}

const struct kernel *kernel_best(void)
{
    const struct kernel *kernel = NULL;

    for (int level = KERNEL_LEVELS - 1; !kernel; level--)
        kernel = kernel_at((enum kernel_level)level);
    return kernel;
}
