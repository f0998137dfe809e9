/* Each limit of the configuration at one below it, at it, and at one above it: those of messages,
 * time and runs here, those of connections in test_door.c, those of a run's bytes and days in
 * test_run_member.c and test_registry.c. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <zlib.h>

#include "proto/handshake.h"
#include "tests/unit/peer.h"
#include "tests/unit/tree.h"

static struct registry *registry;
static struct ceilings ceilings;

static int start(void **state)
{
    if (tree_make(state) != 0)
        return -1;
    ceilings = (struct ceilings)CEILINGS_DEFAULT;
    registry = registry_new(tree_path, at(0));
    return registry ? 0 : -1;
}

static int stop(void **state)
{
    registry_free(registry, at(1 << 30));
    return tree_remove(state);
}

static void hold(void)
{
    registry_configure(registry, &ceilings, NULL);
}

static struct usage *usage(void)
{
    return registry_usage(registry);
}

static struct peer joined(uint8_t id, struct hello with, uint64_t ms)
{
    struct peer peer = peer_open(registry, id, ms);

    peer_hello(&peer, with, ms);
    return peer;
}

static bool is_in(const struct peer *peer)
{
    return peer->heard.count[FRAME_WELCOME] == 1;
}

static void assert_refused(const struct peer *peer, const char *limit)
{
    assert_false(is_in(peer));
    assert_int_equal(peer->heard.nack_reason, NACK_REFUSED);
    if (!strstr(peer->heard.nack_detail, limit))
        fail_msg("'%s' does not name %s", peer->heard.nack_detail, limit);
}

/* ---- messages */

/* A frame of a type that is passed over, with a payload of n bytes of zero. */
static enum session_result say_frame(size_t n)
{
    struct peer peer = peer_open(registry, 1, 0);
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
    struct peer peer = peer_open(registry, 1, 0);
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

/* Declares n layers with ids and names from `first` on; the reason of the Nack, 0: all are taken.
 */
static uint32_t declare(struct peer *peer, uint32_t first, uint32_t n)
{
    static struct msg_layer layers[16];
    static char paths[16][16];
    struct message m = {.type = FRAME_LAYERS, .layers = {layers, n, NULL, 0}};

    assert_true(n <= 16);
    for (uint32_t i = 0; i < n; i++) {
        snprintf(paths[i], sizeof paths[i], "layer%u", first + i);
        layers[i] = (struct msg_layer){.id = first + i, .path = paths[i], .activation = ""};
    }
    peer->heard.nack_reason = 0;
    peer_say(peer, &m, 0);
    return peer->heard.nack_reason;
}

static size_t layers_of(const struct peer *peer)
{
    struct run_status status;

    run_get_status(registry_find(registry, peer->heard.run), &status);
    return status.layers;
}

static void so_many_layers_has_a_run(void **state)
{
    struct peer peer;

    (void)state;
    ceilings.layers = 5;
    hold();
    peer = joined(1, (struct hello){0}, 0);
    assert_int_equal(declare(&peer, 0, 4), 0);
    assert_int_equal(declare(&peer, 4, 1), 0);
    assert_int_equal(declare(&peer, 5, 3), NACK_LIMIT);
    assert_non_null(strstr(peer.heard.nack_detail, "limits.layers"));
    assert_int_equal(usage()->layers.refused, 3);
    assert_int_equal(declare(&peer, 0, 5), 0); /* again, as after a reconnect */
    assert_int_equal(layers_of(&peer), 5);
    ceilings.layers = 6;
    hold();
    assert_int_equal(declare(&peer, 5, 1), 0);
    assert_int_equal(layers_of(&peer), 6);
    peer_close(&peer, 1);
}

static void so_many_layers_have_all_runs(void **state)
{
    struct peer a, b;

    (void)state;
    ceilings.all_layers = 5;
    hold();
    a = joined(1, (struct hello){.name = "a"}, 0);
    b = joined(2, (struct hello){.name = "b"}, 0);
    assert_int_equal(declare(&a, 0, 3), 0);
    assert_int_equal(declare(&b, 0, 1), 0);
    assert_int_equal(declare(&b, 1, 2), NACK_LIMIT); /* the first of them is taken */
    assert_non_null(strstr(b.heard.nack_detail, "limits.all_layers"));
    assert_int_equal(layers_of(&b), 2);
    assert_int_equal(declare(&a, 3, 1), NACK_LIMIT);
    assert_int_equal(usage()->all_layers.refused, 2);
    assert_int_equal(usage()->layers.refused, 0);
    ceilings.all_layers = 3; /* fewer than there are: none goes, none comes */
    hold();
    assert_int_equal(declare(&a, 0, 3), 0);
    assert_int_equal(declare(&a, 3, 1), NACK_LIMIT);
    peer_close(&a, 1);
    peer_close(&b, 1);
}

static void what_is_sent_to_a_layer_too_many_is_refused_and_all_else_is_taken(void **state)
{
    struct peer peer;

    (void)state;
    ceilings.layers = 2;
    hold();
    peer = peer_join(registry, 1, (struct hello){0}, 0); /* two layers of its own */
    assert_int_equal(declare(&peer, 7, 1), NACK_LIMIT);
    peer_post(&peer, 7, 0, 1, 1);
    assert_int_equal(peer.heard.nack_reason, NACK_UNKNOWN);
    peer_step(&peer, 0, 1, 2);
    assert_int_equal(registry_totals(registry)->rejected, 1);
    assert_int_equal(registry_totals(registry)->acked, 3);
    peer_close(&peer, 3);
}

static void so_much_memory_has_the_process(void **state)
{
    struct peer a = joined(1, (struct hello){.name = "a"}, 0), b, c;

    (void)state;
    ceilings.memory_bytes = 1000;
    hold();
    usage()->memory_bytes.used = 999;
    assert_int_equal(declare(&a, 0, 1), 0);
    usage()->memory_bytes.used = 1000;
    assert_int_equal(declare(&a, 1, 1), 0);
    b = joined(2, (struct hello){.name = "b"}, 0);
    assert_true(is_in(&b));
    usage()->memory_bytes.used = 1001;
    assert_int_equal(declare(&a, 2, 2), NACK_LIMIT);
    assert_non_null(strstr(a.heard.nack_detail, "limits.memory_bytes"));
    assert_int_equal(declare(&a, 0, 2), 0);
    c = joined(3, (struct hello){.name = "c"}, 0);
    assert_refused(&c, "limits.memory_bytes");
    assert_int_equal(usage()->memory_bytes.refused, 3);
    peer_close(&a, 1);
    peer_close(&b, 1);
    peer_close(&c, 1);
}

static void what_is_kept_of_runs_that_have_ended_goes_first(void **state)
{
    struct peer a = joined(1, (struct hello){.name = "a"}, 0),
                b = joined(2, (struct hello){.name = "b"}, 0),
                c = joined(3, (struct hello){.name = "c"}, 0);

    (void)state;
    assert_false(registry_unload_ended(registry, at(1)));
    peer_bye(&b, 1);
    peer_close(&b, 1);
    peer_close(&c, 1); /* its trainer may come back */
    assert_true(registry_unload_ended(registry, at(2)));
    assert_null(registry_find(registry, "b"));
    assert_false(registry_unload_ended(registry, at(2)));
    assert_int_equal(registry_runs(registry), 2);
    peer_close(&a, 3);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(a_frame_is_as_long_as_it_may_be),
        TEST(the_welcome_says_how_long),
        TEST(a_frame_inflates_to_as_much_as_it_may),
        TEST(a_message_unpacks_to_as_much_as_it_may),
        TEST(so_long_may_the_first_message_take),
        TEST(so_long_may_a_frame_take),
        TEST(so_long_may_a_peer_over_tcp_be_silent),
        TEST(so_many_runs_are_loaded),
        TEST(so_many_ranks_has_a_world),
        TEST(so_many_layers_has_a_run),
        TEST(so_many_layers_have_all_runs),
        TEST(what_is_sent_to_a_layer_too_many_is_refused_and_all_else_is_taken),
        TEST(so_much_memory_has_the_process),
        TEST(what_is_kept_of_runs_that_have_ended_goes_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
