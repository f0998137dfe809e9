#include "tests/unit/training.h"

static size_t a, b;

static void two_layers(void)
{
    a = dense("a");
    b = dense("b");
}

/* 64 weights of norm 8, moved by a step of this norm. */
static void moved_by(size_t of, double norm)
{
    post_even(table(of), EMBMON_WEIGHT, 64, 1);
    post_even(table(of), EMBMON_UPDATE, 64, norm / 8);
}

/* A whole step at which both layers move so far, in norm. */
static void step_moves(double norm_a, double norm_b)
{
    gradient(a, 0.3);
    gradient(b, 0.4);
    moved_by(a, norm_a);
    moved_by(b, norm_b);
    rate(0.1);
    loss(1);
    step_done();
}

static void steps_move(int count, double norm_a, double norm_b)
{
    for (int i = 0; i < count; i++)
        step_moves(norm_a, norm_b);
}

/* ---- update_ratio */

static void an_update_as_large_as_the_weights_is_the_limit_after_25_steps(void **state)
{
    (void)state;
    two_layers();
    steps_move(24, 16, 0.008);
    gradient(a, 0.3);
    moved_by(a, 16);
    must_be_silent(update_ratio_high, a, "the first 25 steps may move a layer by its own size");
    step_done();
    moved_by(a, 8);
    must_near(must_pass(update_ratio_high, a).value, 1, 1e-9);
    step_done();
    moved_by(a, 8.1);
    struct finding f = must_flag(update_ratio_high, a);
    must_near(f.value, 8.1 / 8, 1e-9);
    must_near(f.threshold, 1, 0);
    assert_int_equal(f.severity, 0);
    assert_string_equal(f.summary, "the update of a at step 26 is 1.01 times as large as its "
                                   "weights: the step rewrites the layer");
}

static void an_update_next_to_nothing_is_told_as_info(void **state)
{
    (void)state;
    two_layers();
    rate(0.1);
    moved_by(a, 8.1e-6);
    (void)must_pass(update_ratio_low, a);
    step_done();
    rate(0.1);
    moved_by(a, 7.9e-6);
    struct finding f = must_flag(update_ratio_low, a);
    assert_int_equal(f.severity, EMBMON_INFO);
    must_near(f.value, 7.9e-6 / 8, 1e-12);
}

static void a_low_or_rising_or_unknown_rate_is_no_time_for_small_updates(void **state)
{
    static const char why[] = "no learning rate was posted, or it is low or rising";

    (void)state;
    two_layers();
    moved_by(a, 1e-9);
    must_be_silent(update_ratio_low, a, why);
    step_done();
    rate(0.1);
    step_done();
    rate(0.2); /* rises */
    moved_by(a, 1e-9);
    must_be_silent(update_ratio_low, a, why);
    step_done();
    for (int i = 0; i < 3; i++) {
        rate(0.2);
        step_done();
    }
    rate(0.021);
    moved_by(a, 1e-9);
    (void)must_flag(update_ratio_low, a);
    step_done();
    rate(0.019);
    moved_by(a, 1e-9);
    must_be_silent(update_ratio_low, a, why);
}

/* 10 of 1,000 rows moved by 2e-6 of their own size are 2e-7 of the table's. */
static void of_a_large_table_only_the_rows_that_moved_are_compared(void **state)
{
    (void)state;
    size_t t = layer_like((struct msg_layer){
        .path = "t", .kind = EMBMON_EMBEDDING, .trainable = true, .rows = 1000, .columns = 1});
    struct summary s;
    double row[10];

    for (int i = 0; i < 10; i++)
        row[i] = 2e-6;
    summarise(&s, row, 10);
    assert_true(summary_set_extra(&s, EXTRA_ROWS_TOUCHED, 10));
    post_summary(0, table(t), EMBMON_UPDATE, &s);
    post_even(table(t), EMBMON_WEIGHT, 1000, 1);
    rate(0.1);
    must_near(must_pass(update_ratio_low, t).value, 2e-6, 1e-12);
    must_near(training.measures.layers[t].update_ratio, 2e-7, 1e-12);
    summary_free(&s);
}

static void without_updates_or_weights_or_with_63_of_them_there_is_no_ratio(void **state)
{
    static const char none[] = "updates or weights were not posted, or the weights are 0";

    (void)state;
    two_layers();
    gradient(a, 0.3);
    must_be_silent(update_ratio_high, a, none);
    must_be_silent(update_ratio_low, a, none);
    step_done();
    post_even(table(a), EMBMON_WEIGHT, 63, 1);
    post_even(table(a), EMBMON_UPDATE, 63, 0);
    must_be_silent(update_ratio_high, a, "too few weights for an update ratio");
    must_be_silent(update_ratio_low, a, "too few weights for an update ratio");
    step_done();
    moved_by(b, 0);
    must_be_silent(update_ratio_low, b, "the update is exactly 0: see layer_frozen");
}

static void it_fires_at_the_third_step_and_clears_after_ten(void **state)
{
    (void)state;
    two_layers();
    steps_move(25, 0.008, 0.008);
    must_be_quiet();
    steps_move(2, 9, 0.008);
    must_be("update_ratio", "a", EMBMON_PENDING, 25);
    steps_move(1, 9, 0.008);
    must_be("update_ratio", "a", EMBMON_FIRING, 27);
    assert_int_equal(last_told("update_ratio", "a")->severity, EMBMON_WARNING);
    steps_move(10, 0.008, 0.008);
    must_be("update_ratio", "a", EMBMON_RESOLVED, 37);
    assert_int_equal(times_told("update_ratio"), 3);
}

/* ---- how severe it is: what judge.c makes of clauses that differ */

static void an_alert_that_gets_worse_while_it_fires_is_told_again(void **state)
{
    const struct told *told;

    (void)state;
    two_layers();
    steps_move(30, 1e-7, 0.008);
    must_be("update_ratio", "a", EMBMON_FIRING, 2);
    told = last_told("update_ratio", "a");
    assert_int_equal(told->severity, EMBMON_INFO);
    assert_non_null(strstr(told->summary, "it hardly learns"));
    assert_int_equal(alerts_fired(training.alerts), 1);

    steps_move(2, 9, 0.008); /* the other clause is only pending: no word of it */
    assert_int_equal(times_told("update_ratio"), 2);
    steps_move(1, 9, 0.008);
    must_be("update_ratio", "a", EMBMON_FIRING, 32);
    told = last_told("update_ratio", "a");
    assert_int_equal(told->severity, EMBMON_WARNING);
    assert_int_equal(told->before, EMBMON_FIRING);
    assert_int_equal(told->first_step, 0);
    assert_non_null(strstr(told->summary, "rewrites the layer"));
    assert_int_equal(alerts_fired(training.alerts), 1); /* it is the same alert */
    assert_int_equal(alerts_firing(training.alerts), 1);

    steps_move(5, 9, 0.008);
    assert_int_equal(times_told("update_ratio"), 3); /* no worse: not told again */
    steps_move(5, 1e-7, 0.008);
    assert_int_equal(times_told("update_ratio"), 3); /* nor is it when it gets better */
    steps_move(10, 0.008, 0.008);
    must_be("update_ratio", "a", EMBMON_RESOLVED, 52);
    assert_int_equal(last_told("update_ratio", "a")->severity, EMBMON_WARNING);
    assert_int_equal(alerts_firing(training.alerts), 0);
}

static void an_alert_that_comes_up_anew_is_as_severe_as_what_it_is_about_now(void **state)
{
    (void)state;
    two_layers();
    steps_move(25, 0.008, 0.008);
    steps_move(3, 9, 0.008);
    steps_move(10, 0.008, 0.008);
    must_be("update_ratio", "a", EMBMON_RESOLVED, 37);
    steps_move(3, 1e-7, 0.008);
    must_be("update_ratio", "a", EMBMON_FIRING, 40);
    assert_int_equal(last_told("update_ratio", "a")->severity, EMBMON_INFO);
}

static void remember_severity(void *context, const struct alert_change *change, bool ever_fired)
{
    (void)ever_fired;
    *(uint32_t *)context = change->fired_severity;
}

static void the_highest_severity_it_fired_with_is_kept(void **state)
{
    uint32_t highest = 0;

    an_alert_that_comes_up_anew_is_as_severe_as_what_it_is_about_now(state);
    alerts_each(training.alerts, remember_severity, &highest);
    assert_int_equal(highest, EMBMON_WARNING);
}

/* ---- layer_frozen */

static void a_layer_that_does_not_move_fires_at_the_third_step(void **state)
{
    const struct told *told;

    (void)state;
    two_layers();
    steps_move(2, 0, 0.008);
    must_be("layer_frozen", "a", EMBMON_PENDING, 0);
    steps_move(1, 0, 0.008);
    must_be("layer_frozen", "a", EMBMON_FIRING, 2);
    told = last_told("layer_frozen", "a");
    assert_int_equal(told->severity, EMBMON_WARNING);
    assert_string_equal(told->summary, "the weights of a did not change at step 2, not by a bit, "
                                       "with a learning rate of 0.1");
    assert_non_null(strstr(told->hint, "missing in the optimizer"));
    steps_move(10, 1e-30, 0.008); /* that is a move */
    must_be("layer_frozen", "a", EMBMON_RESOLVED, 12);
}

static void the_hint_is_of_the_cause(void **state)
{
    (void)state;
    two_layers();
    gradient(a, 0);
    moved_by(a, 0);
    moved_by(b, 0);
    rate(0.1);
    assert_non_null(strstr(must_flag(layer_frozen, a).hint, "gradient is exactly 0"));
    assert_non_null(strstr(must_flag(layer_frozen, b).hint, "no gradient was posted for b"));
}

static void one_variable_that_moves_is_enough(void **state)
{
    (void)state;
    two_layers();
    post_even(variable(a, "kernel"), EMBMON_UPDATE, 64, 0);
    post_even(variable(a, "bias"), EMBMON_UPDATE, 1, -1e-40);
    rate(0.1);
    (void)must_pass(layer_frozen, a);
}

static void where_it_may_stand_still_it_is_silent(void **state)
{
    (void)state;
    size_t off = layer_like((struct msg_layer){.path = "off", .kind = EMBMON_DENSE});
    size_t t = embedding("t");
    struct summary nothing = {.parts = 1};

    two_layers();
    assert_true(summary_set_extra(&nothing, EXTRA_ROWS_LOOKED_UP, 0));
    assert_true(summary_set_extra(&nothing, EXTRA_ROWS_TOUCHED, 0));
    moved_by(off, 0);
    post_summary(0, table(t), EMBMON_UPDATE, &nothing);
    moved_by(b, 0);
    must_be_silent(layer_frozen, off, "the layer is declared not trainable");
    must_be_silent(layer_frozen, t, "no update was posted for this layer");
    must_be_silent(layer_frozen, a, "no update was posted for this layer");
    must_be_silent(layer_frozen, b, "no learning rate was posted, or it is low or 0");
    step_done();
    rate(0);
    moved_by(b, 0);
    must_be_silent(layer_frozen, b, "no learning rate was posted, or it is low or 0");
    step_done();
    rate(0.1);
    gradient_with(b, INFINITY);
    moved_by(b, 0);
    must_be_silent(layer_frozen, b, "the gradient is not finite: such a step may be skipped");
    step_done();
    rate(0.1);
    loss(1);
    step_done();
    rate(0.1);
    loss(0);
    moved_by(b, 0);
    must_be_silent(layer_frozen, b, "the loss is 0: there is no error to learn from");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        training_test(an_update_as_large_as_the_weights_is_the_limit_after_25_steps),
        training_test(an_update_next_to_nothing_is_told_as_info),
        training_test(a_low_or_rising_or_unknown_rate_is_no_time_for_small_updates),
        training_test(of_a_large_table_only_the_rows_that_moved_are_compared),
        training_test(without_updates_or_weights_or_with_63_of_them_there_is_no_ratio),
        training_test(it_fires_at_the_third_step_and_clears_after_ten),
        training_test(an_alert_that_gets_worse_while_it_fires_is_told_again),
        training_test(an_alert_that_comes_up_anew_is_as_severe_as_what_it_is_about_now),
        training_test(the_highest_severity_it_fired_with_is_kept),
        training_test(a_layer_that_does_not_move_fires_at_the_third_step),
        training_test(the_hint_is_of_the_cause),
        training_test(one_variable_that_moves_is_enough),
        training_test(where_it_may_stand_still_it_is_silent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
