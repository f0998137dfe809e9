#include "proto/message_sample.h"

#include <endian.h>
#include <string.h>

/* What is left of a payload or of a part of it. */
struct cursor {
    const uint8_t *at, *end;
};

enum { VARINT = 0, FIXED = 1, PIECE = 2 }; /* wire types */
#define TAG(field, type) ((field) << 3 | (type))

static const uint64_t HIGH_BITS = 0x8080808080808080;
static const uint64_t PAIRS = 0x0080008000800080; /* the high bits of four varints of two bytes */

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

static inline bool take_varint(struct cursor *c, uint64_t *value)
{
    const uint8_t *at = c->at;

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

/* The next tag, whose field is above the last one's. */
static bool take_tag(struct cursor *c, uint32_t *tag)
{
    uint32_t last = *tag;

    return take_u32(c, tag) && *tag >> 3 > last >> 3;
}

/* ---- the counts */

/* Takes counts of one length that fill the next eight bytes, as most do that lie together: eight of
 * one byte, four of two. Returns how many; 0: they are not like that. */
static size_t take_eight_bytes(const uint8_t *from, uint64_t *restrict counts)
{
    uint64_t high = load64(from) & HIGH_BITS;

    if (high == 0) {
        for (unsigned i = 0; i < 8; i++)
            counts[i] = from[i];
        return 8;
    }
    if (high == PAIRS) {
        for (unsigned i = 0; i < 4; i++)
            counts[i] = (from[2 * i] & 0x7fu) | (uint64_t)from[2 * i + 1] << 7;
        return 4;
    }
    return 0;
}

/* A piece of varints. */
static bool take_counts(struct cursor *c, struct arena *arena, uint64_t **counts, size_t *n)
{
    struct cursor piece;
    size_t most, count = 0, some;
    uint64_t *to;

    if (!take_piece(c, &piece))
        return false;
    most = (size_t)(piece.end - piece.at); /* each takes at least a byte */
    if (most > BUCKETS)
        most = BUCKETS;
    *counts = to = arena_alloc(arena, most * sizeof *to);
    if (!to)
        return false;
    while (piece.at < piece.end) {
        if (piece.end - piece.at >= 8 && count + 8 <= most &&
            (some = take_eight_bytes(piece.at, to + count)) > 0) {
            count += some;
            piece.at += 8;
            continue;
        }
        if (count == most || !take_varint(&piece, &to[count]))
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

static bool take_field(struct cursor *c, struct arena *arena, uint32_t tag, struct summary *s,
                       struct parts *parts)
{
    switch (tag) {
    case TAG(1, VARINT):
        return take_varint(c, &s->count);
    case TAG(2, VARINT):
        return take_varint(c, &s->parts);
    case TAG(3, VARINT):
        return take_varint(c, &s->zeros);
    case TAG(4, VARINT):
        return take_varint(c, &s->nans);
    case TAG(5, VARINT):
        return take_varint(c, &s->positive_infinities);
    case TAG(6, VARINT):
        return take_varint(c, &s->negative_infinities);
    case TAG(7, FIXED):
        return take_double(c, &s->min);
    case TAG(8, FIXED):
        return take_double(c, &s->max);
    case TAG(9, FIXED):
        return take_double(c, &s->sum);
    case TAG(10, FIXED):
        return take_double(c, &s->absolute_sum);
    case TAG(11, FIXED):
        return take_double(c, &s->square_sum);
    case TAG(12, VARINT):
        return take_u32(c, &parts->first[0]);
    case TAG(13, PIECE):
        return take_counts(c, arena, &parts->counts[0], &parts->length[0]);
    case TAG(14, VARINT):
        return take_u32(c, &parts->first[1]);
    case TAG(15, PIECE):
        return take_counts(c, arena, &parts->counts[1], &parts->length[1]);
    case TAG(16, PIECE):
        return take_keys(c, s, &parts->keys);
    case TAG(17, PIECE):
        return take_values(c, s, &parts->values);
    default:
        return false;
    }
}

static bool take_summary(struct cursor c, struct arena *arena, struct summary *s)
{
    struct parts parts = {{0}, {NULL}, {0}, 0, 0};
    uint32_t tag = 0;

    while (c.at < c.end)
        if (!take_tag(&c, &tag) || !take_field(&c, arena, tag, s, &parts))
            return false;
    if (parts.keys != parts.values)
        return false;
    s->extra_count = (uint32_t)parts.keys;
    return message_span(&s->negative, parts.first[0], parts.counts[0], parts.length[0]) &&
           message_span(&s->positive, parts.first[1], parts.counts[1], parts.length[1]);
}

/* ---- the message */

static bool take_part(struct cursor *c, struct arena *arena, uint32_t tag,
                      struct msg_sample *sample, bool *whole)
{
    struct cursor piece;

    switch (tag) {
    case TAG(1, VARINT):
        return take_varint(c, &sample->sequence);
    case TAG(2, VARINT):
        return take_u32(c, &sample->target);
    case TAG(3, VARINT):
        return take_u32(c, &sample->signal);
    case TAG(4, VARINT):
        return take_u32(c, &sample->phase);
    case TAG(5, VARINT):
        return take_varint(c, &sample->step);
    case TAG(6, PIECE):
        *whole = true;
        return take_piece(c, &piece) && take_summary(piece, arena, &sample->summary);
    default:
        return false;
    }
}

bool message_sample(struct arena *arena, const uint8_t *payload, size_t n,
                    struct msg_sample *sample)
{
    struct cursor c = {payload, payload + n};
    bool whole = false;
    uint32_t tag = 0;

    while (c.at < c.end)
        if (!take_tag(&c, &tag) || !take_part(&c, arena, tag, sample, &whole))
            return false;
    return whole;
}
