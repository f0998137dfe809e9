#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "client/sender_struct.h"
#include "tests/unit/sender_world.h"

static void must_leave(struct sender_world *w, const char *reason)
{
    world_turn(w, 5);
    assert_false(atomic_load(&w->state.connected));
    assert_int_equal(atomic_load(&w->state.socket), -1);
    assert_non_null(strstr(w->line, reason));
}

static void acks_and_nacks_are_counted_once(void **to)
{
    struct sender_world *w = *to;
    struct message m;

    for (int i = 0; i < 5; i++)
        world_post(w, 0, 0);
    world_greet(w, 0);
    for (int i = 0; i < 5; i++)
        fake_expect(w->fake, FRAME_SAMPLE, &m);
    fake_nack(w->fake, 2, NACK_LATE);
    fake_nack(w->fake, 2, NACK_LATE);
    fake_ack(w->fake, 3);
    fake_ack(w->fake, 1);
    fake_nack(w->fake, 3, NACK_INVALID);
    fake_nack(w->fake, 0, NACK_INVALID);
    fake_nack(w->fake, 4, 99); /* a reason of a newer daemon */
    world_turn(w, 5);
    world_counts(w, 2, 2, 0, 1);
    assert_true(atomic_load(&w->state.connected));
}

/* Comes back; the daemon says how far it has kept, and how many Nacks it has sent. */
static void come_back(struct sender_world *w, uint64_t sequence, uint64_t rejected)
{
    struct message m = {
        .type = FRAME_WELCOME,
        .welcome = {PROTOCOL_VERSION, "run", 0, 1, sequence, FRAME_PAYLOAD_MAX, rejected}};

    fake_hang_up(w->fake);
    world_turn(w, 5);
    world_turn(w, 20000);
    assert_true(fake_accept(w->fake, 0));
    fake_send(w->fake, &m);
    world_turn(w, 5);
    assert_true(atomic_load(&w->state.connected));
}

static void nacks_that_were_lost_with_a_connection_are_counted(void **to)
{
    struct sender_world *w = *to;

    for (int i = 0; i < 10; i++)
        world_post(w, 0, 0);
    world_greet(w, 0);
    fake_nack(w->fake, 2, NACK_LATE);
    world_turn(w, 5);
    come_back(w, 4, 3); /* 2 and two more, of which a number may be above what is kept */
    world_counts(w, 1, 3, 0, 6);
    come_back(w, 4, 4); /* one of 5 to 10 */
    fake_ack(w->fake, 6);
    fake_nack(w->fake, 7, NACK_LATE);
    world_turn(w, 5);
    world_counts(w, 2, 5, 0, 3);
    come_back(w, 8, 5); /* none was lost */
    world_counts(w, 3, 5, 0, 2);
    come_back(w, 0, 0); /* a daemon that has started anew, */
    fake_nack(w->fake, 9, NACK_LATE);
    world_turn(w, 5);
    come_back(w, 10, 2); /* and what it refused */
    world_counts(w, 3, 7, 0, 0);
}

/* What was dropped here cannot be counted as refused as well, nor what comes later in its place. */
static void lost_nacks_of_what_was_dropped_are_forgotten(void **to)
{
    struct sender_world *w = *to;

    world_post(w, 0, 0), world_post(w, 0, 0);
    world_greet(w, 0);
    come_back(w, 0, 9);
    world_post(w, 0, 0);
    world_turn(w, 5);
    fake_ack(w->fake, 2);
    world_turn(w, 5);
    world_counts(w, 0, 2, 0, 1);
    fake_ack(w->fake, 3);
    world_turn(w, 5);
    world_counts(w, 1, 2, 0, 0);
}

static void welcome_is_kept_for_the_trainer(void **to)
{
    struct sender_world *w = *to;
    struct message m = {.type = FRAME_WELCOME,
                        .welcome = {PROTOCOL_VERSION, "name-2", 77, 8, 0, FRAME_PAYLOAD_MAX, 0}};

    fake_listen(w->fake);
    world_turn(w, 0);
    assert_true(fake_accept(w->fake, 0));
    fake_send(w->fake, &m);
    assert_false(atomic_load(&w->state.welcomed));
    world_turn(w, 5);
    assert_true(atomic_load(&w->state.welcomed));
    assert_string_equal(w->state.welcome.run, "name-2");
    assert_int_equal(w->state.welcome.next_step, 77);
    assert_int_equal(atomic_load(&w->state.sampling.asked), 8);
    assert_int_equal(atomic_load(&w->state.sampling.every), 1); /* until the step ends */
}

/* What the trainer has allowed is not for the daemon to raise. */
static void no_welcome_asks_for_more_steps_than_the_trainer_gives(void **to)
{
    struct sender_world *w = *to;
    const uint32_t told[] = {0, 1, 8, 16, 64}, asked[] = {16, 16, 16, 16, 64};

    w->sender->options.every = 16;
    world_greet(w, 0);
    assert_int_equal(atomic_load(&w->state.sampling.asked), 16);
    for (size_t i = 0; i < sizeof told / sizeof *told; i++) {
        struct message m = {
            .type = FRAME_WELCOME,
            .welcome = {PROTOCOL_VERSION, "run", 0, told[i], 0, FRAME_PAYLOAD_MAX, 0}};

        fake_send(w->fake, &m);
        world_turn(w, 5);
        assert_int_equal(atomic_load(&w->state.sampling.asked), asked[i]);
    }
}

static void a_wish_reaches_the_sampling_with_its_layer(void **to)
{
    struct sender_world *w = *to;
    struct message m = {.type = FRAME_WISH, .wish = {20, "b"}};

    world_layer(w, "a"), world_layer(w, "b");
    world_greet(w, 0);
    fake_send(w->fake, &m);
    m.wish.layer = "unheard of";
    m.wish.steps = 30;
    fake_send(w->fake, &m);
    world_turn(w, 5);
    sampling_step(&w->state.sampling, EMBMON_TRAIN, 0);
    assert_int_equal(atomic_load(&w->state.sampling.ends[0]), 0);
    assert_int_equal(atomic_load(&w->state.sampling.ends[1]), 21);
    assert_int_equal(atomic_load(&w->state.sampling.wish_end), 31);
}

static void notices_are_kept_for_the_trainer(void **to)
{
    struct sender_world *w = *to;
    struct message m = {.type = FRAME_NOTICE};
    struct embmon_notice notice;

    m.notice = (struct msg_notice){.phase = EMBMON_TRAIN,
                                   .layer = "a",
                                   .detector = "gradient_vanishing",
                                   .severity = EMBMON_WARNING,
                                   .state = EMBMON_PENDING,
                                   .step = 9,
                                   .hint = "look there"};
    world_greet(w, 0);
    fake_send(w->fake, &m);
    world_turn(w, 5);
    assert_true(notices_take(w->state.notices, &notice));
    assert_string_equal(notice.detector, "gradient_vanishing");
    assert_string_equal(notice.hint, "look there");
    assert_int_equal(notice.step, 9);
}

static void unknown_frames_of_a_newer_daemon_are_passed_over(void **to)
{
    struct sender_world *w = *to;
    uint8_t frame[FRAME_HEADER + 5] = {0};

    world_greet(w, 0);
    frame_seal(frame, 4711, 0, 5);
    fake_send_bytes(w->fake, frame, sizeof frame);
    world_turn(w, 5);
    assert_true(atomic_load(&w->state.connected));
}

static void garbage_ends_the_connection(void **to)
{
    struct sender_world *w = *to;
    const char page[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
    uint8_t frame[FRAME_HEADER + 4] = {0};

    world_greet(w, 0);
    fake_send_bytes(w->fake, page, sizeof page - 1);
    must_leave(w, "not embmond's protocol");
    world_greet(w, 0);
    memset(frame + FRAME_HEADER, 0xff, 4);
    frame_seal(frame, FRAME_ACK, 0, 4);
    fake_send_bytes(w->fake, frame, sizeof frame);
    must_leave(w, "lost the daemon");
    world_greet(w, 0);
    frame[FRAME_HEADER] ^= 1;
    fake_send_bytes(w->fake, frame, sizeof frame);
    must_leave(w, "checksum");
}

static void acknowledging_what_was_never_sent_ends_the_connection(void **to)
{
    struct sender_world *w = *to;

    world_post(w, 0, 0);
    world_greet(w, 0);
    fake_ack(w->fake, 2);
    must_leave(w, "it acknowledges what was never sent");
    world_greet(w, 0);
    fake_nack(w->fake, 2, NACK_LATE);
    must_leave(w, "it refuses what was never sent");
    world_counts(w, 0, 0, 0, 1);
}

static void a_bad_welcome_ends_the_connection(void **to)
{
    struct sender_world *w = *to;
    const struct msg_welcome bad[] = {
        {2, "run", 0, 1, 0, FRAME_PAYLOAD_MAX, 0},
        {1, "run", 0, 1, 1, FRAME_PAYLOAD_MAX, 0},
        {1, "run", 0, 1, 0, 1000, 0},
        {1, "../x", 0, 1, 0, FRAME_PAYLOAD_MAX, 0},
        {1, "run", 0, 3, 0, FRAME_PAYLOAD_MAX, 0},
    };

    fake_listen(w->fake);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct message m = {.type = FRAME_WELCOME, .welcome = bad[i]};

        world_turn(w, 20000);
        assert_true(fake_accept(w->fake, 0));
        fake_send(w->fake, &m);
        world_turn(w, 5);
        assert_int_equal(atomic_load(&w->state.socket), -1);
        assert_false(atomic_load(&w->state.welcomed));
        fake_hang_up(w->fake);
    }
}

static void another_run_than_before_ends_the_connection(void **to)
{
    struct sender_world *w = *to;

    world_greet(w, 0);
    fake_hang_up(w->fake);
    world_turn(w, 5);
    world_turn(w, 20000);
    assert_true(fake_accept(w->fake, 0));
    fake_welcome(w->fake, "another", 0, 1);
    world_turn(w, 5);
    assert_int_equal(atomic_load(&w->state.socket), -1);
    assert_string_equal(w->state.welcome.run, "run");
}

/* A rank that joins later may ask for wider sampling: the daemon tells the others by a Welcome. */
static void a_second_welcome_changes_the_sampling_and_nothing_else(void **to)
{
    struct sender_world *w = *to;

    world_greet(w, 0);
    fake_welcome(w->fake, "run", 0, 4);
    world_turn(w, 5);
    assert_true(atomic_load(&w->state.connected));
    assert_int_equal(atomic_load(&w->state.sampling.asked), 4);
    assert_int_equal(atomic_load(&w->state.counters.reconnects), 0);
    fake_welcome(w->fake, "another", 0, 4);
    must_leave(w, "it gives another run");
}

static void only_a_welcome_may_come_first(void **to)
{
    struct sender_world *w = *to;

    fake_listen(w->fake);
    world_turn(w, 0);
    assert_true(fake_accept(w->fake, 0));
    fake_ack(w->fake, 0);
    world_turn(w, 5);
    assert_int_equal(atomic_load(&w->state.socket), -1);
}

static void a_refusal_is_told_with_its_detail(void **to)
{
    struct sender_world *w = *to;

    fake_listen(w->fake);
    world_turn(w, 0);
    assert_true(fake_accept(w->fake, 0));
    fake_nack(w->fake, 0, NACK_REFUSED);
    world_turn(w, 5);
    assert_int_equal(w->lines, 1);
    assert_non_null(strstr(w->line, "refuses this client: for the test"));
    assert_int_equal(atomic_load(&w->state.socket), -1);
}

int main(void)
{
#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, world_open, world_close)
    const struct CMUnitTest tests[] = {
        WITH_WORLD(acks_and_nacks_are_counted_once),
        WITH_WORLD(nacks_that_were_lost_with_a_connection_are_counted),
        WITH_WORLD(lost_nacks_of_what_was_dropped_are_forgotten),
        WITH_WORLD(welcome_is_kept_for_the_trainer),
        WITH_WORLD(no_welcome_asks_for_more_steps_than_the_trainer_gives),
        WITH_WORLD(a_wish_reaches_the_sampling_with_its_layer),
        WITH_WORLD(notices_are_kept_for_the_trainer),
        WITH_WORLD(unknown_frames_of_a_newer_daemon_are_passed_over),
        WITH_WORLD(garbage_ends_the_connection),
        WITH_WORLD(acknowledging_what_was_never_sent_ends_the_connection),
        WITH_WORLD(a_bad_welcome_ends_the_connection),
        WITH_WORLD(another_run_than_before_ends_the_connection),
        WITH_WORLD(a_second_welcome_changes_the_sampling_and_nothing_else),
        WITH_WORLD(only_a_welcome_may_come_first),
        WITH_WORLD(a_refusal_is_told_with_its_detail),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
