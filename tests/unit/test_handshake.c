#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "proto/handshake.h"

static const struct token token = {.length = 20, .bytes = "a token of 20 bytes!"};

/* The frame a machine wants sent, as the other end reads it. */
static struct frame received(const struct handshake_frame *sent)
{
    struct frame frame = {0};
    size_t used;

    assert_int_equal(
        frame_read(&frame, &used, sent->bytes, sent->length, NULL, HANDSHAKE_PAYLOAD_MAX, 0),
        FRAME_OK);
    assert_int_equal(used, sent->length);
    return frame;
}

struct ends {
    struct handshake client, daemon;
    struct handshake_frame challenge, proof, answer;
};

/* Up to the client's proof. */
static void begin(struct ends *e, const struct token *of_client, const struct token *of_daemon)
{
    struct frame frame;

    handshake_expect(&e->client, of_client);
    assert_int_equal(handshake_challenge(&e->daemon, of_daemon, &e->challenge), HANDSHAKE_MORE);
    frame = received(&e->challenge);
    assert_int_equal(frame.type, FRAME_CHALLENGE);
    assert_int_equal(handshake_take(&e->client, &frame, &e->proof), HANDSHAKE_MORE);
}

/* What the daemon makes of the client's proof, with that many bytes of its payload. */
static enum handshake_result judged(struct ends *e, const struct handshake_frame *proof, size_t n)
{
    struct frame frame = received(proof);

    frame.length = n;
    return handshake_take(&e->daemon, &frame, &e->answer);
}

enum { PROOF = NONCE_BYTES + SHA256_BYTES };

static void both_ends_with_the_token_believe_each_other(void **state)
{
    struct handshake_frame nothing;
    struct frame frame;
    struct ends e;

    (void)state;
    begin(&e, &token, &token);
    assert_int_equal(judged(&e, &e.proof, PROOF), HANDSHAKE_DONE);
    frame = received(&e.answer);
    assert_int_equal(frame.type, FRAME_PROOF);
    assert_int_equal(handshake_take(&e.client, &frame, &nothing), HANDSHAKE_DONE);
    assert_int_equal(nothing.length, 0);
}

/* So that other programs can speak it: HMAC-SHA256 of words, daemon's and client's bytes. */
static void the_proofs_are_those_that_are_documented(void **state)
{
    uint8_t said[13 + 2 * NONCE_BYTES], mac[SHA256_BYTES];
    struct ends e;

    (void)state;
    begin(&e, &token, &token);
    judged(&e, &e.proof, PROOF);
    memcpy(said, "embmon client", 13);
    memcpy(said + 13, e.challenge.bytes + FRAME_HEADER, NONCE_BYTES);
    memcpy(said + 13 + NONCE_BYTES, e.proof.bytes + FRAME_HEADER, NONCE_BYTES);
    hmac_sha256("a token of 20 bytes!", 20, said, sizeof said, mac);
    assert_memory_equal(e.proof.bytes + FRAME_HEADER + NONCE_BYTES, mac, sizeof mac);
    memcpy(said, "embmon server", 13);
    hmac_sha256("a token of 20 bytes!", 20, said, sizeof said, mac);
    assert_memory_equal(e.answer.bytes + FRAME_HEADER, mac, sizeof mac);
}

static void another_token_proves_nothing_to_the_daemon(void **state)
{
    static const struct token wrong[] = {
        {.length = 20, .bytes = "a token of 20 bytes?"},
        {.length = 19, .bytes = "a token of 20 bytes!"},
        {.length = 21, .bytes = "a token of 20 bytes!!"},
        {.length = 16, .bytes = "a token of 20 by"},
        {.length = 0},
    };
    struct ends e;

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        begin(&e, &wrong[i], &token);
        assert_int_equal(judged(&e, &e.proof, PROOF), HANDSHAKE_FAILED);
        assert_int_equal(e.answer.length, 0);
    }
}

static void a_daemon_with_another_token_is_not_believed(void **state)
{
    static const struct token other = {.length = 20, .bytes = "another of 20 bytes!"};
    struct handshake_frame nothing;
    struct frame frame;
    struct ends e, stranger;

    (void)state;
    begin(&e, &token, &token);
    begin(&stranger, &other, &other);
    memcpy(stranger.daemon.nonces, e.daemon.nonces, sizeof e.daemon.nonces);
    assert_int_equal(judged(&stranger, &stranger.proof, PROOF), HANDSHAKE_FAILED);
    /* nor one that sends back what it was sent, or bytes of its own */
    memcpy(e.answer.bytes + FRAME_HEADER, e.proof.bytes + FRAME_HEADER + NONCE_BYTES, SHA256_BYTES);
    frame_seal(e.answer.bytes, FRAME_PROOF, 0, SHA256_BYTES);
    e.answer.length = FRAME_HEADER + SHA256_BYTES;
    frame = received(&e.answer);
    assert_int_equal(handshake_take(&e.client, &frame, &nothing), HANDSHAKE_FAILED);
}

static void a_proof_is_worth_nothing_on_another_connection(void **state)
{
    struct ends first, second;

    (void)state;
    begin(&first, &token, &token);
    begin(&second, &token, &token);
    assert_memory_not_equal(first.challenge.bytes, second.challenge.bytes, HANDSHAKE_FRAME - 32);
    assert_int_equal(judged(&second, &first.proof, PROOF), HANDSHAKE_FAILED);
    assert_int_equal(judged(&first, &first.proof, PROOF), HANDSHAKE_DONE);
    assert_int_equal(judged(&first, &first.proof, PROOF), HANDSHAKE_FAILED); /* nor twice */
}

static void a_proof_of_another_length_or_with_one_wrong_bit_fails(void **state)
{
    struct ends e;

    (void)state;
    for (size_t n = 0; n < PROOF; n++) {
        begin(&e, &token, &token);
        assert_int_equal(judged(&e, &e.proof, n), HANDSHAKE_FAILED);
    }
    for (size_t bit = 0; bit < 8 * PROOF; bit++) {
        begin(&e, &token, &token);
        e.proof.bytes[FRAME_HEADER + bit / 8] ^= (uint8_t)(1 << bit % 8);
        frame_seal(e.proof.bytes, FRAME_PROOF, 0, PROOF);
        assert_int_equal(judged(&e, &e.proof, PROOF), HANDSHAKE_FAILED);
    }
}

static void each_end_takes_only_the_frame_it_waits_for(void **state)
{
    static const uint16_t types[] = {0, FRAME_HELLO, FRAME_QUERY, FRAME_CHALLENGE, FRAME_PROOF, 99};
    struct handshake_frame nothing;
    struct ends e;

    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        struct frame frame;

        begin(&e, &token, &token);
        frame = received(&e.proof);
        frame.type = types[i];
        assert_int_equal(handshake_take(&e.daemon, &frame, &nothing),
                         types[i] == FRAME_PROOF ? HANDSHAKE_DONE : HANDSHAKE_FAILED);
        handshake_expect(&e.client, &token);
        frame = received(&e.challenge);
        frame.type = types[i];
        assert_int_equal(handshake_take(&e.client, &frame, &nothing),
                         types[i] == FRAME_CHALLENGE ? HANDSHAKE_MORE : HANDSHAKE_FAILED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ends_with_the_token_believe_each_other),
        cmocka_unit_test(the_proofs_are_those_that_are_documented),
        cmocka_unit_test(another_token_proves_nothing_to_the_daemon),
        cmocka_unit_test(a_daemon_with_another_token_is_not_believed),
        cmocka_unit_test(a_proof_is_worth_nothing_on_another_connection),
        cmocka_unit_test(a_proof_of_another_length_or_with_one_wrong_bit_fails),
        cmocka_unit_test(each_end_takes_only_the_frame_it_waits_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
