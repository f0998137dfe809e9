#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/fields.h"
#include "proto/message.h"
#include "proto/message_fields.h"
#include "tests/unit/one_of_each.h"
#include "tests/unit/random.h"

static struct message_decoder *decoder;
static struct message got;
static const char *problem;

static int make_decoder(void **state)
{
    (void)state;
    decoder = message_decoder_new();
    return decoder ? 0 : -1;
}

static int free_decoder(void **state)
{
    (void)state;
    message_decoder_free(decoder);
    message_decoder_free(NULL);
    return 0;
}

/* Decodes a payload from memory of exactly its size. */
static enum message_result decode(enum frame_type type, const void *payload, size_t length)
{
    uint8_t *exact = malloc(length ? length : 1);
    struct frame frame = {(uint16_t)type, exact, length};
    enum message_result result;

    assert_non_null(exact);
    memcpy(exact, payload, length);
    result = message_decode(decoder, &frame, &got, &problem);
    free(exact); /* nothing of the message is borrowed from the frame */
    return result;
}

/* The whole frame; the caller frees it. */
static uint8_t *encode(const struct message *message, size_t *length)
{
    uint8_t *data = malloc(message_size(message));

    assert_non_null(data);
    *length = message_encode(message, data);
    assert_int_equal(*length, message_size(message));
    return data;
}

static enum message_result round_trip(const struct message *message)
{
    struct frame_codec codec = {0};
    struct frame frame;
    size_t length, used;
    uint8_t *data = encode(message, &length);
    enum message_result result;

    assert_int_equal(frame_read(&frame, &used, data, length, &codec, length, 0), FRAME_OK);
    assert_int_equal(used, length);
    assert_int_equal(frame.type, message->type);
    result = decode(message->type, frame.payload, frame.length);
    free(data);
    return result;
}

static struct message sent_and_got(enum frame_type type)
{
    struct message sent = one_of_each(type - 1);

    assert_int_equal(round_trip(&sent), MESSAGE_OK);
    assert_null(problem);
    assert_int_equal(got.type, type);
    return sent;
}

#define SAME(member)      assert_true(got.member == sent.member)
#define SAME_TEXT(member) assert_string_equal(got.member, sent.member)

static void hello_arrives_whole(void **state)
{
    struct message sent = sent_and_got(FRAME_HELLO);

    (void)state;
    SAME(hello.protocol_min), SAME(hello.protocol_max), SAME(hello.rank), SAME(hello.world_size);
    SAME(hello.resume), SAME(hello.every);
    SAME_TEXT(hello.given), SAME_TEXT(hello.name), SAME_TEXT(hello.key);
    assert_memory_equal(got.hello.session, sent.hello.session, SESSION_BYTES);
    assert_int_equal(message_sequence(&got), 0);
}

static void welcome_arrives_whole(void **state)
{
    struct message sent = sent_and_got(FRAME_WELCOME);

    (void)state;
    SAME(welcome.protocol), SAME(welcome.next_step), SAME(welcome.every), SAME(welcome.sequence);
    SAME(welcome.frame_limit), SAME(welcome.rejected), SAME_TEXT(welcome.run);
}

static void layers_arrive_whole(void **state)
{
    struct message sent = sent_and_got(FRAME_LAYERS);

    (void)state;
    SAME(layers.layer_count), SAME(layers.variable_count);
    for (size_t i = 0; i < sent.layers.layer_count; i++) {
        const struct msg_layer *a = &got.layers.layers[i], *b = &sent.layers.layers[i];

        assert_string_equal(a->path, b->path);
        assert_string_equal(a->activation, b->activation ? b->activation : "");
        assert_true(a->id == b->id && a->kind == b->kind && a->trainable == b->trainable);
        assert_true(a->sharded == b->sharded && a->has_padding == b->has_padding);
        assert_true(a->tied == b->tied && a->mask == b->mask);
        assert_true(a->rows == b->rows && a->columns == b->columns && a->dtype == b->dtype);
        assert_true(a->padding_id == b->padding_id && a->input_count == b->input_count);
        assert_true(a->shape_length == b->shape_length);
        if (b->input_count > 0)
            assert_memory_equal(a->inputs, b->inputs, b->input_count * sizeof *b->inputs);
        if (b->shape_length > 0)
            assert_memory_equal(a->shape, b->shape, b->shape_length * sizeof *b->shape);
    }
    assert_int_equal(got.layers.variables[0].id, 7);
    assert_int_equal(got.layers.variables[0].layer, 3);
    assert_string_equal(got.layers.variables[0].name, "kernel");
    assert_int_equal(got.layers.variables[0].shape_length, 2);
    assert_int_equal(got.layers.variables[0].shape[1], 12);
    assert_int_equal(got.layers.variables[0].dtype, 8);
}

static void thresholds_and_ignores_arrive_whole(void **state)
{
    struct message sent = sent_and_got(FRAME_LAYERS);

    (void)state;
    assert_int_equal(got.layers.threshold_count, 2);
    for (size_t i = 0; i < 2; i++) {
        SAME_TEXT(layers.thresholds[i].detector), SAME_TEXT(layers.thresholds[i].layers);
        SAME_TEXT(layers.thresholds[i].key), SAME(layers.thresholds[i].value);
    }
    assert_int_equal(got.layers.ignore_count, 3);
    for (size_t i = 0; i < 3; i++)
        SAME_TEXT(layers.ignores[i].detector), SAME_TEXT(layers.ignores[i].layers);
}

static void a_sample_arrives_whole(void **state)
{
    struct message sent = sent_and_got(FRAME_SAMPLE);

    (void)state;
    SAME(sample.sequence), SAME(sample.target), SAME(sample.signal), SAME(sample.phase);
    SAME(sample.step), SAME(sample.summary.count), SAME(sample.summary.parts);
    SAME(sample.summary.zeros), SAME(sample.summary.nans), SAME(sample.summary.min);
    SAME(sample.summary.positive_infinities), SAME(sample.summary.negative_infinities);
    SAME(sample.summary.max), SAME(sample.summary.sum), SAME(sample.summary.absolute_sum);
    SAME(sample.summary.square_sum), SAME(sample.summary.extra_count);
    SAME(sample.summary.negative.first), SAME(sample.summary.negative.length);
    SAME(sample.summary.positive.first), SAME(sample.summary.positive.length);
    assert_memory_equal(got.sample.summary.negative.counts, sent.sample.summary.negative.counts,
                        3 * sizeof(uint64_t));
    SAME(sample.summary.positive.counts[0]);
    assert_true(summary_extra(&got.sample.summary, 1, -1) == 5);
    assert_true(summary_extra(&got.sample.summary, 3, -1) == 1);
    assert_true(message_sequence(&got) == 1ull << 40);
}

static void ids_arrive_whole(void **state)
{
    struct message sent = sent_and_got(FRAME_IDS);

    (void)state;
    SAME(ids.sequence), SAME(ids.target), SAME(ids.phase), SAME(ids.step), SAME(ids.fed);
    SAME_TEXT(ids.input), SAME(ids.dtype);
#define SAME_STAT(field) SAME(ids.stats.field);
    IDS_STATS_FIELDS(SAME_STAT, SAME_STAT)
#undef SAME_STAT
    SAME(ids.stats.busiest_count);
    for (uint32_t i = 0; i < sent.ids.stats.busiest_count; i++)
        SAME(ids.stats.busiest[i].id), SAME(ids.stats.busiest[i].count);
    SAME(ids.word_count);
    for (size_t i = 0; i < sent.ids.word_count; i++)
        SAME(ids.words[i].id), SAME_TEXT(ids.words[i].word);
    assert_int_equal(message_sequence(&got), 15);
    sent.ids.stats.fractional_value = NAN;
    assert_int_equal(round_trip(&sent), MESSAGE_OK);
    assert_true(isnan(got.ids.stats.fractional_value));
}

static void a_shape_arrives_whole(void **state)
{
    struct message sent = sent_and_got(FRAME_SHAPE);

    (void)state;
    SAME(shape.sequence), SAME(shape.target), SAME(shape.phase), SAME(shape.step);
    SAME(shape.role), SAME(shape.index), SAME(shape.inputs), SAME(shape.axis), SAME(shape.dtype);
    SAME(shape.dim_count);
    assert_memory_equal(got.shape.dims, sent.shape.dims, 3 * sizeof(int64_t));
    assert_int_equal(message_sequence(&got), 16);
    sent.shape.dims = NULL, sent.shape.dim_count = 0; /* of a scalar */
    assert_int_equal(round_trip(&sent), MESSAGE_OK);
    assert_int_equal(got.shape.dim_count, 0);
}

/* What struct ids_stats has and the message does not would be lost without a word. */
static void every_statistic_of_ids_is_in_the_list_of_fields(void **state)
{
    size_t bytes = offsetof(struct ids_stats, busiest);

    (void)state;
#define LESS_STAT(field) bytes -= sizeof(((struct ids_stats *)0)->field);
    IDS_STATS_FIELDS(LESS_STAT, LESS_STAT)
#undef LESS_STAT
    assert_int_equal(bytes, 0);
}

static void the_other_numbered_messages_arrive_whole(void **state)
{
    struct message sent = sent_and_got(FRAME_SCALAR);

    (void)state;
    SAME(scalar.sequence), SAME(scalar.phase), SAME(scalar.step), SAME(scalar.value);
    SAME_TEXT(scalar.name);
    assert_int_equal(message_sequence(&got), 2);
    sent = sent_and_got(FRAME_STEP_END);
    SAME(step_end.sequence), SAME(step_end.phase), SAME(step_end.step), SAME(step_end.posted);
    SAME(step_end.dropped);
    assert_int_equal(message_sequence(&got), 3);
    sent = sent_and_got(FRAME_EPOCH);
    SAME(epoch.sequence), SAME(epoch.epoch), SAME(epoch.step);
    assert_int_equal(message_sequence(&got), 4);
}

static void the_unnumbered_messages_arrive_whole(void **state)
{
    struct message sent = sent_and_got(FRAME_HEARTBEAT);

    (void)state;
    SAME(heartbeat.produced), SAME(heartbeat.dropped), SAME(heartbeat.phase);
    SAME(heartbeat.hurry), SAME(heartbeat.unsent);
    sent = sent_and_got(FRAME_BYE);
    SAME(bye.undelivered);
    sent = sent_and_got(FRAME_ACK);
    SAME(ack.kept), SAME(ack.durable);
    sent = sent_and_got(FRAME_NACK);
    SAME(nack.sequence), SAME(nack.reason), SAME_TEXT(nack.detail);
    sent = sent_and_got(FRAME_WISH);
    SAME(wish.steps), SAME_TEXT(wish.layer);
    sent = sent_and_got(FRAME_QUERY);
    SAME_TEXT(query.name), SAME_TEXT(query.run), SAME(query.firing);
    sent = sent_and_got(FRAME_REPLY);
    SAME(reply.status), SAME(reply.last), SAME(reply.length);
    assert_memory_equal(got.reply.text, sent.reply.text, sent.reply.length);
}

static void a_notice_arrives_whole(void **state)
{
    struct message sent = sent_and_got(FRAME_NOTICE);

    (void)state;
    SAME(notice.time), SAME(notice.phase), SAME(notice.severity), SAME(notice.state);
    SAME(notice.step), SAME(notice.first_step), SAME(notice.value), SAME(notice.threshold);
    SAME(notice.baseline);
    SAME_TEXT(notice.layer), SAME_TEXT(notice.variable), SAME_TEXT(notice.signal);
    SAME_TEXT(notice.detector), SAME_TEXT(notice.reason), SAME_TEXT(notice.summary);
    SAME_TEXT(notice.hint);
}

static void nan_arrives_as_nan(void **state)
{
    struct message sent = one_of_each(FRAME_SCALAR - 1);

    (void)state;
    sent.scalar.value = NAN;
    assert_int_equal(round_trip(&sent), MESSAGE_OK);
    assert_true(isnan(got.scalar.value));
}

static void unknown_types_are_skipped(void **state)
{
    (void)state;
    assert_int_equal(decode((enum frame_type)0, "", 0), MESSAGE_UNKNOWN);
    assert_int_equal(decode((enum frame_type)18, "\xff", 1), MESSAGE_UNKNOWN);
    assert_int_equal(decode((enum frame_type)0xffff, "", 0), MESSAGE_UNKNOWN);
}

static void empty_payloads_are_judged_like_others(void **state)
{
    static const enum message_result expected[] = {
        [FRAME_HELLO] = MESSAGE_INVALID,    [FRAME_WELCOME] = MESSAGE_INVALID,
        [FRAME_LAYERS] = MESSAGE_OK,        [FRAME_HEARTBEAT] = MESSAGE_OK,
        [FRAME_SAMPLE] = MESSAGE_INVALID,   [FRAME_SCALAR] = MESSAGE_INVALID,
        [FRAME_STEP_END] = MESSAGE_INVALID, [FRAME_EPOCH] = MESSAGE_INVALID,
        [FRAME_BYE] = MESSAGE_OK,           [FRAME_ACK] = MESSAGE_OK,
        [FRAME_NACK] = MESSAGE_INVALID,     [FRAME_NOTICE] = MESSAGE_INVALID,
        [FRAME_WISH] = MESSAGE_OK,          [FRAME_QUERY] = MESSAGE_OK,
        [FRAME_REPLY] = MESSAGE_OK,         [FRAME_IDS] = MESSAGE_INVALID,
        [FRAME_SHAPE] = MESSAGE_INVALID};

    (void)state;
    for (int type = FRAME_HELLO; type <= FRAME_SHAPE; type++) {
        assert_int_equal(decode((enum frame_type)type, "", 0), expected[type]);
        assert_int_equal(problem != NULL, expected[type] != MESSAGE_OK);
        assert_int_equal(got.type, type);
    }
}

/* ---- what only the wire can get wrong ---- */

static void an_invalid_message_keeps_its_sequence_number(void **state)
{
    struct message sent = one_of_each(FRAME_SCALAR - 1);

    (void)state;
    sent.scalar.name = "a//b";
    assert_int_equal(round_trip(&sent), MESSAGE_INVALID);
    assert_int_equal(message_sequence(&got), 2);
    sent = one_of_each(FRAME_SAMPLE - 1);
    sent.sample.summary.count++;
    assert_int_equal(round_trip(&sent), MESSAGE_INVALID);
    assert_string_equal(problem, "the counts do not add up to count");
    assert_true(message_sequence(&got) == 1ull << 40);
}

static void a_malformed_message_keeps_its_sequence_number_when_that_can_be_read(void **state)
{
    (void)state;
    assert_int_equal(decode(FRAME_STEP_END, "\x08\xac\x02\xff", 4), MESSAGE_MALFORMED);
    assert_int_equal(got.type, FRAME_STEP_END);
    assert_int_equal(message_sequence(&got), 300);
    assert_int_equal(decode(FRAME_SAMPLE, "\x08\x07\x32\x7f", 4), MESSAGE_MALFORMED);
    assert_int_equal(message_sequence(&got), 7);
    assert_int_equal(decode(FRAME_SCALAR, "\xff\xff", 2), MESSAGE_MALFORMED);
    assert_int_equal(message_sequence(&got), 0);
    assert_int_equal(decode(FRAME_EPOCH, "\x08\x80", 2), MESSAGE_MALFORMED);
    assert_int_equal(message_sequence(&got), 0);
    assert_int_equal(decode(FRAME_HELLO, "\x08\x01\xff", 3), MESSAGE_MALFORMED);
    assert_int_equal(message_sequence(&got), 0);
    assert_string_equal(problem,
                        "the payload is not this type's protobuf, or needs too much memory");
}

/* The last of equal ones counts. */
static void a_message_has_so_many_fields_and_no_more(void **state)
{
    static uint8_t beat[2 * (FIELDS_MAX + 1)];

    (void)state;
    for (size_t i = 0; i < sizeof beat; i += 2)
        beat[i] = 1 << 3;
    for (size_t n = FIELDS_MAX - 1; n <= FIELDS_MAX + 1; n++)
        assert_int_equal(decode(FRAME_HEARTBEAT, beat, 2 * n),
                         n <= FIELDS_MAX ? MESSAGE_OK : MESSAGE_MALFORMED);
}

static void a_nul_inside_a_text_is_refused(void **state)
{
    /* Nack{reason 1, detail of 3 bytes} */
    static const char nul[] = "\x10\x01\x1a\x03"
                              "a\0b",
                      last[] = "\x10\x01\x1a\x03"
                               "ab\0",
                      first[] = "\x10\x01\x1a\x03"
                                "\0ab",
                      only[] = "\x10\x01\x1a\x01\0",
                      good[] = "\x10\x01\x1a\x03"
                               "abc",
                      empty[] = "\x10\x01\x1a\0";

    (void)state;
    assert_int_equal(decode(FRAME_NACK, nul, 7), MESSAGE_INVALID);
    assert_string_equal(problem, "a text has a NUL inside");
    assert_int_equal(decode(FRAME_NACK, last, 7), MESSAGE_INVALID);
    assert_int_equal(decode(FRAME_NACK, first, 7), MESSAGE_INVALID);
    assert_int_equal(decode(FRAME_NACK, only, 5), MESSAGE_INVALID);
    assert_int_equal(decode(FRAME_NACK, good, 7), MESSAGE_OK);
    assert_string_equal(got.nack.detail, "abc");
    assert_int_equal(decode(FRAME_NACK, empty, 4), MESSAGE_OK);
    assert_string_equal(got.nack.detail, "");
}

static void unknown_fields_are_skipped(void **state)
{
    static const char ack[] = "\x08\x05"                   /* kept 5 */
                              "\xa0\x06\x01"               /* field 100, a number */
                              "\xaa\x06\x03\0\0\0"         /* field 101, three bytes */
                              "\xb5\x06\1\2\3\4"           /* field 102, fixed 32 */
                              "\xb9\x06\1\2\3\4\5\6\7\x08" /* field 103, fixed 64 */
                              "\x10\x04";                  /* durable 4 */

    (void)state;
    assert_int_equal(decode(FRAME_ACK, ack, sizeof ack - 1), MESSAGE_OK);
    assert_int_equal(got.ack.kept, 5);
    assert_int_equal(got.ack.durable, 4);
}

static void the_session_is_16_bytes(void **state)
{
    char payload[] = "\x08\x01\x10\x01\x1a\x10"
                     "0123456789abcdef"
                     "\x2a\x01r\x40\x01";

    (void)state;
    assert_int_equal(decode(FRAME_HELLO, payload, sizeof payload - 1), MESSAGE_OK);
    assert_memory_equal(got.hello.session, "0123456789abcdef", 16);
    payload[5] = 0x0f; /* then its last byte is read as a field: 'f' is number 12, fixed 64 */
    assert_int_equal(decode(FRAME_HELLO, payload, sizeof payload - 1), MESSAGE_MALFORMED);
    assert_int_equal(decode(FRAME_HELLO, "\x08\x01\x10\x01\x2a\x01r\x40\x01", 9), MESSAGE_INVALID);
    assert_string_equal(problem, "the session is not 16 bytes");
    assert_int_equal(got.type, FRAME_HELLO);
}

static void a_sample_needs_a_summary(void **state)
{
    (void)state;
    assert_int_equal(decode(FRAME_SAMPLE, "\x08\x01\x18\x01\x20\x01", 6), MESSAGE_INVALID);
    assert_string_equal(problem, "a sample has no summary");
    /* Summary{parts 1}: an empty tensor */
    assert_int_equal(decode(FRAME_SAMPLE, "\x08\x01\x18\x01\x20\x01\x32\x02\x10\x01", 10),
                     MESSAGE_OK);
    assert_int_equal(got.sample.summary.count, 0);
}

static void ids_need_stats_with_as_many_busiest_ids_as_counts(void **state)
{
    /* Ids{sequence 1, phase 1, dtype 1, IdStats{count 1, busiest_ids}} */
    static const char ids_only[] = "\x08\x01\x18\x01\x38\x01\x42\x06\x08\x01\xf2\x01\x01\x02";
    struct message sent = one_of_each(FRAME_IDS - 1);

    (void)state;
    assert_int_equal(decode(FRAME_IDS, ids_only, 6), MESSAGE_INVALID);
    assert_string_equal(problem, "ids have no stats");
    assert_int_equal(decode(FRAME_IDS, ids_only, sizeof ids_only - 1), MESSAGE_INVALID);
    assert_string_equal(problem,
                        "the busiest ids are more than 8, or ids and counts differ in number");
    sent.ids.stats.busiest_count = IDS_BUSIEST_MAX;
    for (int i = 0; i < IDS_BUSIEST_MAX; i++)
        sent.ids.stats.busiest[i] = (struct ids_busiest){-i, 1};
    assert_int_equal(round_trip(&sent), MESSAGE_OK);
    assert_int_equal(got.ids.stats.busiest[7].id, -7);
}

static void ids_have_at_most_ten_words_each_with_its_id(void **state)
{
    static const char why[] = "the words are more than 10, or they and their ids differ in number";
    struct ids_word words[IDS_WORDS_MAX];
    struct message sent = one_of_each(FRAME_IDS - 1);

    (void)state;
    /* Ids{sequence 1, phase 1, dtype 1, IdStats{count 1}}, and a word or an id without the other */
    assert_int_equal(decode(FRAME_IDS, "\x08\x01\x18\x01\x38\x01\x42\x02\x08\x01\x52\x01w", 13),
                     MESSAGE_INVALID);
    assert_string_equal(problem, why);
    assert_int_equal(decode(FRAME_IDS, "\x08\x01\x18\x01\x38\x01\x42\x02\x08\x01\x4a\x01\x02", 13),
                     MESSAGE_INVALID);
    assert_string_equal(problem, why);
    assert_int_equal(
        decode(FRAME_IDS, "\x08\x01\x18\x01\x38\x01\x42\x02\x08\x01\x4a\x01\x02\x52\x01w", 16),
        MESSAGE_OK);
    assert_int_equal(got.ids.words[0].id, 1);
    assert_string_equal(got.ids.words[0].word, "w");
    for (int i = 0; i < IDS_WORDS_MAX; i++)
        words[i] = (struct ids_word){i, "a word"};
    sent.ids.words = words, sent.ids.word_count = IDS_WORDS_MAX;
    assert_int_equal(round_trip(&sent), MESSAGE_OK);
    assert_int_equal(got.ids.words[IDS_WORDS_MAX - 1].id, IDS_WORDS_MAX - 1);
    sent.ids.word_count = 0;
    assert_int_equal(round_trip(&sent), MESSAGE_OK);
    assert_int_equal(got.ids.word_count, 0);
}

static void spans_are_trimmed_and_stay_within_the_table(void **state)
{
    uint64_t counts[BUCKETS + 1] = {[1] = 5, [3] = 6};
    struct message sent = {.type = FRAME_SAMPLE};
    struct msg_sample *sample = &sent.sample;

    (void)state;
    sample->sequence = sample->signal = sample->phase = 1;
    sample->summary = (struct summary){.count = 11, .parts = 1, .max = 1};
    sample->summary.positive = (struct summary_span){100, 6, counts, 6};
    assert_int_equal(round_trip(&sent), MESSAGE_OK);
    assert_int_equal(got.sample.summary.positive.first, 101);
    assert_int_equal(got.sample.summary.positive.length, 3);
    assert_int_equal(got.sample.summary.positive.counts[2], 6);
    sample->summary.negative = (struct summary_span){100, 1, counts, 1}; /* a zero only */
    assert_int_equal(round_trip(&sent), MESSAGE_OK);
    assert_int_equal(got.sample.summary.negative.first, 0);
    assert_int_equal(got.sample.summary.negative.length, 0);
    sample->summary.positive.first = BUCKETS - 5;
    assert_int_equal(round_trip(&sent), MESSAGE_INVALID);
    assert_string_equal(problem, "a span reaches beyond the bucket table");
    sample->summary.positive.first = UINT32_MAX;
    assert_int_equal(round_trip(&sent), MESSAGE_INVALID);
    sample->summary.positive = (struct summary_span){0, BUCKETS + 1, counts, BUCKETS + 1};
    assert_int_equal(round_trip(&sent), MESSAGE_INVALID);
    sample->summary.positive.length = BUCKETS;
    assert_int_equal(round_trip(&sent), MESSAGE_OK);
}

static void extras_have_as_many_keys_as_values(void **state)
{
    /* Sample{sequence 1, signal 1, phase 1, Summary{parts 1, keys, values}} */
    static const char keys_only[] = "\x08\x01\x18\x01\x20\x01\x32\x06\x10\x01\x82\x01\x01\x01";
    struct message sent = one_of_each(FRAME_SAMPLE - 1);

    (void)state;
    assert_int_equal(decode(FRAME_SAMPLE, keys_only, sizeof keys_only - 1), MESSAGE_INVALID);
    assert_string_equal(problem,
                        "the extras are more than 8, or their keys and values differ in number");
    sent.sample.summary.extras[0].key = 3; /* the second is 3 too */
    assert_int_equal(round_trip(&sent), MESSAGE_INVALID);
    assert_string_equal(problem, "the extras' keys do not ascend from 1");
}

/* ---- sizes ---- */

static struct message many_layers(size_t layer_count, size_t variable_count)
{
    static struct msg_layer layers[LAYERS_MAX + 1];
    static struct msg_variable variables[VARIABLES_MAX + 1];
    struct message message = {.type = FRAME_LAYERS};

    for (size_t i = 0; i < layer_count; i++)
        layers[i] = (struct msg_layer){.id = (uint32_t)i, .path = "a"};
    for (size_t i = 0; i < variable_count; i++)
        variables[i] = (struct msg_variable){.id = (uint32_t)i, .layer = 1, .name = "b"};
    message.layers = (struct msg_layers){.layers = layers,
                                         .layer_count = layer_count,
                                         .variables = variables,
                                         .variable_count = variable_count};
    return message;
}

static void the_largest_model_of_the_shortest_names_is_within_the_budget(void **state)
{
    struct message sent = many_layers(LAYERS_MAX, VARIABLES_MAX);

    (void)state;
    assert_int_equal(round_trip(&sent), MESSAGE_OK);
    assert_int_equal(got.layers.layer_count, LAYERS_MAX);
    assert_int_equal(got.layers.variable_count, VARIABLES_MAX);
    assert_int_equal(got.layers.layers[LAYERS_MAX - 1].id, LAYERS_MAX - 1);
    assert_int_equal(got.layers.variables[VARIABLES_MAX - 1].id, VARIABLES_MAX - 1);
    sent = many_layers(LAYERS_MAX + 1, 0);
    assert_int_equal(round_trip(&sent), MESSAGE_INVALID);
    assert_string_equal(problem, "there are more than 4,096 layers or 16,384 variables");
    sent = many_layers(0, VARIABLES_MAX + 1);
    assert_int_equal(round_trip(&sent), MESSAGE_INVALID);
}

static void more_rules_than_a_run_may_have_are_refused(void **state)
{
    static struct msg_threshold thresholds[RULES_MAX + 1];
    static struct msg_ignore ignores[RULES_MAX + 1];
    struct message sent = {.type = FRAME_LAYERS};

    (void)state;
    for (size_t i = 0; i <= RULES_MAX; i++) {
        thresholds[i] = (struct msg_threshold){"d", "*", "k", 1};
        ignores[i] = (struct msg_ignore){"d", "*"};
    }
    sent.layers.thresholds = thresholds;
    sent.layers.ignores = ignores;
    sent.layers.threshold_count = sent.layers.ignore_count = RULES_MAX;
    assert_int_equal(round_trip(&sent), MESSAGE_OK);
    assert_string_equal(got.layers.ignores[RULES_MAX - 1].layers, "*");
    sent.layers.threshold_count++;
    assert_int_equal(round_trip(&sent), MESSAGE_INVALID);
    assert_string_equal(problem, "there are more than 256 thresholds or ignores");
    sent.layers.threshold_count = 0;
    sent.layers.ignore_count++;
    assert_int_equal(round_trip(&sent), MESSAGE_INVALID);
}

static void the_largest_sample_arrives(void **state)
{
    static uint64_t counts[BUCKETS];
    struct message sent = {.type = FRAME_SAMPLE};
    struct msg_sample *sample = &sent.sample;

    (void)state;
    for (size_t i = 0; i < BUCKETS; i++)
        counts[i] = 1ull << 50;
    sample->sequence = sample->signal = sample->phase = 1;
    sample->summary = (struct summary){.count = 2 * BUCKETS * (1ull << 50), .parts = 1};
    sample->summary.positive = (struct summary_span){0, BUCKETS, counts, BUCKETS};
    sample->summary.negative = sample->summary.positive;
    assert_int_equal(round_trip(&sent), MESSAGE_OK);
    assert_memory_equal(got.sample.summary.negative.counts, counts, sizeof counts);
}

/* Two bytes each that unpack to hundreds: empty layers, and variables, as many as fit. */
static void a_payload_that_unpacks_to_far_more_is_refused(void **state)
{
    enum { N = 4 << 20 };
    uint8_t *payload = calloc(1, N);

    (void)state;
    assert_non_null(payload);
    for (size_t i = 0; i < N; i += 2)
        payload[i] = 0x0a; /* a layer of length 0 */
    assert_int_equal(decode(FRAME_LAYERS, payload, N), MESSAGE_MALFORMED);
    assert_int_equal(decode(FRAME_LAYERS, payload, 100000), MESSAGE_MALFORMED);
    memset(payload, 0, N);
    for (size_t i = 0; i < N; i += 3)
        memcpy(payload + i, "\xa0\x06\x01", i + 3 <= N ? 3 : N - i); /* unknown fields */
    assert_int_equal(decode(FRAME_ACK, payload, N / 3 * 3), MESSAGE_MALFORMED);
    free(payload);
    assert_int_equal(decode(FRAME_ACK, "\x08\x05", 2), MESSAGE_OK); /* and the next one is fine */
}

/* ---- hostile bytes ---- */

/* Whatever comes out as good is good, and can be sent on. */
static void assert_sound(void)
{
    size_t length;
    uint8_t *data = encode(&got, &length);
    enum frame_type type = got.type;

    if (type == FRAME_SAMPLE)
        assert_null(summary_check(&got.sample.summary));
    assert_int_equal(decode(type, data + FRAME_HEADER, length - FRAME_HEADER), MESSAGE_OK);
    free(data);
}

static void fifty_thousand_mutations_do_no_harm(void **state)
{
    size_t results[4] = {0};
    uint64_t seed = 9;

    (void)state;
    for (int round = 0; round < 50000; round++) {
        struct message sent = one_of_each(random_below(&seed, ONE_OF_EACH));
        size_t length;
        uint8_t *data = encode(&sent, &length), *payload = data + FRAME_HEADER;
        enum frame_type type = sent.type;
        enum message_result result;

        length -= FRAME_HEADER;
        for (uint64_t n = random_below(&seed, 5); n > 0 && length > 0; n--) {
            size_t at = random_below(&seed, length);

            if (random_below(&seed, 2))
                payload[at] ^= (uint8_t)(1u << random_below(&seed, 8));
            else
                payload[at] = (uint8_t)random_next(&seed);
        }
        if (random_below(&seed, 8) == 0)
            length = random_below(&seed, length + 1);
        if (random_below(&seed, 8) == 0) /* another message's bytes */
            type = (enum frame_type)(random_below(&seed, ONE_OF_EACH + 1) + 1);
        result = decode(type, payload, length);
        results[result]++;
        assert_int_equal(problem != NULL, result == MESSAGE_INVALID || result == MESSAGE_MALFORMED);
        if (result == MESSAGE_OK)
            assert_sound();
        free(data);
    }
    for (int i = 0; i < 4; i++)
        assert_true(results[i] > 200);
}

static void random_bytes_do_no_harm(void **state)
{
    uint64_t seed = 10;
    uint8_t bytes[64];

    (void)state;
    for (int round = 0; round < 50000; round++) {
        size_t n = random_below(&seed, sizeof bytes + 1);

        for (size_t i = 0; i < n; i++)
            bytes[i] =
                (uint8_t)(random_below(&seed, 4) ? random_below(&seed, 24) : random_next(&seed));
        if (decode((enum frame_type)(random_below(&seed, ONE_OF_EACH) + 1), bytes, n) == MESSAGE_OK)
            assert_sound();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hello_arrives_whole),
        cmocka_unit_test(welcome_arrives_whole),
        cmocka_unit_test(layers_arrive_whole),
        cmocka_unit_test(thresholds_and_ignores_arrive_whole),
        cmocka_unit_test(a_sample_arrives_whole),
        cmocka_unit_test(ids_arrive_whole),
        cmocka_unit_test(a_shape_arrives_whole),
        cmocka_unit_test(every_statistic_of_ids_is_in_the_list_of_fields),
        cmocka_unit_test(the_other_numbered_messages_arrive_whole),
        cmocka_unit_test(the_unnumbered_messages_arrive_whole),
        cmocka_unit_test(a_notice_arrives_whole),
        cmocka_unit_test(nan_arrives_as_nan),
        cmocka_unit_test(unknown_types_are_skipped),
        cmocka_unit_test(empty_payloads_are_judged_like_others),
        cmocka_unit_test(an_invalid_message_keeps_its_sequence_number),
        cmocka_unit_test(a_malformed_message_keeps_its_sequence_number_when_that_can_be_read),
        cmocka_unit_test(a_message_has_so_many_fields_and_no_more),
        cmocka_unit_test(a_nul_inside_a_text_is_refused),
        cmocka_unit_test(unknown_fields_are_skipped),
        cmocka_unit_test(the_session_is_16_bytes),
        cmocka_unit_test(a_sample_needs_a_summary),
        cmocka_unit_test(ids_need_stats_with_as_many_busiest_ids_as_counts),
        cmocka_unit_test(ids_have_at_most_ten_words_each_with_its_id),
        cmocka_unit_test(spans_are_trimmed_and_stay_within_the_table),
        cmocka_unit_test(extras_have_as_many_keys_as_values),
        cmocka_unit_test(the_largest_model_of_the_shortest_names_is_within_the_budget),
        cmocka_unit_test(more_rules_than_a_run_may_have_are_refused),
        cmocka_unit_test(the_largest_sample_arrives),
        cmocka_unit_test(a_payload_that_unpacks_to_far_more_is_refused),
        cmocka_unit_test(fifty_thousand_mutations_do_no_harm),
        cmocka_unit_test(random_bytes_do_no_harm),
    };

    return cmocka_run_group_tests(tests, make_decoder, free_decoder);
}
