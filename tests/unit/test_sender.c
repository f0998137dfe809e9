#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "client/sender_struct.h"
#include "tests/unit/sender_world.h"

static void hello_says_who_we_are_and_later_which_run_we_got(void **to)
{
    struct sender_world *w = *to;
    struct message m;

    fake_listen(w->fake);
    world_turn(w, 0);
    assert_true(fake_accept(w->fake, 0));
    fake_expect(w->fake, FRAME_HELLO, &m);
    assert_int_equal(m.hello.protocol_min, PROTOCOL_VERSION);
    assert_memory_equal(m.hello.session, "fifteen letters", SESSION_BYTES);
    assert_string_equal(m.hello.given, "");
    assert_string_equal(m.hello.name, "wanted");
    assert_string_equal(m.hello.key, "key");
    assert_int_equal(m.hello.rank, 1);
    assert_int_equal(m.hello.world_size, 2);
    assert_int_equal(m.hello.every, 4);
    assert_false(m.hello.resume);
    fake_welcome(w->fake, "given/2", 0, 1);
    world_turn(w, 5);
    fake_hang_up(w->fake);
    world_turn(w, 5);
    world_turn(w, 200);
    assert_true(fake_accept(w->fake, 0));
    fake_expect(w->fake, FRAME_HELLO, &m);
    assert_string_equal(m.hello.given, "given/2");
    assert_string_equal(m.hello.name, "wanted");
}

static void nothing_is_sent_before_welcome(void **to)
{
    struct sender_world *w = *to;
    struct message m;

    fake_listen(w->fake);
    world_layer(w, "a");
    world_post(w, 0, 0);
    world_turn(w, 0);
    assert_true(fake_accept(w->fake, 0));
    fake_expect(w->fake, FRAME_HELLO, &m);
    world_turn(w, 5000);
    assert_false(fake_next(w->fake, &m, 0));
    world_counts(w, 0, 0, 0, 1);
}

static void a_layer_goes_before_the_first_sample_that_refers_to_it(void **to)
{
    struct sender_world *w = *to;
    struct message m;

    world_layer(w, "a");
    world_post(w, 0, 0);
    world_greet(w, 0);
    fake_expect(w->fake, FRAME_LAYERS, &m);
    assert_int_equal(m.layers.layer_count, 1);
    assert_int_equal(world_sequence(w, FRAME_SAMPLE), 1);
    world_layer(w, "b");
    world_post(w, 0, 0);
    world_turn(w, 5);
    fake_expect(w->fake, FRAME_LAYERS, &m);
    assert_int_equal(m.layers.layer_count, 1); /* only what is new */
    assert_string_equal(m.layers.layers[0].path, "b");
    assert_int_equal(world_sequence(w, FRAME_SAMPLE), 2);
    world_post(w, 0, 0);
    world_turn(w, 5);
    assert_int_equal(world_sequence(w, FRAME_SAMPLE), 3);
}

static void thresholds_go_with_the_layers_and_again_on_every_connection(void **to)
{
    struct sender_world *w = *to;
    struct thresholds *t = w->state.thresholds;
    struct message m;

    assert_int_equal(thresholds_set(t, "gradient_spike", "a*", "layer", 20), 0);
    world_layer(w, "a");
    world_post(w, 0, 0);
    world_greet(w, 0);
    fake_expect(w->fake, FRAME_LAYERS, &m);
    fake_expect(w->fake, FRAME_LAYERS, &m);
    assert_int_equal(m.layers.threshold_count, 1);
    assert_string_equal(m.layers.thresholds[0].layers, "a*");
    assert_int_equal(world_sequence(w, FRAME_SAMPLE), 1);
    thresholds_set(t, "gradient_spike", "a*", "layer", 30);
    thresholds_ignore(t, "loss_diverged", "*");
    world_post(w, 0, 0);
    world_turn(w, 5);
    fake_expect(w->fake, FRAME_LAYERS, &m);
    assert_true(m.layers.thresholds[0].value == 30);
    assert_string_equal(m.layers.ignores[0].detector, "loss_diverged");
    assert_int_equal(world_sequence(w, FRAME_SAMPLE), 2);
    world_turn(w, 5);
    fake_expect_silence(w->fake, 0);
    fake_ack(w->fake, 2);
    fake_hang_up(w->fake);
    world_turn(w, 5);
    world_turn(w, 5);
    world_greet(w, 2);
    fake_expect(w->fake, FRAME_LAYERS, &m);
    assert_int_equal(m.layers.layer_count, 1);
    fake_expect(w->fake, FRAME_LAYERS, &m);
    assert_int_equal(m.layers.threshold_count, 1);
    assert_true(m.layers.thresholds[0].value == 30);
    assert_int_equal(m.layers.ignore_count, 1);
    fake_expect_silence(w->fake, 0);
}

static void after_a_reconnect_layers_and_what_is_not_kept_are_sent_again(void **to)
{
    struct sender_world *w = *to;
    struct message m;

    world_layer(w, "a");
    for (int i = 0; i < 6; i++)
        world_post(w, (uint64_t)i, 0);
    world_greet(w, 0);
    fake_expect(w->fake, FRAME_LAYERS, &m);
    for (uint64_t i = 1; i <= 6; i++)
        assert_int_equal(world_sequence(w, FRAME_SAMPLE), i);
    fake_ack(w->fake, 2);
    fake_hang_up(w->fake);
    world_turn(w, 5);
    world_counts(w, 2, 0, 0, 4);
    world_post(w, 6, 0);
    world_turn(w, 5);
    world_greet(w, 4); /* 3 and 4 were kept, the ack was lost */
    world_counts(w, 4, 0, 0, 3);
    fake_expect(w->fake, FRAME_LAYERS, &m);
    for (uint64_t i = 5; i <= 7; i++)
        assert_int_equal(world_sequence(w, FRAME_SAMPLE), i);
    fake_expect_silence(w->fake, 0);
    fake_ack(w->fake, 7);
    world_turn(w, 5);
    world_counts(w, 7, 0, 0, 0);
    assert_int_equal(atomic_load(&w->state.counters.reconnects), 1);
}

static void a_dead_daemon_is_one_line_and_its_return_another(void **to)
{
    struct sender_world *w = *to;

    for (int i = 0; i < 20; i++)
        world_turn(w, 20000);
    assert_int_equal(w->lines, 1);
    assert_non_null(strstr(w->line, "no daemon at unix:"));
    world_greet(w, 0);
    assert_int_equal(w->lines, 2);
    fake_hang_up(w->fake);
    fake_stop_listening(w->fake);
    for (int i = 0; i < 20; i++)
        world_turn(w, 20000);
    assert_int_equal(w->lines, 3);
    assert_non_null(strstr(w->line, "lost the daemon"));
    world_greet(w, 0);
    assert_int_equal(w->lines, 4);
}

static void a_peer_that_never_welcomes_is_left(void **to)
{
    struct sender_world *w = *to;

    fake_listen(w->fake);
    world_turn(w, 0);
    assert_true(fake_accept(w->fake, 0));
    world_turn(w, 9000);
    assert_int_equal(w->lines, 0);
    world_turn(w, 1500);
    assert_non_null(strstr(w->line, "it does not answer"));
}

static void a_heartbeat_goes_every_second(void **to)
{
    struct sender_world *w = *to;
    struct message m;

    world_greet(w, 0);
    world_layer(w, "a");
    world_post(w, 0, 0);
    world_turn(w, 999 - 5);
    fake_expect(w->fake, FRAME_LAYERS, &m);
    fake_expect(w->fake, FRAME_SAMPLE, &m);
    assert_false(fake_next(w->fake, &m, 0));
    world_turn(w, 1000);
    fake_expect(w->fake, FRAME_HEARTBEAT, &m);
    assert_int_equal(m.heartbeat.produced, 1);
    assert_int_equal(m.heartbeat.dropped, 0);
    assert_int_equal(m.heartbeat.phase, 0);
    assert_false(fake_next(w->fake, &m, 0));
    atomic_store(&w->state.phase, EMBMON_VALIDATE);
    world_turn(w, 2000);
    fake_expect(w->fake, FRAME_HEARTBEAT, &m);
    assert_int_equal(m.heartbeat.phase, EMBMON_VALIDATE);
}

static void the_end_of_a_step_counts_its_posts_and_what_was_dropped(void **to)
{
    struct sender_world *w = *to;
    struct message m;

    world_greet(w, 0);
    world_post(w, 1, 0), world_post(w, 2, 0), world_post(w, 1, 0);
    atomic_fetch_add(&w->state.counters.produced, 1);
    atomic_fetch_add(&w->state.counters.turned_away, 1);
    world_step_end(w, 1), world_step_end(w, 2), world_step_end(w, 3);
    world_turn(w, 5);
    for (int i = 0; i < 3; i++)
        fake_expect(w->fake, FRAME_SAMPLE, &m);
    for (uint64_t step = 1; step <= 3; step++) {
        fake_expect(w->fake, FRAME_STEP_END, &m);
        assert_int_equal(m.step_end.step, step);
        assert_int_equal(m.step_end.posted, 3 - step);
        assert_int_equal(m.step_end.dropped, 1);
    }
}

/* The end of a step is the last that is told of it: no heartbeat need come before it is closed. */
static void the_end_of_a_step_counts_what_it_displaces_itself(void **to)
{
    struct sender_world *w = world_open_with(1000);
    struct message m = {0};
    uint64_t said = 0, ends = 0;

    (void)to;
    for (uint64_t step = 0; step < 300; step++) {
        world_post(w, step, 0);
        world_step_end(w, step);
    }
    world_turn(w, 0);
    world_greet(w, 0);
    while (fake_next(w->fake, &m, 0))
        if (m.type == FRAME_STEP_END)
            said = m.step_end.dropped, ends++;
    assert_true(ends > 2);
    assert_true(said > 128); /* a number that takes two bytes */
    assert_int_equal(said, state_counts(&w->state).dropped);
    world_close((void **)&w);
}

/* Frames are given without a connection, in a queue for a dozen of them. */
static void when_the_queue_is_full_anomalies_and_ends_of_steps_stay(void **to)
{
    struct sender_world *w = world_open_with(1000);
    struct message m;
    uint64_t last = 0, precious = 0, ordinary = 0;

    (void)to;
    for (uint64_t step = 0; step < 40; step++) {
        world_post(w, step, step == 3 || step == 20);
        world_turn(w, 0);
    }
    world_step_end(w, 39);
    world_turn(w, 0);
    world_greet(w, 0);
    assert_true(atomic_load(&w->state.counters.dropped) > 20);
    while (fake_next(w->fake, &m, 0)) {
        if (m.type == FRAME_HEARTBEAT)
            continue;
        assert_true(message_sequence(&m) > last);
        last = message_sequence(&m);
        precious += m.type == FRAME_STEP_END || m.sample.summary.nans > 0;
        if (m.type != FRAME_SAMPLE || m.sample.summary.nans > 0)
            continue;
        assert_true(ordinary == 0 || m.sample.step == ordinary + 1); /* the newest, in one piece */
        ordinary = m.sample.step;
    }
    assert_int_equal(last, 41);
    assert_int_equal(precious, 3);
    assert_int_equal(ordinary, 39);
    world_close((void **)&w);
}

static void ids_that_are_no_rows_and_shapes_stay_too(void **to)
{
    struct sender_world *w = world_open_with(1000);
    struct message m;
    uint64_t kept[3] = {0};

    (void)to;
    for (uint64_t step = 0; step < 40; step++) {
        struct message *made = world_record(w, step == 2 ? FRAME_SHAPE : FRAME_IDS);

        if (step == 2) {
            made->shape = (struct msg_shape){
                .phase = EMBMON_TRAIN, .step = step, .role = EMBMON_SHAPE_OUTPUT};
        } else {
            made->ids = (struct msg_ids){.phase = EMBMON_TRAIN, .step = step, .dtype = EMBMON_I8};
            made->ids.stats.count = 1;
            made->ids.stats.negative = step == 3;
            made->ids.stats.beyond = step == 4;
            made->ids.stats.fractional = step == 5;
        }
        world_commit(made);
        world_turn(w, 0);
    }
    world_greet(w, 0);
    assert_true(atomic_load(&w->state.counters.dropped) > 10);
    while (fake_next(w->fake, &m, 0)) {
        if (m.type == FRAME_SHAPE) {
            assert_int_equal(message_sequence(&m), 3);
            kept[0]++;
        } else if (m.type == FRAME_IDS && m.ids.step >= 3 && m.ids.step <= 5) {
            assert_int_equal(message_sequence(&m), m.ids.step + 1);
            kept[1]++;
        } else if (m.type == FRAME_IDS) {
            assert_true(m.ids.step > 5); /* the newest of the others */
            kept[2]++;
        }
    }
    assert_int_equal(kept[0], 1);
    assert_int_equal(kept[1], 3);
    assert_true(kept[2] > 0);
    world_close((void **)&w);
}

static void conservation_holds_through_drops_acks_and_nacks(void **to)
{
    struct sender_world *w = world_open_with(2000);
    uint64_t produced = 0;
    struct message m;

    (void)to;
    world_greet(w, 0);
    for (uint64_t round = 1; round <= 200; round++) {
        struct tallied t;

        for (uint64_t i = 0; i < round % 37; i++, produced++)
            world_post(w, round, i % 5 == 0);
        world_turn(w, 5);
        if (round % 50 == 0) {
            fake_hang_up(w->fake);
            world_turn(w, 5);
            world_greet(w, 0);
        }
        while (fake_next(w->fake, &m, 0))
            if (message_sequence(&m) % 7 == 0)
                fake_nack(w->fake, message_sequence(&m), NACK_LATE);
            else if (message_sequence(&m) % 3 == 0)
                fake_ack(w->fake, message_sequence(&m));
        t = state_counts(&w->state);
        assert_int_equal(t.produced, produced);
        assert_int_equal(t.produced, t.acked + t.rejected + t.dropped + t.in_flight);
        assert_true(t.in_flight <= produced);
    }
    assert_true(atomic_load(&w->state.counters.rejected) > 0);
    assert_true(atomic_load(&w->state.counters.acked) > 0);
    assert_true(atomic_load(&w->state.counters.dropped) > 0);
    world_close((void **)&w);
}

/* It takes all and answers late: what it has merged meanwhile was not dropped, though it was let go
 * for newer posts. */
static void what_the_daemon_has_is_not_dropped_by_a_full_queue(void **to)
{
    struct sender_world *w = world_open_with(1000);
    struct message m;
    uint64_t last = 0;

    (void)to;
    world_greet(w, 0);
    for (uint64_t step = 0; step < 50; step++) {
        world_post(w, step, 0);
        world_turn(w, 5);
        while (fake_next(w->fake, &m, 0))
            last = m.type == FRAME_SAMPLE ? message_sequence(&m) : last;
    }
    assert_int_equal(last, 50);
    world_counts(w, 0, 0, 0, 50);
    fake_nack(w->fake, 3, NACK_LATE);
    fake_ack(w->fake, 20);
    world_turn(w, 5);
    world_counts(w, 19, 1, 0, 30);
    fake_hang_up(w->fake);
    world_turn(w, 5);
    world_counts(w, 19, 1, 0, 30);
    world_greet(w, 30); /* it has kept some of them; the others are lost but for the newest */
    assert_int_equal(world_sequence(w, FRAME_SAMPLE), 51 - queue_count(w->sender->queue));
    world_counts(w, 29, 1, 20 - queue_count(w->sender->queue), queue_count(w->sender->queue));
    assert_in_range(queue_count(w->sender->queue), 5, 19);
    world_close((void **)&w);
}

/* At once: each write would take room of its own in the socket. */
static void send_many(struct sender_world *w, const struct message *m, size_t count)
{
    static uint8_t bytes[32 << 10];
    size_t used = 0;

    for (; count > 0; count--) {
        assert_true(message_size(m) <= sizeof bytes - used);
        used += message_encode(m, bytes + used);
    }
    fake_send_bytes(w->fake, bytes, used);
}

/* Whatever it says, and however fast: the thread hears 128 messages at most in 5 ms. */
static void a_daemon_that_talks_without_end_is_heard_now_and_then(void **to)
{
    struct sender_world *w = *to;
    struct message m = {.type = FRAME_WISH, .wish = {1, ""}};

    world_layer(w, "a");
    world_post(w, 0, 0);
    world_greet(w, 0);
    send_many(w, &m, 1000);
    fake_ack(w->fake, 1);
    for (int turn = 0; turn < 7; turn++) {
        for (int i = 0; i < 4; i++)
            world_turn(w, 1); /* it rests: posts go on */
        world_turn(w, 1);
        world_counts(w, 0, 0, 0, 1);
    }
    world_turn(w, 5);
    world_counts(w, 1, 0, 0, 0);
}

static void its_last_words_are_heard_to_the_end(void **to)
{
    struct sender_world *w = *to;
    struct message m = {.type = FRAME_HEARTBEAT};

    world_post(w, 0, 0);
    world_greet(w, 0);
    send_many(w, &m, 1000);
    fake_ack(w->fake, 1);
    fake_hang_up(w->fake);
    world_turn(w, 5);
    world_counts(w, 1, 0, 0, 0);
    assert_int_equal(atomic_load(&w->state.socket), -1);
}

static void a_daemon_that_does_not_read_costs_drops_and_no_more(void **to)
{
    struct sender_world *w = world_open_with(64 << 10);
    struct tallied t;

    (void)to;
    world_greet(w, 0);
    for (int i = 0; i < 20000; i++) {
        world_post(w, 0, 0);
        if (i % 100 == 0)
            world_turn(w, 1);
    }
    for (int i = 0; i < 10; i++)
        world_turn(w, 5);
    t = state_counts(&w->state);
    assert_true(t.dropped > 3000); /* the rest may be on its way */
    assert_int_equal(t.in_flight + t.dropped, 20000);
    assert_true(atomic_load(&w->state.connected));
    world_close((void **)&w);
}

static void the_sender_rests_longer_when_nothing_is_posted(void **to)
{
    struct sender_world *w = *to;

    assert_int_equal(world_turn(w, 0), SENDER_BUSY_MS); /* at first a trainer is about to begin */
    assert_int_equal(world_turn(w, 1000), SENDER_IDLE_MS);
    world_post(w, 0, 0);
    assert_int_equal(world_turn(w, 5), SENDER_BUSY_MS);
    assert_int_equal(world_turn(w, 999), SENDER_BUSY_MS);
    assert_int_equal(world_turn(w, 1), SENDER_IDLE_MS);
    for (int i = 0; i < 5000; i++)
        world_post(w, 0, 0);
    assert_int_equal(world_turn(w, 5), 0); /* more is waiting */
}

static void bye_says_what_is_left_undelivered(void **to)
{
    struct sender_world *w = *to;
    struct message m;

    world_layer(w, "a");
    world_post(w, 0, 0);
    world_greet(w, 0);
    assert_false(sender_is_done(w->sender));
    fake_expect(w->fake, FRAME_LAYERS, &m);
    fake_expect(w->fake, FRAME_SAMPLE, &m);
    atomic_fetch_add(&w->state.counters.produced, 3);
    atomic_fetch_add(&w->state.counters.turned_away, 3);
    sender_bye(w->sender);
    fake_expect(w->fake, FRAME_HEARTBEAT, &m);
    assert_int_equal(m.heartbeat.produced, 4);
    assert_int_equal(m.heartbeat.dropped, 3);
    assert_int_equal(m.heartbeat.unsent, 0); /* what is in flight was sent */
    fake_expect(w->fake, FRAME_BYE, &m);
    assert_int_equal(m.bye.undelivered, 4);
}

static void the_last_heartbeat_says_what_never_went_out(void **to)
{
    struct sender_world *w = *to;
    struct message m;

    world_layer(w, "a");
    world_post(w, 0, 0);
    world_greet(w, 0);
    fake_expect(w->fake, FRAME_LAYERS, &m);
    fake_expect(w->fake, FRAME_SAMPLE, &m);
    for (int i = 0; i < 3; i++)
        world_post(w, 0, 0); /* in the inbox, and closed before its next turn */
    sender_bye(w->sender);
    fake_expect(w->fake, FRAME_HEARTBEAT, &m);
    assert_int_equal(m.heartbeat.unsent, 3);
    fake_expect(w->fake, FRAME_BYE, &m);
    assert_int_equal(m.bye.undelivered, 4);
}

static void without_a_daemon_ever_closing_looks_once_more(void **to)
{
    struct sender_world *w = *to;

    world_post(w, 0, 0);
    world_turn(w, 0);
    assert_true(sender_is_done(w->sender));
    sender_hurry(w->sender);
    assert_false(sender_is_done(w->sender));
    world_turn(w, 0);
    assert_true(sender_is_done(w->sender));
    sender_hurry(w->sender);
    world_greet(w, 0);
    assert_false(sender_is_done(w->sender));
    fake_ack(w->fake, 1);
    world_turn(w, 5);
    assert_true(sender_is_done(w->sender));
}

int main(void)
{
#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, world_open, world_close)
    const struct CMUnitTest tests[] = {
        WITH_WORLD(hello_says_who_we_are_and_later_which_run_we_got),
        WITH_WORLD(nothing_is_sent_before_welcome),
        WITH_WORLD(a_layer_goes_before_the_first_sample_that_refers_to_it),
        WITH_WORLD(thresholds_go_with_the_layers_and_again_on_every_connection),
        WITH_WORLD(after_a_reconnect_layers_and_what_is_not_kept_are_sent_again),
        WITH_WORLD(a_dead_daemon_is_one_line_and_its_return_another),
        WITH_WORLD(a_peer_that_never_welcomes_is_left),
        WITH_WORLD(a_heartbeat_goes_every_second),
        WITH_WORLD(the_end_of_a_step_counts_its_posts_and_what_was_dropped),
        cmocka_unit_test(the_end_of_a_step_counts_what_it_displaces_itself),
        cmocka_unit_test(when_the_queue_is_full_anomalies_and_ends_of_steps_stay),
        cmocka_unit_test(ids_that_are_no_rows_and_shapes_stay_too),
        cmocka_unit_test(conservation_holds_through_drops_acks_and_nacks),
        cmocka_unit_test(what_the_daemon_has_is_not_dropped_by_a_full_queue),
        cmocka_unit_test(a_daemon_that_does_not_read_costs_drops_and_no_more),
        WITH_WORLD(a_daemon_that_talks_without_end_is_heard_now_and_then),
        WITH_WORLD(its_last_words_are_heard_to_the_end),
        WITH_WORLD(the_sender_rests_longer_when_nothing_is_posted),
        WITH_WORLD(bye_says_what_is_left_undelivered),
        WITH_WORLD(the_last_heartbeat_says_what_never_went_out),
        WITH_WORLD(without_a_daemon_ever_closing_looks_once_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
