#include "daemon/carry.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY = 64 << 10, VARINT_BYTES = 10 };

void carry_save(struct carry *c, size_t limit)
{
    *c = (struct carry){.limit = limit};
}

void carry_load(struct carry *c, const uint8_t *data, size_t n)
{
    *c = (struct carry){.loading = true, .at = data, .end = data + n};
}

void carry_free(struct carry *c)
{
    free(c->data);
    c->data = NULL;
    c->length = c->capacity = 0;
    c->lent_count = 0;
}

void carry_fail(struct carry *c, const char *problem)
{
    if (!c->problem)
        c->problem = problem;
}

/* ---- bytes */

/* Where to write n bytes; NULL after a problem. */
static uint8_t *room_for(struct carry *c, size_t n)
{
    size_t capacity = c->capacity ? c->capacity : FIRST_CAPACITY;
    uint8_t *data = c->data;

    if (c->problem)
        return NULL;
    if (n > c->limit - c->length) {
        carry_fail(c, "it is too large");
        return NULL;
    }
    if (n > c->capacity - c->length) {
        capacity = capacity * 2 - c->length < n ? c->length + n : capacity * 2;
        data = realloc(c->data, capacity);
        if (!data) {
            carry_fail(c, "out of memory");
            return NULL;
        }
        c->data = data;
        c->capacity = capacity;
    }
    c->length += n;
    return data + c->length - n;
}

/* The next n bytes; NULL after a problem. */
static const uint8_t *next_bytes(struct carry *c, size_t n)
{
    const uint8_t *at = c->at;

    if (c->problem)
        return NULL;
    if (n > (size_t)(c->end - c->at)) {
        carry_fail(c, "it ends too early");
        return NULL;
    }
    c->at += n;
    return at;
}

void carry_bytes(struct carry *c, void *bytes, size_t n)
{
    const uint8_t *from;
    uint8_t *to;

    if (n == 0)
        return;
    if (!c->loading) {
        if ((to = room_for(c, n)))
            memcpy(to, bytes, n);
    } else if ((from = next_bytes(c, n))) {
        memcpy(bytes, from, n);
    } else {
        memset(bytes, 0, n);
    }
}

/* ---- bytes that stay where they are */

void carry_borrow(struct carry *c)
{
    c->lends = true;
}

void carry_lend(struct carry *c, const uint8_t *bytes, size_t n, uint32_t crc)
{
    if (!c->lends || n < CARRY_LENT_LEAST || c->lent_count == CARRY_LENT_MAX) {
        carry_bytes(c, (void *)(uintptr_t)bytes, n);
        return;
    }
    if (c->problem)
        return;
    if (n > c->limit - c->length) {
        carry_fail(c, "it is too large");
        return;
    }
    c->limit -= n;
    c->lent[c->lent_count++] = (struct carry_lent){c->length, bytes, n, crc};
}

size_t carry_parts(const struct carry *c, struct iovec parts[CARRY_PARTS_MAX])
{
    size_t count = 0, from = 0;

    for (size_t i = 0; i < c->lent_count; i++) {
        const struct carry_lent *lent = &c->lent[i];

        parts[count++] = (struct iovec){c->data + from, lent->at - from};
        parts[count++] = (struct iovec){(void *)(uintptr_t)lent->bytes, lent->n};
        from = lent->at;
    }
    parts[count++] = (struct iovec){c->data + from, c->length - from};
    return count;
}

/* ---- numbers */

static void save_varint(struct carry *c, uint64_t value)
{
    uint8_t bytes[VARINT_BYTES];
    size_t n = 0;

    for (; value >= 0x80; value >>= 7)
        bytes[n++] = (uint8_t)(value | 0x80);
    bytes[n++] = (uint8_t)value;
    carry_bytes(c, bytes, n);
}

static uint64_t load_varint(struct carry *c)
{
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 64; shift += 7) {
        const uint8_t *byte = next_bytes(c, 1);

        if (!byte)
            return 0;
        value |= (uint64_t)(*byte & 0x7f) << shift;
        if (!(*byte & 0x80))
            return value;
    }
    carry_fail(c, "a number has too many bytes");
    return 0;
}

void carry_u64(struct carry *c, uint64_t *value)
{
    if (c->loading)
        *value = load_varint(c);
    else
        save_varint(c, *value);
}

void carry_size(struct carry *c, size_t *value, size_t most)
{
    uint64_t wide = *value;

    carry_u64(c, &wide);
    if (!c->loading)
        return;
    if (wide > most) {
        carry_fail(c, "a number is above its ceiling");
        wide = 0;
    }
    *value = (size_t)wide;
}

void carry_u32(struct carry *c, uint32_t *value, uint32_t most)
{
    size_t wide = *value;

    carry_size(c, &wide, most);
    *value = (uint32_t)wide;
}

void carry_i64(struct carry *c, int64_t *value)
{
    uint64_t zigzag = (uint64_t)*value << 1 ^ (*value < 0 ? UINT64_MAX : 0);

    carry_u64(c, &zigzag);
    *value = (int64_t)(zigzag >> 1 ^ (zigzag & 1 ? UINT64_MAX : 0));
}

void carry_bool(struct carry *c, bool *value)
{
    uint32_t as_number = *value;

    carry_u32(c, &as_number, 1);
    *value = as_number != 0;
}

void carry_f64(struct carry *c, double *value)
{
    carry_bytes(c, value, sizeof *value);
}

void carry_f32(struct carry *c, float *value)
{
    carry_bytes(c, value, sizeof *value);
}

void carry_f64s(struct carry *c, double *values, size_t n)
{
    carry_bytes(c, values, n * sizeof *values);
}

/* ---- what there is more than one of */

size_t carry_count(struct carry *c, size_t count, size_t most)
{
    carry_size(c, &count, most);
    if (c->loading && count > (size_t)(c->end - c->at)) {
        carry_fail(c, "it ends too early");
        count = 0;
    }
    return count;
}

void *carry_room(struct carry *c, size_t count, size_t size)
{
    void *room;

    if (c->problem || count == 0)
        return NULL;
    room = calloc(count, size);
    if (!room)
        carry_fail(c, "out of memory");
    return room;
}

/* The length of the text that follows. */
static size_t text_length(struct carry *c, const char *text, size_t most)
{
    return carry_count(c, c->loading ? 0 : strlen(text), most);
}

static void text_bytes(struct carry *c, char *text, size_t n)
{
    carry_bytes(c, text, n);
    if (!c->loading)
        return;
    text[n] = '\0';
    if (strlen(text) != n) {
        carry_fail(c, "a text holds a NUL");
        text[0] = '\0';
    }
}

void carry_text(struct carry *c, char *text, size_t room)
{
    text_bytes(c, text, text_length(c, text, room - 1));
}

void carry_string(struct carry *c, char **text, size_t most)
{
    size_t n = text_length(c, *text, most);
    char *loaded;

    if (!c->loading) {
        text_bytes(c, *text, n);
        return;
    }
    loaded = carry_room(c, n + 1, 1);
    if (!loaded)
        return;
    text_bytes(c, loaded, n);
    free(*text);
    *text = loaded;
}
