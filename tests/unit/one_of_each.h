/* One message of every type with no field left at its default; what it points to is constant. */
#ifndef EMBMON_TESTS_UNIT_ONE_OF_EACH_H
#define EMBMON_TESTS_UNIT_ONE_OF_EACH_H

#include <math.h>
#include <string.h>

#include "proto/message.h"

enum { ONE_OF_EACH = 17 };

static inline struct message one_layers(void)
{
    static const uint32_t inputs[] = {0, 300};
    static const int64_t shape[] = {-1, 12, INT64_MAX};
    static const struct msg_layer layers[] = {
        {.id = 3,
         .path = "inner_model/embedding_1",
         .kind = 1,
         .activation = "linear",
         .trainable = true,
         .sharded = true,
         .tied = true,
         .has_padding = true,
         .rows = 10000,
         .columns = 64,
         .padding_id = INT64_MIN,
         .inputs = inputs,
         .input_count = 2,
         .shape = shape,
         .shape_length = 3,
         .dtype = 4,
         .mask = 3},
        {.id = 1 << 20, .path = "\xe5\xb1\xa4", .activation = ""},
    };
    static const struct msg_variable variables[] = {
        {.id = 7, .layer = 3, .name = "kernel", .shape = shape, .shape_length = 2, .dtype = 8},
    };
    static const struct msg_threshold thresholds[] = {
        {"gradient_exploding", "inner_model/*", "layer", 0x1.fffffffffffffp1023},
        {"\xe5\xb1\xa4", "?", "a_1", -0.1},
    };
    static const struct msg_ignore ignores[] = {{"gradient_spike", "*"}, {"x", " "}, {"x/y", "/"}};
    struct message message = {.type = FRAME_LAYERS};

    message.layers = (struct msg_layers){layers, 2, variables, 1, thresholds, 2, ignores, 3};
    return message;
}

static inline struct message one_sample(void)
{
    static uint64_t negative[] = {1, 0, 300}, positive[] = {UINT32_MAX};
    struct message message = {.type = FRAME_SAMPLE};
    struct msg_sample *sample = &message.sample;

    sample->sequence = 1ull << 40;
    sample->target = 1 << 20;
    sample->signal = 4;
    sample->phase = 3;
    sample->step = STEP_MAX - 1;
    sample->summary = (struct summary){.count = 301ull + UINT32_MAX + 10,
                                       .parts = 2,
                                       .zeros = 1,
                                       .nans = 2,
                                       .positive_infinities = 3,
                                       .negative_infinities = 4,
                                       .min = -1.5,
                                       .max = 0x1.fffffep127,
                                       .sum = -0x1p-1074,
                                       .absolute_sum = 0x1.fffffffffffffp1023,
                                       .square_sum = 0.1,
                                       .negative = {900, 3, negative, 3},
                                       .positive = {2039, 1, positive, 1},
                                       .extras = {{1, 5}, {3, 1}},
                                       .extra_count = 2};
    return message;
}

static inline struct message one_ids(void)
{
    static const struct ids_word words[] = {{INT64_MIN, "dress"}, {3, "\xe5\xb1\xa4 \"|\""}};
    struct message message = {.type = FRAME_IDS};

    message.ids = (struct msg_ids){.sequence = 15,
                                   .target = 1 << 20,
                                   .phase = 2,
                                   .step = STEP_MAX - 1,
                                   .fed = true,
                                   .input = "input1",
                                   .dtype = 8,
                                   .stats = {.count = 640,
                                             .sequences = 64,
                                             .sequence_length = 10,
                                             .negative = 1,
                                             .beyond = 2,
                                             .worst = -0x1p63,
                                             .worst_position = 3,
                                             .fractional = 4,
                                             .fractional_value = 9.99,
                                             .fractional_position = 5,
                                             .inexact = 6,
                                             .inexact_value = 0x1p24,
                                             .inexact_position = 7,
                                             .padded = 8,
                                             .leading = 9,
                                             .trailing = 10,
                                             .full = 11,
                                             .empty = 12,
                                             .empty_sequence = 13,
                                             .length_min = 1,
                                             .length_max = 9,
                                             .varied = 14,
                                             .masked = 640,
                                             .mismatched = 16,
                                             .mismatch_position = 17,
                                             .unique = 18,
                                             .unique_error = 19,
                                             .busiest_error = 20,
                                             .rows_seen = UINT64_MAX,
                                             .busiest = {{INT64_MIN, 22}, {3, 21}},
                                             .busiest_count = 2},
                                   .words = words,
                                   .word_count = 2};
    return message;
}

static inline struct message one_shape(void)
{
    static const int64_t dims[] = {-1, 12, INT64_MAX};
    struct message message = {.type = FRAME_SHAPE};

    message.shape = (struct msg_shape){16, 5, 3, 9, 1, 63, 64, -8, 4, dims, 3};
    return message;
}

/* The i-th, i < ONE_OF_EACH: that of frame type i + 1. */
static inline struct message one_of_each(size_t i)
{
    struct message m = {.type = (enum frame_type)(i + 1)};

    switch (m.type) {
    case FRAME_HELLO:
        m.hello = (struct msg_hello){
            1, 2, {0}, "reviews-2", "reviews", "job", RANKS_MAX - 1, RANKS_MAX, true, EVERY_MAX};
        for (uint8_t k = 0; k < SESSION_BYTES; k++)
            m.hello.session[k] = (uint8_t)(k * 17);
        break;
    case FRAME_WELCOME:
        m.welcome =
            (struct msg_welcome){1, "sweep/lr=1e-3", STEP_MAX, 8, UINT64_MAX, 4 << 20, UINT64_MAX};
        break;
    case FRAME_LAYERS:
        return one_layers();
    case FRAME_HEARTBEAT:
        m.heartbeat = (struct msg_heartbeat){UINT64_MAX, 1, UINT32_MAX, true, 5};
        break;
    case FRAME_SAMPLE:
        return one_sample();
    case FRAME_SCALAR:
        m.scalar = (struct msg_scalar){2, 1, 5, "loss", -INFINITY};
        break;
    case FRAME_STEP_END:
        m.step_end = (struct msg_step_end){3, 2, 6, 7, 8, 16};
        break;
    case FRAME_EPOCH:
        m.epoch = (struct msg_epoch){4, 9, 10};
        break;
    case FRAME_BYE:
        m.bye = (struct msg_bye){11};
        break;
    case FRAME_ACK:
        m.ack = (struct msg_ack){12, 13};
        break;
    case FRAME_NACK:
        m.nack = (struct msg_nack){14, NACK_LATE, "its step is closed"};
        break;
    case FRAME_NOTICE:
        m.notice = (struct msg_notice){1.7e9 + 0.25,
                                       1,
                                       "input/embedding",
                                       "kernel",
                                       "gradient",
                                       "gradient_vanishing",
                                       2,
                                       1,
                                       41,
                                       40,
                                       1e-9,
                                       1e-7,
                                       0.5,
                                       "cleared",
                                       "caf\xc3\xa9 \"quoted\"",
                                       "a \\ hint"};
        break;
    case FRAME_WISH:
        m.wish = (struct msg_wish){64, "input/embedding"};
        break;
    case FRAME_QUERY:
        m.query = (struct msg_query){"alerts", "reviews", true};
        break;
    case FRAME_IDS:
        return one_ids();
    case FRAME_SHAPE:
        return one_shape();
    case FRAME_REPLY:
        m.reply = (struct msg_reply){64, true, (const uint8_t *)"{\"a\":\0\xff}\n", 9};
        break;
    case FRAME_CHALLENGE:
    case FRAME_PROOF:
        break; /* no messages */
    }
    return m;
}

#endif
