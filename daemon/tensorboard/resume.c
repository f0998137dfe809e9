#include "daemon/tensorboard/resume.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/tensorboard/tfrecord.h"

/* ---- protobuf, as much as the last steps need: a cursor that stays at its end after an error */

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };
enum { EVENT_STEP = 2, EVENT_SUMMARY = 5, SUMMARY_VALUE = 1, VALUE_TAG = 1 };

struct cursor {
    const uint8_t *at, *end;
};

struct field {
    uint32_t number;
    uint32_t type;
    uint64_t varint;
    struct cursor bytes;
};

static bool read_varint(struct cursor *c, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 64 && c->at < c->end; shift += 7) {
        uint8_t byte = *c->at++;

        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return true;
    }
    c->at = c->end;
    return false;
}

static bool take(struct cursor *c, uint64_t n, struct cursor *bytes)
{
    if (n > (uint64_t)(c->end - c->at)) {
        c->at = c->end;
        return false;
    }
    *bytes = (struct cursor){c->at, c->at + n};
    c->at += n;
    return true;
}

/* False at the end, or at the first thing that is no field. */
static bool next_field(struct cursor *c, struct field *f)
{
    uint64_t key, length;

    *f = (struct field){0};
    if (!read_varint(c, &key) || key >> 3 == 0 || key >> 3 > UINT32_MAX)
        return false;
    f->number = (uint32_t)(key >> 3);
    f->type = (uint32_t)(key & 7);
    switch (f->type) {
    case WIRE_VARINT:
        return read_varint(c, &f->varint);
    case WIRE_FIXED64:
        return take(c, 8, &f->bytes);
    case WIRE_FIXED32:
        return take(c, 4, &f->bytes);
    case WIRE_BYTES:
        return read_varint(c, &length) && take(c, length, &f->bytes);
    default:
        return false;
    }
}

static bool next_bytes(struct cursor *c, uint32_t number, struct cursor *bytes)
{
    struct field f;

    while (next_field(c, &f))
        if (f.number == number && f.type == WIRE_BYTES) {
            *bytes = f.bytes;
            return true;
        }
    return false;
}

static uint64_t event_step(struct cursor event)
{
    struct field f;
    uint64_t step = 0;

    while (next_field(&event, &f))
        if (f.number == EVENT_STEP && f.type == WIRE_VARINT)
            step = f.varint;
    return step;
}

void resume_event(struct tag_table *tags, const uint8_t *data, size_t n)
{
    struct cursor event = {data, data + n}, summary, value, name;
    uint64_t step = event_step(event);

    if (step > INT64_MAX)
        return; /* a negative step: not ours, and below all of ours */
    while (next_bytes(&event, EVENT_SUMMARY, &summary))
        while (next_bytes(&summary, SUMMARY_VALUE, &value))
            if (next_bytes(&value, VALUE_TAG, &name)) {
                struct tag *tag =
                    tag_table_need(tags, (const char *)name.at, (size_t)(name.end - name.at));

                if (tag && tag->last_step < (int64_t)step)
                    tag->last_step = (int64_t)step;
            }
}

/* ---- files */

enum { FIRST_BUFFER = 64 << 10, LAST_BUFFER = TFRECORD_HEADER + TFRECORD_MAX + TFRECORD_FOOTER };

struct reader {
    int fd;
    uint8_t *data; /* owned */
    size_t capacity, start, end;
};

static bool reader_grow(struct reader *r)
{
    size_t capacity = r->capacity ? r->capacity * 2 : FIRST_BUFFER;
    uint8_t *data;

    if (capacity > LAST_BUFFER)
        capacity = LAST_BUFFER;
    data = realloc(r->data, capacity);
    if (!data)
        return false;
    r->data = data;
    r->capacity = capacity;
    return true;
}

/* Reads on behind what is not used yet. 1: more is there, 0: the file ends here, -1: no memory. */
static int reader_fill(struct reader *r)
{
    ssize_t n;

    if (r->start > 0) {
        memmove(r->data, r->data + r->start, r->end - r->start);
        r->end -= r->start;
        r->start = 0;
    }
    if (r->end == r->capacity && !reader_grow(r))
        return -1;
    do
        n = read(r->fd, r->data + r->end, r->capacity - r->end);
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        return 0;
    r->end += (size_t)n;
    return 1;
}

bool resume_file(struct tag_table *tags, int fd, uint64_t *whole)
{
    struct reader r = {.fd = fd};
    int filled;

    *whole = 0;
    while ((filled = reader_fill(&r)) > 0) {
        const uint8_t *payload;
        size_t length, used;
        enum tfrecord_result result;

        while ((result = tfrecord_read(r.data + r.start, r.end - r.start, &payload, &length,
                                       &used)) == TFRECORD_OK) {
            resume_event(tags, payload, length);
            r.start += used;
            *whole += used;
        }
        if (result == TFRECORD_BAD)
            break;
    }
    free(r.data);
    return filled >= 0;
}
