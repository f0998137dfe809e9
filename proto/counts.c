#include "proto/counts.h"

#include <stdbool.h>
#include <string.h>

/* Of one register. In memory a vector begins anywhere: it is copied, which costs nothing. */
typedef uint8_t bytes __attribute__((vector_size(16)));
typedef uint16_t halves __attribute__((vector_size(16)));
typedef uint32_t words __attribute__((vector_size(16)));
typedef uint64_t pair __attribute__((vector_size(16)));

enum { AT_ONCE = 8 }; /* counts, in four pairs */

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "lanes and bytes are in one order");

static pair load(const uint64_t *from)
{
    pair value;

    memcpy(&value, from, sizeof value);
    return value;
}

static void store(uint64_t *to, pair value)
{
    memcpy(to, &value, sizeof value);
}

void counts_add(uint64_t *restrict to, const uint64_t *restrict from, size_t n)
{
    size_t i = 0;

    for (; n - i >= AT_ONCE; i += AT_ONCE)
        for (size_t k = 0; k < AT_ONCE; k += 2)
            store(to + i + k, load(to + i + k) + load(from + i + k));
    for (; i < n; i++)
        to[i] += from[i];
}

uint64_t counts_sum(const uint64_t *counts, size_t n, uint64_t *any)
{
    pair sums = {0, 0}, bits = {0, 0};
    size_t i = 0;
    uint64_t sum, all;

    for (; n - i >= AT_ONCE; i += AT_ONCE)
        for (size_t k = 0; k < AT_ONCE; k += 2) {
            sums += load(counts + i + k);
            bits |= load(counts + i + k);
        }
    sum = sums[0] + sums[1];
    all = bits[0] | bits[1];
    for (; i < n; i++) {
        sum += counts[i];
        all |= counts[i];
    }
    *any |= all;
    return sum;
}

/* ---- out of a message */

static const uint64_t HIGH_BITS = 0x8080808080808080;
static const uint64_t PAIRS = 0x0080008000800080; /* the high bits of four varints of two bytes */

static uint64_t load64(const uint8_t *from)
{
    uint64_t value;

    memcpy(&value, from, sizeof value);
    return value;
}

/* Four counts of at most 32 bits. */
static inline void widen_words(words from, uint64_t *to)
{
    const words zero = {0};

    store(to, (pair)__builtin_shufflevector(from, zero, 0, 4, 1, 5));
    store(to + 2, (pair)__builtin_shufflevector(from, zero, 2, 6, 3, 7));
}

static inline void widen_low_halves(halves from, uint64_t *to)
{
    const halves zero = {0};

    widen_words((words)__builtin_shufflevector(from, zero, 0, 8, 1, 9, 2, 10, 3, 11), to);
}

static inline void widen_halves(halves from, uint64_t *to)
{
    const halves zero = {0};

    widen_low_halves(from, to);
    widen_words((words)__builtin_shufflevector(from, zero, 4, 12, 5, 13, 6, 14, 7, 15), to + 4);
}

static inline halves widen_low_bytes(bytes from)
{
    const bytes zero = {0};

    return (halves)__builtin_shufflevector(from, zero, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6,
                                           22, 7, 23);
}

/* Varints of two bytes, one in each half. */
static inline halves value_of_pairs(bytes from)
{
    halves raw = (halves)from;

    return (raw & 0x7f) | (raw >> 1 & 0x3f80);
}

/* A word, of which counts of one length are taken that stand at the beginning: up to eight of one
 * byte, up to four of two. All are written, and those behind are written again. *used: bytes. */
static inline size_t take_word(uint64_t word, uint64_t *counts, size_t *used)
{
    uint64_t high = word & HIGH_BITS, odd = high ^ PAIRS;
    bytes all = (bytes)(pair){word, 0};
    size_t n;

    if ((high & 0x80) == 0) {
        widen_halves(widen_low_bytes(all), counts);
        n = high ? (size_t)__builtin_ctzll(high) / 8 : 8;
        *used = n;
    } else {
        widen_low_halves(value_of_pairs(all), counts);
        n = odd ? (size_t)__builtin_ctzll(odd) / 16 : 4;
        *used = 2 * n;
    }
    return n;
}

/* Of fewer bytes than a word has, that end where `end` is: zeros follow. */
static inline uint64_t last_word(const uint8_t *end, size_t left)
{
    return load64(end - 8) >> 8 * (8 - left);
}

/* The last bytes, fewer than a word has: zeros follow. */
static size_t take_last(const uint8_t **at, size_t left, uint64_t *counts, size_t room)
{
    uint64_t word = load64(*at + left - 8) >> 8 * (8 - left);
    bool cut_off = (*at)[left - 1] >= 0x80;
    size_t n = 0, some, used;

    while (left > 0 && room - n >= COUNTS_ROOM && (some = take_word(word, counts + n, &used)) > 0) {
        if (used > left && cut_off)
            break;
        if (used > left)
            some = used = left; /* the rest are the zeros */
        n += some;
        left -= used;
        *at += used;
        word >>= 8 * used;
    }
    return n;
}

size_t counts_take(const uint8_t **at, const uint8_t *end, uint64_t *counts, size_t room)
{
    const uint8_t *from = *at;
    size_t n = 0, some = 1, used;

    if (end - from < 8)
        return 0;
    while (end - from >= 8 && room - n >= COUNTS_ROOM) {
        some = take_word(load64(from), counts + n, &used);
        if (some == 0)
            break;
        n += some;
        from += used;
    }
    if (some > 0 && from < end && end - from < 8)
        n += take_last(&from, (size_t)(end - from), counts + n, room - n);
    *at = from;
    return n;
}
