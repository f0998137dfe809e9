/* The wire's two directions for a judge in another language.
 *
 *     wire            reads frames from stdin and prints each message as one JSON object a line;
 *                     what is wrong with a frame ends it with status 1, with a message it does not
 *     wire encode     writes one message of every type to stdout
 *     wire deflate    the same, deflated
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/message.h"
#include "proto/message_fields.h"
#include "tests/unit/one_of_each.h"

/* ---- JSON ---- */

static void print_unsigned(uint64_t value)
{
    printf("%llu", (unsigned long long)value);
}

static void print_signed(int64_t value)
{
    printf("%lld", (long long)value);
}

static void print_bool(bool value)
{
    fputs(value ? "true" : "false", stdout);
}

static void print_double(double value)
{
    if (isfinite(value))
        printf("%.17g", value);
    else
        printf("\"%s\"", isnan(value) ? "nan" : value > 0 ? "inf" : "-inf");
}

static void print_text(const char *text)
{
    putchar('"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            putchar('\\');
        putchar(*text);
    }
    putchar('"');
}

static void print_hex(const uint8_t *bytes, size_t n)
{
    putchar('"');
    for (size_t i = 0; i < n; i++)
        printf("%02x", bytes[i]);
    putchar('"');
}

#define PRINT(value)                                                                               \
    _Generic((value), bool                                                                         \
             : print_bool, double                                                                  \
             : print_double, int64_t                                                               \
             : print_signed, default                                                               \
             : print_unsigned)(value)
#define PRINT_NUMBER(field)                                                                        \
    printf(",\"" #field "\":");                                                                    \
    PRINT(from->field);
#define PRINT_TEXT(field)                                                                          \
    printf(",\"" #field "\":");                                                                    \
    print_text(from->field);
#define PRINT_ARRAY(field, array, length)                                                          \
    printf(",\"" field "\":[");                                                                    \
    for (size_t item = 0; item < (length); item++) {                                               \
        fputs(item ? "," : "", stdout);                                                            \
        PRINT((array)[item]);                                                                      \
    }                                                                                              \
    putchar(']')

#define PRINT_FUNCTION(type, name, Generated, FIELDS)                                              \
    static void print_##name(const struct msg_##name *from)                                        \
    {                                                                                              \
        printf("{\"type\":\"" #name "\"");                                                         \
        FIELDS(PRINT_NUMBER, PRINT_TEXT)                                                           \
    }
MESSAGES(PRINT_FUNCTION)

static void print_summary(const struct summary *from)
{
    printf(",\"summary\":{\"ok\":true");
    SUMMARY_FIELDS(PRINT_NUMBER, PRINT_TEXT)
    printf(",\"negative_first\":%u,\"positive_first\":%u", from->negative.first,
           from->positive.first);
    PRINT_ARRAY("negative_counts", from->negative.counts, from->negative.length);
    PRINT_ARRAY("positive_counts", from->positive.counts, from->positive.length);
    printf(",\"extras\":[");
    for (uint32_t i = 0; i < from->extra_count; i++) {
        printf("%s[%u,", i ? "," : "", from->extras[i].key);
        print_double(from->extras[i].value);
        putchar(']');
    }
    printf("]}");
}

static void print_id_stats(const struct ids_stats *from)
{
    printf(",\"stats\":{\"ok\":true");
    IDS_STATS_FIELDS(PRINT_NUMBER, PRINT_TEXT)
    printf(",\"busiest\":[");
    for (uint32_t i = 0; i < from->busiest_count; i++)
        printf("%s[%lld,%llu]", i ? "," : "", (long long)from->busiest[i].id,
               (unsigned long long)from->busiest[i].count);
    printf("]}");
}

static void print_words(const struct msg_ids *from)
{
    printf(",\"words\":[");
    for (size_t i = 0; i < from->word_count; i++) {
        printf("%s[%lld,", i ? "," : "", (long long)from->words[i].id);
        print_text(from->words[i].word);
        putchar(']');
    }
    putchar(']');
}

static void print_layer(const struct msg_layer *from)
{
    printf("{\"ok\":true");
    LAYER_FIELDS(PRINT_NUMBER, PRINT_TEXT)
    PRINT_ARRAY("inputs", from->inputs, from->input_count);
    PRINT_ARRAY("shape", from->shape, from->shape_length);
    putchar('}');
}

static void print_variable(const struct msg_variable *from)
{
    printf("{\"ok\":true");
    VARIABLE_FIELDS(PRINT_NUMBER, PRINT_TEXT)
    PRINT_ARRAY("shape", from->shape, from->shape_length);
    putchar('}');
}

#define PRINT_PART(name, Name)                                                                     \
    static void print_##name(const struct msg_##name *from)                                        \
    {                                                                                              \
        printf("{\"ok\":true");                                                                    \
        Name##_FIELDS(PRINT_NUMBER, PRINT_TEXT) putchar('}');                                      \
    }
PRINT_PART(threshold, THRESHOLD)
PRINT_PART(ignore, IGNORE)

static void print_layers(const struct msg_layers *from)
{
    printf("{\"type\":\"layers\",\"layers\":[");
    for (size_t i = 0; i < from->layer_count; i++) {
        fputs(i ? "," : "", stdout);
        print_layer(&from->layers[i]);
    }
    printf("],\"variables\":[");
    for (size_t i = 0; i < from->variable_count; i++) {
        fputs(i ? "," : "", stdout);
        print_variable(&from->variables[i]);
    }
    printf("],\"thresholds\":[");
    for (size_t i = 0; i < from->threshold_count; i++) {
        fputs(i ? "," : "", stdout);
        print_threshold(&from->thresholds[i]);
    }
    printf("],\"ignores\":[");
    for (size_t i = 0; i < from->ignore_count; i++) {
        fputs(i ? "," : "", stdout);
        print_ignore(&from->ignores[i]);
    }
    putchar(']');
}

static void print_message(const struct message *message)
{
    switch (message->type) {
#define PRINT_CASE(type, name, Generated, FIELDS)                                                  \
    case type:                                                                                     \
        print_##name(&message->name);                                                              \
        break;
        MESSAGES(PRINT_CASE)
    case FRAME_LAYERS:
        print_layers(&message->layers);
        break;
    case FRAME_CHALLENGE:
    case FRAME_PROOF:
        break; /* no messages */
    }
    if (message->type == FRAME_HELLO) {
        printf(",\"session\":");
        print_hex(message->hello.session, SESSION_BYTES);
    } else if (message->type == FRAME_SAMPLE) {
        print_summary(&message->sample.summary);
    } else if (message->type == FRAME_IDS) {
        print_id_stats(&message->ids.stats);
        print_words(&message->ids);
    } else if (message->type == FRAME_SHAPE) {
        PRINT_ARRAY("dims", message->shape.dims, message->shape.dim_count);
    } else if (message->type == FRAME_REPLY) {
        printf(",\"text\":");
        print_hex(message->reply.text, message->reply.length);
    }
    puts("}");
}

/* ---- the two directions ---- */

static void decode_one(struct message_decoder *decoder, const struct frame *frame)
{
    struct message message;
    const char *problem;

    switch (message_decode(decoder, frame, &message, &problem)) {
    case MESSAGE_OK:
        print_message(&message);
        break;
    case MESSAGE_UNKNOWN:
        printf("{\"unknown\":%u}\n", frame->type);
        break;
    case MESSAGE_INVALID:
    case MESSAGE_MALFORMED:
        printf("{\"problem\":\"%s\",\"frame_type\":%u,\"sequence\":%llu}\n", problem, frame->type,
               (unsigned long long)message_sequence(&message));
        break;
    }
}

static int decode_all(const uint8_t *data, size_t n)
{
    struct message_decoder *decoder = message_decoder_new();
    enum frame_result result = FRAME_OK;
    struct frame_codec codec = {0};
    size_t used = 0;

    while (decoder && n > 0) {
        struct frame frame;

        result = frame_read(&frame, &used, data, n, &codec, FRAME_PAYLOAD_MAX, FRAME_INFLATED_MAX);
        if (result != FRAME_OK)
            break;
        decode_one(decoder, &frame);
        data += used;
        n -= used;
    }
    if (result != FRAME_OK)
        printf("{\"error\":\"%s\"}\n", frame_strerror(result));
    message_decoder_free(decoder);
    frame_codec_free(&codec);
    return !decoder || result != FRAME_OK;
}

static int encode_each(bool deflated)
{
    struct frame_codec codec = {0};
    static uint8_t data[4096];

    for (size_t i = 0; i < ONE_OF_EACH; i++) {
        struct message message = one_of_each(i);
        size_t length = message_size(&message);

        if (length > sizeof data || message_encode(&message, data) != length)
            return 1;
        if (deflated)
            length = FRAME_HEADER + frame_seal_deflated(data, (uint16_t)message.type,
                                                        length - FRAME_HEADER, &codec);
        fwrite(data, 1, length, stdout);
    }
    frame_codec_free(&codec);
    return 0;
}

int main(int argc, char **argv)
{
    enum { INPUT_MAX = 64 << 20 };
    uint8_t *data;
    int status;

    if (argc == 2 && strcmp(argv[1], "encode") == 0)
        return encode_each(false);
    if (argc == 2 && strcmp(argv[1], "deflate") == 0)
        return encode_each(true);
    if (argc != 1)
        return 64;
    data = malloc(INPUT_MAX);
    if (!data)
        return 71;
    status = decode_all(data, fread(data, 1, INPUT_MAX, stdin));
    free(data);
    return status;
}
