#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "proto/message_sample.h"
#include "tests/unit/one_of_each.h"
#include "tests/unit/random.h"

enum { COUNTS = 2 * BUCKETS, BYTES = 64 << 10 };

static struct message_decoder *hand, *library;
static struct arena arena;
static uint8_t frame[BYTES];
static uint64_t counts[COUNTS];

static int make_decoders(void **state)
{
    (void)state;
    hand = message_decoder_new();
    library = message_decoder_new();
    if (!hand || !library)
        return -1;
    message_decoder_by_library(library);
    return 0;
}

static int free_decoders(void **state)
{
    (void)state;
    message_decoder_free(hand);
    message_decoder_free(library);
    arena_free(&arena);
    return 0;
}

static void must_be_same_span(const struct summary_span *a, const struct summary_span *b)
{
    assert_int_equal(a->first, b->first);
    assert_int_equal(a->length, b->length);
    if (a->length)
        assert_memory_equal(a->counts, b->counts, a->length * sizeof *a->counts);
}

/* All but the spans, which lie elsewhere, bit for bit. */
static void must_be_same(struct message a, struct message b)
{
    must_be_same_span(&a.sample.summary.negative, &b.sample.summary.negative);
    must_be_same_span(&a.sample.summary.positive, &b.sample.summary.positive);
    a.sample.summary.negative = b.sample.summary.negative;
    a.sample.summary.positive = b.sample.summary.positive;
    assert_memory_equal(&a, &b, sizeof a);
}

/* Both decoders say the same of a payload. True: it was done by hand. */
static bool must_agree(const uint8_t *payload, size_t n)
{
    uint8_t *exact = malloc(n ? n : 1);
    struct frame f = {FRAME_SAMPLE, exact, n};
    struct message by_hand, by_library;
    const char *problem_by_hand, *problem_by_library;
    struct msg_sample sample = {0};
    enum message_result result;
    bool done;

    assert_non_null(exact);
    memcpy(exact, payload, n);
    result = message_decode(hand, &f, &by_hand, &problem_by_hand);
    assert_int_equal(result, message_decode(library, &f, &by_library, &problem_by_library));
    assert_ptr_equal(problem_by_hand, problem_by_library);
    assert_int_equal(message_sequence(&by_hand), message_sequence(&by_library));
    arena_reset(&arena, 1 << 20);
    done = message_sample(&arena, exact, n, &sample);
    if (result == MESSAGE_OK)
        must_be_same(by_hand, by_library);
    free(exact);
    return done;
}

static size_t encode(const struct message *message)
{
    assert_true(message_size(message) <= sizeof frame);
    return message_encode(message, frame) - FRAME_HEADER;
}

static bool must_agree_on(const struct message *message)
{
    size_t n = encode(message);

    return must_agree(frame + FRAME_HEADER, n);
}

/* A count of any length but ten bytes, short ones more often. */
static uint64_t random_count(uint64_t *seed)
{
    return random_next(seed) >> 1 >> random_below(seed, 63) >> random_below(seed, 32);
}

static void random_span(uint64_t *seed, struct summary_span *span, uint64_t *to)
{
    uint32_t length = (uint32_t)random_below(seed, random_below(seed, 8) ? 70 : BUCKETS + 1);

    for (uint32_t i = 0; i < length; i++)
        to[i] = random_below(seed, 4) ? random_below(seed, 1000) : random_count(seed);
    *span = (struct summary_span){.first = (uint32_t)random_below(seed, BUCKETS + 1 - length),
                                  .length = length,
                                  .counts = to};
}

/* What a sender might say; about half of it is valid. */
static struct message random_sample(uint64_t *seed)
{
    struct message m = {.type = FRAME_SAMPLE};
    struct msg_sample *sample = &m.sample;
    struct summary *s = &sample->summary;

    sample->sequence = random_count(seed);
    sample->target = (uint32_t)random_below(seed, 3) ? 7 : (uint32_t)random_count(seed);
    sample->signal = (uint32_t)random_below(seed, 6);
    sample->phase = (uint32_t)random_below(seed, 5);
    sample->step = random_count(seed);
    s->parts = random_below(seed, 3);
    s->zeros = random_below(seed, 300);
    s->nans = random_below(seed, 2);
    s->min = -1.5;
    s->max = random_below(seed, 20) ? 2 : -2;
    s->sum = 1e-300;
    s->absolute_sum = 3;
    s->square_sum = 0x1p1000;
    random_span(seed, &s->negative, counts);
    random_span(seed, &s->positive, counts + BUCKETS);
    s->count = s->zeros + s->nans;
    for (uint32_t i = 0; i < s->negative.length; i++)
        s->count += s->negative.counts[i];
    for (uint32_t i = 0; i < s->positive.length; i++)
        s->count += s->positive.counts[i];
    s->extra_count = (uint32_t)random_below(seed, 5);
    for (uint32_t i = 0; i < s->extra_count; i++)
        s->extras[i] = (struct summary_extra){2 * i + 1 + (uint32_t)random_below(seed, 2), i};
    return m;
}

static void what_senders_write_is_decoded_by_hand(void **state)
{
    struct message m = one_sample();
    uint64_t seed = 1;

    (void)state;
    assert_true(must_agree_on(&m));
    for (int i = 0; i < 20000; i++) {
        m = random_sample(&seed);
        /* Numbers of ten bytes are the library's. */
        if (must_agree_on(&m))
            continue;
        assert_true(m.sample.sequence >> 63 || m.sample.step >> 63 || m.sample.summary.count >> 63);
    }
}

/* Counts in runs of one length, as a histogram has them, at every offset of the eight bytes. */
static void counts_of_every_length_arrive(void **state)
{
    struct message m = one_sample();

    (void)state;
    for (unsigned bits = 1; bits <= 63; bits++) {
        for (uint32_t before = 0; before < 20; before++) {
            struct summary_span *span = &m.sample.summary.positive;

            for (uint32_t i = 0; i < 40; i++)
                counts[i] =
                    i < before ? 1 + i : (UINT64_MAX >> (64 - bits)) - (bits > 4 ? i % 9 : 0);
            *span = (struct summary_span){1000, 40, counts, 40};
            assert_true(must_agree_on(&m));
        }
    }
}

static void what_is_odd_is_judged_alike(void **state)
{
    uint64_t seed = 2;

    (void)state;
    for (int i = 0; i < 200000; i++) {
        struct message m = random_sample(&seed);
        size_t n, changes = 1 + random_below(&seed, 3);

        random_span(&seed, &m.sample.summary.negative, counts); /* count is mostly wrong now */
        if (i % 2)
            m.sample.summary.negative.length %= 4;
        m.sample.summary.positive.length %= 8;
        n = encode(&m);
        for (size_t k = 0; k < changes; k++)
            frame[FRAME_HEADER + random_below(&seed, n)] = (uint8_t)random_next(&seed);
        if (random_below(&seed, 4) == 0)
            n = random_below(&seed, n);
        (void)must_agree(frame + FRAME_HEADER, n);
    }
}

/* Payloads that protobuf-c knows to read, and our senders never write. */
static void what_no_sender_of_ours_writes_is_left_to_the_library(void **state)
{
    static const struct {
        uint8_t bytes[40];
        size_t n;
    } odd[] = {
        {{0}, 0},
        {{8, 1, 16, 1, 24, 1, 32, 1, 40, 1}, 10},                       /* no summary */
        {{16, 1, 8, 1, 24, 1, 32, 1, 50, 2, 16, 1}, 12},                /* another order */
        {{8, 1, 8, 2, 24, 1, 32, 1, 50, 2, 16, 1}, 12},                 /* a field twice */
        {{8, 1, 24, 1, 32, 1, 50, 2, 16, 1, 56, 1}, 12},                /* one unknown */
        {{8, 1, 24, 1, 32, 1, 50, 4, 16, 1, 104, 1}, 12},               /* not packed */
        {{8, 1, 24, 1, 32, 1, 50, 2, 16, 1, 50, 2, 8, 0}, 14},          /* two summaries */
        {{8, 1, 24, 1, 32, 1, 50, 8, 16, 1, 106, 1, 0, 106, 1, 0}, 16}, /* counts twice */
        {{8, 1, 24, 1, 32, 1, 50, 6, 16, 1, 96, 0xf8, 0x0f, 0}, 14},    /* beyond the table */
        {{8, 1, 24, 1, 32, 1, 50, 5, 16, 1, 130, 1, 0}, 13},            /* keys of no extra */
        {{8, 1, 24, 1, 32, 1, 50, 6, 16, 1, 130, 1, 1, 1}, 14},         /* without a value */
        {{0x80, 1, 24, 1, 32, 1, 50, 2, 16, 1}, 10},
        {{8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 50, 2, 16, 1}, 15},
        {{8, 1, 16, 0xff, 0xff, 0xff, 0xff, 0x1f, 50, 2, 16, 1}, 12}, /* too wide a target */
    };
    const uint8_t plain[] = {8, 1, 24, 1, 32, 1, 50, 2, 16, 1};

    (void)state;
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
        if (must_agree(odd[i].bytes, odd[i].n))
            assert_int_equal(i, 9); /* an empty list of keys is a list */
    assert_true(must_agree(plain, sizeof plain));
    for (size_t n = 0; n < sizeof plain; n++) /* and cut at every length */
        (void)must_agree(plain, n);
}

static void a_span_is_trimmed_and_within_the_table(void **state)
{
    uint64_t some[] = {0, 0, 3, 0, 4, 0};
    struct summary_span span = {0};

    (void)state;
    assert_true(message_span(&span, 10, some, 6));
    assert_int_equal(span.first, 12);
    assert_int_equal(span.length, 3);
    assert_int_equal(span.counts[2], 4);
    span = (struct summary_span){0};
    assert_true(message_span(&span, BUCKETS - 2, some, 2));
    assert_int_equal(span.first, 0);
    assert_int_equal(span.length, 0);
    assert_true(message_span(&span, BUCKETS - 6, some, 6));
    assert_false(message_span(&span, BUCKETS - 5, some, 6));
    assert_false(message_span(&span, UINT32_MAX, some, 6));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_senders_write_is_decoded_by_hand),
        cmocka_unit_test(counts_of_every_length_arrive),
        cmocka_unit_test(what_is_odd_is_judged_alike),
        cmocka_unit_test(what_no_sender_of_ours_writes_is_left_to_the_library),
        cmocka_unit_test(a_span_is_trimmed_and_within_the_table),
    };

    return cmocka_run_group_tests(tests, make_decoders, free_decoders);
}
