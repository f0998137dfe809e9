#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "proto/handshake.h"
#include "tests/unit/logdir.h"

static const struct token token = {.length = 20, .bytes = "a token of 20 bytes!"};
static const struct token other = {.length = 20, .bytes = "another of 20 bytes!"};

static struct peer open_tcp(const struct token *of_daemon)
{
    struct peer peer = peer_open(registry, 1, 0);

    session_over_tcp(peer.session, of_daemon);
    return peer;
}

/* The only frame that the session has written. */
static struct frame written(struct peer *peer, struct frame_codec *codec)
{
    struct frame frame = {0};
    size_t n, used;
    const uint8_t *data = session_output(peer->session, &n);

    assert_int_equal(
        frame_read(&frame, &used, data, n, codec, FRAME_PAYLOAD_MAX, FRAME_INFLATED_MAX), FRAME_OK);
    assert_int_equal(used, n);
    return frame;
}

static void expect_silence(struct peer *peer)
{
    size_t n;

    session_output(peer->session, &n);
    assert_int_equal(n, 0);
}

/* Answers the challenge as a client with this token. */
static enum session_result prove(struct peer *peer, const struct token *of_client)
{
    struct frame frame = written(peer, NULL);
    struct handshake_frame proof;
    struct handshake h;

    assert_int_equal(frame.type, FRAME_CHALLENGE);
    handshake_expect(&h, of_client);
    assert_int_equal(handshake_take(&h, &frame, &proof), HANDSHAKE_MORE);
    return session_feed(peer->session, proof.bytes, proof.length, at(1));
}

static void who_proves_the_token_is_heard(void **state)
{
    struct peer peer = open_tcp(&token);

    (void)state;
    assert_false(session_is_proven(peer.session));
    assert_int_equal(prove(&peer, &token), SESSION_OPEN);
    assert_true(session_is_proven(peer.session));
    assert_int_equal(written(&peer, NULL).type, FRAME_PROOF);
    peer_hello(&peer, (struct hello){.name = "reviews"}, 2);
    assert_string_equal(peer.heard.run, "reviews");
    assert_int_equal(registry_totals(registry)->failed_proofs, 0);
    peer_close(&peer, 3);
}

static void without_a_token_a_hello_is_heard_at_once(void **state)
{
    static const struct token none;
    struct peer peer = open_tcp(&none);

    (void)state;
    expect_silence(&peer);
    assert_true(session_is_proven(peer.session));
    peer_hello(&peer, (struct hello){0}, 2);
    assert_int_equal(peer.heard.count[FRAME_WELCOME], 1);
    peer_close(&peer, 3);
}

static void who_proves_another_token_is_refused_and_counted(void **state)
{
    struct peer peer = open_tcp(&token);

    (void)state;
    assert_int_equal(prove(&peer, &other), SESSION_CLOSE);
    peer_listen(&peer);
    assert_int_equal(peer.heard.nack_reason, NACK_REFUSED);
    assert_string_equal(peer.heard.nack_detail, "its token is not the one of this daemon");
    assert_string_equal(session_complaint(peer.session), "its proof of the token is wrong");
    assert_false(session_is_proven(peer.session));
    assert_int_equal(registry_totals(registry)->failed_proofs, 1);
    assert_int_equal(registry_totals(registry)->invalid_frames, 0);
    peer_close(&peer, 3);
}

/* A Hello and a Query, however right they are, are not looked at. */
static void nothing_is_parsed_before_the_proof(void **state)
{
    static const struct message early[] = {
        {.type = FRAME_QUERY, .query = {.name = "status"}},
        {.type = FRAME_HELLO,
         .hello = {.protocol_min = 1, .protocol_max = 1, .name = "run", .world_size = 1}},
        {.type = FRAME_HEARTBEAT},
    };
    uint8_t frame[256];

    (void)state;
    for (size_t i = 0; i < sizeof early / sizeof *early; i++) {
        struct peer peer = open_tcp(&token);
        size_t n = message_encode(&early[i], frame);

        written(&peer, NULL);
        assert_int_equal(session_feed(peer.session, frame, n, at(1)), SESSION_CLOSE);
        peer_listen(&peer);
        assert_non_null(strstr(peer.heard.nack_detail, "EMBMON_TOKEN_FILE"));
        assert_int_equal(peer.heard.count[FRAME_WELCOME] + peer.heard.count[FRAME_REPLY], 0);
        assert_int_equal(registry_totals(registry)->failed_proofs, i + 1);
        peer_close(&peer, 3);
    }
    assert_int_equal(registry_runs(registry), 0);
}

static void frames_before_the_proof_are_short_and_plain(void **state)
{
    static const struct {
        size_t length;
        uint8_t flags;
        enum session_result result;
        const char *complaint;
    } cases[] = {
        {HANDSHAKE_PAYLOAD_MAX, 0, SESSION_OPEN, NULL}, /* the rest of it is waited for */
        {HANDSHAKE_PAYLOAD_MAX + 1, 0, SESSION_CLOSE, "a frame longer than the limit"},
        {64, FRAME_DEFLATED, SESSION_CLOSE, "a frame with unknown flags"},
    };
    static uint8_t frame[FRAME_HEADER + HANDSHAKE_PAYLOAD_MAX + 1];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct peer peer = open_tcp(&token);

        written(&peer, NULL);
        frame_seal(frame, FRAME_PROOF, cases[i].flags, cases[i].length);
        assert_int_equal(session_feed(peer.session, frame, FRAME_HEADER, at(1)), cases[i].result);
        if (cases[i].complaint)
            assert_string_equal(session_complaint(peer.session), cases[i].complaint);
        peer_close(&peer, 3);
    }
}

static void the_proof_has_to_come_within_5_seconds(void **state)
{
    struct peer peer = open_tcp(&token);

    (void)state;
    assert_true(session_tick(peer.session, at(4999)));
    assert_false(session_tick(peer.session, at(5000)));
    peer_close(&peer, 5000);
}

static void a_browser_is_named_and_not_answered(void **state)
{
    static const char request[] = "POST /a HTTP/1.1\r\nHost: h\r\n\r\n";

    (void)state;
    for (int guarded = 0; guarded < 2; guarded++) {
        struct peer peer = open_tcp(guarded ? &token : NULL);

        if (guarded)
            written(&peer, NULL);
        assert_int_equal(
            session_feed(peer.session, (const uint8_t *)request, strlen(request), at(1)),
            SESSION_CLOSE);
        expect_silence(&peer);
        assert_non_null(strstr(session_complaint(peer.session), "HTTP (POST)"));
        assert_int_equal(registry_totals(registry)->invalid_frames, guarded + 1);
        peer_close(&peer, 3);
    }
}

static void a_peer_that_is_silent_for_30_seconds_is_gone(void **state)
{
    struct peer peer = peer_open(registry, 1, 0), local = peer_open(registry, 2, 0);

    (void)state;
    session_over_tcp(peer.session, NULL);
    peer_hello(&peer, (struct hello){.name = "a"}, 100);
    peer_hello(&local, (struct hello){.name = "b"}, 100);
    assert_true(session_tick(peer.session, at(30099)));
    peer_beat(&peer, 0, 30099);
    assert_true(session_tick(peer.session, at(60098)));
    assert_false(session_tick(peer.session, at(60099)));
    assert_true(session_tick(local.session, at(60099))); /* the kernel tells when that one ends */
    peer_close(&peer, 60100);
    peer_close(&local, 60100);
}

/* Its heartbeats are not read, and it must not take us for gone. */
static void who_is_not_read_from_is_sent_heartbeats(void **state)
{
    struct peer fast = peer_open(registry, 1, 0), slow = peer_open(registry, 2, 0);

    (void)state;
    session_over_tcp(fast.session, NULL);
    peer_hello(&fast, (struct hello){.world = 2}, 0);
    peer_hello(&slow, (struct hello){.world = 2, .rank = 1}, 0);
    for (uint64_t step = 0; step < 10; step++)
        peer_end(&fast, step, 10);
    assert_true(session_paused(fast.session));
    peer_stay(&fast);
    for (unsigned second = 1; second <= 60; second++) {
        assert_true(session_tick(fast.session, at(1000 * second)));
        peer_listen(&fast);
        assert_int_equal(fast.heard.count[FRAME_HEARTBEAT], second);
        assert_true(fast.wakes >= second);
    }
    peer_close(&fast, 70000);
    peer_close(&slow, 70000);
}

static void long_answers_are_deflated_over_tcp_alone(void **state)
{
    static const char *const names[] = {"run-a", "run-b", "run-c", "run-d", "run-e",
                                        "run-f", "run-g", "run-h", "run-i", "run-j"};
    struct message query = {.type = FRAME_QUERY, .query = {.name = "runs"}};
    uint8_t frame[256];
    size_t lengths[2], n = message_encode(&query, frame);

    (void)state;
    for (uint8_t i = 0; i < 10; i++) {
        struct peer peer = peer_open(registry, i, 0);

        peer_hello(&peer, (struct hello){.name = names[i]}, 0);
        peer_close(&peer, 0);
    }
    for (int tcp = 0; tcp < 2; tcp++) {
        struct peer peer = peer_open(registry, 100, 0);
        const uint8_t *data;

        if (tcp)
            session_over_tcp(peer.session, NULL);
        session_feed(peer.session, frame, n, at(1));
        data = session_output(peer.session, &lengths[tcp]);
        assert_int_equal(data[5], tcp ? FRAME_DEFLATED : 0);
        peer_close(&peer, 2);
    }
    assert_true(lengths[0] > FRAME_DEFLATE_MIN);
    assert_true(lengths[1] < lengths[0] / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        logdir_test(who_proves_the_token_is_heard),
        logdir_test(without_a_token_a_hello_is_heard_at_once),
        logdir_test(who_proves_another_token_is_refused_and_counted),
        logdir_test(nothing_is_parsed_before_the_proof),
        logdir_test(frames_before_the_proof_are_short_and_plain),
        logdir_test(the_proof_has_to_come_within_5_seconds),
        logdir_test(a_browser_is_named_and_not_answered),
        logdir_test(a_peer_that_is_silent_for_30_seconds_is_gone),
        logdir_test(who_is_not_read_from_is_sent_heartbeats),
        logdir_test(long_answers_are_deflated_over_tcp_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
