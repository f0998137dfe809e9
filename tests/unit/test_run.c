#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "daemon/run_state.h"
#include "tests/unit/one_run.h"

/* How often the text stands in alerts.jsonl. */
static unsigned alerts_with(const char *text)
{
    static char lines[1 << 16];
    int fd = open(tree_file("run/embmon/alerts.jsonl"), O_RDONLY);
    ssize_t n = fd < 0 ? 0 : read(fd, lines, sizeof lines - 1);
    unsigned count = 0;

    assert_true(n >= 0);
    if (fd >= 0)
        (void)close(fd);
    lines[n] = '\0';
    for (const char *at_line = lines; (at_line = strstr(at_line, text)); at_line++)
        count++;
    return count;
}

static double level(size_t layer)
{
    return norm_baseline_level(&run->baseline.layers[layer]);
}

static void norms_of_closed_steps_are_learnt(void **state)
{
    (void)state;
    for (uint64_t step = 0; step < 25; step++)
        peer_step(&peer, step, 2, step);
    assert_true(fabs(level(0) - sqrt(8)) < 1e-9);
    assert_true(fabs(norm_baseline_level(&run->baseline.model) - 4) < 1e-9);
    assert_int_equal(status().steps, 25);
}

static void validation_teaches_no_baseline(void **state)
{
    struct message sample = {.type = FRAME_SAMPLE,
                             .sample = {.signal = EMBMON_GRADIENT, .phase = EMBMON_VALIDATE}};
    struct message last = {.type = FRAME_STEP_END, .step_end = {.phase = EMBMON_VALIDATE}};

    (void)state;
    for (uint64_t step = 0; step < 30; step++) {
        sample.sample.sequence = ++peer.sequence;
        sample.sample.step = last.step_end.step = step;
        sample.sample.summary = TENSOR(3);
        peer_say(&peer, &sample, 1);
        summary_free(&sample.sample.summary);
        last.step_end.sequence = ++peer.sequence;
        peer_say(&peer, &last, 1);
    }
    assert_int_equal(status().steps, 30);
    assert_int_equal(status().step, -1);
    assert_int_equal(run->baseline.layers[0].learnt, 0);
    assert_int_equal(peer.heard.count[FRAME_NACK], 0);
}

static void a_short_batch_is_not_learnt(void **state)
{
    (void)state;
    for (uint64_t step = 0; step < 40; step++) {
        bool last = step % 8 == 7; /* of an epoch */

        peer_scalar(&peer, "batch_size", step, last ? 20 : 64, step);
        peer_step(&peer, step, last ? 50 : 1, step);
    }
    assert_int_equal(run->baseline.layers[0].learnt, BASELINE_LEARN);
    assert_true(fabs(level(0) - sqrt(2)) < 1e-9);
    assert_true(norm_baseline_recent_max(&run->baseline.layers[0]) < 2);
}

static void an_explosion_is_not_learnt_while_its_alert_is_there(void **state)
{
    (void)state;
    for (uint64_t step = 0; step < 30; step++)
        peer_step(&peer, step, 1, step);
    for (uint64_t step = 30; step < 40; step++)
        peer_step(&peer, step, 1e4, step);
    assert_true(fabs(level(0) - sqrt(2)) < 1e-9);
    assert_string_equal(peer.heard.detector, "gradient_exploding");
    assert_int_equal(peer.heard.state, EMBMON_FIRING);
    assert_true(status().firing > 0);
}

static void a_learning_rate_that_jumps_forgets_the_levels(void **state)
{
    (void)state;
    for (uint64_t step = 0; step < 30; step++) {
        peer_scalar(&peer, "learning_rate", step, 0.01, step);
        peer_step(&peer, step, 1, step);
    }
    assert_true(!isnan(level(0)));
    peer_scalar(&peer, "learning_rate", 30, 0.1, 30);
    peer_step(&peer, 30, 1, 30);
    assert_true(isnan(level(0)));
    assert_int_equal(run->baseline.layers[0].learnt, 1);
}

static void two_ranks_are_one_norm(void **state)
{
    struct peer other = peer_join(registry, 2, (struct hello){.world = 2, .rank = 1}, 0);
    double norm;
    uint32_t alert;

    (void)state;
    peer_step(&peer, 0, 3, 1);
    assert_int_equal(status().step, -1);
    peer_step(&other, 0, 3, 1);
    assert_int_equal(status().step, 0);
    assert_int_equal(status().steps, 1);
    run_layer_status(run, 0, &norm, &alert);
    assert_true(fabs(norm - sqrt(18)) < 1e-12);
    peer_close(&other, 2);
}

static void a_rank_that_dies_does_not_stall_the_others(void **state)
{
    struct peer other = peer_join(registry, 2, (struct hello){.world = 2, .rank = 1}, 0);

    (void)state;
    peer_step(&peer, 0, 1, 10);
    peer_post(&other, 0, 0, 1, 10);
    peer_close(&other, 20);
    assert_int_equal(status().step, 0); /* its open step ended with its connection */
    peer_step(&peer, 1, 1, 30);
    registry_tick(registry, at(4999));
    assert_int_equal(status().step, 0);
    registry_tick(registry, at(5010)); /* 5 s after it was heard last */
    assert_int_equal(status().step, 1);
    peer_step(&peer, 2, 1, 5020);
    assert_int_equal(status().step, 2);
}

static void a_silent_rank_holds_a_step_for_five_seconds_once(void **state)
{
    struct peer other = peer_join(registry, 2, (struct hello){.world = 2, .rank = 1}, 0);

    (void)state;
    for (uint64_t ms = 0; ms <= 20000; ms += 1000) {
        peer_beat(&peer, 0, ms);
        peer_beat(&other, 0, ms); /* alive, and posts nothing */
        if (ms == 1000)
            peer_step(&peer, 0, 1, ms);
        registry_tick(registry, at(ms));
        assert_int_equal(status().step, ms < 6000 ? -1 : 0);
    }
    peer_step(&peer, 1, 1, 20001);
    assert_int_equal(status().step, 1);
    peer_close(&other, 20002);
}

static void a_rank_that_is_not_read_from_counts_as_heard(void **state)
{
    struct peer other = peer_join(registry, 2, (struct hello){.world = 2, .rank = 1}, 0);

    (void)state;
    for (uint64_t step = 0; step < 8; step++)
        peer_end(&peer, step, 10);
    assert_int_equal(peer.result, SESSION_PAUSE);
    for (uint64_t ms = 100; ms < 4900; ms += 100)
        registry_tick(registry, at(ms));
    peer_beat(&other, 0, 4900);
    peer_end(&other, 8, 4901); /* ends the earlier ones too */
    assert_int_equal(status().step, 7);
    registry_tick(registry, at(5200)); /* without the ticks the first would not be expected now */
    assert_int_equal(status().step, 7);
    peer_end(&peer, 8, 5300);
    assert_int_equal(status().step, 8);
    peer_close(&other, 5301);
}

static void alerts_are_lines_and_notices(void **state)
{
    (void)state;
    peer_post(&peer, 0, 4, NAN, 1);
    peer_end(&peer, 4, 1);
    registry_tick(registry, at(100));
    registry_flush(registry);
    assert_int_equal(alerts_with("\"gradient_nonfinite\""), 1);
    assert_int_equal(alerts_with("\"step\": 4") + alerts_with("\"step\":4"), 1);
    assert_int_equal(peer.heard.count[FRAME_NOTICE], 1);
    assert_int_equal(peer.heard.notice_step, 4);
    assert_int_equal(peer.heard.wish_steps, 64);
}

static void a_pending_alert_keeps_asking_for_every_step(void **state)
{
    unsigned wishes = 0;

    (void)state;
    run->every = 8; /* the wish makes each step a sampled one all the same */
    for (uint64_t step = 0; step < 34; step++) {
        peer_post(&peer, 2, step, 0, step); /* vanished: pending for 150 steps on a dense layer */
        peer_post(&peer, 0, step, 1, step);
        peer_end(&peer, step, step);
        if (step == 0)
            wishes = peer.heard.count[FRAME_WISH];
    }
    assert_int_equal(wishes, 1);
    assert_string_equal(peer.heard.layer, "dense");
    assert_int_equal(peer.heard.count[FRAME_WISH], 2);
    for (uint64_t step = 34; step < 100; step++) {
        peer_post(&peer, 2, step, 0, step);
        peer_post(&peer, 0, step, 1, step);
        peer_end(&peer, step, step);
    }
    assert_int_equal(peer.heard.count[FRAME_WISH], 4);
}

static void goodbye_closes_alerts_and_steps(void **state)
{
    (void)state;
    peer_post(&peer, 0, 0, NAN, 1);
    peer_end(&peer, 0, 1);
    peer_post(&peer, 0, 1, 1, 1);
    peer_bye(&peer, 2);
    assert_int_equal(status().step, 1);
    assert_int_equal(status().firing, 0);
    assert_int_equal(alerts_with("closed"), 2); /* reason, and in the sentence */
}

static void what_a_killed_trainer_left_is_recorded_after_a_minute(void **state)
{
    (void)state;
    peer_post(&peer, 0, 0, NAN, 1000);
    peer_end(&peer, 0, 1000);
    peer_close(&peer, 1001);
    registry_tick(registry, at(60999));
    assert_int_equal(status().firing, 1);
    assert_false(run->ended);
    registry_tick(registry, at(61000));
    assert_true(run->ended);
    assert_int_equal(status().firing, 0);
    assert_int_equal(status().bytes_pending, 0);
    peer = peer_join(registry, 1, (struct hello){.given = "run"}, 62000); /* it was only stopped */
    assert_false(run->ended);
    peer.sequence = 2;
    peer_step(&peer, 1, 1, 62001);
    assert_int_equal(status().step, 1);
}

/* Ticks and heartbeats of so many seconds, in which nothing is posted. */
static void wait_from(uint64_t ms, unsigned seconds, uint32_t phase)
{
    for (unsigned s = 1; s <= seconds; s++) {
        if (peer.session)
            peer_beat_in(&peer, phase, ms + s * 1000);
        registry_tick(registry, at(ms + s * 1000));
    }
}

/* Steps 0 to n - 1, one a second from second 1 on; returns the time of the last. */
static uint64_t train(uint64_t n)
{
    for (uint64_t step = 0; step < n; step++) {
        peer_step(&peer, step, 1, (step + 1) * 1000);
        registry_tick(registry, at((step + 1) * 1000));
    }
    return n * 1000;
}

static void a_trainer_that_is_there_and_posts_nothing_is_stalled(void **state)
{
    uint64_t ms = train(3);

    (void)state;
    wait_from(ms, 60, EMBMON_TRAIN);
    assert_int_equal(status().firing, 0);
    wait_from(ms + 60000, 1, EMBMON_TRAIN);
    assert_int_equal(status().firing, 1);
    peer_beat_in(&peer, EMBMON_TRAIN, ms + 61000);
    assert_string_equal(peer.heard.detector, "trainer_stalled");
    assert_int_equal(peer.heard.notice_step, 2);
    wait_from(ms + 61000, 100, EMBMON_TRAIN);
    assert_int_equal(peer.heard.count[FRAME_NOTICE], 1);
    peer_step(&peer, 3, 1, ms + 170000);
    assert_int_equal(status().firing, 0);
    assert_int_equal(alerts_with("\"state\":\"resolved\",\"step\":3,\"first_step\":2,"), 1);
    assert_int_equal(alerts_with("\"detector\":\"trainer_stalled\""), 2);
}

static void one_that_is_stopped_as_a_whole_is_stalled(void **state)
{
    uint64_t ms = train(3);

    (void)state;
    for (uint64_t s = 1; s < 90; s++) /* connected, but without a heartbeat */
        registry_tick(registry, at(ms + s * 1000));
    assert_false(run->ended);
    assert_int_equal(status().firing, 1);
}

static void one_that_is_gone_is_not_stalled(void **state)
{
    uint64_t ms = train(3);

    (void)state;
    peer_close(&peer, ms + 1);
    wait_from(ms, 200, EMBMON_TRAIN);
    assert_true(run->ended);
    assert_int_equal(alerts_with("trainer_stalled"), 0);
}

static void one_that_validates_is_not_stalled(void **state)
{
    uint64_t ms = train(3);

    (void)state;
    wait_from(ms, 300, EMBMON_VALIDATE); /* as its heartbeats say */
    peer_step(&peer, 3, 1, ms += 301000);
    peer_step(&peer, 4, 1, ms += 1000);
    struct message m = {.type = FRAME_STEP_END,
                        .step_end = {.sequence = ++peer.sequence, .phase = EMBMON_VALIDATE}};
    peer_say(&peer, &m, ms + 1000);
    wait_from(ms + 1000, 300, 0); /* as its last post says */
    assert_int_equal(alerts_with("trainer_stalled"), 0);
}

static void a_validation_ends_a_stall(void **state)
{
    uint64_t ms = train(3);

    (void)state;
    wait_from(ms, 70, EMBMON_TRAIN);
    assert_int_equal(status().firing, 1);
    peer_beat_in(&peer, EMBMON_VALIDATE, ms + 71000);
    assert_int_equal(status().firing, 0);
    wait_from(ms + 71000, 100, EMBMON_VALIDATE);
    assert_int_equal(alerts_with("trainer_stalled is over"), 0);
    assert_int_equal(alerts_with("\"detector\":\"trainer_stalled\""), 2);
}

static void compilation_is_not_a_stall(void **state)
{
    (void)state;
    wait_from(0, 200, EMBMON_TRAIN); /* nothing yet */
    peer_step(&peer, 0, 1, 201000);
    wait_from(201000, 200, EMBMON_TRAIN); /* how long a step takes is not known */
    peer_step(&peer, 1, 1, 402000);
    wait_from(402000, 3000, EMBMON_TRAIN);
    assert_int_equal(alerts_with("trainer_stalled"), 0);
    wait_from(402000 + 3000000, 1100, EMBMON_TRAIN); /* more than 20 times 201 s */
    assert_int_equal(status().firing, 1);
}

static void one_that_comes_back_is_given_its_time(void **state)
{
    uint64_t ms = train(3);

    (void)state;
    peer_close(&peer, ms);
    peer = peer_join(registry, 1, (struct hello){.given = "run"}, ms + 50000);
    peer.sequence = 9;
    wait_from(ms + 50000, 100, EMBMON_TRAIN); /* its queue may still hold the steps */
    assert_int_equal(status().firing, 0);
    peer_step(&peer, 3, 1, ms + 160000);
    wait_from(ms + 160000, 61, EMBMON_TRAIN);
    assert_int_equal(status().firing, 1);
}

static void all_ranks_must_wait_in_training(void **state)
{
    struct peer other = peer_join(registry, 2, (struct hello){.world = 2, .rank = 1}, 0);

    (void)state;
    for (uint64_t step = 0; step < 3; step++) {
        peer_step(&peer, step, 1, step * 1000);
        peer_step(&other, step, 1, step * 1000);
    }
    for (uint64_t s = 3; s < 200; s++) { /* the others wait for it */
        peer_beat_in(&peer, EMBMON_VALIDATE, s * 1000);
        peer_beat_in(&other, EMBMON_TRAIN, s * 1000);
        registry_tick(registry, at(s * 1000));
    }
    assert_int_equal(status().firing, 0);
    for (uint64_t step = 3; step < 5; step++) {
        peer_step(&peer, step, 1, 200000);
        peer_step(&other, step, 1, 200000);
    }
    for (uint64_t s = 200; s < 270; s++) {
        peer_beat_in(&peer, EMBMON_TRAIN, s * 1000);
        peer_beat_in(&other, EMBMON_TRAIN, s * 1000);
        registry_tick(registry, at(s * 1000));
    }
    assert_int_equal(status().firing, 0); /* it is back, but has posted nothing in training since */
    peer_step(&peer, 5, 1, 271000);
    for (uint64_t s = 271; s < 340; s++) {
        peer_beat_in(&peer, EMBMON_TRAIN, s * 1000);
        peer_beat_in(&other, EMBMON_TRAIN, s * 1000);
        registry_tick(registry, at(s * 1000));
    }
    assert_int_equal(alerts_with("\"ranks\":[0,1]"), 1);
    peer_close(&other, 341000);
}

static void a_run_that_is_connected_is_never_idle(void **state)
{
    (void)state;
    assert_false(run_idle(run, at(1ull << 40)));
    run_tick(run, at(1ull << 40));
    assert_false(run->ended);
    peer_close(&peer, 10);
    assert_false(run_idle(run, at(0))); /* a clock read earlier */
    assert_true(run_idle(run, at(3600000)));
}

static void what_was_posted_is_conserved(void **state)
{
    struct run_status s;

    (void)state;
    for (uint64_t step = 0; step < 200; step++) {
        peer_step(&peer, step, 1, step);
        if (step % 3 == 0)
            peer_post(&peer, 0, step / 2, 1, step); /* late */
        if (step % 5 == 0)
            peer_post(&peer, 77, step + 1, 1, step); /* unknown */
    }
    s = status();
    assert_int_equal(s.posts.acked, 600);
    assert_int_equal(s.posts.rejected, 67 + 40);
    assert_int_equal(s.posts.acked + s.posts.rejected, peer.sequence);
    assert_int_equal(peer.heard.count[FRAME_NACK], s.posts.rejected);
    peer_settle(&peer, 1000);
    assert_int_equal(peer.heard.kept, peer.sequence);
}

static void memory_stays_flat_over_many_steps(void **state)
{
    size_t bytes = 0;

    (void)state;
    for (uint64_t step = 0; step < 3000; step++) {
        peer_step(&peer, step, 1 + (double)(step % 7), step);
        if (step == 600)
            bytes = status().bytes;
    }
    assert_int_equal(status().bytes, bytes);
}

static void an_ended_run_is_small_and_may_go_on(void **state)
{
    size_t bytes;

    (void)state;
    for (uint64_t step = 0; step < 200; step++)
        peer_step(&peer, step, 1 + (double)(step % 7), step);
    bytes = status().bytes;
    peer_bye(&peer, 200);
    peer_close(&peer, 200);
    assert_true(run->ended);
    assert_true(status().bytes < bytes);
    assert_int_equal(status().bytes_pending, 0);
    assert_null(run->measures.layers);
    assert_true(norms_last(&run->norms, 0) > 0); /* it can still be asked about */
    peer = peer_join(registry, 1, (struct hello){.given = "run"}, 300);
    assert_false(run->ended);
    peer.sequence = 600;
    for (uint64_t step = 200; step < 300; step++)
        peer_step(&peer, step, 1, 300 + step);
    assert_int_equal(status().step, 299);
    assert_int_equal(status().posts.acked, 900);
    assert_int_equal(status().posts.rejected, 0);
    assert_true(run->baseline.model.learnt == BASELINE_LEARN); /* what it knew it still knows */
}

static void a_folder_that_cannot_be_made_is_said(void **state)
{
    const char *problem = NULL;
    struct run_options options = {
        .logdir = tree_path, .name = "f/x", .wanted = "f/x", .key = "", .world_size = 1};
    int fd = open(tree_file("f"), O_CREAT | O_WRONLY, 0600);

    (void)state;
    assert_true(fd >= 0 && close(fd) == 0);
    assert_null(run_open(&options, at(0), &problem));
    assert_non_null(strstr(problem, "not a folder"));
    run_close(NULL, at(0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        one_run_test(norms_of_closed_steps_are_learnt),
        one_run_test(validation_teaches_no_baseline),
        one_run_test(a_short_batch_is_not_learnt),
        one_run_test(an_explosion_is_not_learnt_while_its_alert_is_there),
        one_run_test(a_learning_rate_that_jumps_forgets_the_levels),
        one_run_test_of_2(two_ranks_are_one_norm),
        one_run_test_of_2(a_rank_that_dies_does_not_stall_the_others),
        one_run_test_of_2(a_silent_rank_holds_a_step_for_five_seconds_once),
        one_run_test_of_2(a_rank_that_is_not_read_from_counts_as_heard),
        one_run_test(alerts_are_lines_and_notices),
        one_run_test(a_pending_alert_keeps_asking_for_every_step),
        one_run_test(goodbye_closes_alerts_and_steps),
        one_run_test(what_a_killed_trainer_left_is_recorded_after_a_minute),
        one_run_test(a_trainer_that_is_there_and_posts_nothing_is_stalled),
        one_run_test(one_that_is_stopped_as_a_whole_is_stalled),
        one_run_test(one_that_is_gone_is_not_stalled),
        one_run_test(one_that_validates_is_not_stalled),
        one_run_test(a_validation_ends_a_stall),
        one_run_test(compilation_is_not_a_stall),
        one_run_test(one_that_comes_back_is_given_its_time),
        one_run_test_of_2(all_ranks_must_wait_in_training),
        one_run_test(a_run_that_is_connected_is_never_idle),
        one_run_test(what_was_posted_is_conserved),
        one_run_test(an_ended_run_is_small_and_may_go_on),
        one_run_test(memory_stays_flat_over_many_steps),
        one_run_test(a_folder_that_cannot_be_made_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
