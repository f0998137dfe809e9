/* Each limit of the configuration at one below it, at it, and at one above it: those of messages,
 * time and runs here, those of all runs together in test_registry_space.c, those of connections in
 * test_door.c, of alerts in test_keep.c, those of a run's bytes and days in test_run_member.c and
 * test_registry.c. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <zlib.h>

#include "proto/handshake.h"
#include "tests/unit/limited.h"

/* ---- messages */

/* A frame of a type that is passed over, with a payload of n bytes of zero. */
static enum session_result say_frame(size_t n)
{
    struct peer peer = joined(1, (struct hello){0}, 0);
    uint8_t *frame = calloc(1, FRAME_HEADER + n);
    enum session_result result;

    assert_non_null(frame);
    frame_seal(frame, 999, 0, n);
    peer_feed(&peer, frame, FRAME_HEADER + n, 0);
    result = peer.result;
    peer_close(&peer, 0);
    free(frame);
    return result;
}

static void a_frame_is_as_long_as_it_may_be(void **state)
{
    (void)state;
    ceilings.frame_bytes = 100000;
    hold();
    assert_int_equal(say_frame(99999), SESSION_OPEN);
    assert_int_equal(say_frame(100000), SESSION_OPEN);
    assert_int_equal(usage()->frame_bytes.refused, 0);
    assert_int_equal(say_frame(100001), SESSION_CLOSE);
    assert_int_equal(usage()->frame_bytes.refused, 1);
    assert_int_equal(usage()->frame_bytes.used, 100000);
}

static void the_welcome_says_how_long(void **state)
{
    struct peer peer;

    (void)state;
    ceilings.frame_bytes = 100000;
    hold();
    peer = joined(1, (struct hello){0}, 0);
    assert_int_equal(peer.heard.frame_limit, 100000);
    peer_close(&peer, 0);
}

/* The same deflated: n bytes of zero are short. */
static enum session_result say_deflated(size_t n)
{
    struct peer peer = joined(1, (struct hello){0}, 0);
    uint8_t *frame = calloc(1, FRAME_HEADER + n), *zeros = calloc(1, n);
    enum session_result result;
    uLongf length = (uLongf)n;

    assert_true(frame && zeros);
    assert_int_equal(compress(frame + FRAME_HEADER, &length, zeros, (uLong)n), Z_OK);
    frame_seal(frame, 999, FRAME_DEFLATED, length);
    peer_feed(&peer, frame, FRAME_HEADER + length, 0);
    result = peer.result;
    peer_close(&peer, 0);
    free(frame);
    free(zeros);
    return result;
}

static void a_frame_inflates_to_as_much_as_it_may(void **state)
{
    (void)state;
    ceilings.inflated_bytes = 100000;
    hold();
    assert_int_equal(say_deflated(99999), SESSION_OPEN);
    assert_int_equal(say_deflated(100000), SESSION_OPEN);
    assert_int_equal(usage()->inflated_bytes.refused, 0);
    assert_int_equal(say_deflated(100001), SESSION_CLOSE);
    assert_int_equal(usage()->inflated_bytes.refused, 1);
    assert_int_equal(usage()->inflated_bytes.used, 100000);
}

/* Of a peer that has not said who it is 64 KiB, whatever else is configured. */
static void a_first_frame_is_short(void **state)
{
    static uint8_t frame[FRAME_HEADER + FIRST_MESSAGE_MAX + 1], deflated[4096];
    static const uint8_t zeros[FIRST_MESSAGE_MAX + 1];

    (void)state;
    for (size_t n = FIRST_MESSAGE_MAX - 1; n <= FIRST_MESSAGE_MAX + 1; n++) {
        enum session_result expected = n > FIRST_MESSAGE_MAX ? SESSION_CLOSE : SESSION_OPEN;
        struct peer plain = peer_open(registry, 1, 0), squeezed = peer_open(registry, 2, 0);
        uLongf length = sizeof deflated - FRAME_HEADER;

        frame_seal(frame, 999, 0, n);
        peer_feed(&plain, frame, FRAME_HEADER + n, 0);
        assert_int_equal(plain.result, expected);
        assert_int_equal(compress(deflated + FRAME_HEADER, &length, zeros, n), Z_OK);
        frame_seal(deflated, 999, FRAME_DEFLATED, length);
        peer_feed(&squeezed, deflated, FRAME_HEADER + length, 0);
        assert_int_equal(squeezed.result, expected);
        peer_close(&plain, 0);
        peer_close(&squeezed, 0);
    }
}

enum { LAYER_BYTES = 14 };

/* A Layers of n layers with a path of ten bytes: some 250 bytes each as they are unpacked. Returns
 * what they took, 0 when they were refused. */
static uint64_t say_layers(struct peer *peer, size_t n)
{
    static const uint8_t layer[LAYER_BYTES] = "\x0a\x0c\x12\x0axxxxxxxxxx";
    uint8_t *frame = calloc(1, FRAME_HEADER + LAYER_BYTES * n);
    uint64_t refused = usage()->message_bytes.refused;

    assert_non_null(frame);
    for (size_t i = 0; i < n; i++)
        memcpy(frame + FRAME_HEADER + LAYER_BYTES * i, layer, LAYER_BYTES);
    frame_seal(frame, FRAME_LAYERS, 0, LAYER_BYTES * n);
    usage()->message_bytes.used = 0;
    peer_feed(peer, frame, FRAME_HEADER + LAYER_BYTES * n, 0);
    free(frame);
    return usage()->message_bytes.refused > refused ? 0 : usage()->message_bytes.used;
}

static uint64_t layers_take(size_t n)
{
    struct peer peer = joined(1, (struct hello){0}, 0);
    uint64_t took = say_layers(&peer, n);

    peer_close(&peer, 0);
    return took;
}

static void a_message_unpacks_to_as_much_as_it_may(void **state)
{
    uint64_t took;

    (void)state;
    took = layers_take(40000);
    assert_in_range(took, 9 << 20, 60 << 20); /* more than the least that can be configured */
    ceilings.message_bytes = took;
    hold();
    assert_int_equal(layers_take(40000), took);
    ceilings.message_bytes = took + 1;
    hold();
    assert_int_equal(layers_take(40000), took);
    ceilings.message_bytes = took - 1;
    hold();
    assert_int_equal(layers_take(40000), 0);
    assert_int_equal(usage()->message_bytes.refused, 1);
}

/* ---- time */

static void so_long_may_the_first_message_take(void **state)
{
    struct peer peer = peer_open(registry, 1, 1000);

    (void)state;
    ceilings.handshake_seconds = 2;
    hold();
    assert_true(session_tick(peer.session, at(2999)));
    assert_int_equal(usage()->handshake_seconds.refused, 0);
    assert_false(session_tick(peer.session, at(3000)));
    assert_false(session_tick(peer.session, at(3001)));
    assert_int_equal(usage()->handshake_seconds.refused, 2);
    peer_close(&peer, 3001);
}

static void so_long_may_a_frame_take(void **state)
{
    struct peer peer = joined(1, (struct hello){0}, 0);

    (void)state;
    ceilings.frame_seconds = 2;
    hold();
    peer_feed(&peer, (const uint8_t *)"EMBM\x01", 5, 1000);
    assert_true(session_tick(peer.session, at(2999)));
    assert_int_equal(usage()->frame_seconds.refused, 0);
    assert_false(session_tick(peer.session, at(3000)));
    assert_false(session_tick(peer.session, at(3001)));
    assert_int_equal(usage()->frame_seconds.refused, 2);
    peer_close(&peer, 3001);
}

static void so_long_may_a_peer_over_tcp_be_silent(void **state)
{
    struct peer peer = peer_open(registry, 1, 0);

    (void)state;
    ceilings.silence_seconds = 5;
    hold();
    session_over_tcp(peer.session, NULL);
    peer_hello(&peer, (struct hello){0}, 1000);
    assert_true(session_tick(peer.session, at(5999)));
    assert_int_equal(usage()->silence_seconds.refused, 0);
    assert_false(session_tick(peer.session, at(6000)));
    assert_false(session_tick(peer.session, at(6001)));
    assert_int_equal(usage()->silence_seconds.refused, 2);
    peer_close(&peer, 6001);
}

/* ---- runs */

static void so_many_runs_are_loaded(void **state)
{
    struct peer a, b, c;

    (void)state;
    ceilings.runs = 2;
    hold();
    a = joined(1, (struct hello){.name = "a"}, 0);
    b = joined(2, (struct hello){.name = "b"}, 0);
    c = joined(3, (struct hello){.name = "c"}, 0);
    assert_true(is_in(&a) && is_in(&b));
    assert_refused(&c, "limits.runs");
    assert_int_equal(usage()->runs.refused, 1);
    peer_close(&a, 1);
    peer_close(&b, 1);
    peer_close(&c, 1);
}

static void so_many_ranks_has_a_world(void **state)
{
    (void)state;
    ceilings.ranks = 3;
    hold();
    for (uint32_t world = 2; world <= 4; world++) {
        struct peer peer = joined((uint8_t)world, (struct hello){.name = "a", .world = world}, 0);

        if (world <= 3)
            assert_true(is_in(&peer));
        else
            assert_refused(&peer, "limits.ranks");
        peer_close(&peer, 1);
    }
    assert_int_equal(usage()->ranks.refused, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(a_frame_is_as_long_as_it_may_be),
        TEST(the_welcome_says_how_long),
        TEST(a_frame_inflates_to_as_much_as_it_may),
        TEST(a_first_frame_is_short),
        TEST(a_message_unpacks_to_as_much_as_it_may),
        TEST(so_long_may_the_first_message_take),
        TEST(so_long_may_a_frame_take),
        TEST(so_long_may_a_peer_over_tcp_be_silent),
        TEST(so_many_runs_are_loaded),
        TEST(so_many_ranks_has_a_world),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
