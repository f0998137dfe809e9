#include "daemon/bytes.h"

#include <stdlib.h>
#include <string.h>

bool bytes_reserve(struct bytes *b, size_t n)
{
    uint8_t *more;
    size_t capacity;

    /* Move to the front once more than half is used up: each byte moves at most once on average. */
    if (b->start > b->length - b->start) {
        memmove(b->data, b->data + b->start, b->length - b->start);
        b->length -= b->start;
        b->start = 0;
    }
    if (n <= b->capacity - b->length)
        return true;
    if (n > SIZE_MAX / 4 - b->length)
        return false;
    capacity = b->length + n;
    capacity += capacity < BYTES_AHEAD ? capacity : BYTES_AHEAD;
    more = realloc(b->data, capacity);
    if (!more)
        return false;
    b->data = more;
    b->capacity = capacity;
    return true;
}

void bytes_clear(struct bytes *b)
{
    if (b->capacity > BYTES_KEPT)
        bytes_free(b);
    b->start = b->length = 0;
}

void bytes_shrink(struct bytes *b)
{
    size_t n = b->length - b->start, capacity = n < BYTES_KEPT ? BYTES_KEPT : n;
    uint8_t *less;

    if (b->capacity / 4 < capacity)
        return;
    memmove(b->data, b->data + b->start, n);
    b->start = 0;
    b->length = n;
    less = realloc(b->data, capacity);
    if (!less)
        return;
    b->data = less;
    b->capacity = capacity;
}

size_t bytes_held(const struct bytes *b)
{
    return b->capacity > BYTES_KEPT ? b->capacity - BYTES_KEPT : 0;
}

void bytes_free(struct bytes *b)
{
    free(b->data);
    *b = (struct bytes){0};
}
