#include "tests/unit/training.h"

static size_t a, b;

/* An embedding and a dense layer behind it. */
static void two_layers(void)
{
    a = embedding("a");
    b = dense("b");
}

static void step_with(double norm_a, double norm_b)
{
    gradient(a, norm_a);
    gradient(b, norm_b);
    step_done();
}

static void steps_with(int count, double norm_a, double norm_b)
{
    for (int i = 0; i < count; i++)
        step_with(norm_a, norm_b);
}

/* ---- each detector: fires, holds, resolves */

static void a_healthy_training_is_quiet(void **state)
{
    (void)state;
    two_layers();
    for (int i = 0; i < 300; i++) {
        gradient(a, 0.3 + 0.1 * sin(i));
        gradient(b, 0.4 + 0.1 * cos(i));
        activation(b, 1);
        loss(2 - 0.005 * i);
        rate(0.1);
        batch(i % 10 == 9 ? 7 : 32);
        step_done();
    }
    must_be_quiet();
    assert_false(alerts_any(training.alerts));
    assert_int_equal(alerts_fired(training.alerts), 0);
}

static void a_nonfinite_gradient_fires_at_once_and_clears_after_10_steps(void **state)
{
    (void)state;
    two_layers();
    steps_with(3, 0.3, 0.4);
    gradient_with(a, NAN);
    gradient(b, 0.4);
    step_done();
    must_be("gradient_nonfinite", "a", EMBMON_FIRING, 3);
    assert_int_equal(last_told("gradient_nonfinite", "a")->before, EMBMON_RESOLVED);
    assert_int_equal(last_told("gradient_nonfinite", "a")->severity, EMBMON_CRITICAL);
    steps_with(9, 0.3, 0.4);
    assert_int_equal(training.told_count, 1);
    steps_with(1, 0.3, 0.4);
    must_be("gradient_nonfinite", "a", EMBMON_RESOLVED, 13);
    assert_string_equal(last_told("gradient_nonfinite", "a")->reason, "cleared");
    assert_int_equal(last_told("gradient_nonfinite", "a")->first_step, 3);
    assert_string_equal(last_told("gradient_nonfinite", "a")->summary,
                        "the gradient of a is not finite in 1 of 3 values (1 NaN, 0 infinite) at "
                        "step 3; over at step 13 (cleared)");
}

static void a_vanished_table_fires_at_the_10th_step_and_a_dense_layer_at_the_150th(void **state)
{
    (void)state;
    size_t first = dense("first");

    two_layers();
    for (int i = 0; i < 150; i++) {
        gradient(first, 0);
        gradient_of_rows(a, 5, 0, 0);
        gradient(b, 0.4);
        step_done();
        if (i == 0) {
            must_be("gradient_vanishing", "a", EMBMON_PENDING, 0);
            must_be("gradient_vanishing", "first", EMBMON_PENDING, 0);
        }
    }
    must_be("gradient_vanishing", "a", EMBMON_FIRING, 9);
    must_be("gradient_vanishing", "first", EMBMON_FIRING, 149);
    assert_int_equal(times_told("gradient_vanishing"), 4);
    assert_int_equal(training.told_count, 4);
    for (int i = 0; i < 300; i++) {
        gradient(first, 0.1);
        gradient_of_rows(a, 5, 5, 0.1);
        gradient(b, 0.4);
        step_done();
    }
    must_be("gradient_vanishing", "a", EMBMON_RESOLVED, 169);
    must_be("gradient_vanishing", "first", EMBMON_RESOLVED, 449);
}

static void a_slow_start_of_9_steps_clears_without_firing(void **state)
{
    (void)state;
    two_layers();
    steps_with(9, 1e-7, 0.4);
    steps_with(10, 1e-3, 0.4);
    must_be("gradient_vanishing", "a", EMBMON_RESOLVED, 18);
    assert_int_equal(training.told_count, 2);
    assert_int_equal(alerts_fired(training.alerts), 0);
}

static void while_the_rate_warms_up_vanishing_stays_pending(void **state)
{
    (void)state;
    two_layers();
    for (int i = 0; i < 30; i++) {
        rate(1e-3 + 1e-4 * i);
        step_with(0, 0.4);
    }
    must_be("gradient_vanishing", "a", EMBMON_PENDING, 0);
    for (int i = 0; i < 3; i++) {
        rate(1e-3 + 1e-4 * 29);
        step_with(0, 0.4);
    }
    must_be("gradient_vanishing", "a", EMBMON_FIRING, 32);
}

static void steps_without_lookups_do_not_count(void **state)
{
    (void)state;
    two_layers();
    for (int i = 0; i < 27; i++) {
        gradient_of_rows(a, i % 3 == 0 ? 4 : 0, 0, 0);
        gradient(b, 0.4);
        step_done();
    }
    must_be("gradient_vanishing", "a", EMBMON_PENDING, 0); /* 9 of 9 that say something */
    gradient_of_rows(a, 4, 0, 0);
    gradient(b, 0.4);
    step_done();
    must_be("gradient_vanishing", "a", EMBMON_FIRING, 27);
}

static void an_explosion_fires_at_its_third_step(void **state)
{
    (void)state;
    two_layers();
    steps_with(25, 0.3, 0.4);
    steps_with(3, 300, 0.4);
    must_be("gradient_exploding", "a", EMBMON_FIRING, 27);
    assert_int_equal(last_told("gradient_exploding", "a")->first_step, 25);
    assert_true(last_told("gradient_exploding", "a")->baseline_given);
    must_near(last_told("gradient_exploding", "a")->baseline, 0.3, 1e-9);
    must_be("gradient_spike", "a", EMBMON_FIRING, 25);
    assert_int_equal(times_told("gradient_exploding"), 2);
    steps_with(10, 0.3, 0.4);
    must_be("gradient_exploding", "a", EMBMON_RESOLVED, 37);
    must_be("gradient_spike", "a", EMBMON_RESOLVED, 37);
}

static void an_explosion_of_10_percent_a_step_is_not_followed(void **state)
{
    (void)state;
    two_layers();
    steps_with(25, 0.3, 0.4);
    for (int i = 1; times_told("gradient_exploding") == 0 && i < 100; i++)
        step_with(0.3 * pow(1.1, i), 0.4 * pow(1.1, i));
    /* ln(100) / (ln 1.1 - 0.01) steps are 54; without the limit it would never be */
    assert_in_range(last_told("gradient_exploding", "a")->step, 25 + 50, 25 + 58);
}

static void one_update_of_3_times_the_weights_fires_at_once_before_any_baseline(void **state)
{
    (void)state;
    two_layers();
    post_even(table(a), EMBMON_WEIGHT, 100, 1);
    post_even(table(a), EMBMON_UPDATE, 100, 4);
    step_with(0.3, 0.4);
    must_be("gradient_exploding", "a", EMBMON_FIRING, 0);
    assert_true(!last_told("gradient_exploding", "a")->baseline_given);
    assert_non_null(strstr(last_told("gradient_exploding", "a")->summary, "4 times as large"));
}

static void an_alert_is_over_when_both_clauses_are(void **state)
{
    (void)state;
    two_layers();
    steps_with(25, 0.3, 0.4);
    post_even(table(a), EMBMON_WEIGHT, 100, 1);
    post_even(table(a), EMBMON_UPDATE, 100, 4);
    step_with(300, 0.4); /* fires by its update; its norm is pending */
    must_be("gradient_exploding", "a", EMBMON_FIRING, 25);
    for (int i = 0; i < 9; i++) {
        post_even(table(a), EMBMON_UPDATE, 100, 0.1);
        step_with(i == 5 ? 300 : 0.3, 0.4);
    }
    post_even(table(a), EMBMON_UPDATE, 100, 0.1);
    step_with(0.3, 0.4); /* the update clause has cleared */
    must_be("gradient_exploding", "a", EMBMON_FIRING, 25);
    steps_with(5, 0.3, 0.4);
    must_be("gradient_exploding", "a", EMBMON_FIRING, 25);
    step_with(0.3, 0.4);
    must_be("gradient_exploding", "a", EMBMON_RESOLVED, 41);
}

static void divergence_fires_at_its_second_step(void **state)
{
    (void)state;
    two_layers();
    for (int i = 0; i < 7; i++) {
        loss(i < 5 ? 2 : 11);
        step_with(0.3, 0.4);
    }
    must_be("loss_diverged", "", EMBMON_FIRING, 6);
    assert_int_equal(last_told("loss_diverged", "")->first_step, 5);
    for (int i = 0; i < 10; i++) {
        loss(2);
        step_with(0.3, 0.4);
    }
    must_be("loss_diverged", "", EMBMON_RESOLVED, 16);
}

static void a_spike_fires_once_and_the_baseline_forgets_it(void **state)
{
    (void)state;
    two_layers();
    steps_with(12, 0.3, 0.4);
    step_with(160, 0.4);
    steps_with(9, 0.3, 0.4);
    must_be("gradient_spike", "a", EMBMON_FIRING, 12);
    assert_int_equal(last_told("gradient_spike", "a")->severity, EMBMON_WARNING);
    must_near(norm_baseline_recent_max(&training.baseline.layers[a]), 0.3, 1e-12);
    step_with(0.3, 0.4);
    must_be("gradient_spike", "a", EMBMON_RESOLVED, 22);
    assert_int_equal(training.told_count, 2);
}

/* ---- new levels */

static void after_100_steps_at_a_new_level_an_explosion_is_over(void **state)
{
    (void)state;
    two_layers();
    steps_with(25, 0.3, 0.4);
    steps_with(99, 300, 400);
    must_be("gradient_exploding", "a", EMBMON_FIRING, 27);
    step_with(300, 400);
    must_be("gradient_exploding", "a", EMBMON_RESOLVED, 124);
    assert_string_equal(last_told("gradient_exploding", "a")->reason, "new level");
    assert_true(isnan(norm_baseline_level(&training.baseline.layers[a])));
    must_be("gradient_exploding", "b", EMBMON_RESOLVED, 124);
    size_t before = training.told_count;
    steps_with(50, 300, 400);
    assert_int_equal(training.told_count, before);
    must_near(norm_baseline_level(&training.baseline.layers[a]), 300, 1e-6);
    must_near(norm_baseline_level(&training.baseline.model), 500, 1e-6);
}

static void a_spike_that_stays_is_a_new_level_too(void **state)
{
    (void)state;
    two_layers();
    steps_with(30, 0.3, 0.4);
    steps_with(99, 6, 8); /* 20 times: no explosion */
    must_be("gradient_spike", "a", EMBMON_FIRING, 30);
    step_with(6, 8);
    must_be("gradient_spike", "a", EMBMON_RESOLVED, 129);
    assert_string_equal(last_told("gradient_spike", "a")->reason, "new level");
    steps_with(40, 6, 8);
    assert_int_equal(training.told_count, 4); /* of a and of b */
    must_near(norm_baseline_level(&training.baseline.model), 10, 1e-9);
}

static void while_the_loss_diverges_there_is_no_new_level(void **state)
{
    (void)state;
    two_layers();
    for (int i = 0; i < 25; i++) {
        loss(1);
        step_with(0.3, 0.4);
    }
    for (int i = 0; i < 200; i++) {
        loss(100);
        step_with(300, 400);
    }
    must_be("gradient_exploding", "a", EMBMON_FIRING, 27);
    for (int i = 0; i < 109; i++) {
        loss(1);
        step_with(300, 400);
    }
    must_be("gradient_exploding", "a", EMBMON_FIRING, 27);
    loss(1); /* the loss's own alert was over after 10 steps: the 100th since */
    step_with(300, 400);
    must_be("gradient_exploding", "a", EMBMON_RESOLVED, 334);
}

static void a_layer_that_explodes_later_settles_later(void **state)
{
    (void)state;
    two_layers();
    steps_with(25, 0.3, 0.4);
    steps_with(90, 300, 0.4);
    steps_with(30, 300, 400);
    must_be("gradient_exploding", "a", EMBMON_RESOLVED, 124);
    must_be("gradient_exploding", "b", EMBMON_FIRING, 117);
    steps_with(120, 300, 400);
    must_be("gradient_exploding", "b", EMBMON_RESOLVED, 214);
    assert_false(alerts_any(training.alerts));
    assert_true(norm_baseline_level(&training.baseline.model) > 400); /* learnt anew, not frozen */
}

static void a_rate_that_jumps_more_than_3_times_is_a_new_level_at_once(void **state)
{
    (void)state;
    two_layers();
    for (int i = 0; i < 25; i++) {
        rate(0.1);
        step_with(0.3, 0.4);
    }
    rate(0.3);
    step_with(60, 80);
    must_be("gradient_spike", "a", EMBMON_FIRING, 25); /* 3 times is no jump */
    rate(0.91);
    step_with(60, 80);
    must_be("gradient_spike", "a", EMBMON_RESOLVED, 26);
    must_be("gradient_exploding", "a", EMBMON_RESOLVED, 26);
    assert_string_equal(last_told("gradient_spike", "a")->reason, "new level");
    assert_false(alerts_any(training.alerts));
    must_be_silent(gradient_spike, a, "no gradient was posted for this layer");
}

static void an_overwriting_update_is_no_matter_of_level(void **state)
{
    (void)state;
    two_layers();
    for (int i = 0; i < 150; i++) {
        post_even(table(a), EMBMON_WEIGHT, 100, 1);
        post_even(table(a), EMBMON_UPDATE, 100, 4);
        rate(i < 75 ? 0.1 : 1);
        step_with(0.3, 0.4);
    }
    must_be("gradient_exploding", "a", EMBMON_FIRING, 0);
    assert_int_equal(times_told("gradient_exploding"), 1);
}

static void nothing_is_learnt_while_an_alert_is_up(void **state)
{
    (void)state;
    two_layers();
    steps_with(40, 0.3, 0.4);
    double level = norm_baseline_level(&training.baseline.layers[a]);
    steps_with(50, 300, 0.4);
    must_near(norm_baseline_level(&training.baseline.layers[a]), level, 0);
    must_near(norm_baseline_level(&training.baseline.model), 0.5, 1e-9);
    must_near(norm_baseline_level(&training.baseline.layers[b]), 0.4, 1e-9); /* its own is fine */
}

/* ---- causes mute consequences */

static void nonfinite_values_mute_explosion_spike_and_divergence(void **state)
{
    (void)state;
    size_t c = dense("c");

    two_layers();
    for (int i = 0; i < 25; i++) {
        gradient(c, 1e-3);
        loss(1);
        step_with(0.3, 0.4);
    }
    for (int i = 0; i < 5; i++) {
        gradient_with(c, INFINITY);
        loss(100);
        step_with(300, 400);
    }
    must_be("gradient_nonfinite", "c", EMBMON_FIRING, 25);
    assert_int_equal(training.told_count, 1);
    assert_string_equal(alerts_silent(training.alerts, detector_find("gradient_exploding"), a),
                        "muted: values are non-finite");
    assert_string_equal(alerts_silent(training.alerts, detector_find("gradient_spike"), b),
                        "muted: values are non-finite");
}

static void a_nonfinite_loss_or_output_mutes_too(void **state)
{
    (void)state;
    two_layers();
    steps_with(25, 0.3, 0.4);
    loss(NAN);
    step_with(300, 400);
    must_be("loss_nonfinite", "", EMBMON_FIRING, 25);
    assert_string_equal(last_told("loss_nonfinite", "")->summary, "the loss is NaN at step 25");
    assert_true(isnan(last_told("loss_nonfinite", "")->value));
    assert_true(last_told("loss_nonfinite", "")->value_given);
    assert_false(last_told("loss_nonfinite", "")->threshold_given);
    activation(b, NAN);
    step_with(300, 400);
    must_be("activation_nonfinite", "b", EMBMON_FIRING, 26);
    assert_int_equal(training.told_count, 2);
}

static void what_fired_before_its_cause_is_not_over_while_it_is_muted(void **state)
{
    (void)state;
    two_layers();
    steps_with(25, 0.3, 0.4);
    steps_with(3, 300, 0.4);
    for (int i = 0; i < 30; i++) {
        gradient(a, 0.3);
        gradient_with(b, NAN);
        step_done();
    }
    must_be("gradient_exploding", "a", EMBMON_FIRING, 27);
    steps_with(10, 0.3, 0.4);
    must_be("gradient_nonfinite", "b", EMBMON_RESOLVED, 67);
    /* from the step at which the cause is over */
    steps_with(9, 0.3, 0.4);
    must_be("gradient_exploding", "a", EMBMON_RESOLVED, 76);
}

/* ---- only the first layer is named */

static void of_nonfinite_layers_the_first_in_forward_order_is_named(void **state)
{
    (void)state;
    size_t c = dense("c");

    two_layers();
    for (int i = 0; i < 3; i++) {
        gradient(c, 1);
        gradient_with(a, NAN);
        gradient_with(b, NAN);
        activation(a, NAN);
        activation(b, NAN);
        step_done();
    }
    assert_int_equal(training.told_count, 2);
    must_be("gradient_nonfinite", "a", EMBMON_FIRING, 0);
    must_be("activation_nonfinite", "a", EMBMON_FIRING, 0);
    assert_string_equal(alerts_silent(training.alerts, detector_find("gradient_nonfinite"), b),
                        "muted: another layer is named already");
}

static void the_layer_that_was_first_stays_the_named_one(void **state)
{
    (void)state;
    two_layers();
    gradient(a, 1);
    gradient_with(b, NAN);
    step_done();
    for (int i = 0; i < 30; i++) { /* the update with NaN has broken everything */
        gradient_with(a, NAN);
        gradient_with(b, NAN);
        step_done();
    }
    assert_int_equal(training.told_count, 1);
    must_be("gradient_nonfinite", "b", EMBMON_FIRING, 0);
    for (int i = 0; i < 12; i++) { /* b recovers, a does not */
        gradient_with(a, NAN);
        gradient(b, 1);
        step_done();
    }
    must_be("gradient_nonfinite", "b", EMBMON_RESOLVED, 40);
    must_be("gradient_nonfinite", "a", EMBMON_FIRING, 41);
}

static void vanishing_is_told_of_every_layer(void **state)
{
    (void)state;
    size_t c;

    two_layers();
    c = dense("c");
    for (int i = 0; i < 10; i++) {
        gradient(c, 1);
        step_with(0, 0);
    }
    must_be("gradient_vanishing", "a", EMBMON_FIRING, 9);
    must_be("gradient_vanishing", "b", EMBMON_PENDING, 0);
}

/* ---- early: one rank's layers, before the step closes */

static void post_of_rank(uint32_t rank, size_t of, double value)
{
    post_values(rank, table(of), EMBMON_GRADIENT, &value, 1);
}

static void judge_early(uint32_t rank)
{
    uint32_t first;
    struct step *step;

    assert_int_equal(steps_end(training.steps, training.phase, training.number, rank, training.now),
                     STEPS_OK);
    step = steps_early(training.steps, &first);
    assert_non_null(step);
    assert_int_equal(first, rank);
    measure_now(step, rank);
    assert_true(alerts_judge_early(training.alerts, &training.measures, &training.baseline,
                                   &training.rules, training.now));
}

static void a_rank_that_ends_is_judged_over_its_own_layers_alone(void **state)
{
    (void)state;
    two_layers();
    /* Rank 1 is in the middle of its backward pass: the last layer is there, the cause is not. */
    post_of_rank(1, b, NAN);
    post_of_rank(0, a, 1);
    post_of_rank(0, b, 1);
    judge_early(0);
    must_be_quiet();
    post_of_rank(1, a, NAN);
    step_done();
    assert_int_equal(training.told_count, 1);
    must_be("gradient_nonfinite", "a", EMBMON_FIRING, 0);
    assert_int_equal(last_told("gradient_nonfinite", "a")->rank_count, 1);
    assert_int_equal(last_told("gradient_nonfinite", "a")->ranks[0], 1);
}

static void nan_is_told_at_the_first_ranks_end_and_once(void **state)
{
    (void)state;
    two_layers();
    post_of_rank(2, b, NAN);
    post_of_rank(2, a, NAN);
    post_of_rank(2, a, 1);
    judge_early(2);
    must_be("gradient_nonfinite", "a", EMBMON_FIRING, 0);
    assert_int_equal(training.told_count, 1);
    post_of_rank(0, b, NAN);
    step_done();
    assert_int_equal(training.told_count, 1);
    for (int i = 0; i < 9; i++) {
        post_of_rank(0, a, 1);
        judge_early(0);
        step_done();
    }
    assert_int_equal(training.told_count, 1); /* an early look is not a clear step */
    post_of_rank(0, a, 1);
    step_done();
    must_be("gradient_nonfinite", "a", EMBMON_RESOLVED, 10);
}

/* A rank that is ahead has met a NaN in a step to come: what led to it is told all the same. */
static void a_later_steps_nan_mutes_nothing_before_it(void **state)
{
    (void)state;
    two_layers();
    training.number = 6;
    post_of_rank(0, a, NAN);
    judge_early(0);
    must_be("gradient_nonfinite", "a", EMBMON_FIRING, 6);
    training.open = NULL;
    training.number = 0;
    for (int i = 0; i < 6; i++) {
        post_of_rank(0, a, 1);
        loss(i < 4 ? 1 : 100);
        step_done();
    }
    must_be("loss_diverged", "", EMBMON_FIRING, 5);
    assert_int_equal(last_told("gradient_nonfinite", "a")->state, EMBMON_FIRING);
}

static void an_early_look_is_for_nonfinite_values_only(void **state)
{
    (void)state;
    two_layers();
    for (int i = 0; i < 40; i++) {
        post_of_rank(0, a, 0);
        post_of_rank(0, b, 1);
        judge_early(0);
        assert_int_equal(training.told_count, i == 0 ? 0 : i < 10 ? 1 : 2);
        step_done();
    }
}

static void all_ranks_that_posted_are_concerned_where_a_detector_cannot_tell(void **state)
{
    (void)state;
    two_layers();
    for (uint32_t rank = 0; rank < 4; rank += 2) {
        post_of_rank(rank, a, 0);
        post_of_rank(rank, b, 1);
    }
    step_done();
    assert_int_equal(last_told("gradient_vanishing", "a")->rank_count, 2);
    assert_int_equal(last_told("gradient_vanishing", "a")->ranks[0], 0);
    assert_int_equal(last_told("gradient_vanishing", "a")->ranks[1], 2);
}

/* ---- phases, and layers that come later */

static void validation_is_judged_for_nonfinite_values_alone(void **state)
{
    (void)state;
    two_layers();
    training.phase = EMBMON_VALIDATE;
    for (int i = 0; i < 30; i++) {
        activation(b, i == 5 ? NAN : 1);
        loss(i < 5 ? 1 : 100);
        step_with(0, 0.4);
    }
    assert_int_equal(training.told_count, 2);
    must_be("activation_nonfinite", "b", EMBMON_RESOLVED, 15);
    assert_int_equal(last_told("activation_nonfinite", "b")->phase, EMBMON_VALIDATE);
    assert_int_equal(alerts_layer_state(training.alerts, b), EMBMON_RESOLVED); /* of training */
}

static void phases_have_alerts_of_their_own(void **state)
{
    (void)state;
    two_layers();
    activation(b, NAN);
    step_done();
    training.phase = EMBMON_INFER;
    activation(b, NAN);
    step_done();
    assert_int_equal(training.told_count, 2);
    assert_int_equal(training.told[0].phase, EMBMON_TRAIN);
    assert_int_equal(training.told[1].phase, EMBMON_INFER);
    assert_int_equal(alerts_firing(training.alerts), 2);
}

static void layers_may_come_while_others_are_judged(void **state)
{
    (void)state;
    char path[32];

    two_layers();
    for (int i = 0; i < 60; i++) {
        size_t late;

        snprintf(path, sizeof path, "late_%d", i);
        late = embedding(path);
        gradient_of_rows(late, 3, 0, 0);
        step_with(0, 1);
    }
    must_be("gradient_vanishing", "a", EMBMON_FIRING, 9);
    must_be("gradient_vanishing", "late_59", EMBMON_PENDING, 59);
    /* What stops reporting is not over. */
    must_be("gradient_vanishing", "late_0", EMBMON_PENDING, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        training_test(a_healthy_training_is_quiet),
        training_test(a_nonfinite_gradient_fires_at_once_and_clears_after_10_steps),
        training_test(a_vanished_table_fires_at_the_10th_step_and_a_dense_layer_at_the_150th),
        training_test(a_slow_start_of_9_steps_clears_without_firing),
        training_test(while_the_rate_warms_up_vanishing_stays_pending),
        training_test(steps_without_lookups_do_not_count),
        training_test(an_explosion_fires_at_its_third_step),
        training_test(an_explosion_of_10_percent_a_step_is_not_followed),
        training_test(one_update_of_3_times_the_weights_fires_at_once_before_any_baseline),
        training_test(an_alert_is_over_when_both_clauses_are),
        training_test(divergence_fires_at_its_second_step),
        training_test(a_spike_fires_once_and_the_baseline_forgets_it),
        training_test(after_100_steps_at_a_new_level_an_explosion_is_over),
        training_test(a_spike_that_stays_is_a_new_level_too),
        training_test(while_the_loss_diverges_there_is_no_new_level),
        training_test(a_layer_that_explodes_later_settles_later),
        training_test(a_rate_that_jumps_more_than_3_times_is_a_new_level_at_once),
        training_test(an_overwriting_update_is_no_matter_of_level),
        training_test(nothing_is_learnt_while_an_alert_is_up),
        training_test(nonfinite_values_mute_explosion_spike_and_divergence),
        training_test(a_nonfinite_loss_or_output_mutes_too),
        training_test(what_fired_before_its_cause_is_not_over_while_it_is_muted),
        training_test(of_nonfinite_layers_the_first_in_forward_order_is_named),
        training_test(the_layer_that_was_first_stays_the_named_one),
        training_test(vanishing_is_told_of_every_layer),
        training_test_of_4(a_rank_that_ends_is_judged_over_its_own_layers_alone),
        training_test_of_4(nan_is_told_at_the_first_ranks_end_and_once),
        training_test_of_4(a_later_steps_nan_mutes_nothing_before_it),
        training_test_of_4(an_early_look_is_for_nonfinite_values_only),
        training_test_of_4(all_ranks_that_posted_are_concerned_where_a_detector_cannot_tell),
        training_test(validation_is_judged_for_nonfinite_values_alone),
        training_test(phases_have_alerts_of_their_own),
        training_test(layers_may_come_while_others_are_judged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
