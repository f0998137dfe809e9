#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <zlib.h>

#include "tests/unit/logdir.h"

static void a_hello_is_welcomed_with_the_runs_name(void **state)
{
    struct peer peer = peer_open(registry, 1, 0);

    (void)state;
    peer_hello(&peer, (struct hello){.name = "reviews", .every = 4}, 0);
    assert_int_equal(peer.result, SESSION_OPEN);
    assert_int_equal(peer.heard.count[FRAME_WELCOME], 1);
    assert_string_equal(peer.heard.run, "reviews");
    assert_int_equal(peer.heard.next_step, 0);
    assert_int_equal(peer.heard.every, 4);
    assert_int_equal(peer.heard.sequence, 0);
    assert_int_equal(registry_totals(registry)->sessions, 1);
    peer_close(&peer, 1);
    assert_int_equal(registry_totals(registry)->sessions, 0);
}

static void posts_are_merged_acked_and_counted(void **state)
{
    struct peer peer = peer_join(registry, 1, (struct hello){0}, 0);

    (void)state;
    peer_step(&peer, 0, 1, 10);
    peer_settle(&peer, 1000);
    assert_int_equal(peer.heard.kept, 3);
    assert_int_equal(peer.heard.count[FRAME_NACK], 0);
    assert_int_equal(status_of("run").step, 0);
    assert_int_equal(status_of("run").posts.acked, 3);
    assert_int_equal(registry_posts(registry).acked, 3);
    peer_close(&peer, 20);
}

static void frames_come_in_any_cut(void **state)
{
    uint8_t stream[4096];
    struct message end = {.type = FRAME_STEP_END, .step_end = {.phase = EMBMON_TRAIN}};
    struct peer peer = peer_join(registry, 1, (struct hello){0}, 0);
    size_t n = 0;

    (void)state;
    for (uint64_t i = 1; i <= 40; i++) {
        end.step_end.sequence = i;
        end.step_end.step = i;
        n += message_encode(&end, stream + n);
    }
    for (size_t k = 0, cut = 1; k < n; k += cut, cut = cut % 37 + 1) {
        size_t piece = cut < n - k ? cut : n - k;

        peer_feed(&peer, stream + k, piece, 5);
        assert_int_equal(peer.result, SESSION_OPEN);
    }
    peer_settle(&peer, 1000);
    assert_int_equal(peer.heard.kept, 40);
    assert_int_equal(status_of("run").step, 40);
    peer_close(&peer, 20);
}

static void what_is_sent_again_after_a_reconnect_is_not_merged_twice(void **state)
{
    struct peer peer = peer_join(registry, 1, (struct hello){0}, 0), again;

    (void)state;
    peer_post(&peer, 0, 0, 1, 10);
    peer_post(&peer, 2, 0, 1, 10);
    peer_settle(&peer, 1000);
    peer_post(&peer, 0, 0, 1, 1010); /* is not in a checkpoint yet */
    peer_close(&peer, 1020);         /* ends the open step */
    again = peer_join(registry, 1, (struct hello){.given = "run"}, 30);
    assert_string_equal(again.heard.run, "run");
    assert_int_equal(again.heard.sequence, 2);
    assert_int_equal(again.heard.next_step, 1);
    again.sequence = 0;
    peer_post(&again, 0, 0, 1, 40); /* 1, 2 and 3 once more */
    peer_post(&again, 2, 0, 1, 40);
    peer_post(&again, 0, 0, 1, 40);
    assert_int_equal(again.heard.count[FRAME_NACK], 0);
    peer_step(&again, 1, 1, 40);
    peer_settle(&again, 2000);
    assert_int_equal(again.heard.kept, 6);
    assert_int_equal(status_of("run").posts.acked, 6);
    assert_int_equal(status_of("run").posts.rejected, 0);
    assert_int_equal(registry_posts(registry).acked, 6);
    assert_int_equal(status_of("run").ranks, 1);
    peer_close(&again, 50);
}

static void
a_session_that_is_back_before_its_old_connection_is_known_lost_gets_its_place(void **state)
{
    struct peer old = peer_join(registry, 1, (struct hello){.world = 2}, 0), new;

    (void)state;
    peer_post(&old, 0, 0, 1, 10);
    peer_settle(&old, 200);
    new = peer_join(registry, 1, (struct hello){.world = 2, .given = "run"}, 20);
    assert_int_equal(new.heard.count[FRAME_WELCOME], 1);
    assert_int_equal(new.heard.sequence, 1);
    assert_int_equal(registry_totals(registry)->sessions, 1);
    assert_false(session_tick(old.session, at(30)));
    assert_false(session_paused(old.session));
    peer_feed(&old, NULL, 0, 30);
    assert_int_equal(old.result, SESSION_CLOSE);
    peer_close(&old, 40);
    assert_true(status_of("run").live);
    new.sequence = 1;
    peer_end(&new, 0, 50);
    peer_settle(&new, 1000);
    assert_int_equal(new.heard.kept, 2);
    assert_int_equal(new.heard.count[FRAME_NACK], 0);
    peer_close(&new, 60);
    assert_int_equal(registry_totals(registry)->sessions, 0);
}

static void a_late_post_is_refused_and_counted(void **state)
{
    struct peer peer = peer_join(registry, 1, (struct hello){0}, 0);

    (void)state;
    peer_step(&peer, 5, 1, 10);
    peer_post(&peer, 0, 5, 1, 10);
    assert_int_equal(peer.heard.nack_sequence, 4);
    assert_int_equal(peer.heard.nack_reason, NACK_LATE);
    peer_post(&peer, 0, 4, 1, 10); /* a step going backwards */
    assert_int_equal(peer.heard.nack_reason, NACK_LATE);
    peer_end(&peer, 3, 10);
    assert_int_equal(peer.heard.count[FRAME_NACK], 3);
    peer_settle(&peer, 1000);
    assert_int_equal(peer.heard.kept, 6);
    assert_int_equal(registry_posts(registry).rejected, 3);
    assert_int_equal(status_of("run").posts.rejected, 3);
    assert_int_equal(status_of("run").step, 5);
    peer_step(&peer, 6, 1, 20); /* the connection goes on */
    assert_int_equal(status_of("run").step, 6);
    peer_close(&peer, 30);
    peer = peer_join(registry, 1, (struct hello){.given = "run"}, 40);
    assert_int_equal(peer.heard.rejected, 3); /* in case that a Nack was lost */
    peer_close(&peer, 50);
}

static void a_post_to_what_was_not_declared_is_refused(void **state)
{
    struct peer peer = peer_join(registry, 1, (struct hello){0}, 0);

    (void)state;
    peer_post(&peer, 3, 0, 1, 10);
    assert_int_equal(peer.heard.nack_reason, NACK_UNKNOWN);
    peer_post(&peer, 1 << 20, 0, 1, 10);
    assert_int_equal(peer.heard.count[FRAME_NACK], 2);
    peer_post(&peer, 0, 0, 1, 10);
    assert_int_equal(peer.heard.count[FRAME_NACK], 2);
    peer_settle(&peer, 1000);
    assert_int_equal(peer.heard.kept, 3);
    peer_close(&peer, 30);
}

static void an_invalid_post_is_refused_and_the_connection_goes_on(void **state)
{
    struct peer peer = peer_join(registry, 1, (struct hello){0}, 0);
    struct message m = {.type = FRAME_SCALAR,
                        .scalar = {.sequence = 1, .phase = 9, .name = "loss", .value = 1}};

    (void)state;
    peer_say(&peer, &m, 10);
    assert_int_equal(peer.result, SESSION_OPEN);
    assert_int_equal(peer.heard.nack_reason, NACK_INVALID);
    assert_int_equal(peer.heard.nack_sequence, 1);
    peer_settle(&peer, 1000);
    assert_int_equal(peer.heard.kept, 1);
    m.scalar.phase = EMBMON_TRAIN;
    m.scalar.step = STEP_MAX;
    m.scalar.sequence = 2;
    peer_say(&peer, &m, 10);
    assert_int_equal(peer.heard.count[FRAME_NACK], 2);
    peer.sequence = 2;
    peer_scalar(&peer, "loss", STEP_MAX - 1, NAN, 10);
    peer_end(&peer, STEP_MAX - 1, 10);
    assert_int_equal(peer.heard.count[FRAME_NACK], 2);
    assert_int_equal(status_of("run").step, (int64_t)STEP_MAX - 1);
    assert_int_equal(registry_posts(registry).rejected, 2);
    peer_close(&peer, 30);
}

static void assert_refused(struct peer *peer, const char *why)
{
    assert_int_equal(peer->result, SESSION_CLOSE);
    assert_int_equal(peer->heard.nack_reason, NACK_REFUSED);
    assert_int_equal(peer->heard.nack_sequence, 0);
    assert_non_null(strstr(peer->heard.nack_detail, why));
    assert_false(session_tick(peer->session, at(1)));
}

static void a_post_before_hello_ends_the_connection(void **state)
{
    struct peer peer = peer_open(registry, 1, 0);

    (void)state;
    peer_scalar(&peer, "loss", 0, 1, 0);
    assert_refused(&peer, "must be a Hello");
    assert_int_equal(registry_totals(registry)->invalid_frames, 1);
    peer_close(&peer, 1);
}

static void a_second_hello_ends_the_connection(void **state)
{
    struct peer peer = peer_join(registry, 1, (struct hello){0}, 0);

    (void)state;
    peer_hello(&peer, (struct hello){0}, 1);
    assert_refused(&peer, "second Hello");
    peer_close(&peer, 1);
    assert_int_equal(registry_totals(registry)->sessions, 0);
}

static void a_newer_protocol_is_refused_with_the_version_we_speak(void **state)
{
    struct peer peer = peer_open(registry, 1, 0);
    struct message m = {
        .type = FRAME_HELLO,
        .hello = {.protocol_min = 2, .protocol_max = 7, .name = "run", .world_size = 1}};

    (void)state;
    peer_say(&peer, &m, 0);
    assert_refused(&peer, "version 1");
    assert_int_equal(registry_runs(registry), 0);
    peer_close(&peer, 1);
}

static void a_name_that_leaves_the_logdir_is_refused(void **state)
{
    struct peer peer = peer_open(registry, 1, 0);

    (void)state;
    peer_hello(&peer, (struct hello){.name = "../x"}, 0);
    assert_refused(&peer, "name");
    assert_int_equal(registry_runs(registry), 0);
    peer_close(&peer, 1);
}

static void what_only_the_daemon_says_ends_the_connection(void **state)
{
    struct peer peer = peer_join(registry, 1, (struct hello){0}, 0);
    struct message m = {.type = FRAME_ACK, .ack = {.kept = 9}};

    (void)state;
    peer_say(&peer, &m, 1);
    assert_refused(&peer, "only the daemon");
    peer_close(&peer, 1);
}

static void garbage_ends_its_connection_and_no_other(void **state)
{
    static const char *const garbage[] = {
        "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "EMBM\x02\x00\x01\x00\x00\x00\x00\x00....",
        "EMBM\x01\xff\x01\x00\x00\x00\x00\x00....", "EMBM\x01\x00\x01\x00\xff\xff\xff\xff...."};
    struct peer good = peer_join(registry, 1, (struct hello){0}, 0);

    (void)state;
    for (size_t i = 0; i < sizeof garbage / sizeof *garbage; i++) {
        struct peer bad = peer_open(registry, 2, 0);

        peer_feed(&bad, (const uint8_t *)garbage[i], 16, 1);
        assert_int_equal(bad.result, SESSION_CLOSE);
        assert_int_equal(bad.heard.nack_reason, NACK_REFUSED);
        peer_close(&bad, 1);
        assert_int_equal(registry_totals(registry)->invalid_frames, i + 1);
    }
    peer_step(&good, 0, 1, 2);
    peer_settle(&good, 1000);
    assert_int_equal(good.heard.kept, 3);
    peer_close(&good, 3);
}

static void a_frame_of_a_newer_peer_is_skipped_and_counted(void **state)
{
    struct peer peer = peer_join(registry, 1, (struct hello){0}, 0);
    uint8_t frame[FRAME_HEADER + 3] = {0};

    (void)state;
    frame_seal(frame, 300, 0, 3);
    peer_feed(&peer, frame, sizeof frame, 1);
    assert_int_equal(peer.result, SESSION_OPEN);
    assert_int_equal(registry_totals(registry)->unknown_frames, 1);
    peer_step(&peer, 0, 1, 2);
    peer_settle(&peer, 1000);
    assert_int_equal(peer.heard.kept, 3);
    peer_close(&peer, 3);
}

static void heartbeats_are_answered_and_tell_what_was_dropped(void **state)
{
    struct peer peer = peer_join(registry, 1, (struct hello){0}, 0), again;

    (void)state;
    peer_beat(&peer, 7, 1000);
    peer_beat(&peer, 7, 2000);
    assert_int_equal(peer.heard.count[FRAME_HEARTBEAT], 2);
    assert_int_equal(status_of("run").posts.dropped, 7);
    assert_int_equal(registry_posts(registry).dropped, 7);
    peer_beat(&peer, 5, 3000); /* cannot become fewer */
    peer_close(&peer, 3000);
    again = peer_join(registry, 1, (struct hello){.given = "run"}, 4000);
    peer_beat(&again, 9, 5000);
    assert_int_equal(registry_posts(registry).dropped, 9);
    assert_int_equal(status_of("run").posts.dropped, 9);
    peer_close(&again, 6000);
}

static void goodbye_ends_the_session_after_its_last_ack(void **state)
{
    struct peer peer = peer_join(registry, 1, (struct hello){0}, 0);

    (void)state;
    peer_post(&peer, 0, 0, 1, 1);
    peer_bye(&peer, 2);
    assert_int_equal(peer.result, SESSION_CLOSE);
    assert_int_equal(peer.heard.kept, 1);
    assert_int_equal(registry_totals(registry)->sessions, 0);
    assert_false(status_of("run").live);
    assert_int_equal(status_of("run").step, 0); /* its open step was closed */
    peer_close(&peer, 3);
    assert_int_equal(registry_totals(registry)->sessions, 0);
}

static void what_never_came_counts_as_dropped_when_its_trainer_says_goodbye(void **state)
{
    struct message beat = {.type = FRAME_HEARTBEAT,
                           .heartbeat = {.produced = 6, .dropped = 2, .unsent = 4}};
    struct peer peer = peer_join(registry, 1, (struct hello){0}, 0);

    (void)state;
    peer_say(&peer, &beat, 1);
    peer_post(&peer, 0, 0, 1, 1);
    peer.sequence--; /* and again, as after a reconnect */
    peer_post(&peer, 0, 0, 1, 1);
    assert_int_equal(registry_posts(registry).dropped, 2);
    peer_bye(&peer, 2);
    assert_int_equal(registry_posts(registry).dropped, 2 + 3);
    assert_int_equal(status_of("run").posts.dropped, 2 + 3);
    assert_int_equal(status_of("run").posts.acked, 1);
    peer_close(&peer, 3);
}

static void posts_and_goodbye_in_one_piece_are_acked(void **state)
{
    uint8_t stream[512];
    struct message end = {.type = FRAME_STEP_END,
                          .step_end = {.sequence = 1, .phase = EMBMON_TRAIN}};
    struct message bye = {.type = FRAME_BYE};
    struct peer peer = peer_join(registry, 1, (struct hello){0}, 0);
    size_t n = message_encode(&end, stream);

    (void)state;
    n += message_encode(&bye, stream + n);
    peer_feed(&peer, stream, n, 1);
    assert_int_equal(peer.heard.kept, 1);
    assert_int_equal(peer.result, SESSION_CLOSE);
    peer_close(&peer, 3);
}

static void a_peer_that_says_nothing_is_closed_after_five_seconds(void **state)
{
    struct peer peer = peer_open(registry, 1, 1000);

    (void)state;
    assert_true(session_tick(peer.session, at(5999)));
    assert_false(session_tick(peer.session, at(6000)));
    peer_feed(&peer, (const uint8_t *)"EMBM", 4, 5000); /* half a header is nothing */
    assert_false(session_tick(peer.session, at(6000)));
    peer_close(&peer, 6000);
}

static void a_frame_that_does_not_become_whole_is_given_up_after_30_seconds(void **state)
{
    struct peer peer = peer_join(registry, 1, (struct hello){0}, 0);

    (void)state;
    peer_feed(&peer, (const uint8_t *)"EMBM\x01", 5, 10000);
    assert_true(session_tick(peer.session, at(39999)));
    assert_false(session_tick(peer.session, at(40000)));
    peer_close(&peer, 40000);
}

static void a_rank_eight_steps_ahead_is_not_read_from(void **state)
{
    struct peer fast = peer_join(registry, 1, (struct hello){.world = 2}, 0);
    struct peer slow = peer_join(registry, 2, (struct hello){.world = 2, .rank = 1}, 0);

    (void)state;
    for (uint64_t step = 0; step < 10; step++)
        peer_end(&fast, step, 10);
    assert_int_equal(fast.result, SESSION_PAUSE);
    assert_true(session_paused(fast.session));
    registry_tick(registry, at(1000));
    registry_flush(registry);
    peer_listen(&fast);
    assert_int_equal(fast.heard.kept, 8); /* two frames wait */
    assert_int_equal(status_of("run").step, -1);
    peer_end(&slow, 0, 20);
    assert_false(session_paused(fast.session));
    peer_feed(&fast, NULL, 0, 21);
    assert_int_equal(status_of("run").posts.acked, 10); /* one of each frame that was read */
    assert_int_equal(fast.result, SESSION_PAUSE);
    for (uint64_t step = 1; step < 10; step++)
        peer_end(&slow, step, 30);
    peer_feed(&fast, NULL, 0, 31);
    assert_int_equal(fast.result, SESSION_OPEN);
    peer_settle(&fast, 2000);
    assert_int_equal(fast.heard.kept, 10);
    assert_int_equal(status_of("run").step, 9);
    peer_close(&fast, 40);
    peer_close(&slow, 40);
}

static void a_query_is_answered_without_a_hello_one_a_connection(void **state)
{
    uint8_t stream[256];
    struct message query = {.type = FRAME_QUERY, .query = {.name = "status"}};
    struct peer peer = peer_open(registry, 1, 0);
    size_t n = message_encode(&query, stream);

    (void)state;
    n += message_encode(&query, stream + n);
    peer_feed(&peer, stream, n, 1);
    assert_int_equal(peer.heard.count[FRAME_REPLY], 1);
    assert_non_null(strstr(peer.heard.reply, "\"acked\""));
    assert_int_equal(peer.result, SESSION_CLOSE);
    assert_int_equal(registry_totals(registry)->invalid_frames, 0);
    peer_close(&peer, 2);
}

/* Who sends thousands of ends of steps at once lets others have their turn. */
static void so_much_is_done_at_once_and_no_more(void **state)
{
    enum { ENDS = 5000 };
    struct peer peer = peer_join(registry, 1, (struct hello){0}, 0);
    struct message m = {.type = FRAME_STEP_END, .step_end = {.phase = 1}};
    uint8_t *data = malloc(ENDS * 64);
    unsigned turns = 1;
    size_t n = 0;

    (void)state;
    assert_non_null(data);
    for (uint64_t i = 0; i < ENDS; i++) {
        m.step_end.sequence = i + 1;
        m.step_end.step = i;
        n += message_encode(&m, data + n);
    }
    assert_int_equal(session_feed(peer.session, data, n, at(1)), SESSION_PAUSE);
    assert_false(session_paused(peer.session));
    assert_true(session_held(peer.session) > 0);
    for (uint64_t done = status_of("run").posts.acked; session_held(peer.session) > 0; turns++) {
        (void)session_feed(peer.session, NULL, 0, at(turns));
        assert_true(status_of("run").posts.acked > done);
        done = status_of("run").posts.acked;
    }
    assert_int_equal(turns, 2); /* (2 layers + 1) * 5000 of effort */
    assert_int_equal(status_of("run").posts.acked, ENDS);
    assert_int_equal(session_feed(peer.session, NULL, 0, at(9)), SESSION_OPEN);
    free(data);
    peer_close(&peer, 10);
}

/* Bytes of a frame of a type that is passed over, deflated from n zeros. */
static size_t deflated_frame(uint8_t *to, size_t room, size_t n)
{
    uint8_t *zeros = calloc(1, n);
    uLongf length = (uLongf)(room - FRAME_HEADER);

    assert_non_null(zeros);
    assert_int_equal(compress(to + FRAME_HEADER, &length, zeros, (uLong)n), Z_OK);
    free(zeros);
    frame_seal(to, 999, FRAME_DEFLATED, length);
    return FRAME_HEADER + length;
}

/* Who sends what inflates to a lot waits for his turn; who does not is served meanwhile. */
static void long_messages_wait_for_a_turn_of_their_own(void **state)
{
    struct peer a = peer_join(registry, 1, (struct hello){.name = "a"}, 0),
                b = peer_join(registry, 2, (struct hello){.name = "b"}, 0);
    size_t *left = &registry_scratch(registry)->heavy_left;
    static uint8_t data[64 << 10];
    size_t n = deflated_frame(data, sizeof data, LIGHT_MESSAGE_MAX + 1);
    uint64_t skipped = registry_totals(registry)->unknown_frames;

    (void)state;
    *left = 300; /* more than this one takes, less than two */
    assert_int_equal(session_feed(a.session, data, n, at(1)), SESSION_OPEN);
    assert_int_equal(*left, 300 - LIGHT_MESSAGE_MAX / 1024);
    assert_int_equal(session_feed(a.session, data, n, at(1)), SESSION_OPEN);
    assert_int_equal(*left, 0);
    assert_int_equal(registry_totals(registry)->unknown_frames, skipped + 2);
    assert_int_equal(session_feed(a.session, data, n, at(1)), SESSION_PAUSE);
    assert_true(session_paused(a.session));
    assert_int_equal(session_feed(a.session, NULL, 0, at(1)), SESSION_PAUSE);
    assert_true(session_tick(a.session, at(40000))); /* it is not the peer who keeps us waiting */
    n = deflated_frame(data, sizeof data, LIGHT_MESSAGE_MAX);
    assert_int_equal(session_feed(b.session, data, n, at(1)), SESSION_OPEN);
    assert_int_equal(registry_totals(registry)->unknown_frames, skipped + 3);
    *left = 1;
    assert_false(session_paused(a.session));
    assert_int_equal(session_feed(a.session, NULL, 0, at(2)), SESSION_OPEN);
    assert_int_equal(registry_totals(registry)->unknown_frames, skipped + 4);
    assert_int_equal(*left, 0);
    peer_close(&a, 3);
    peer_close(&b, 3);
}

/* What inflates beyond the limit is as much work as what it is tried against. */
static void a_bomb_takes_the_whole_turn(void **state)
{
    struct peer a = peer_join(registry, 1, (struct hello){.name = "a"}, 0),
                b = peer_join(registry, 2, (struct hello){.name = "b"}, 0);
    size_t *left = &registry_scratch(registry)->heavy_left;
    static uint8_t data[64 << 10];
    size_t n = deflated_frame(data, sizeof data, FRAME_INFLATED_MAX + 1);

    (void)state;
    *left = HEAVY_A_TURN;
    assert_int_equal(session_feed(a.session, data, n, at(1)), SESSION_CLOSE);
    assert_int_equal(*left, 0);
    assert_int_equal(session_feed(b.session, data, n, at(1)), SESSION_PAUSE);
    assert_int_equal(registry_usage(registry)->inflated_bytes.refused, 1);
    *left = HEAVY_A_TURN;
    assert_int_equal(session_feed(b.session, NULL, 0, at(1)), SESSION_CLOSE);
    assert_int_equal(registry_usage(registry)->inflated_bytes.refused, 2);
    peer_close(&a, 3);
    peer_close(&b, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        logdir_test(a_hello_is_welcomed_with_the_runs_name),
        logdir_test(long_messages_wait_for_a_turn_of_their_own),
        logdir_test(a_bomb_takes_the_whole_turn),
        logdir_test(posts_are_merged_acked_and_counted),
        logdir_test(frames_come_in_any_cut),
        logdir_test(what_is_sent_again_after_a_reconnect_is_not_merged_twice),
        logdir_test(a_session_that_is_back_before_its_old_connection_is_known_lost_gets_its_place),
        logdir_test(a_late_post_is_refused_and_counted),
        logdir_test(a_post_to_what_was_not_declared_is_refused),
        logdir_test(an_invalid_post_is_refused_and_the_connection_goes_on),
        logdir_test(a_post_before_hello_ends_the_connection),
        logdir_test(a_second_hello_ends_the_connection),
        logdir_test(a_newer_protocol_is_refused_with_the_version_we_speak),
        logdir_test(a_name_that_leaves_the_logdir_is_refused),
        logdir_test(what_only_the_daemon_says_ends_the_connection),
        logdir_test(garbage_ends_its_connection_and_no_other),
        logdir_test(a_frame_of_a_newer_peer_is_skipped_and_counted),
        logdir_test(heartbeats_are_answered_and_tell_what_was_dropped),
        logdir_test(goodbye_ends_the_session_after_its_last_ack),
        logdir_test(posts_and_goodbye_in_one_piece_are_acked),
        logdir_test(what_never_came_counts_as_dropped_when_its_trainer_says_goodbye),
        logdir_test(so_much_is_done_at_once_and_no_more),
        logdir_test(a_peer_that_says_nothing_is_closed_after_five_seconds),
        logdir_test(a_frame_that_does_not_become_whole_is_given_up_after_30_seconds),
        logdir_test(a_rank_eight_steps_ahead_is_not_read_from),
        logdir_test(a_query_is_answered_without_a_hello_one_a_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
