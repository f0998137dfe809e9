#include "daemon/tensorboard/event_wire.h"

#include <endian.h>
#include <string.h>

#include "daemon/tensorboard/tfrecord.h"

/* A field's number and wire type, as daemon/tensorboard/tensorboard.proto has them. */
enum {
    EVENT_WALL = 1 << 3 | 1,
    EVENT_STEP = 2 << 3,
    EVENT_SUMMARY = 5 << 3 | 2,
    SUMMARY_VALUE = 1 << 3 | 2,
    VALUE_TAG = 1 << 3 | 2,
    VALUE_SIMPLE = 2 << 3 | 5,
    VALUE_TENSOR = 8 << 3 | 2,
    TENSOR_DTYPE = 1 << 3,
    TENSOR_SHAPE = 2 << 3 | 2,
    TENSOR_CONTENT = 4 << 3 | 2,
    SHAPE_DIM = 2 << 3 | 2,
    DIM_SIZE = 1 << 3,
    DT_DOUBLE = 2,
    COLUMNS = 3,
};

static size_t varint_size(uint64_t value)
{
    size_t n = 1;

    for (; value >= 0x80; value >>= 7)
        n++;
    return n;
}

/* A field that says its length, with its tag of one byte. */
static size_t piece_size(size_t length)
{
    return 1 + varint_size(length) + length;
}

static uint8_t *put_varint(uint8_t *to, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        *to++ = (uint8_t)(value | 0x80);
    *to++ = (uint8_t)value;
    return to;
}

static uint8_t *put_piece(uint8_t *to, uint8_t tag, size_t length)
{
    *to++ = tag;
    return put_varint(to, length);
}

static uint64_t bits_of(double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static uint8_t *put_double(uint8_t *to, double value)
{
    uint64_t bits = htole64(bits_of(value));

    memcpy(to, &bits, sizeof bits);
    return to + sizeof bits;
}

/* What is 0 is not written, -0 neither. */
static bool has_wall(const struct event_head *head)
{
    return bits_of(head->wall) << 1 != 0;
}

/* Begins a record whose value takes `rest` bytes behind its tag; NULL: see event.h. */
static uint8_t *begin(struct pending *queue, size_t limit, const struct event_head *head,
                      size_t rest, size_t *length)
{
    size_t name = strlen(head->tag);
    size_t value = (name ? piece_size(name) : 0) + rest, summary = piece_size(value);
    size_t head_size = (has_wall(head) ? 9 : 0) + (head->step ? 1 + varint_size(head->step) : 0);
    size_t whole = TFRECORD_HEADER + head_size + piece_size(summary) + TFRECORD_FOOTER;
    uint8_t *to;

    *length = head_size + piece_size(summary);
    if (*length > TFRECORD_MAX || queue->length > limit || whole > limit - queue->length)
        return NULL;
    to = pending_reserve(queue, whole);
    if (!to)
        return NULL;
    to += TFRECORD_HEADER;
    if (has_wall(head)) {
        *to++ = EVENT_WALL;
        to = put_double(to, head->wall);
    }
    if (head->step) {
        *to++ = EVENT_STEP;
        to = put_varint(to, head->step);
    }
    to = put_piece(to, EVENT_SUMMARY, summary);
    to = put_piece(to, SUMMARY_VALUE, value);
    if (name) {
        to = put_piece(to, VALUE_TAG, name);
        memcpy(to, head->tag, name);
    }
    return to + name;
}

static bool end(struct pending *queue, size_t length)
{
    tfrecord_seal(queue->data + queue->length, length);
    pending_commit(queue, TFRECORD_HEADER + length + TFRECORD_FOOTER);
    return true;
}

bool event_wire_scalar(struct pending *queue, size_t limit, const struct event_head *head,
                       float value)
{
    size_t length;
    uint8_t *to = begin(queue, limit, head, 1 + sizeof value, &length);
    uint32_t bits;

    if (!to)
        return false;
    *to++ = VALUE_SIMPLE;
    memcpy(&bits, &value, sizeof bits);
    bits = htole32(bits);
    memcpy(to, &bits, sizeof bits);
    return end(queue, length);
}

bool event_wire_histogram(struct pending *queue, size_t limit, const struct event_head *head,
                          const struct histogram *h)
{
    size_t rows = 1 + varint_size(h->length), columns = 1 + varint_size(COLUMNS);
    size_t shape = piece_size(rows) + piece_size(columns);
    size_t content = h->length * COLUMNS * sizeof(double);
    size_t tensor = 2 + piece_size(shape) + piece_size(content), length;
    uint8_t *to = begin(queue, limit, head, piece_size(tensor), &length);

    if (!to)
        return false;
    to = put_piece(to, VALUE_TENSOR, tensor);
    *to++ = TENSOR_DTYPE;
    *to++ = DT_DOUBLE;
    to = put_piece(to, TENSOR_SHAPE, shape);
    to = put_piece(to, SHAPE_DIM, rows);
    *to++ = DIM_SIZE;
    to = put_varint(to, h->length);
    to = put_piece(to, SHAPE_DIM, columns);
    *to++ = DIM_SIZE;
    to = put_varint(to, COLUMNS);
    to = put_piece(to, TENSOR_CONTENT, content);
    for (size_t i = 0; i < h->length; i++) {
        to = put_double(to, h->left[i]);
        to = put_double(to, h->right[i]);
        to = put_double(to, h->count[i]);
    }
    return end(queue, length);
}
