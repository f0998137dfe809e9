#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>

#include "daemon/session_struct.h"
#include "tests/unit/logdir.h"

static void an_alert_is_told_to_every_rank_with_a_wish(void **state)
{
    struct peer sick = peer_join(registry, 1, (struct hello){.world = 2}, 0);
    struct peer other = peer_join(registry, 2, (struct hello){.world = 2, .rank = 1}, 0);

    (void)state;
    peer_stay(&other);
    peer_post(&sick, 0, 0, NAN, 10);
    assert_int_equal(sick.heard.count[FRAME_NOTICE], 0);
    peer_end(&sick, 0, 10); /* judged at the first rank's end, while the step is open */
    assert_int_equal(status_of("run").step, -1);
    assert_int_equal(sick.heard.count[FRAME_NOTICE], 1);
    assert_int_equal(other.wakes, 2);
    peer_listen(&other);
    assert_int_equal(other.heard.count[FRAME_NOTICE], 1);
    assert_string_equal(other.heard.detector, "gradient_nonfinite");
    assert_string_equal(other.heard.layer, "table");
    assert_int_equal(other.heard.state, EMBMON_FIRING);
    assert_int_equal(other.heard.notice_step, 0);
    assert_int_equal(other.heard.count[FRAME_WISH], 1);
    assert_int_equal(other.heard.wish_steps, 64);
    peer_step(&other, 0, 1, 20);
    assert_int_equal(status_of("run").step, 0);
    assert_int_equal(status_of("run").firing, 1);
    assert_int_equal(sick.heard.count[FRAME_NOTICE], 1); /* and not told again */
    peer_close(&sick, 40);
    peer_close(&other, 40);
}

static void a_larger_every_is_announced_to_all_ranks(void **state)
{
    struct peer first = peer_join(registry, 1, (struct hello){.world = 2, .every = 2}, 0), second;

    (void)state;
    assert_int_equal(first.heard.every, 2);
    second = peer_join(registry, 2, (struct hello){.world = 2, .rank = 1, .every = 8}, 1);
    assert_int_equal(second.heard.every, 8);
    assert_int_equal(second.heard.count[FRAME_WELCOME], 1);
    peer_listen(&first);
    assert_int_equal(first.heard.every, 8);
    peer_close(&first, 2);
    peer_close(&second, 2);
}

static void advice_is_left_out_while_too_much_is_not_read(void **state)
{
    struct peer sick = peer_join(registry, 1, (struct hello){.world = 2}, 0);
    struct peer deaf = peer_join(registry, 2, (struct hello){.world = 2, .rank = 1}, 0);
    size_t before;

    (void)state;
    peer_stay(&deaf);
    while (deaf.session->out.length < 256 << 10)
        session_nack(deaf.session, 0, NACK_INVALID, "a sentence");
    before = deaf.session->out.length;
    peer_post(&sick, 0, 0, NAN, 10);
    peer_end(&sick, 0, 10);
    assert_int_equal(sick.heard.count[FRAME_NOTICE], 1);
    assert_int_equal(deaf.session->out.length, before);
    assert_int_equal(deaf.wakes, 0);
    /* What is no advice still goes out. */
    session_nack(deaf.session, 1, NACK_LATE, "its step is already closed");
    peer_listen(&deaf);
    assert_int_equal(deaf.heard.nack_reason, NACK_LATE);
    assert_int_equal(deaf.heard.count[FRAME_NOTICE], 0);
    peer_close(&sick, 40);
    peer_close(&deaf, 40);
}

/* The rim takes the output at each turn: what it has taken waits all the same. */
static void what_the_rim_has_taken_is_not_read_yet(void **state)
{
    (void)state;
    for (size_t unread = (256 << 10) - 1; unread <= (256 << 10) + 1; unread++) {
        char name[32];
        struct peer sick, slow;

        (void)snprintf(name, sizeof name, "unread%zu", unread);
        sick = peer_join(registry, 1, (struct hello){.name = name, .world = 2}, 0);
        slow = peer_join(registry, 2, (struct hello){.name = name, .world = 2, .rank = 1}, 0);
        session_unread(slow.session, unread);
        peer_post(&sick, 0, 0, NAN, 10);
        peer_end(&sick, 0, 10);
        peer_listen(&slow);
        assert_int_equal(sick.heard.count[FRAME_NOTICE], 1);
        assert_int_equal(slow.heard.count[FRAME_NOTICE], unread < 256 << 10);
        peer_close(&sick, 40);
        peer_close(&slow, 40);
    }
}

static void an_ack_is_sent_when_it_is_news(void **state)
{
    struct peer peer = peer_join(registry, 1, (struct hello){0}, 0);

    (void)state;
    peer_step(&peer, 0, 1, 10);
    peer_settle(&peer, 1000);
    assert_int_equal(peer.heard.kept, 3);
    peer.heard.count[FRAME_ACK] = 0;
    session_ack(peer.session);
    peer_listen(&peer);
    assert_int_equal(peer.heard.count[FRAME_ACK], 0);
    peer_scalar(&peer, "loss", 1, 1, 1020);
    assert_int_equal(peer.heard.count[FRAME_ACK], 0); /* merged, and not kept yet */
    peer_settle(&peer, 1100);
    assert_int_equal(peer.heard.count[FRAME_ACK], 1);
    assert_int_equal(peer.heard.kept, 4);
    peer_close(&peer, 40);
}

static void a_refusal_is_the_last_that_is_said(void **state)
{
    struct peer peer = peer_open(registry, 1, 0);
    struct message bye = {.type = FRAME_BYE};

    (void)state;
    session_refuse(peer.session, "a reason");
    peer_listen(&peer);
    assert_int_equal(peer.heard.nack_reason, NACK_REFUSED);
    assert_string_equal(peer.heard.nack_detail, "a reason");
    peer_say(&peer, &bye, 1);
    assert_int_equal(peer.result, SESSION_CLOSE);
    assert_int_equal(peer.heard.count[FRAME_NACK], 1);
    assert_int_equal(registry_totals(registry)->invalid_frames, 1);
    peer_close(&peer, 2);
}

/* Each reason on its own: a crowd of strangers hides no trainer that is turned away. */
static void strangers_are_counted_by_reason(void **state)
{
    const struct registry_refusals *refusals = registry_refusals(registry);
    static char reasons[REFUSALS_KEPT + 8][4];

    (void)state;
    for (size_t i = 0; i < 1000; i++) {
        struct peer peer = peer_open(registry, 1, i);

        session_refuse(peer.session, i == 500 ? "its rank is held" : "not ours");
        peer_close(&peer, i);
    }
    assert_string_equal(refusals->reasons[0], "not ours");
    assert_int_equal(refusals->seldom[0].count, 999);
    assert_int_equal(refusals->seldom[0].next_ms, 60000); /* said once */
    assert_int_equal(refusals->seldom[1].count, 1);
    for (size_t i = 0; i < REFUSALS_KEPT + 8; i++) { /* more than there are places for */
        struct peer peer = peer_open(registry, 1, 1000);

        session_refuse(peer.session, reasons[i]);
        peer_close(&peer, 1000);
    }
    assert_int_equal(refusals->seldom[REFUSALS_KEPT - 1].count, 11);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        logdir_test(an_alert_is_told_to_every_rank_with_a_wish),
        logdir_test(a_larger_every_is_announced_to_all_ranks),
        logdir_test(advice_is_left_out_while_too_much_is_not_read),
        logdir_test(what_the_rim_has_taken_is_not_read_yet),
        logdir_test(an_ack_is_sent_when_it_is_news),
        logdir_test(a_refusal_is_the_last_that_is_said),
        logdir_test(strangers_are_counted_by_reason),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
