#include "client/id_plain.h"

#include <string.h>

#include "client/distinct.h"
#include "client/dtype.h"
#include "client/id_ends.h"

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

enum {
    WORD = 64,              /* counts that are looked at together, rows that are marked together */
    TOGETHER = 32,          /* ids whose places are asked for before they are counted */
    FETCHED_FROM = 1 << 16, /* places: a table that does not stay in a cache */
};

/* Counts by id from `first` on, a multiple of WORD; or by position, of which `places` has that of
 * each id + 1, or 0. */
struct table {
    int32_t *counts;
    size_t words; /* of counts */
    bool is_near;
    int64_t first;
    uint32_t *places;
    size_t place_count; /* a power of two; 0 where is_near */
    uint32_t shift;     /* of the hash */
};

/* ---- by the type of the ids -------------------------------------------------------------------
 */

static size_t hash_of(uint64_t id, uint32_t shift)
{
    return (size_t)(id * 0x9e3779b97f4a7c15u >> shift);
}

#define OF_TYPE(suffix, type)                                                                      \
    static void count_near_##suffix(const struct table *t, const uint8_t *ids, size_t n)           \
    {                                                                                              \
        for (size_t i = 0; i < n; i++) {                                                           \
            type id;                                                                               \
                                                                                                   \
            memcpy(&id, ids + i * sizeof id, sizeof id);                                           \
            t->counts[(size_t)(id - t->first)]++;                                                  \
        }                                                                                          \
    }                                                                                              \
    /* The place of an id, free or not; half of them are free. */                                  \
    static uint32_t *place_of_##suffix(const struct table *t, const uint8_t *ids, type id)         \
    {                                                                                              \
        size_t at = hash_of((uint64_t)id, t->shift);                                               \
                                                                                                   \
        while (t->places[at] != 0) {                                                               \
            type other;                                                                            \
                                                                                                   \
            memcpy(&other, ids + (t->places[at] - 1) * sizeof other, sizeof other);                \
            if (other == id)                                                                       \
                break;                                                                             \
            at = (at + 1) & (t->place_count - 1);                                                  \
        }                                                                                          \
        return &t->places[at];                                                                     \
    }                                                                                              \
    static void fetch_##suffix(const struct table *t, const uint8_t *ids, size_t n)                \
    {                                                                                              \
        for (size_t i = 0; i < n; i++) {                                                           \
            type id;                                                                               \
                                                                                                   \
            memcpy(&id, ids + i * sizeof id, sizeof id);                                           \
            __builtin_prefetch(&t->places[hash_of((uint64_t)id, t->shift)], 1);                    \
        }                                                                                          \
    }                                                                                              \
    static void count_far_##suffix(const struct table *given, const uint8_t *ids, size_t n)        \
    {                                                                                              \
        const struct table t = *given; /* nothing that is written can change it */                 \
                                                                                                   \
        for (size_t i = 0, end; i < n; i = end) {                                                  \
            end = n - i < TOGETHER ? n : i + TOGETHER;                                             \
            if (t.place_count >= FETCHED_FROM)                                                     \
                fetch_##suffix(&t, ids + i * sizeof(type), end - i);                               \
            for (; i < end; i++) {                                                                 \
                uint32_t *place;                                                                   \
                type id;                                                                           \
                                                                                                   \
                memcpy(&id, ids + i * sizeof id, sizeof id);                                       \
                place = place_of_##suffix(&t, ids, id);                                            \
                if (*place == 0)                                                                   \
                    *place = (uint32_t)i + 1;                                                      \
                t.counts[*place - 1]++;                                                            \
            }                                                                                      \
        }                                                                                          \
    }                                                                                              \
    static bool is_##suffix(const uint8_t *ids, size_t i, int64_t wanted)                          \
    {                                                                                              \
        type id;                                                                                   \
                                                                                                   \
        memcpy(&id, ids + i * sizeof id, sizeof id);                                               \
        return id == wanted;                                                                       \
    }                                                                                              \
    static size_t count_equal_##suffix(const uint8_t *ids, size_t n, int64_t wanted)               \
    {                                                                                              \
        typedef type lanes __attribute__((vector_size(16)));                                       \
        enum { LANES = sizeof(lanes) / sizeof(type) };                                             \
        const lanes all = (lanes){0} + (type)wanted;                                               \
        lanes found = {0};                                                                         \
        size_t i = 0, sum = 0;                                                                     \
                                                                                                   \
        for (; i + LANES <= n; i += LANES) {                                                       \
            lanes some;                                                                            \
                                                                                                   \
            memcpy(&some, ids + i * sizeof(type), sizeof some);                                    \
            found -= (lanes)(some == all);                                                         \
        }                                                                                          \
        for (size_t k = 0; k < LANES; k++)                                                         \
            sum += (size_t)found[k];                                                               \
        for (; i < n; i++)                                                                         \
            sum += is_##suffix(ids, i, wanted);                                                    \
        return sum;                                                                                \
    }                                                                                              \
    static size_t count_mismatched_##suffix(const uint8_t *ids, size_t n, int64_t wanted,          \
                                            const uint8_t *mask)                                   \
    {                                                                                              \
        size_t sum = 0;                                                                            \
                                                                                                   \
        for (size_t i = 0; i < n; i++)                                                             \
            sum += (mask[i] == 0) != is_##suffix(ids, i, wanted);                                  \
        return sum;                                                                                \
    }
OF_TYPE(i32, int32_t)
OF_TYPE(i64, int64_t)
#undef OF_TYPE

static int64_t id_at(const struct id_batch *batch, size_t i)
{
    return dtype_id(batch->ids, i, batch->dtype);
}

/* ---- the table -------------------------------------------------------------------------------*/

static void plan_far(struct table *t, size_t n)
{
    t->words = (n + WORD - 1) / WORD;
    t->shift = 64;
    for (t->place_count = 1; t->place_count < 2 * n; t->place_count *= 2)
        t->shift--;
}

/* Where all are rows or the padding, what table there is to be. As many ids as distinct.h counts
 * exactly. */
static bool plan(struct table *t, const struct id_batch *batch)
{
    int64_t limit = batch->rows > 0 && batch->rows < INT64_MAX ? (int64_t)batch->rows : INT64_MAX;
    int64_t least = batch->has_padding && batch->padding_id == -1 ? -1 : 0;
    struct id_ends ends;

    if ((batch->dtype != EMBMON_I32 && batch->dtype != EMBMON_I64) || batch->count == 0 ||
        batch->count > DISTINCT_MAX)
        return false;
    ends = id_ends(batch->ids, batch->count, batch->dtype);
    if (ends.least < least || ends.greatest >= limit)
        return false;
    *t =
        (struct table){.is_near = true, .first = ends.least < 0 ? -WORD : ends.least / WORD * WORD};
    t->words = (size_t)((uint64_t)(ends.greatest - t->first) / WORD) + 1;
    t->is_near = t->words <= ID_PLAIN_NEAR * batch->count / WORD + 2;
    if (!t->is_near)
        plan_far(t, batch->count);
    return true;
}

static size_t bytes_of(const struct table *t)
{
    return t->words * WORD * sizeof *t->counts + t->place_count * sizeof *t->places;
}

static void count(struct table *t, const struct id_batch *batch)
{
    bool is_wide = batch->dtype == EMBMON_I64;

    t->places = (uint32_t *)t->counts + t->words * WORD;
    memset(t->counts, 0, bytes_of(t));
    if (t->is_near)
        (is_wide ? count_near_i64 : count_near_i32)(t, batch->ids, batch->count);
    else
        (is_wide ? count_far_i64 : count_far_i32)(t, batch->ids, batch->count);
}

/* Takes the padding's count out of the table. */
static uint64_t take_padding(const struct table *t, const struct id_batch *batch)
{
    uint64_t at = (uint64_t)batch->padding_id - (uint64_t)t->first, padded;

    if (!batch->has_padding)
        return 0;
    if (!t->is_near && batch->dtype == EMBMON_I64)
        at = (uint64_t)*place_of_i64(t, batch->ids, batch->padding_id) - 1;
    else if (!t->is_near)
        at = batch->padding_id == (int32_t)batch->padding_id
                 ? (uint64_t)*place_of_i32(t, batch->ids, (int32_t)batch->padding_id) - 1
                 : UINT64_MAX;
    if (at >= t->words * WORD)
        return 0;
    padded = (uint64_t)t->counts[at];
    t->counts[at] = 0;
    return padded;
}

/* Which of a word's counts are not 0; *above: is any above `threshold`. */
static uint64_t look_at(const int32_t *word, int32_t threshold, bool *above)
{
    uint64_t bits = 0;

#if defined(__x86_64__)
    const __m128i zero = _mm_setzero_si128(), limit = _mm_set1_epi32(threshold);
    __m128i over = zero;

    for (size_t i = 0; i < WORD; i += 16) {
        __m128i is_zero[4];

        for (size_t k = 0; k < 4; k++) {
            __m128i some = _mm_loadu_si128((const __m128i_u *)(word + i + 4 * k));

            over = _mm_or_si128(over, _mm_cmpgt_epi32(some, limit));
            is_zero[k] = _mm_cmpeq_epi32(some, zero);
        }
        is_zero[0] = _mm_packs_epi32(is_zero[0], is_zero[1]);
        is_zero[2] = _mm_packs_epi32(is_zero[2], is_zero[3]);
        bits |= (uint64_t)(uint32_t)(_mm_movemask_epi8(_mm_packs_epi16(is_zero[0], is_zero[2])) ^
                                     0xffff)
                << i;
    }
    *above = _mm_movemask_epi8(over) != 0;
#else
    *above = false;
    for (size_t i = 0; i < WORD; i++) {
        bits |= (uint64_t)(word[i] != 0) << i;
        *above |= word[i] > threshold;
    }
#endif
    return bits;
}

static void mark(struct seen_rows *seen, const struct table *t, const struct id_batch *batch,
                 size_t w, uint64_t bits)
{
    uint64_t rows[WORD];
    size_t n = 0;

    if (t->is_near) {
        seen_mark_word(seen, (uint64_t)(t->first / WORD + (int64_t)w), bits);
        return;
    }
    for (; bits; bits &= bits - 1)
        rows[n++] = (uint64_t)id_at(batch, w * WORD + (size_t)__builtin_ctzll(bits));
    seen_mark_all(seen, rows, n);
}

/* Distinct rows, the busiest, and the marks of those that were looked up. */
static void read_table(const struct table *t, const struct id_batch *batch, struct ids_stats *stats,
                       struct seen_rows *seen)
{
    const struct ids_busiest *last = &stats->busiest[IDS_BUSIEST_MAX - 1];
    int32_t threshold = 0;

    for (size_t w = 0; w < t->words; w++) {
        const int32_t *word = t->counts + w * WORD;
        bool above;
        uint64_t bits = look_at(word, threshold, &above);

        if (bits == 0)
            continue;
        stats->unique += (uint64_t)__builtin_popcountll(bits);
        if (seen)
            mark(seen, t, batch, w, bits);
        for (size_t i = 0; above && i < WORD; i++) {
            size_t at = w * WORD + i;

            if (word[i] <= threshold)
                continue;
            distinct_insert(
                stats, &(struct ids_busiest){t->is_near ? t->first + (int64_t)at : id_at(batch, at),
                                             (uint64_t)word[i]});
            /* Of equals the least id: where they come in their order no later one is. */
            if (last->count > 0)
                threshold = (int32_t)last->count - !t->is_near;
        }
    }
}

/* ---- sequences --------------------------------------------------------------------------------*/

/* A sequence of one id has no sides. */
static void take_singles(struct ids_stats *stats, const struct id_batch *batch, uint64_t padded)
{
    stats->empty = padded;
    stats->full = stats->sequences - padded;
    stats->length_min = stats->length_max = stats->full > 0;
    while (id_at(batch, stats->empty_sequence) != batch->padding_id)
        stats->empty_sequence++;
}

/* padded: of all positions. */
static void take_sequences(struct ids_stats *stats, const struct id_batch *batch, uint64_t padded)
{
    size_t length = batch->sequence_length, size = dtype_size((int)batch->dtype);
    const uint8_t *ids = batch->ids;

    stats->sequences = batch->count / length;
    if (padded == 0) {
        stats->full = stats->sequences;
        stats->length_min = stats->length_max = length;
        return;
    }
    if (length == 1) {
        take_singles(stats, batch, padded);
        return;
    }
    for (size_t at = 0; at < batch->count; at += length) {
        size_t here = batch->dtype == EMBMON_I64
                          ? count_equal_i64(ids + at * size, length, batch->padding_id)
                          : count_equal_i32(ids + at * size, length, batch->padding_id);
        uint64_t left = length - here;

        if (left == 0) {
            if (stats->empty++ == 0)
                stats->empty_sequence = at / length;
            continue;
        }
        stats->full += here == 0;
        stats->leading += here > 0 && id_at(batch, at) == batch->padding_id;
        stats->trailing += here > 0 && id_at(batch, at + length - 1) == batch->padding_id;
        if (stats->length_max == 0 || left < stats->length_min)
            stats->length_min = left;
        if (left > stats->length_max)
            stats->length_max = left;
    }
}

static void compare_mask(struct ids_stats *stats, const struct id_batch *batch)
{
    int64_t padding = batch->padding_id;
    size_t i = 0;

    stats->mismatched = batch->dtype == EMBMON_I64
                            ? count_mismatched_i64(batch->ids, batch->count, padding, batch->mask)
                            : count_mismatched_i32(batch->ids, batch->count, padding, batch->mask);
    if (stats->mismatched == 0)
        return;
    while ((batch->mask[i] == 0) == (id_at(batch, i) == padding))
        i++;
    stats->mismatch_position = i;
}

bool id_plain_take(struct ids_stats *stats, const struct id_batch *batch,
                   struct rows_scratch *scratch, struct seen_rows *seen)
{
    struct table t;
    size_t bytes;

    if (!plan(&t, batch))
        return false;
    bytes = bytes_of(&t);
    t.counts = rows_scratch_take(scratch, bytes);
    if (!t.counts)
        return false;
    count(&t, batch);
    stats->padded = take_padding(&t, batch);
    read_table(&t, batch, stats, seen);
    rows_scratch_give(scratch, t.counts, bytes);
    if (batch->sequence_length > 0)
        take_sequences(stats, batch, stats->padded);
    if (batch->mask && batch->has_padding)
        compare_mask(stats, batch);
    return true;
}
