#include <string.h>

#include "embmon.pb-c.h"
#include "proto/message.h"
#include "proto/message_fields.h"

#define GIVE_NUMBER(field) to->field = from->field;
#define GIVE_TEXT(field)   to->field = text_to(from->field);

/* The generated structs have no const; packing does not write to what they point to. */
static char *text_to(const char *text)
{
    return text ? (char *)(uintptr_t)text : (char *)(uintptr_t)protobuf_c_empty_string;
}

#define GIVE(type, name, Generated, FIELDS)                                                        \
    static void give_##name(const struct msg_##name *from, Generated *to)                          \
    {                                                                                              \
        embmon__##name##__init(to);                                                                \
        FIELDS(GIVE_NUMBER, GIVE_TEXT)                                                             \
    }
MESSAGES(GIVE)
GIVE(, threshold, Embmon__Threshold, THRESHOLD_FIELDS)
GIVE(, ignore, Embmon__Ignore, IGNORE_FIELDS)

/* A message in the generated form, its arrays borrowed. */
struct generated {
    union {
        ProtobufCMessage base;
#define GENERATED_MEMBER(type, name, Generated, FIELDS) Generated name;
        MESSAGES(GENERATED_MEMBER)
    };
    Embmon__Summary summary;
    uint32_t extra_keys[SUMMARY_EXTRAS_MAX];
    double extra_values[SUMMARY_EXTRAS_MAX];
    Embmon__IdStats id_stats;
    int64_t busiest_ids[IDS_BUSIEST_MAX];
    uint64_t busiest_counts[IDS_BUSIEST_MAX];
    int64_t word_ids[IDS_WORDS_MAX];
    char *words[IDS_WORDS_MAX];
};

static void give_summary(const struct summary *from, struct generated *message)
{
    Embmon__Summary *to = &message->summary;

    embmon__summary__init(to);
    SUMMARY_FIELDS(GIVE_NUMBER, GIVE_TEXT)
    to->negative_first = from->negative.first;
    to->negative_counts = from->negative.counts;
    to->n_negative_counts = from->negative.length;
    to->positive_first = from->positive.first;
    to->positive_counts = from->positive.counts;
    to->n_positive_counts = from->positive.length;
    for (uint32_t i = 0; i < from->extra_count; i++) {
        message->extra_keys[i] = from->extras[i].key;
        message->extra_values[i] = from->extras[i].value;
    }
    to->extra_keys = message->extra_keys;
    to->n_extra_keys = from->extra_count;
    to->extra_values = message->extra_values;
    to->n_extra_values = from->extra_count;
    message->sample.summary = to;
}

static void give_id_stats(const struct ids_stats *from, struct generated *message)
{
    Embmon__IdStats *to = &message->id_stats;

    embmon__id_stats__init(to);
    IDS_STATS_FIELDS(GIVE_NUMBER, GIVE_TEXT)
    for (uint32_t i = 0; i < from->busiest_count; i++) {
        message->busiest_ids[i] = from->busiest[i].id;
        message->busiest_counts[i] = from->busiest[i].count;
    }
    to->busiest_ids = message->busiest_ids;
    to->busiest_counts = message->busiest_counts;
    to->n_busiest_ids = to->n_busiest_counts = from->busiest_count;
    message->ids.stats = to;
}

static void give_words(const struct msg_ids *from, struct generated *message)
{
    for (size_t i = 0; i < from->word_count; i++) {
        message->word_ids[i] = from->words[i].id;
        message->words[i] = text_to(from->words[i].word);
    }
    message->ids.word_ids = message->word_ids;
    message->ids.words = message->words;
    message->ids.n_word_ids = message->ids.n_words = from->word_count;
}

/* False for types this end does not know. */
static bool give_message(const struct message *from, struct generated *to)
{
    switch ((int)from->type) {
#define GIVE_CASE(type, name, Generated, FIELDS)                                                   \
    case type:                                                                                     \
        give_##name(&from->name, &to->name);                                                       \
        break;
        MESSAGES(GIVE_CASE)
    default:
        return false;
    }
    if (from->type == FRAME_HELLO) {
        to->hello.session.data = (uint8_t *)(uintptr_t)from->hello.session;
        to->hello.session.len = SESSION_BYTES;
    } else if (from->type == FRAME_SAMPLE) {
        give_summary(&from->sample.summary, to);
    } else if (from->type == FRAME_IDS) {
        give_id_stats(&from->ids.stats, to);
        give_words(&from->ids, to);
    } else if (from->type == FRAME_SHAPE) {
        to->shape.dims = (int64_t *)(uintptr_t)from->shape.dims;
        to->shape.n_dims = from->shape.dim_count;
    } else if (from->type == FRAME_REPLY) {
        to->reply.text.data = (uint8_t *)(uintptr_t)from->reply.text;
        to->reply.text.len = from->reply.length;
    }
    return true;
}

static void give_layer(const struct msg_layer *from, Embmon__Layer *to)
{
    embmon__layer__init(to);
    LAYER_FIELDS(GIVE_NUMBER, GIVE_TEXT)
    to->inputs = (uint32_t *)(uintptr_t)from->inputs;
    to->n_inputs = from->input_count;
    to->shape = (int64_t *)(uintptr_t)from->shape;
    to->n_shape = from->shape_length;
}

static void give_variable(const struct msg_variable *from, Embmon__Variable *to)
{
    embmon__variable__init(to);
    VARIABLE_FIELDS(GIVE_NUMBER, GIVE_TEXT)
    to->shape = (int64_t *)(uintptr_t)from->shape;
    to->n_shape = from->shape_length;
}

/* Bytes of one part of Layers with its tag and length; written when `to` is not NULL. Thousands of
 * parts go out one by one, so that no array of them is needed. */
static size_t pack_part(uint8_t tag, const ProtobufCMessage *part, uint8_t *to)
{
    size_t length = protobuf_c_message_get_packed_size(part), used = 0;
    uint8_t head[12];

    head[used++] = tag;
    for (size_t rest = length; rest > 0 || used == 1; rest >>= 7)
        head[used++] = (uint8_t)((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0));
    if (to) {
        memcpy(to, head, used);
        protobuf_c_message_pack(part, to + used);
    }
    return used + length;
}

/* Bytes of the payload; written when `to` is not NULL. */
static size_t pack_layers(const struct msg_layers *layers, uint8_t *to)
{
    size_t length = 0;

#define PACK_LIST(number, name, Generated, list)                                                   \
    for (size_t i = 0; i < layers->name##_count; i++) {                                            \
        Generated part;                                                                            \
        give_##name(&layers->list[i], &part);                                                      \
        length += pack_part((number) << 3 | 2, &part.base, to ? to + length : NULL);               \
    }
    LAYERS_LISTS(PACK_LIST)
    return length;
}

size_t message_size(const struct message *message)
{
    struct generated generated;

    if (message->type == FRAME_LAYERS)
        return FRAME_HEADER + pack_layers(&message->layers, NULL);
    if (!give_message(message, &generated))
        return 0;
    return FRAME_HEADER + protobuf_c_message_get_packed_size(&generated.base);
}

size_t message_encode(const struct message *message, uint8_t *to)
{
    struct generated generated;
    size_t length;

    if (message->type == FRAME_LAYERS)
        length = pack_layers(&message->layers, to + FRAME_HEADER);
    else if (give_message(message, &generated))
        length = protobuf_c_message_pack(&generated.base, to + FRAME_HEADER);
    else
        return 0;
    frame_seal(to, (uint16_t)message->type, 0, length);
    return FRAME_HEADER + length;
}
