/* The frames of a healthy training that does nothing but post: summaries of 64 buckets, a loss, the
 * end of the step. Encoded once; then only numbers that keep their length are set, so that who
 * posts costs next to nothing beside who takes it in. */
#ifndef EMBMON_TESTS_BENCH_FRAMES_H
#define EMBMON_TESTS_BENCH_FRAMES_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "embmon/embmon.h"
#include "proto/message.h"

enum {
    FRAMES_LAYERS_MAX = 4096,
    FRAMES_HALF = 32,        /* buckets of each sign */
    FRAMES_BYTES = 1024,     /* of one, at most */
    FRAMES_STEP_BYTES = 4,   /* of a varint from 2^21 to 2^28 */
    FRAMES_NUMBER_BYTES = 5, /* from 2^28 to 2^35 */
};
/* Like no part of the number. */
#define FRAMES_FIRST_STEP   ((uint64_t)0x25a5a5)
#define FRAMES_FIRST_NUMBER ((uint64_t)1 << 28)

struct blank {
    uint8_t bytes[FRAMES_BYTES];
    size_t length, step_at;
    uint16_t type;
};

struct frames {
    size_t layers;
    struct blank *samples; /* owned: one a layer */
    struct blank loss, end;
    uint64_t number, step; /* the next */
};

_Noreturn static inline void frames_die(const char *what)
{
    perror(what);
    exit(1);
}

static inline void frames_varint(uint8_t *to, uint64_t value, size_t n)
{
    for (size_t i = 0; i < n; i++, value >>= 7)
        to[i] = (uint8_t)((value & 0x7f) | (i + 1 < n ? 0x80 : 0));
}

/* The message's sequence number is FRAMES_FIRST_NUMBER, its step FRAMES_FIRST_STEP. */
static inline void blank_make(struct blank *blank, const struct message *message)
{
    uint8_t step[FRAMES_STEP_BYTES];
    uint8_t *found;

    if (message_size(message) > sizeof blank->bytes)
        frames_die("a frame");
    blank->length = message_encode(message, blank->bytes);
    blank->type = (uint16_t)message->type;
    frames_varint(step, FRAMES_FIRST_STEP, sizeof step);
    found = memmem(blank->bytes + FRAME_HEADER, blank->length - FRAME_HEADER, step, sizeof step);
    if (!found || blank->bytes[FRAME_HEADER] != 0x08) /* the number is the first field */
        frames_die("a frame's step");
    blank->step_at = (size_t)(found - blank->bytes);
}

static inline uint8_t *blank_stamp(uint8_t *to, const struct blank *blank, struct frames *frames)
{
    memcpy(to, blank->bytes, blank->length);
    frames_varint(to + FRAME_HEADER + 1, frames->number++, FRAMES_NUMBER_BYTES);
    frames_varint(to + blank->step_at, frames->step, FRAMES_STEP_BYTES);
    frame_seal(to, blank->type, 0, blank->length - FRAME_HEADER);
    return to + blank->length;
}

/* Values around 0.01, a bell of counts: what a dense layer's gradient looks like. */
static inline void frames_summary(struct summary *s, uint64_t counts[2][FRAMES_HALF], size_t layer)
{
    const uint32_t first = 930;

    *s = (struct summary){.parts = 1};
    for (uint32_t i = 0; i < FRAMES_HALF; i++) {
        double x = ((double)i - 20) / 6, value = bucket_low(first + i);

        for (size_t sign = 0; sign < 2; sign++) {
            counts[sign][i] = 1 + (uint64_t)(900 * exp(-x * x)) + (layer + i) % 7;
            s->count += counts[sign][i];
            s->sum += (double)counts[sign][i] * (sign ? value : -value);
            s->absolute_sum += (double)counts[sign][i] * value;
            s->square_sum += (double)counts[sign][i] * value * value;
        }
    }
    s->max = bucket_low(first + FRAMES_HALF);
    s->min = -s->max;
    s->negative = (struct summary_span){first, FRAMES_HALF, counts[0], FRAMES_HALF};
    s->positive = (struct summary_span){first, FRAMES_HALF, counts[1], FRAMES_HALF};
}

static inline void frames_make(struct frames *frames, size_t layers)
{
    uint64_t counts[2][FRAMES_HALF];
    struct message m = {.type = FRAME_SCALAR,
                        .scalar = {FRAMES_FIRST_NUMBER, 1, FRAMES_FIRST_STEP, "loss", 0.5}};

    *frames = (struct frames){layers,
                              calloc(layers, sizeof *frames->samples),
                              {{0}, 0, 0, 0},
                              {{0}, 0, 0, 0},
                              FRAMES_FIRST_NUMBER,
                              FRAMES_FIRST_STEP};
    if (!frames->samples)
        frames_die("memory");
    blank_make(&frames->loss, &m);
    m = (struct message){.type = FRAME_STEP_END,
                         .step_end = {FRAMES_FIRST_NUMBER, 1, FRAMES_FIRST_STEP, layers + 1, 0}};
    blank_make(&frames->end, &m);
    for (size_t i = 0; i < layers; i++) {
        m = (struct message){.type = FRAME_SAMPLE,
                             .sample = {.sequence = FRAMES_FIRST_NUMBER,
                                        .target = (uint32_t)i,
                                        .signal = EMBMON_GRADIENT,
                                        .phase = EMBMON_TRAIN,
                                        .step = FRAMES_FIRST_STEP}};
        frames_summary(&m.sample.summary, counts, i);
        blank_make(&frames->samples[i], &m);
    }
}

/* The bytes of a step, at most. */
static inline size_t frames_step_size(const struct frames *frames)
{
    return (frames->layers + 2) * FRAMES_BYTES;
}

/* Writes a whole step to `to`; returns its length. */
static inline size_t frames_step(struct frames *frames, uint8_t *to)
{
    uint8_t *at = to;

    for (size_t i = 0; i < frames->layers; i++)
        at = blank_stamp(at, &frames->samples[i], frames);
    at = blank_stamp(at, &frames->loss, frames);
    at = blank_stamp(at, &frames->end, frames);
    frames->step++;
    return (size_t)(at - to);
}

/* Hello and Layers of one rank, every tenth layer a table; returns their length. `to` has room for
 * 128 bytes a layer and 1 KiB. */
static inline size_t frames_greeting(uint8_t *to, const char *run, uint32_t rank, uint32_t world,
                                     size_t layers)
{
    struct message m = {
        .type = FRAME_HELLO,
        .hello = {
            .protocol_min = 1, .protocol_max = 1, .name = run, .rank = rank, .world_size = world}};
    struct msg_layer *all = calloc(layers, sizeof *all);
    char(*paths)[64] = calloc(layers, sizeof *paths);
    size_t n;

    if (!all || !paths)
        frames_die("memory");
    memcpy(m.hello.session, &rank, sizeof rank);
    n = message_encode(&m, to);
    for (size_t i = 0; i < layers; i++) {
        snprintf(paths[i], sizeof paths[i], "tower_%zu/layer_%zu", i / 10, i);
        all[i] = (struct msg_layer){.id = (uint32_t)i,
                                    .path = paths[i],
                                    .kind = i % 10 ? EMBMON_DENSE : EMBMON_EMBEDDING,
                                    .activation = i % 10 ? "relu" : "",
                                    .trainable = true,
                                    .rows = i % 10 ? 0 : 10000,
                                    .columns = i % 10 ? 0 : 64,
                                    .dtype = EMBMON_F32};
    }
    m = (struct message){.type = FRAME_LAYERS, .layers = {.layers = all, .layer_count = layers}};
    n += message_encode(&m, to + n);
    free(all);
    free(paths);
    return n;
}

#endif
