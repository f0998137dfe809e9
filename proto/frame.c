#include "proto/frame.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "proto/crc32c.h"

enum { AT_VERSION = 4, AT_FLAGS = 5, AT_TYPE = 6, AT_LENGTH = 8, AT_CRC = 12 };
enum { SCRATCH_FIRST = 64 << 10, SCRATCH_KEPT = 1 << 20 };

static const uint8_t magic[AT_VERSION] = {'E', 'M', 'B', 'M'};

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void put32(uint8_t *p, uint32_t value)
{
    p[0] = (uint8_t)value;
    p[1] = (uint8_t)(value >> 8);
    p[2] = (uint8_t)(value >> 16);
    p[3] = (uint8_t)(value >> 24);
}

static uint32_t checksum(const uint8_t *frame, size_t length)
{
    return crc32c(crc32c(0, frame, AT_CRC), frame + FRAME_HEADER, length);
}

const char *frame_strerror(enum frame_result result)
{
    switch (result) {
    case FRAME_OK:
        return "a whole frame";
    case FRAME_MORE:
        return "not a whole frame yet";
    case FRAME_BAD_MAGIC:
        return "not embmond's protocol";
    case FRAME_BAD_VERSION:
        return "a framing version that is not spoken here";
    case FRAME_BAD_FLAGS:
        return "a frame with unknown flags";
    case FRAME_TOO_LONG:
        return "a frame longer than the limit";
    case FRAME_BAD_CRC:
        return "a frame whose checksum does not match";
    case FRAME_BAD_ZLIB:
        return "a deflated frame that is not one whole zlib stream";
    case FRAME_BOMB:
        return "a deflated frame that inflates beyond the limit";
    case FRAME_NO_MEMORY:
        return "out of memory for a frame";
    }
    return "unknown";
}

void frame_codec_free(struct frame_codec *codec)
{
    free(codec->buffer);
    codec->buffer = NULL;
    codec->capacity = 0;
}

/* Makes the scratch hold `capacity` bytes and keeps what is in it. */
static bool codec_grow(struct frame_codec *codec, size_t capacity)
{
    uint8_t *buffer;

    if (codec->capacity >= capacity)
        return true;
    buffer = realloc(codec->buffer, capacity);
    if (!buffer)
        return false;
    codec->buffer = buffer;
    codec->capacity = capacity;
    return true;
}

/* Inflates until the stream's end, the input's end or beyond the ceiling, whichever comes first.
 * The buffer doubles as bytes come: what the peer announces is never allocated. One byte of room
 * above the ceiling tells a stream that fits exactly from one that goes on. */
static enum frame_result inflate_all(z_stream *stream, struct frame_codec *codec, size_t ceiling)
{
    for (;;) {
        size_t room = codec->capacity, done = stream->total_out;
        int status;

        if (room == done) {
            room = done < SCRATCH_FIRST ? SCRATCH_FIRST : done * 2;
            if (room > ceiling + 1)
                room = ceiling + 1;
            if (!codec_grow(codec, room))
                return FRAME_NO_MEMORY;
        } else if (room > ceiling + 1) {
            room = ceiling + 1;
        }
        stream->next_out = codec->buffer + done;
        stream->avail_out = (uInt)(room - done);
        status = inflate(stream, Z_NO_FLUSH);
        if (stream->total_out > ceiling)
            return FRAME_BOMB;
        if (status == Z_STREAM_END)
            return stream->avail_in == 0 ? FRAME_OK : FRAME_BAD_ZLIB;
        if (status == Z_MEM_ERROR)
            return FRAME_NO_MEMORY;
        if (status != Z_OK || (stream->avail_in == 0 && stream->avail_out > 0))
            return FRAME_BAD_ZLIB;
    }
}

static enum frame_result inflate_payload(struct frame *frame, struct frame_codec *codec,
                                         size_t ceiling)
{
    z_stream stream = {0};
    enum frame_result result;

    if (codec->capacity > SCRATCH_KEPT)
        frame_codec_free(codec); /* one huge frame is not a reason to hold its size for ever */
    if (inflateInit(&stream) != Z_OK)
        return FRAME_NO_MEMORY;
    stream.next_in = (z_const Bytef *)(uintptr_t)frame->payload;
    stream.avail_in = (uInt)frame->length;
    result = inflate_all(&stream, codec, ceiling);
    frame->payload = codec->buffer;
    frame->length = stream.total_out;
    inflateEnd(&stream);
    return result;
}

/* Judges as much of a header as is there, so that a stranger is told before it has sent 16 bytes,
 * and a frame that will be refused is refused before its payload is waited for. */
static enum frame_result check_header(const uint8_t *data, size_t n, size_t payload_max,
                                      uint8_t flags)
{
    if (memcmp(data, magic, n < sizeof magic ? n : sizeof magic) != 0)
        return FRAME_BAD_MAGIC;
    if (n > AT_VERSION && data[AT_VERSION] != FRAME_VERSION)
        return FRAME_BAD_VERSION;
    if (n > AT_FLAGS && (data[AT_FLAGS] & ~flags) != 0)
        return FRAME_BAD_FLAGS;
    if (n >= AT_CRC && get32(data + AT_LENGTH) > payload_max)
        return FRAME_TOO_LONG;
    return n < FRAME_HEADER ? FRAME_MORE : FRAME_OK;
}

enum frame_result frame_read(struct frame *frame, size_t *used, const uint8_t *data, size_t n,
                             struct frame_codec *codec, size_t payload_max, size_t inflated_max)
{
    uint8_t flags = inflated_max > 0 ? FRAME_DEFLATED : 0;
    enum frame_result result = n > 0 ? check_header(data, n, payload_max, flags) : FRAME_MORE;
    size_t length;

    *used = result == FRAME_MORE ? FRAME_HEADER : 0;
    if (result != FRAME_OK)
        return result;
    length = get32(data + AT_LENGTH);
    if (length > n - FRAME_HEADER) {
        *used = FRAME_HEADER + length;
        return FRAME_MORE;
    }
    if (checksum(data, length) != get32(data + AT_CRC))
        return FRAME_BAD_CRC;
    frame->type = (uint16_t)(data[AT_TYPE] | data[AT_TYPE + 1] << 8);
    frame->payload = data + FRAME_HEADER;
    frame->length = length;
    if (data[AT_FLAGS] & FRAME_DEFLATED)
        result = inflate_payload(frame, codec, inflated_max);
    if (result == FRAME_OK)
        *used = FRAME_HEADER + length;
    return result;
}

void frame_seal(uint8_t *to, uint16_t type, uint8_t flags, size_t length)
{
    memcpy(to, magic, sizeof magic);
    to[AT_VERSION] = FRAME_VERSION;
    to[AT_FLAGS] = flags;
    to[AT_TYPE] = (uint8_t)type;
    to[AT_TYPE + 1] = (uint8_t)(type >> 8);
    put32(to + AT_LENGTH, (uint32_t)length);
    put32(to + AT_CRC, checksum(to, length));
}

/* The payload deflated into the scratch; 0 when that is not shorter, or there is no memory. */
static size_t deflate_payload(uint8_t *payload, size_t length, struct frame_codec *codec)
{
    z_stream stream = {0};
    size_t deflated = 0;

    if (length < 2 || !codec_grow(codec, length - 1) || deflateInit(&stream, Z_BEST_SPEED) != Z_OK)
        return 0;
    stream.next_in = payload;
    stream.avail_in = (uInt)length;
    stream.next_out = codec->buffer;
    stream.avail_out = (uInt)(length - 1);
    if (deflate(&stream, Z_FINISH) == Z_STREAM_END)
        deflated = stream.total_out;
    deflateEnd(&stream);
    return deflated;
}

size_t frame_seal_deflated(uint8_t *to, uint16_t type, size_t length, struct frame_codec *codec)
{
    size_t deflated = deflate_payload(to + FRAME_HEADER, length, codec);

    if (deflated == 0) {
        frame_seal(to, type, 0, length);
        return length;
    }
    memcpy(to + FRAME_HEADER, codec->buffer, deflated);
    frame_seal(to, type, FRAME_DEFLATED, deflated);
    return deflated;
}

size_t frame_deflate(uint8_t *frame, size_t n, struct frame_codec *codec)
{
    uint16_t type = (uint16_t)(frame[AT_TYPE] | frame[AT_TYPE + 1] << 8);

    if (n < FRAME_HEADER + FRAME_DEFLATE_MIN)
        return n;
    return FRAME_HEADER + frame_seal_deflated(frame, type, n - FRAME_HEADER, codec);
}
