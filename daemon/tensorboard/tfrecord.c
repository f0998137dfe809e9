#include "daemon/tensorboard/tfrecord.h"

#include "proto/crc32c.h"

enum { LENGTH_BYTES = 8 };

static void put32(uint8_t *to, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        to[i] = (uint8_t)(value >> (8 * i));
}

static uint32_t get32(const uint8_t *from)
{
    return (uint32_t)from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 |
           (uint32_t)from[3] << 24;
}

static uint32_t masked(const uint8_t *data, size_t n)
{
    return crc32c_mask(crc32c(0, data, n));
}

void tfrecord_seal(uint8_t *record, size_t length)
{
    put32(record, (uint32_t)length);
    put32(record + 4, (uint32_t)((uint64_t)length >> 32));
    put32(record + LENGTH_BYTES, masked(record, LENGTH_BYTES));
    put32(record + TFRECORD_HEADER + length, masked(record + TFRECORD_HEADER, length));
}

enum tfrecord_result tfrecord_read(const uint8_t *data, size_t n, const uint8_t **payload,
                                   size_t *length, size_t *used)
{
    uint64_t size;

    if (n < TFRECORD_HEADER)
        return TFRECORD_MORE;
    size = (uint64_t)get32(data) | (uint64_t)get32(data + 4) << 32;
    if (get32(data + LENGTH_BYTES) != masked(data, LENGTH_BYTES) || size > TFRECORD_MAX)
        return TFRECORD_BAD;
    if (size + TFRECORD_FOOTER > n - TFRECORD_HEADER)
        return TFRECORD_MORE;
    *payload = data + TFRECORD_HEADER;
    *length = (size_t)size;
    if (get32(*payload + *length) != masked(*payload, *length))
        return TFRECORD_BAD;
    *used = TFRECORD_HEADER + *length + TFRECORD_FOOTER;
    return TFRECORD_OK;
}
