#include "proto/message_sample.h"

#include <endian.h>
#include <string.h>

#include "proto/counts.h"

/* What is left of a payload or of a part of it. */
struct cursor {
    const uint8_t *at, *end;
};

enum { VARINT = 0, FIXED = 1, PIECE = 2 }; /* wire types */
#define TAG(field, type) ((field) << 3 | (type))

static uint64_t load64(const uint8_t *from)
{
    uint64_t value;

    memcpy(&value, from, sizeof value);
    return le64toh(value);
}

/* One that needs all ten bytes is left to the library. */
static bool take_long_varint(struct cursor *c, uint64_t *value)
{
    uint64_t sum = 0;

    for (unsigned shift = 0; shift < 63 && c->at < c->end; shift += 7) {
        uint8_t byte = *c->at++;

        sum |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *value = sum;
            return true;
        }
    }
    return false;
}

/* One of three to eight bytes, in a word: what is behind it is cut off, then the sevens are moved
 * together in pairs, in fours and in eights. False: it is longer. */
static inline bool varint_of(uint64_t word, uint64_t *value, size_t *length)
{
    uint64_t ends = ~word & 0x8080808080808080;

    if (ends == 0)
        return false;
    word &= (ends - 1) ^ ends; /* up to the highest bit of the last byte */
    *length = ((size_t)__builtin_ctzll(ends) + 1) / 8;
    word &= 0x7f7f7f7f7f7f7f7f;
    word = (word & 0x007f007f007f007f) | (word & 0x7f007f007f007f00) >> 1;
    word = (word & 0x00003fff00003fff) | (word & 0x3fff00003fff0000) >> 2;
    *value = (word & 0x0fffffff) | (word & 0x0fffffff00000000) >> 4;
    return true;
}

static inline bool take_varint(struct cursor *c, uint64_t *value)
{
    const uint8_t *at = c->at;
    size_t length;

    if (c->end - at >= 2 && at[0] >= 0x80 && at[1] < 0x80) {
        *value = (at[0] & 0x7fu) | (uint64_t)at[1] << 7;
        c->at = at + 2;
        return true;
    }
    if (at < c->end && *at < 0x80) {
        *value = *at;
        c->at = at + 1;
        return true;
    }
    if (c->end - at >= 8 && varint_of(load64(at), value, &length)) {
        c->at = at + length;
        return true;
    }
    return take_long_varint(c, value);
}

static bool take_u32(struct cursor *c, uint32_t *value)
{
    uint64_t wide;

    if (!take_varint(c, &wide) || wide > UINT32_MAX)
        return false;
    *value = (uint32_t)wide;
    return true;
}

static bool take_double(struct cursor *c, double *value)
{
    uint64_t bits;

    if (c->end - c->at < 8)
        return false;
    bits = load64(c->at);
    memcpy(value, &bits, sizeof bits);
    c->at += 8;
    return true;
}

/* What a length says is within the message. */
static bool take_piece(struct cursor *c, struct cursor *piece)
{
    uint64_t length;

    if (!take_varint(c, &length) || length > (uint64_t)(c->end - c->at))
        return false;
    *piece = (struct cursor){c->at, c->at + length};
    c->at += length;
    return true;
}

/* True when the next field is this one, and behind its tag: fields come in their order, each at
 * most once, and one that is another's turn is nobody's. */
static inline bool next_is(struct cursor *c, uint32_t tag)
{
    if (tag < 0x80) {
        if (c->at == c->end || *c->at != tag)
            return false;
        c->at++;
        return true;
    }
    if (c->end - c->at < 2 || c->at[0] != (tag | 0x80) % 0x100 || c->at[1] != tag >> 7)
        return false;
    c->at += 2;
    return true;
}

/* ---- the counts */

/* A piece of varints. */
static bool take_counts(struct cursor *c, struct arena *arena, uint64_t **counts, size_t *n)
{
    struct cursor piece;
    size_t most, count = 0;
    uint64_t *to;

    if (!take_piece(c, &piece))
        return false;
    most = (size_t)(piece.end - piece.at); /* each takes at least a byte */
    if (most > BUCKETS)
        most = BUCKETS;
    *counts = to = arena_alloc(arena, (most + COUNTS_ROOM) * sizeof *to);
    if (!to)
        return false;
    while (piece.at < piece.end) {
        count += counts_take(&piece.at, piece.end, to + count, most + COUNTS_ROOM - count);
        if (piece.at == piece.end)
            break;
        if (count >= most || !take_varint(&piece, &to[count]))
            return false;
        count++;
    }
    *n = count;
    return true;
}

bool message_span(struct summary_span *to, uint32_t first, uint64_t *counts, size_t n)
{
    uint32_t skip = 0;

    if (n > BUCKETS || first > BUCKETS - n)
        return false;
    while (n > 0 && counts[n - 1] == 0)
        n--;
    while (skip < n && counts[skip] == 0)
        skip++;
    if (n == 0)
        return true;
    to->first = first + skip;
    to->length = (uint32_t)n - skip;
    to->counts = counts + skip;
    to->capacity = to->length;
    return true;
}

/* ---- the summary */

/* A summary as it lies in the message. */
struct parts {
    uint32_t first[2];
    uint64_t *counts[2]; /* the arena's */
    size_t length[2];
    size_t keys, values; /* of the extras */
};

static bool take_keys(struct cursor *c, struct summary *s, size_t *n)
{
    struct cursor piece;

    if (!take_piece(c, &piece))
        return false;
    for (; piece.at < piece.end; (*n)++)
        if (*n == SUMMARY_EXTRAS_MAX || !take_u32(&piece, &s->extras[*n].key))
            return false;
    return true;
}

static bool take_values(struct cursor *c, struct summary *s, size_t *n)
{
    struct cursor piece;

    if (!take_piece(c, &piece))
        return false;
    for (; piece.at < piece.end; (*n)++)
        if (*n == SUMMARY_EXTRAS_MAX || !take_double(&piece, &s->extras[*n].value))
            return false;
    return true;
}

/* What is there of a field, if it is its turn. */
static inline bool maybe_varint(struct cursor *c, uint32_t field, uint64_t *value)
{
    return !next_is(c, TAG(field, VARINT)) || take_varint(c, value);
}

static inline bool maybe_u32(struct cursor *c, uint32_t field, uint32_t *value)
{
    return !next_is(c, TAG(field, VARINT)) || take_u32(c, value);
}

static inline bool maybe_double(struct cursor *c, uint32_t field, double *value)
{
    return !next_is(c, TAG(field, FIXED)) || take_double(c, value);
}

static inline bool maybe_counts(struct cursor *c, uint32_t field, struct arena *arena,
                                struct parts *parts, size_t sign)
{
    return !next_is(c, TAG(field, PIECE)) ||
           take_counts(c, arena, &parts->counts[sign], &parts->length[sign]);
}

static bool take_fields(struct cursor *c, struct arena *arena, struct summary *s,
                        struct parts *parts)
{
    return maybe_varint(c, 1, &s->count) && maybe_varint(c, 2, &s->parts) &&
           maybe_varint(c, 3, &s->zeros) && maybe_varint(c, 4, &s->nans) &&
           maybe_varint(c, 5, &s->positive_infinities) &&
           maybe_varint(c, 6, &s->negative_infinities) && maybe_double(c, 7, &s->min) &&
           maybe_double(c, 8, &s->max) && maybe_double(c, 9, &s->sum) &&
           maybe_double(c, 10, &s->absolute_sum) && maybe_double(c, 11, &s->square_sum) &&
           maybe_u32(c, 12, &parts->first[0]) && maybe_counts(c, 13, arena, parts, 0) &&
           maybe_u32(c, 14, &parts->first[1]) && maybe_counts(c, 15, arena, parts, 1) &&
           (!next_is(c, TAG(16, PIECE)) || take_keys(c, s, &parts->keys)) &&
           (!next_is(c, TAG(17, PIECE)) || take_values(c, s, &parts->values)) && c->at == c->end;
}

static bool take_summary(struct cursor c, struct arena *arena, struct summary *s)
{
    struct parts parts = {{0}, {NULL}, {0}, 0, 0};

    if (!take_fields(&c, arena, s, &parts) || parts.keys != parts.values)
        return false;
    s->extra_count = (uint32_t)parts.keys;
    return message_span(&s->negative, parts.first[0], parts.counts[0], parts.length[0]) &&
           message_span(&s->positive, parts.first[1], parts.counts[1], parts.length[1]);
}

/* ---- the message */

bool message_sample(struct arena *arena, const uint8_t *payload, size_t n,
                    struct msg_sample *sample)
{
    struct cursor c = {payload, payload + n}, piece;

    return maybe_varint(&c, 1, &sample->sequence) && maybe_u32(&c, 2, &sample->target) &&
           maybe_u32(&c, 3, &sample->signal) && maybe_u32(&c, 4, &sample->phase) &&
           maybe_varint(&c, 5, &sample->step) && next_is(&c, TAG(6, PIECE)) &&
           take_piece(&c, &piece) && c.at == c.end && take_summary(piece, arena, &sample->summary);
}
