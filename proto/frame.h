/* Frames: how messages are cut out of a stream of bytes. The only module that inflates.
 *
 *      0       4     5     6       8         12        16
 *     +-------+-----+-----+-------+---------+---------+----------------- - -
 *     | EMBM  | ver |flags| type  | length  | CRC-32C | payload, `length` bytes
 *     +-------+-----+-----+-------+---------+---------+----------------- - -
 *       4       1     1     2       4         4                     little-endian
 *
 * ver     FRAME_VERSION. flags: FRAME_DEFLATED, the payload is one zlib stream.
 * type    enum frame_type; unknown types are skipped by the receiver and counted.
 * CRC     over header bytes 0 ... 11 and the payload as sent.
 *
 * Lengths are checked before anything is allocated; inflating is bounded by its output.
 */
#ifndef EMBMON_PROTO_FRAME_H
#define EMBMON_PROTO_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FRAME_HEADER = 16,
    FRAME_VERSION = 1,
    FRAME_DEFLATED = 1, /* a flag */
    FRAME_PAYLOAD_MAX = 4 << 20,
    FRAME_INFLATED_MAX = 16 << 20,
    /* Bytes of payload that are worth deflating. A Sample of 30,000 normal values is 400 bytes, and
     * 390 deflated: 0.15 ms for nothing. Long ones are texts, or spans with many zeros. */
    FRAME_DEFLATE_MIN = 1024,
};

enum frame_type {
    FRAME_HELLO = 1,
    FRAME_WELCOME = 2,
    FRAME_LAYERS = 3,
    FRAME_HEARTBEAT = 4,
    FRAME_SAMPLE = 5,
    FRAME_SCALAR = 6,
    FRAME_STEP_END = 7,
    FRAME_EPOCH = 8,
    FRAME_BYE = 9,
    FRAME_ACK = 10,
    FRAME_NACK = 11,
    FRAME_NOTICE = 12,
    FRAME_WISH = 13,
    FRAME_QUERY = 14,
    FRAME_REPLY = 15,
    FRAME_IDS = 16,
    FRAME_SHAPE = 17,
    FRAME_CHALLENGE = 18, /* this and the next: see proto/handshake.h */
    FRAME_PROOF = 19,
};

enum frame_result {
    FRAME_OK = 0,
    FRAME_MORE,        /* not a whole frame yet */
    FRAME_BAD_MAGIC,   /* not our protocol; everything below ends the connection */
    FRAME_BAD_VERSION, /* a framing version this end does not speak */
    FRAME_BAD_FLAGS,
    FRAME_TOO_LONG, /* length above the ceiling */
    FRAME_BAD_CRC,  /* bytes were damaged on the way */
    FRAME_BAD_ZLIB, /* not one whole zlib stream */
    FRAME_BOMB,     /* inflates above the ceiling */
    FRAME_NO_MEMORY,
};

/* A static sentence for the log. */
const char *frame_strerror(enum frame_result result);

/* One frame of a receive buffer. payload is borrowed: from the buffer, or from the inflater, until
 * the next call with either. */
struct frame {
    uint16_t type;
    const uint8_t *payload;
    size_t length;
};

/* Scratch for inflating and deflating; a zeroed one is valid. */
struct frame_codec {
    uint8_t *buffer; /* owned */
    size_t capacity;
};
void frame_codec_free(struct frame_codec *codec);

/* Reads the frame at the start of data[0 ... n).
 * FRAME_OK: *frame, and *used bytes belong to it. FRAME_MORE: *used is the number of bytes the
 * whole frame needs as far as known (>= FRAME_HEADER). Else: an error, *used is 0. payload_max,
 * inflated_max: ceilings in bytes; inflated_max 0: a deflated frame is FRAME_BAD_FLAGS. */
enum frame_result frame_read(struct frame *frame, size_t *used, const uint8_t *data, size_t n,
                             struct frame_codec *codec, size_t payload_max, size_t inflated_max);

/* Writes the header of a plain frame whose payload already lies at to + FRAME_HEADER. */
void frame_seal(uint8_t *to, uint16_t type, uint8_t flags, size_t length);

/* Like frame_seal(), with the payload deflated in place when that makes it shorter. Returns the
 * length of the payload as sent; 0 only for an empty payload. */
size_t frame_seal_deflated(uint8_t *to, uint16_t type, size_t length, struct frame_codec *codec);

/* Deflates a frame that frame_seal() wrote, where that is worth it; returns the length of the whole
 * frame from then on. */
size_t frame_deflate(uint8_t *frame, size_t n, struct frame_codec *codec);

#endif
