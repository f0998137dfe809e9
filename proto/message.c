#include "proto/message.h"

#include <stdlib.h>
#include <string.h>

#include "embmon.pb-c.h"
#include "proto/arena.h"
#include "proto/fields.h"
#include "proto/message_check.h"
#include "proto/message_fields.h"
#include "proto/message_sample.h"

/* What a payload may unpack to. Honest messages of many tiny parts (thousands of layers with names
 * of one letter) need fifty times their size, most of it the library's own lists: the allowance. */
enum {
    BUDGET_MAX = 64 << 20,
    BUDGET_MIN = 8 << 20,
    BUDGET_PER_BYTE = 16,
    BUDGET_ALLOWANCE = 4 << 20
};

struct message_decoder {
    struct arena arena;
    size_t most;  /* of the arena's budget */
    bool library; /* nothing is decoded by hand */
    ProtobufCAllocator allocator;
    const char *problem; /* found while copying */
};

#define TAKE_NUMBER(field) to->field = from->field;
#define TAKE_TEXT(field)   to->field = text_from(decoder, from->field);

/* The library keeps no length of a string: one with a NUL inside would silently be cut, and pass
 * for another name. It does ask the arena for exactly the string's bytes and one more. */
static const char *text_from(struct message_decoder *decoder, const char *text)
{
    if (text != protobuf_c_empty_string && arena_size(text) != strlen(text) + 1)
        decoder->problem = "a text has a NUL inside";
    return text;
}

#define TAKE(type, name, Generated, FIELDS)                                                        \
    static void take_##name(struct message_decoder *decoder, const Generated *from,                \
                            struct msg_##name *to)                                                 \
    {                                                                                              \
        (void)decoder;                                                                             \
        FIELDS(TAKE_NUMBER, TAKE_TEXT)                                                             \
    }
MESSAGES(TAKE)
TAKE(, threshold, Embmon__Threshold, THRESHOLD_FIELDS)
TAKE(, ignore, Embmon__Ignore, IGNORE_FIELDS)

static void take_summary(struct message_decoder *decoder, const Embmon__Summary *from,
                         struct summary *to)
{
    if (!from) {
        decoder->problem = "a sample has no summary";
        return;
    }
    SUMMARY_FIELDS(TAKE_NUMBER, TAKE_TEXT)
    if (!message_span(&to->negative, from->negative_first, from->negative_counts,
                      from->n_negative_counts) ||
        !message_span(&to->positive, from->positive_first, from->positive_counts,
                      from->n_positive_counts))
        decoder->problem = "a span reaches beyond the bucket table";
    if (from->n_extra_keys != from->n_extra_values || from->n_extra_keys > SUMMARY_EXTRAS_MAX) {
        decoder->problem = "the extras are more than 8, or their keys and values differ in number";
        return;
    }
    to->extra_count = (uint32_t)from->n_extra_keys;
    for (uint32_t i = 0; i < to->extra_count; i++)
        to->extras[i] = (struct summary_extra){from->extra_keys[i], from->extra_values[i]};
}

static void take_id_stats(struct message_decoder *decoder, const Embmon__IdStats *from,
                          struct ids_stats *to)
{
    if (!from) {
        decoder->problem = "ids have no stats";
        return;
    }
    IDS_STATS_FIELDS(TAKE_NUMBER, TAKE_TEXT)
    if (from->n_busiest_ids != from->n_busiest_counts || from->n_busiest_ids > IDS_BUSIEST_MAX) {
        decoder->problem = "the busiest ids are more than 8, or ids and counts differ in number";
        return;
    }
    to->busiest_count = (uint32_t)from->n_busiest_ids;
    for (uint32_t i = 0; i < to->busiest_count; i++)
        to->busiest[i] = (struct ids_busiest){from->busiest_ids[i], from->busiest_counts[i]};
}

/* False beyond the arena's budget. */
static bool take_words(struct message_decoder *decoder, const Embmon__Ids *from, struct msg_ids *to)
{
    struct ids_word *words;

    if (from->n_word_ids != from->n_words || from->n_words > IDS_WORDS_MAX) {
        decoder->problem = "the words are more than 10, or they and their ids differ in number";
        return true;
    }
    words = arena_alloc(&decoder->arena, from->n_words * sizeof *words);
    for (size_t i = 0; words && i < from->n_words; i++)
        words[i] = (struct ids_word){from->word_ids[i], text_from(decoder, from->words[i])};
    to->words = words;
    to->word_count = from->n_words;
    return words != NULL;
}

static void take_layer(struct message_decoder *decoder, const Embmon__Layer *from,
                       struct msg_layer *to)
{
    LAYER_FIELDS(TAKE_NUMBER, TAKE_TEXT)
    to->inputs = from->inputs;
    to->input_count = from->n_inputs;
    to->shape = from->shape;
    to->shape_length = from->n_shape;
}

static void take_variable(struct message_decoder *decoder, const Embmon__Variable *from,
                          struct msg_variable *to)
{
    VARIABLE_FIELDS(TAKE_NUMBER, TAKE_TEXT)
    to->shape = from->shape;
    to->shape_length = from->n_shape;
}

/* False beyond the arena's budget. */
#define TAKE_LIST(number, name, Generated, list)                                                   \
    static bool take_##list##_of(struct message_decoder *decoder, const Embmon__Layers *from,      \
                                 struct msg_layers *to)                                            \
    {                                                                                              \
        struct msg_##name *all = arena_alloc(&decoder->arena, from->n_##list * sizeof *all);       \
        for (size_t i = 0; all && i < from->n_##list; i++)                                         \
            take_##name(decoder, from->list[i], &all[i]);                                          \
        to->list = all;                                                                            \
        to->name##_count = from->n_##list;                                                         \
        return all != NULL;                                                                        \
    }
LAYERS_LISTS(TAKE_LIST)

static bool take_layers(struct message_decoder *decoder, const Embmon__Layers *from,
                        struct msg_layers *to)
{
    if (from->n_layers > LAYERS_MAX || from->n_variables > VARIABLES_MAX)
        decoder->problem = "there are more than 4,096 layers or 16,384 variables";
    else if (from->n_thresholds > RULES_MAX || from->n_ignores > RULES_MAX)
        decoder->problem = "there are more than 256 thresholds or ignores";
    if (decoder->problem)
        return true;
#define TAKE_LIST_OF(number, name, Generated, list)                                                \
    if (!take_##list##_of(decoder, from, to))                                                      \
        return false;
    LAYERS_LISTS(TAKE_LIST_OF)
    return true;
}

static void take_session(struct message_decoder *decoder, const ProtobufCBinaryData *from,
                         uint8_t to[SESSION_BYTES])
{
    if (from->len == SESSION_BYTES)
        memcpy(to, from->data, SESSION_BYTES);
    else
        decoder->problem = "the session is not 16 bytes";
}

/* Copies what was unpacked; the allocator has seen to alignment. False beyond the budget. */
static bool take_message(struct message_decoder *decoder, const void *from, struct message *to)
{
    switch (to->type) {
#define TAKE_CASE(type, name, Generated, FIELDS)                                                   \
    case type:                                                                                     \
        take_##name(decoder, from, &to->name);                                                     \
        break;
        MESSAGES(TAKE_CASE)
    case FRAME_LAYERS:
        return take_layers(decoder, from, &to->layers);
    case FRAME_CHALLENGE: /* no messages: proto/handshake.h takes them */
    case FRAME_PROOF:
        break;
    }
    if (to->type == FRAME_HELLO) {
        take_session(decoder, &((const Embmon__Hello *)from)->session, to->hello.session);
    } else if (to->type == FRAME_SAMPLE) {
        take_summary(decoder, ((const Embmon__Sample *)from)->summary, &to->sample.summary);
    } else if (to->type == FRAME_IDS) {
        take_id_stats(decoder, ((const Embmon__Ids *)from)->stats, &to->ids.stats);
        return take_words(decoder, from, &to->ids);
    } else if (to->type == FRAME_SHAPE) {
        to->shape.dims = ((const Embmon__Shape *)from)->dims;
        to->shape.dim_count = ((const Embmon__Shape *)from)->n_dims;
    } else if (to->type == FRAME_REPLY) {
        to->reply.text = ((const Embmon__Reply *)from)->text.data;
        to->reply.length = ((const Embmon__Reply *)from)->text.len;
    }
    return true;
}

static const ProtobufCMessageDescriptor *descriptor_of(uint16_t type)
{
    switch (type) {
#define DESCRIPTOR_CASE(type, name, Generated, FIELDS)                                             \
    case type:                                                                                     \
        return &embmon__##name##__descriptor;
        MESSAGES(DESCRIPTOR_CASE)
    case FRAME_LAYERS:
        return &embmon__layers__descriptor;
    }
    return NULL;
}

uint64_t message_sequence(const struct message *message)
{
    switch ((int)message->type) {
    case FRAME_SAMPLE:
        return message->sample.sequence;
    case FRAME_IDS:
        return message->ids.sequence;
    case FRAME_SHAPE:
        return message->shape.sequence;
    case FRAME_SCALAR:
        return message->scalar.sequence;
    case FRAME_STEP_END:
        return message->step_end.sequence;
    case FRAME_EPOCH:
        return message->epoch.sequence;
    }
    return 0;
}

static void set_sequence(struct message *message, uint64_t sequence)
{
    switch ((int)message->type) {
    case FRAME_SAMPLE:
        message->sample.sequence = sequence;
        break;
    case FRAME_IDS:
        message->ids.sequence = sequence;
        break;
    case FRAME_SHAPE:
        message->shape.sequence = sequence;
        break;
    case FRAME_SCALAR:
        message->scalar.sequence = sequence;
        break;
    case FRAME_STEP_END:
        message->step_end.sequence = sequence;
        break;
    case FRAME_EPOCH:
        message->epoch.sequence = sequence;
        break;
    }
}

/* The sequence number of a payload that could not be unpacked, or 0: it is field 1, a varint, which
 * senders write first. Without it the sender would wait for its answer for ever. */
static uint64_t guess_sequence(const struct frame *frame)
{
    uint64_t value = 0;

    if (frame->length == 0 || frame->payload[0] != 0x08)
        return 0;
    for (size_t i = 1; i < frame->length && i <= 10; i++) {
        value |= (uint64_t)(frame->payload[i] & 0x7f) << (7 * (i - 1));
        if (frame->payload[i] < 0x80)
            return value;
    }
    return 0;
}

enum message_result message_decode(struct message_decoder *decoder, const struct frame *frame,
                                   struct message *message, const char **problem)
{
    const ProtobufCMessageDescriptor *descriptor = descriptor_of(frame->type);
    size_t budget = decoder->most;
    const void *unpacked = NULL;

    memset(message, 0, sizeof *message);
    message->type = (enum frame_type)frame->type;
    *problem = NULL;
    if (!descriptor)
        return MESSAGE_UNKNOWN;
    if (frame->length < (decoder->most - BUDGET_ALLOWANCE) / BUDGET_PER_BYTE)
        budget = frame->length * BUDGET_PER_BYTE + BUDGET_ALLOWANCE;
    arena_reset(&decoder->arena, budget);
    decoder->problem = NULL;
    if (frame->type == FRAME_SAMPLE && !decoder->library) {
        if (message_sample(&decoder->arena, frame->payload, frame->length, &message->sample)) {
            *problem = message_check(message);
            return *problem ? MESSAGE_INVALID : MESSAGE_OK;
        }
        memset(&message->sample, 0, sizeof message->sample);
        arena_reset(&decoder->arena, budget);
    }
    if (fields_few(frame->payload, frame->length, FIELDS_MAX))
        unpacked = protobuf_c_message_unpack(descriptor, &decoder->allocator, frame->length,
                                             frame->payload);
    if (!unpacked || !take_message(decoder, unpacked, message)) {
        set_sequence(message, guess_sequence(frame));
        *problem = "the payload is not this type's protobuf, or needs too much memory";
        return MESSAGE_MALFORMED;
    }
    *problem = decoder->problem ? decoder->problem : message_check(message);
    return *problem ? MESSAGE_INVALID : MESSAGE_OK;
}

static void *allocate(void *arena, size_t n)
{
    return arena_alloc(arena, n);
}

static void release(void *arena, void *memory)
{
    (void)arena; /* all at once, at the next message */
    (void)memory;
}

struct message_decoder *message_decoder_new(void)
{
    struct message_decoder *decoder = calloc(1, sizeof *decoder);

    if (!decoder)
        return NULL;
    decoder->allocator = (ProtobufCAllocator){allocate, release, &decoder->arena};
    decoder->most = BUDGET_MAX;
    return decoder;
}

void message_decoder_limit(struct message_decoder *decoder, size_t most)
{
    decoder->most = most < BUDGET_MIN ? BUDGET_MIN : most > BUDGET_MAX ? BUDGET_MAX : most;
}

void message_decoder_by_library(struct message_decoder *decoder)
{
    decoder->library = true;
}

size_t message_decoder_spent(const struct message_decoder *decoder, bool *full)
{
    *full = decoder->arena.full;
    return decoder->arena.spent;
}

void message_decoder_free(struct message_decoder *decoder)
{
    if (!decoder)
        return;
    arena_free(&decoder->arena);
    free(decoder);
}
