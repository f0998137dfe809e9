#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <float.h>
#include <math.h>
#include <stdio.h>

#include "daemon/run_state.h"
#include "tests/unit/peer.h"
#include "tests/unit/tree.h"

static struct run *run;

static int open_world(uint32_t world)
{
    const char *problem = "";
    struct run_options options = {
        .logdir = tree_path, .name = "run", .wanted = "wanted", .key = "k", .world_size = world};

    log_configure(LOG_LEVEL_ERROR, false);
    run = run_open(&options, at(0), &problem);
    return run ? 0 : -1;
}

static int start(void **state)
{
    return tree_make(state) != 0 ? -1 : open_world(1);
}

static int start_4(void **state)
{
    return tree_make(state) != 0 ? -1 : open_world(4);
}

static int stop(void **state)
{
    run_close(run, at(1 << 30));
    return tree_remove(state);
}

static struct msg_hello hello(uint8_t id, uint32_t rank)
{
    struct msg_hello h = {
        .given = "", .name = "wanted", .key = "k", .rank = rank, .world_size = run->world_size};

    memset(h.session, id, SESSION_BYTES);
    return h;
}

static struct run_member *join(uint8_t id, uint32_t rank, uint64_t ms)
{
    struct msg_hello h = hello(id, rank);
    struct run_member *member = run_join(run, &h, at(ms));

    assert_non_null(member);
    return member;
}

static enum nack_reason declare(struct run_member *member, uint32_t id, const char *path,
                                const char **problem)
{
    struct msg_layer layer = {.id = id, .path = path, .activation = "", .trainable = true};
    struct msg_layers layers = {.layers = &layer, .layer_count = 1};

    return run_layers(member, &layers, problem);
}

static enum nack_reason post(struct run_member *member, uint64_t sequence, uint32_t target,
                             uint64_t step, struct summary summary, uint64_t ms)
{
    struct msg_sample sample = {.sequence = sequence,
                                .target = target,
                                .signal = EMBMON_GRADIENT,
                                .phase = EMBMON_TRAIN,
                                .step = step,
                                .summary = summary};
    enum nack_reason reason = run_sample(member, &sample, at(ms));

    summary_free(&summary);
    return reason;
}

static enum nack_reason end(struct run_member *member, uint64_t sequence, uint64_t step,
                            uint64_t ms)
{
    struct msg_step_end message = {.sequence = sequence, .phase = EMBMON_TRAIN, .step = step};

    return run_step_end(member, &message, at(ms));
}

static struct run_status status(void)
{
    struct run_status s;

    run_get_status(run, &s);
    return s;
}

static bool admits(struct msg_hello h, uint64_t ms)
{
    return run_admits(run, &h, at(ms));
}

static void who_may_join(void **state)
{
    struct msg_hello other;

    (void)state;
    assert_false(admits(hello(1, 0), 0)); /* no session was heard yet */
    (void)join(1, 0, 1000);
    assert_true(admits(hello(2, 1), 1000));
    assert_true(admits(hello(2, 1), 60999));
    assert_false(admits(hello(2, 1), 61000));
    assert_false(admits(hello(2, 0), 1000)); /* held */
    other = hello(2, 1);
    other.name = "run"; /* the folder's name is not what was wanted */
    assert_false(admits(other, 1000));
    other = hello(2, 1);
    other.key = "l";
    assert_false(admits(other, 1000));
    other.key = "";
    assert_true(admits(other, 1000));
    other.world_size = 5;
    assert_false(admits(other, 1000));
}

static void with_resume_a_rank_whose_session_is_gone_is_taken_over(void **state)
{
    struct run_member *gone = join(1, 0, 1000);
    struct msg_hello again = hello(2, 0);

    (void)state;
    (void)join(3, 1, 1000);
    again.resume = true;
    assert_false(admits(again, 1001));
    assert_null(run_join(run, &again, at(1001)));
    run_member_leave(gone, false, at(1002));
    assert_true(admits(again, 1003));
    again.resume = false;
    assert_false(admits(again, 1003));
    again.resume = true;
    assert_non_null(run_join(run, &again, at(1004)));
    assert_int_equal(status().ranks, 2);
}

static void a_session_keeps_its_counts_over_its_connections(void **state)
{
    struct run_member *member = join(7, 0, 0);
    const char *problem = "";

    (void)state;
    assert_int_equal(declare(member, 0, "a", &problem), 0);
    assert_int_equal(post(member, 5, 0, 0, TENSOR(1), 1), 0);
    assert_int_equal(run_member_taken(member), 5);
    assert_int_equal(run_member_kept(member), 0);
    run_flush(run, at(1000));
    assert_int_equal(run_member_kept(member), 5);
    run_member_leave(member, false, at(2));
    assert_ptr_equal(join(7, 0, 3), member);
    assert_int_equal(run_member_kept(member), 5);
    assert_int_equal(post(member, 6, 0, 1, TENSOR(1), 4), NACK_UNKNOWN); /* to be declared again */
    assert_int_equal(status().posts.acked, 1);
    assert_int_equal(status().posts.rejected, 1);
    assert_int_equal(run->member_count, 1);
}

static void a_session_does_not_change_its_rank(void **state)
{
    struct msg_hello other = hello(7, 1);

    (void)state;
    run_member_leave(join(7, 0, 0), false, at(1));
    assert_null(run_join(run, &other, at(2)));
}

static void every_post_is_either_taken_or_refused(void **state)
{
    struct run_member *member = join(1, 0, 0);
    struct msg_epoch epoch = {.sequence = 7, .epoch = 1};
    struct msg_scalar scalar = {
        .sequence = 5, .phase = EMBMON_TRAIN, .step = 1, .name = "loss", .value = 1};
    const char *problem = "";

    (void)state;
    assert_int_equal(declare(member, 0, "a", &problem), 0);
    assert_int_equal(post(member, 1, 0, 0, TENSOR(1), 1), 0);
    assert_int_equal(post(member, 2, 9, 0, TENSOR(1), 1), NACK_UNKNOWN);
    assert_int_equal(end(member, 3, 0, 1), 0);
    assert_int_equal(post(member, 4, 0, 0, TENSOR(1), 1), NACK_LATE);
    assert_int_equal(run_scalar(member, &scalar, at(1)), 0);
    scalar.sequence = 6;
    scalar.step = 0;
    assert_int_equal(run_scalar(member, &scalar, at(1)), NACK_LATE);
    assert_int_equal(run_epoch(member, &epoch, at(1)), 0);
    run_reject(member, 8);
    assert_int_equal(end(member, 9, 0, 1), NACK_LATE);
    assert_int_equal(run_member_taken(member), 9);
    assert_int_equal(status().posts.acked, 4);
    assert_int_equal(status().posts.rejected, 5);
}

static void a_scalar_too_many_is_refused(void **state)
{
    struct run_member *member = join(1, 0, 0);
    char name[16];
    struct msg_scalar scalar = {.phase = EMBMON_TRAIN, .name = name, .value = 1};

    (void)state;
    for (int i = SCALARS_KNOWN; i < SCALARS_MAX; i++) {
        (void)snprintf(name, sizeof name, "s%d", i);
        assert_int_equal(run_scalar(member, &scalar, at(1)), 0);
    }
    (void)snprintf(name, sizeof name, "more");
    assert_int_equal(run_scalar(member, &scalar, at(1)), NACK_LIMIT);
    (void)snprintf(name, sizeof name, "loss");
    assert_int_equal(run_scalar(member, &scalar, at(1)), 0);
}

static void posts_that_never_end_a_step_cannot_pile_up(void **state)
{
    struct run_member *member = join(1, 0, 0);
    size_t bytes = 0;
    const char *problem = "";

    (void)state;
    assert_int_equal(declare(member, 0, "a", &problem), 0);
    for (uint64_t step = 0; step < 20000; step++) {
        assert_int_equal(post(member, step + 1, 0, step, TENSOR(1), 1), 0);
        if (step == 100)
            bytes = steps_bytes(run->steps);
    }
    assert_int_equal(status().step, 20000 - STEPS_OPEN_MAX - 1);
    assert_int_equal(steps_bytes(run->steps), bytes);
}

static void over_budget_new_layers_are_refused_and_known_ones_are_not(void **state)
{
    static const double wide[] = {1e-300, 1e300, -1e-300, -1e300};
    struct run_member *member = join(1, 0, 0);
    uint64_t sequence = 0;
    const char *problem = "";
    char path[16];

    (void)state;
    for (uint32_t i = 0; i < LAYERS_MAX; i++) {
        (void)snprintf(path, sizeof path, "l%u", i);
        if (declare(member, i, path, &problem) == NACK_LIMIT)
            break;
        assert_int_equal(post(member, ++sequence, i, i / 64, tensor_of(wide, 4), 1), 0);
        assert_true(steps_bytes(run->steps) < (size_t)RUN_BYTES_DEFAULT / 2 + (1 << 20));
    }
    assert_in_range(sequence, 2048, LAYERS_MAX - 1);
    assert_in_range(status().bytes, (size_t)RUN_BYTES_DEFAULT,
                    (size_t)RUN_BYTES_DEFAULT + (2 << 20));
    assert_non_null(strstr(problem, "memory is used up"));
    member_unmap(member); /* it reconnects */
    assert_int_equal(declare(member, 0, "l0", &problem), 0);
    assert_int_equal(post(member, ++sequence, 0, LAYERS_MAX, TENSOR(1), 1), 0);
}

static void a_smaller_budget_holds_from_now_on(void **state)
{
    static const double wide[] = {1e-300, 1e300, -1e-300, -1e300};
    struct ceilings ceilings = CEILINGS_DEFAULT;
    struct run_member *member = join(1, 0, 0);
    uint64_t sequence = 0;
    const char *problem = "";
    char path[16];

    (void)state;
    ceilings.run_bytes = 4 << 20;
    run_configure(run, &ceilings, NULL);
    for (uint32_t i = 0; i < LAYERS_MAX; i++) {
        (void)snprintf(path, sizeof path, "l%u", i);
        if (declare(member, i, path, &problem) == NACK_LIMIT)
            break;
        assert_int_equal(post(member, ++sequence, i, i / 64, tensor_of(wide, 4), 1), 0);
        assert_true(steps_bytes(run->steps) < (2 << 20) + (1 << 20));
    }
    assert_in_range(sequence, 64, 512);
    assert_non_null(strstr(problem, "memory is used up"));
    run_configure(run, &(struct ceilings)CEILINGS_DEFAULT, NULL);
    assert_int_equal(declare(member, (uint32_t)sequence, path, &problem), 0);
}

struct told {
    unsigned notices, wishes, samplings, superseded, kept;
    uint32_t every;
};

static void tell_notice(void *context, const struct alert_change *change)
{
    (void)change;
    ((struct told *)context)->notices++;
}

static void tell_wish(void *context, uint32_t steps, const char *layer)
{
    (void)steps, (void)layer;
    ((struct told *)context)->wishes++;
}

static void tell_sampling(void *context, uint32_t every)
{
    ((struct told *)context)->samplings++;
    ((struct told *)context)->every = every;
}

static void tell_superseded(void *context)
{
    ((struct told *)context)->superseded++;
}

static void tell_kept(void *context)
{
    ((struct told *)context)->kept++;
}

static void listen_as(struct run_member *member, struct told *told)
{
    run_member_listen(member,
                      &(struct run_member_events){told, tell_notice, tell_wish, tell_sampling,
                                                  tell_superseded, tell_kept});
}

static void the_largest_every_is_told_to_those_who_are_there(void **state)
{
    struct told a = {0}, b = {0};
    struct run_member *first = join(1, 0, 0), *second = join(2, 1, 0);
    struct msg_hello third = hello(3, 2), fourth = hello(4, 3);

    (void)state;
    listen_as(first, &a);
    listen_as(second, &b);
    run_member_leave(second, false, at(1));
    third.every = 16;
    fourth.every = 4;
    assert_non_null(run_join(run, &third, at(2)));
    assert_non_null(run_join(run, &fourth, at(2)));
    assert_int_equal(a.samplings, 1);
    assert_int_equal(a.every, 16);
    assert_int_equal(b.samplings, 0);
    assert_int_equal(run_every(run), 16);
}

/* The end of a step as a client says it that would have another `every` now. */
static void end_with(struct run_member *member, uint64_t sequence, uint32_t every)
{
    struct msg_step_end end = {
        .sequence = sequence, .phase = EMBMON_TRAIN, .step = sequence, .every = every};

    (void)run_step_end(member, &end, at(1));
}

static void an_every_that_changes_is_told_to_all_ranks(void **state)
{
    static struct told a, b; /* told of what is kept at the end, too */
    struct run_member *first = join(1, 0, 0), *second = join(2, 1, 0);

    (void)state;
    listen_as(first, &a);
    listen_as(second, &b);
    end_with(first, 1, 16);
    assert_int_equal(run_every(run), 16);
    end_with(second, 1, 4); /* the largest stays */
    end_with(first, 2, 0);  /* nothing is said: as before */
    assert_int_equal(run_every(run), 16);
    assert_int_equal(a.samplings, 1);
    assert_int_equal(b.every, 16);
    end_with(first, 3, 2);
    assert_int_equal(run_every(run), 4);
    assert_int_equal(a.every, 4);
    assert_int_equal(b.samplings, 2);
}

static void a_second_connection_of_a_session_supersedes_the_first(void **state)
{
    struct told old = {0};
    struct run_member *member = join(1, 0, 0);

    (void)state;
    listen_as(member, &old);
    assert_ptr_equal(join(1, 0, 1), member);
    assert_int_equal(old.superseded, 1);
    assert_ptr_equal(join(1, 0, 2), member); /* nobody listens yet */
    assert_int_equal(old.superseded, 1);
}

static void after_resume_only_the_first_loss_is_remembered(void **state)
{
    struct run_member *member = join(1, 0, 0);
    struct msg_hello again = hello(2, 0);
    struct msg_scalar loss = {.phase = EMBMON_TRAIN, .name = "loss", .value = 7};
    struct msg_layer layer = {.path = "a", .activation = "", .rows = 100};
    struct msg_layers layers = {.layers = &layer, .layer_count = 1};
    const char *problem = "";
    uint64_t sequence = 0;

    (void)state;
    assert_int_equal(run_layers(member, &layers, &problem), 0);
    for (uint64_t step = 0; step < 30; step++) {
        loss.sequence = ++sequence;
        loss.step = step;
        assert_int_equal(run_scalar(member, &loss, at(1)), 0);
        assert_int_equal(post(member, ++sequence, 0, step, TENSOR(1), 1), 0);
        assert_int_equal(end(member, ++sequence, step, 1), 0);
    }
    assert_true(norm_baseline_level(&run->baseline.layers[0]) > 0.99);
    run_member_leave(member, false, at(2));
    again.resume = true;
    again.key = "another launch";
    member = run_join(run, &again, at(3));
    assert_non_null(member);
    assert_true(baseline_first_loss(&run->baseline) == 7);
    assert_int_equal(run->baseline.layer_count, 0);
    assert_string_equal(run->key, "another launch");
    layer.rows = 120; /* the vocabulary grew */
    assert_int_equal(run_layers(member, &layers, &problem), 0);
    assert_int_equal(run_next_step(run), 30);
    assert_int_equal(post(member, 1, 0, 29, TENSOR(1), 4), NACK_LATE);
    assert_int_equal(post(member, 2, 0, 30, TENSOR(1), 4), 0);
    assert_int_equal(end(member, 3, 30, 4), 0);
    assert_int_equal(status().step, 30);
}

static void a_rank_that_leaves_and_comes_back_is_waited_for_again(void **state)
{
    struct run_member *members[4];
    uint64_t sequence[4] = {0};
    struct msg_hello back = hello(9, 3);

    (void)state;
    for (uint32_t r = 0; r < 4; r++)
        members[r] = join((uint8_t)(r + 1), r, 0);
    run_member_leave(members[3], false, at(100)); /* killed */
    for (uint32_t r = 0; r < 3; r++)
        run_heartbeat(members[r], NULL, at(5999));
    for (uint32_t r = 0; r < 3; r++)
        assert_int_equal(end(members[r], ++sequence[r], 0, 6000), 0);
    assert_int_equal(status().step, 0); /* it was not heard for 5 s: nobody waits */
    back.resume = true;
    members[3] = run_join(run, &back, at(6001));
    assert_non_null(members[3]);
    for (uint32_t r = 0; r < 3; r++)
        assert_int_equal(end(members[r], ++sequence[r], 1, 6002), 0);
    assert_int_equal(status().step, 0);
    assert_int_equal(end(members[3], 1, 1, 6003), 0);
    assert_int_equal(status().step, 1);
    assert_int_equal(status().ranks, 4);
}

static void beat(struct run_member *member, uint64_t dropped, uint64_t unsent, uint64_t ms)
{
    struct msg_heartbeat heartbeat = {.produced =
                                          member->acked + member->rejected + dropped + unsent,
                                      .dropped = dropped,
                                      .unsent = unsent};

    run_heartbeat(member, &heartbeat, at(ms));
}

static void what_a_trainer_still_had_is_lost_when_it_leaves(void **state)
{
    struct run_member *gone = join(1, 0, 0), *stays = join(2, 1, 0);
    const char *problem = "";

    (void)state;
    assert_int_equal(declare(gone, 0, "a", &problem), 0);
    beat(gone, 2, 5, 1);
    assert_int_equal(status().posts.dropped, 2); /* the others may come yet */
    assert_int_equal(post(gone, 1, 0, 0, TENSOR(1), 2), 0);
    assert_int_equal(post(gone, 2, 0, 0, TENSOR(1), 2), 0);
    run_member_leave(gone, true, at(3));
    assert_int_equal(status().posts.dropped, 2 + 3);
    assert_int_equal(member_lost(gone), 2 + 3);
    beat(stays, 0, 1, 4);
    run_member_leave(stays, true, at(5));
    assert_int_equal(status().posts.dropped, 2 + 3 + 1);
}

static void a_trainer_that_says_no_goodbye_is_given_up_after_a_minute(void **state)
{
    struct run_member *gone = join(1, 0, 0), *stays = join(2, 1, 0);

    (void)state;
    beat(gone, 0, 7, 1000);
    run_member_leave(gone, false, at(1500));
    for (uint64_t ms = 2000; ms < 61000; ms += 1000) {
        beat(stays, 0, 0, ms);
        run_tick(run, at(ms));
        assert_int_equal(status().posts.dropped, 0);
    }
    run_tick(run, at(61000));
    assert_int_equal(status().posts.dropped, 7);
    assert_false(status().ended);
    assert_ptr_equal(join(1, 0, 62000), gone); /* it comes back, with all it had */
    assert_int_equal(status().posts.dropped, 0);
    assert_int_equal(status().posts.in_flight, 7);
    run_reject(gone, 1);
    run_member_leave(gone, true, at(62001));
    assert_int_equal(status().posts.dropped, 6);
    assert_int_equal(status().posts.in_flight, 0);
}

static enum nack_reason set(struct run_member *member, const char *detector, double value,
                            const char **problem)
{
    struct msg_threshold thresholds[] = {{detector, "*", "layer", value},
                                         {"gradient_spike", "*", "layer", value}};
    struct msg_ignore ignored = {"gradient_vanishing", "b"};
    struct msg_layers layers = {
        .thresholds = thresholds, .threshold_count = 2, .ignores = &ignored, .ignore_count = 1};

    return run_layers(member, &layers, problem);
}

static double spike_layer(void)
{
    assert_true(rules_resolve(&run->rules, &run->model));
    return rules_limits(&run->rules, 0)->spike_layer;
}

static void thresholds_hold_for_the_run_until_a_trainer_resumes_it(void **state)
{
    struct run_member *a = join(1, 0, 0);
    struct msg_hello again = hello(2, 0);
    const char *problem = "";

    (void)state;
    assert_int_equal(declare(a, 0, "a", &problem), 0);
    assert_true(spike_layer() == 8);
    assert_int_equal(set(a, "gradient_exploding", 20, &problem), 0);
    assert_true(spike_layer() == 20);
    assert_int_equal(declare(a, 1, "b", &problem), 0);
    assert_true(spike_layer() == 20); /* and the later layer has its own */
    assert_true(rules_ignored(&run->rules, detector_find("gradient_vanishing"), 1));
    assert_false(rules_ignored(&run->rules, detector_find("gradient_vanishing"), 0));
    run_member_leave(a, false, at(1));
    a = join(1, 0, 2); /* back, and not said again yet */
    assert_true(spike_layer() == 20);
    run_member_leave(a, true, at(3));
    again.resume = true;
    assert_non_null(run_join(run, &again, at(4)));
    assert_true(spike_layer() == 8);
}

static void a_threshold_of_what_there_is_not_is_refused_and_the_rest_holds(void **state)
{
    struct run_member *a = join(1, 0, 0);
    const char *problem = "";

    (void)state;
    assert_int_equal(set(a, "gradient_explode", 20, &problem), NACK_INVALID);
    assert_non_null(strstr(problem, "there is no detector \"gradient_explode\"; those with "
                                    "thresholds are: gradient_exploding, loss_diverged, "));
    assert_int_equal(declare(a, 0, "a", &problem), 0);
    assert_true(spike_layer() == 20);
    assert_int_equal(run->complaint_count, 1);
    assert_int_equal(set(a, "gradient_explode", 20, &problem), NACK_INVALID);
    assert_int_equal(run->complaint_count, 1); /* after each reconnect it comes again */
    assert_int_equal(set(a, "gradient_spike", -1, &problem), NACK_INVALID);
    assert_string_equal(problem, "gradient_spike's threshold layer cannot be below 0: it is -1");
    assert_int_equal(run->complaint_count, 2);
    for (int i = 0; i < 100; i++) {
        char name[16];

        (void)snprintf(name, sizeof name, "d%d", i);
        assert_int_equal(set(a, name, 1, &problem), NACK_INVALID);
    }
    assert_int_equal(run->complaint_count, COMPLAINTS_MAX);
}

static void the_last_goodbye_ends_the_run(void **state)
{
    struct run_member *a = join(1, 0, 0), *b = join(2, 1, 0);

    (void)state;
    assert_int_equal(end(a, 1, 0, 1), 0);
    run_member_leave(a, true, at(2));
    assert_false(run->ended);
    run_member_leave(b, true, at(3));
    assert_true(run->ended);
    assert_int_equal(status().step, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(who_may_join, start_4, stop),
        cmocka_unit_test_setup_teardown(with_resume_a_rank_whose_session_is_gone_is_taken_over,
                                        start_4, stop),
        cmocka_unit_test_setup_teardown(a_session_keeps_its_counts_over_its_connections, start,
                                        stop),
        cmocka_unit_test_setup_teardown(a_session_does_not_change_its_rank, start_4, stop),
        cmocka_unit_test_setup_teardown(every_post_is_either_taken_or_refused, start, stop),
        cmocka_unit_test_setup_teardown(a_scalar_too_many_is_refused, start, stop),
        cmocka_unit_test_setup_teardown(posts_that_never_end_a_step_cannot_pile_up, start, stop),
        cmocka_unit_test_setup_teardown(over_budget_new_layers_are_refused_and_known_ones_are_not,
                                        start, stop),
        cmocka_unit_test_setup_teardown(a_smaller_budget_holds_from_now_on, start, stop),
        cmocka_unit_test_setup_teardown(an_every_that_changes_is_told_to_all_ranks, start_4, stop),
        cmocka_unit_test_setup_teardown(the_largest_every_is_told_to_those_who_are_there, start_4,
                                        stop),
        cmocka_unit_test_setup_teardown(a_second_connection_of_a_session_supersedes_the_first,
                                        start_4, stop),
        cmocka_unit_test_setup_teardown(after_resume_only_the_first_loss_is_remembered, start,
                                        stop),
        cmocka_unit_test_setup_teardown(a_rank_that_leaves_and_comes_back_is_waited_for_again,
                                        start_4, stop),
        cmocka_unit_test_setup_teardown(what_a_trainer_still_had_is_lost_when_it_leaves, start_4,
                                        stop),
        cmocka_unit_test_setup_teardown(a_trainer_that_says_no_goodbye_is_given_up_after_a_minute,
                                        start_4, stop),
        cmocka_unit_test_setup_teardown(thresholds_hold_for_the_run_until_a_trainer_resumes_it,
                                        start, stop),
        cmocka_unit_test_setup_teardown(
            a_threshold_of_what_there_is_not_is_refused_and_the_rest_holds, start, stop),
        cmocka_unit_test_setup_teardown(the_last_goodbye_ends_the_run, start_4, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
