#include "proto/crc32c.h"

#include <stdbool.h>
#include <string.h>

#ifdef __x86_64__
#include <immintrin.h>
#endif

/* table[s][b] is the CRC of byte b followed by s zero bytes. A CRC is linear: an entry is the
 * exclusive or of the entries of its bits, so that the compiler makes all 2,048 from these 64. */
#define BIT(i, bit, value) ((i) & (bit) ? (value) : 0u)
#define ENTRY(i, a, b, c, d, e, f, g, h)                                                           \
    (BIT(i, 1u, a) ^ BIT(i, 2u, b) ^ BIT(i, 4u, c) ^ BIT(i, 8u, d) ^ BIT(i, 16u, e) ^              \
     BIT(i, 32u, f) ^ BIT(i, 64u, g) ^ BIT(i, 128u, h))
#define ENTRIES_4(i, ...)                                                                          \
    ENTRY(i, __VA_ARGS__), ENTRY((i) + 1u, __VA_ARGS__), ENTRY((i) + 2u, __VA_ARGS__),             \
        ENTRY((i) + 3u, __VA_ARGS__)
#define ENTRIES_16(i, ...)                                                                         \
    ENTRIES_4(i, __VA_ARGS__), ENTRIES_4((i) + 4u, __VA_ARGS__), ENTRIES_4((i) + 8u, __VA_ARGS__), \
        ENTRIES_4((i) + 12u, __VA_ARGS__)
#define ENTRIES_64(i, ...)                                                                         \
    ENTRIES_16(i, __VA_ARGS__), ENTRIES_16((i) + 16u, __VA_ARGS__),                                \
        ENTRIES_16((i) + 32u, __VA_ARGS__), ENTRIES_16((i) + 48u, __VA_ARGS__)
#define SLICE(...)                                                                                 \
    {                                                                                              \
        ENTRIES_64(0u, __VA_ARGS__), ENTRIES_64(64u, __VA_ARGS__), ENTRIES_64(128u, __VA_ARGS__),  \
            ENTRIES_64(192u, __VA_ARGS__)                                                          \
    }

/* clang-format off */
static const uint32_t table[8][256] = {
    SLICE(0xf26b8303, 0xe13b70f7, 0xc79a971f, 0x8ad958cf, 0x105ec76f, 0x20bd8ede, 0x417b1dbc, 0x82f63b78),
    SLICE(0x13a29877, 0x274530ee, 0x4e8a61dc, 0x9d14c3b8, 0x3fc5f181, 0x7f8be302, 0xff17c604, 0xfbc3faf9),
    SLICE(0xa541927e, 0x4f6f520d, 0x9edea41a, 0x38513ec5, 0x70a27d8a, 0xe144fb14, 0xc76580d9, 0x8b277743),
    SLICE(0xdd45aab8, 0xbf672381, 0x7b2231f3, 0xf64463e6, 0xe964b13d, 0xd725148b, 0xaba65fe7, 0x52a0c93f),
    SLICE(0x38116fac, 0x7022df58, 0xe045beb0, 0xc5670b91, 0x8f2261d3, 0x1ba8b557, 0x37516aae, 0x6ea2d55c),
    SLICE(0xef306b19, 0xdb8ca0c3, 0xb2f53777, 0x6006181f, 0xc00c303e, 0x85f4168d, 0x0e045beb, 0x1c08b7d6),
    SLICE(0x68032cc8, 0xd0065990, 0xa5e0c5d1, 0x4e2dfd53, 0x9c5bfaa6, 0x3d5b83bd, 0x7ab7077a, 0xf56e0ef4),
    SLICE(0x493c7d27, 0x9278fa4e, 0x211d826d, 0x423b04da, 0x847609b4, 0x0d006599, 0x1a00cb32, 0x34019664),
};
/* clang-format on */

static uint32_t load32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

uint32_t crc32c_portable(uint32_t crc, const void *data, size_t n)
{
    const uint8_t *p = data;

    crc = ~crc;
    for (; n >= 8; p += 8, n -= 8) {
        uint32_t low = crc ^ load32(p), high = load32(p + 4);

        crc = table[7][low & 255] ^ table[6][low >> 8 & 255] ^ table[5][low >> 16 & 255] ^
              table[4][low >> 24] ^ table[3][high & 255] ^ table[2][high >> 8 & 255] ^
              table[1][high >> 16 & 255] ^ table[0][high >> 24];
    }
    for (; n > 0; p++, n--)
        crc = crc >> 8 ^ table[0][(crc ^ *p) & 255];
    return ~crc;
}

#ifdef __x86_64__
/* The instruction gives its result three cycles later, and can begin each cycle: three pieces
 * beside each other take a third of the time. A piece's state is then carried over the pieces
 * behind it, which is what as many zeros would make of it. */
enum { PIECE = 48 };

/* shift[s][b]: what PIECE bytes of zeros make of a state with byte b at place s. */
/* clang-format off */
static const uint32_t shift[4][256] = {
    SLICE(0x1c291d04, 0x38523a08, 0x70a47410, 0xe148e820, 0xc77da6b1, 0x8b173b93, 0x13c201d7, 0x278403ae),
    SLICE(0x4f08075c, 0x9e100eb8, 0x39cc6b81, 0x7398d702, 0xe731ae04, 0xcb8f2af9, 0x92f22303, 0x200830f7),
    SLICE(0x401061ee, 0x8020c3dc, 0x05adf149, 0x0b5be292, 0x16b7c524, 0x2d6f8a48, 0x5adf1490, 0xb5be2920),
    SLICE(0x6e9024b1, 0xdd204962, 0xbface435, 0x7ab5be9b, 0xf56b7d36, 0xef3a8c9d, 0xdb996fcb, 0xb2dea967),
};
/* clang-format on */

__attribute__((target("sse4.2"))) static inline uint32_t over_a_piece(uint64_t state)
{
    return shift[0][state & 255] ^ shift[1][state >> 8 & 255] ^ shift[2][state >> 16 & 255] ^
           shift[3][state >> 24 & 255];
}

static uint64_t load64(const uint8_t *p)
{
    uint64_t word;

    memcpy(&word, p, sizeof word); /* the processor is little-endian */
    return word;
}

__attribute__((target("sse4.2"))) static uint64_t three_pieces(uint64_t first, const uint8_t *p)
{
    uint64_t second = 0, third = 0;

    for (size_t i = 0; i < PIECE; i += 8) {
        first = __builtin_ia32_crc32di(first, load64(p + i));
        second = __builtin_ia32_crc32di(second, load64(p + PIECE + i));
        third = __builtin_ia32_crc32di(third, load64(p + 2 * PIECE + i));
    }
    return over_a_piece(over_a_piece(first) ^ second) ^ third;
}

__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t crc, const void *data,
                                                                 size_t n)
{
    const uint8_t *p = data;
    uint64_t state = ~crc;

    for (; n >= 3 * PIECE; p += 3 * PIECE, n -= 3 * PIECE)
        state = three_pieces(state, p);
    for (; n >= 8; p += 8, n -= 8)
        state = __builtin_ia32_crc32di(state, load64(p));
    for (; n > 0; p++, n--)
        state = __builtin_ia32_crc32qi((uint32_t)state, *p);
    return ~(uint32_t)state;
}

/* Vectors multiply polynomials modulo 2. What lies at the beginning of a message is multiplied by
 * x^d, modulo the CRC's polynomial, and added to what lies d bits behind it: the CRC of what is
 * left is that of the whole. The first 8 of 16 bytes lie 64 bits further away than the others. The
 * lowest bit of a number is its highest power, and a product comes out one bit too far: so the
 * factors are x^(d + 63) and x^(d - 1), in the upper half of 64 bits. */
#define VECTORS                __attribute__((target("avx512f,vpclmulqdq,pclmul,sse4.2")))
#define OVER(d, first, second) UINT64_C(first) << 32, UINT64_C(second) << 32

static const uint64_t over_2048[2] = {OVER(2048, 0xe9a5d8be, 0x1426a815)};
static const uint64_t over_512[2] = {OVER(512, 0x1c19243b, 0x75bba45b)};
static const uint64_t to_the_last[8] = {
    OVER(384, 0xa46ef4aa, 0x6051243f),
    OVER(256, 0x33ccbbbc, 0xa2158b34),
    OVER(128, 0x3743f7bd, 0x3171d430),
    0,
    0, /* this one is the last */
};

VECTORS static inline __m512i four_times(const uint64_t *by)
{
    return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)by));
}

VECTORS static inline __m512i times(__m512i vector, __m512i by)
{
    return _mm512_xor_si512(_mm512_clmulepi64_epi128(vector, by, 0x00),
                            _mm512_clmulepi64_epi128(vector, by, 0x11));
}

VECTORS static inline __m512i carry_to(__m512i vector, __m512i by, const uint8_t *p)
{
    return _mm512_xor_si512(times(vector, by), _mm512_loadu_si512(p));
}

/* The CRC's state behind 64 bytes that come after nothing. */
VECTORS static inline uint64_t state_of(__m512i vector)
{
    __m512i moved = times(vector, _mm512_loadu_si512(to_the_last));
    __m128i last = _mm512_extracti32x4_epi32(vector, 3);
    uint64_t state;

    last = _mm_xor_si128(last, _mm512_castsi512_si128(moved));
    last = _mm_xor_si128(last, _mm512_extracti32x4_epi32(moved, 1));
    last = _mm_xor_si128(last, _mm512_extracti32x4_epi32(moved, 2));
    state = _mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(last));
    return _mm_crc32_u64(state, (uint64_t)_mm_extract_epi64(last, 1));
}

enum { VECTORS_AT_ONCE = 4 * 64 };

/* At least so many bytes. */
VECTORS static uint32_t by_vectors(uint32_t crc, const uint8_t *p, size_t n)
{
    const __m512i far = four_times(over_2048), next = four_times(over_512);
    __m512i begun = _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)~crc));
    __m512i a = _mm512_xor_si512(_mm512_loadu_si512(p), begun), b = _mm512_loadu_si512(p + 64),
            c = _mm512_loadu_si512(p + 128), d = _mm512_loadu_si512(p + 192);

    for (p += 256, n -= 256; n >= 256; p += 256, n -= 256) {
        a = carry_to(a, far, p);
        b = carry_to(b, far, p + 64);
        c = carry_to(c, far, p + 128);
        d = carry_to(d, far, p + 192);
    }
    b = _mm512_xor_si512(times(a, next), b);
    c = _mm512_xor_si512(times(b, next), c);
    d = _mm512_xor_si512(times(c, next), d);
    for (; n >= 64; p += 64, n -= 64)
        d = carry_to(d, next, p);
    crc = ~(uint32_t)state_of(d);
    _mm256_zeroupper(); /* gcc 12 forgets it before a last call: all that follows would be slow */
    return by_instruction(crc, p, n);
}

static bool has_vectors(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("vpclmulqdq") &&
           __builtin_cpu_supports("pclmul");
}
#endif

uint32_t crc32c_plain(uint32_t crc, const void *data, size_t n)
{
#ifdef __x86_64__
    if (__builtin_cpu_supports("sse4.2"))
        return by_instruction(crc, data, n);
#endif
    return crc32c_portable(crc, data, n);
}

uint32_t crc32c(uint32_t crc, const void *data, size_t n)
{
#ifdef __x86_64__
    if (n >= VECTORS_AT_ONCE && has_vectors())
        return by_vectors(crc, data, n);
#endif
    return crc32c_plain(crc, data, n);
}

/* ---- two of them */

/* Of polynomials modulo the one of the CRC, whose highest bit is x^0. */
static uint32_t product(uint32_t a, uint32_t b)
{
    uint32_t sum = 0;

    for (; a; a <<= 1) {
        sum ^= a >> 31 ? b : 0;
        b = b >> 1 ^ (b & 1 ? 0x82f63b78u : 0);
    }
    return sum;
}

uint32_t crc32c_join(uint32_t first, uint32_t second, uint64_t n)
{
    for (uint32_t zeros = 1u << 23; n > 0; n >>= 1) { /* x^8, x^16, x^32 ... */
        if (n & 1)
            first = product(first, zeros);
        zeros = product(zeros, zeros);
    }
    return first ^ second;
}

uint32_t crc32c_mask(uint32_t crc)
{
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}
