/* The frame reader: however a stream is cut into pieces, the same frames come out of it, and what
 * it borrows lies within the bytes it was given. */
#include <string.h>

#include "proto/frame.h"
#include "tests/fuzz/target.h"

enum { PAYLOAD_MAX = 64 << 10, INFLATED_MAX = 256 << 10, STREAM_MAX = 128 << 10 };

struct heard {
    size_t frames;
    uint64_t hash; /* of types and payloads in order */
    enum frame_result end;
};

static uint64_t mix(uint64_t hash, const uint8_t *data, size_t n)
{
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ data[i]) * 1099511628211u; /* FNV-1a */
    return hash;
}

/* Mutations alone never find a checksum: headers that look like ours get the one they need, unless
 * the payload's length is odd. */
static void seal_frames(uint8_t *data, size_t n)
{
    size_t at = 0;

    while (n - at >= FRAME_HEADER && memcmp(data + at, "EMBM", 4) == 0) {
        size_t length = data[at + 8] | (size_t)data[at + 9] << 8 | (size_t)data[at + 10] << 16;

        if (data[at + 11] != 0 || length > n - at - FRAME_HEADER)
            return;
        if (length % 2 == 0 && data[at + 4] == FRAME_VERSION)
            frame_seal(data + at, (uint16_t)(data[at + 6] | data[at + 7] << 8), data[at + 5],
                       length);
        at += FRAME_HEADER + length;
    }
}

static void take(struct heard *heard, const struct frame *frame)
{
    heard->frames++;
    heard->hash = mix(heard->hash, (const uint8_t *)&frame->type, sizeof frame->type);
    heard->hash = mix(heard->hash, frame->payload, frame->length);
    PROMISE(frame->length <= INFLATED_MAX);
}

/* Reads what is whole of stream[0 ... n); the rest waits. Returns how much was used. */
static size_t drain(struct heard *heard, const uint8_t *stream, size_t n, struct frame_codec *codec)
{
    size_t at = 0;

    while (heard->end == FRAME_MORE) {
        uint8_t *copy = exactly(stream + at, n - at);
        struct frame frame = {0};
        size_t used = 0;
        enum frame_result result =
            frame_read(&frame, &used, copy, n - at, codec, PAYLOAD_MAX, INFLATED_MAX);

        if (result == FRAME_OK) {
            PROMISE(used >= FRAME_HEADER && used <= n - at);
            take(heard, &frame);
            at += used;
        } else if (result == FRAME_MORE) {
            PROMISE(used > n - at || n == at);
        } else {
            PROMISE(used == 0 && *frame_strerror(result));
            heard->end = result;
        }
        free(copy);
        if (result != FRAME_OK)
            break;
    }
    return at;
}

static struct heard hear(const uint8_t *stream, size_t n, uint32_t seed)
{
    struct heard heard = {.hash = 14695981039346656037u, .end = FRAME_MORE};
    struct frame_codec codec = {0};
    size_t start = 0, end = 0;

    while (end < n && heard.end == FRAME_MORE) {
        size_t piece = n - end;

        if (seed) {
            seed = seed * 1664525u + 1013904223u;
            piece = 1 + (seed >> 16) % 512;
        }
        end = piece < n - end ? end + piece : n;
        start += drain(&heard, stream + start, end - start, &codec);
    }
    frame_codec_free(&codec);
    return heard;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct heard whole, pieces;
    uint8_t *stream;

    if (size < 1 || size > STREAM_MAX)
        return 0;
    stream = exactly(data + 1, size - 1);
    seal_frames(stream, size - 1);
    whole = hear(stream, size - 1, 0);
    pieces = hear(stream, size - 1, 1 + data[0]);
    PROMISE(whole.frames == pieces.frames && whole.hash == pieces.hash && whole.end == pieces.end);
    free(stream);
    return 0;
}
