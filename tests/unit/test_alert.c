#include "tests/unit/training.h"

static size_t a, b;

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

static struct alert_change newest;
static size_t counted, ever;

static void count_alert(void *context, const struct alert_change *change, bool ever_fired)
{
    (void)context;
    counted++;
    ever += ever_fired;
    newest = *change;
}

static void count_alerts(void)
{
    counted = ever = 0;
    alerts_each(training.alerts, count_alert, NULL);
}

static void a_change_carries_all_that_a_sink_shows(void **state)
{
    (void)state;
    two_layers();
    for (int i = 0; i < 10; i++)
        step_with(1e-7, 0.4);
    count_alerts();
    assert_int_equal(counted, 1);
    assert_int_equal(ever, 1);
    assert_string_equal(newest.run, "run");
    assert_int_equal(newest.phase, EMBMON_TRAIN);
    assert_string_equal(newest.layer, "a");
    assert_string_equal(newest.variable, "");
    assert_string_equal(newest.signal, "gradient");
    assert_string_equal(newest.detector, "gradient_vanishing");
    assert_int_equal(newest.severity, EMBMON_WARNING);
    assert_int_equal(newest.state, EMBMON_FIRING);
    assert_int_equal(newest.before, EMBMON_PENDING);
    assert_int_equal(newest.step, 9);
    assert_int_equal(newest.first_step, 0);
    assert_true(newest.value_given && newest.threshold_given);
    assert_false(newest.baseline_given);
    must_near(newest.value, 1e-7, 1e-14);
    must_near(newest.threshold, 1e-4, 1e-12);
    assert_int_equal(newest.rank_count, 1);
    assert_int_equal(newest.ranks[0], 0);
    assert_string_equal(newest.reason, "");
    must_near(newest.time, 1.7e9 + 0.9, 1e-3);
    assert_string_equal(newest.summary,
                        "the gradient norm of a is 1e-07 at step 9, 2.5e-07 of that of b (0.4): "
                        "it vanishes on the way back");
}

static void at_the_end_of_a_phase_what_is_up_is_closed(void **state)
{
    (void)state;
    two_layers();
    gradient_with(b, NAN);
    loss(NAN);
    gradient(a, 0);
    step_done();
    assert_int_equal(training.told_count, 3);
    alerts_close(training.alerts, EMBMON_VALIDATE, 0, training.now); /* nothing was in it */
    assert_int_equal(training.told_count, 3);
    alerts_close(training.alerts, EMBMON_TRAIN, 0, training.now);
    assert_int_equal(training.told_count, 6);
    must_be("gradient_vanishing", "a", EMBMON_RESOLVED, 0);
    must_be("gradient_nonfinite", "b", EMBMON_RESOLVED, 0);
    must_be("loss_nonfinite", "", EMBMON_RESOLVED, 0);
    for (size_t i = 3; i < 6; i++)
        assert_string_equal(training.told[i].reason, "closed");
    assert_string_equal(last_told("gradient_nonfinite", "b")->summary,
                        "the gradient of b is not finite in 1 of 3 values (1 NaN, 0 infinite) at "
                        "step 0; still firing when the run was closed at step 0");
    assert_non_null(strstr(last_told("gradient_vanishing", "a")->summary,
                           "; still pending when the run was closed at step 0"));
    assert_false(alerts_any(training.alerts));
    assert_int_equal(alerts_firing(training.alerts), 0);
    assert_int_equal(alerts_fired(training.alerts), 2);
    alerts_close(training.alerts, EMBMON_TRAIN, 0, training.now);
    assert_int_equal(training.told_count, 6);
}

static void a_closed_alert_may_come_again_with_its_history_forgotten(void **state)
{
    (void)state;
    two_layers();
    for (int i = 0; i < 9; i++)
        step_with(0, 0.4);
    alerts_close(training.alerts, EMBMON_TRAIN, 8, training.now);
    for (int i = 0; i < 10; i++)
        step_with(0, 0.4);
    must_be("gradient_vanishing", "a", EMBMON_FIRING, 18);
    assert_int_equal(last_told("gradient_vanishing", "a")->first_step, 9);
    count_alerts();
    assert_int_equal(counted, 1); /* one identity, one alert */
}

static void states_and_counts_are_told_to_who_asks(void **state)
{
    (void)state;
    two_layers();
    assert_int_equal(alerts_layer_state(training.alerts, a), EMBMON_RESOLVED);
    assert_false(alerts_pending(training.alerts, a));
    assert_string_equal(alerts_silent(training.alerts, 0, a), "no step was judged yet");
    step_with(0, 0.4);
    assert_true(alerts_any(training.alerts));
    assert_true(alerts_pending(training.alerts, a));
    assert_false(alerts_pending(training.alerts, b));
    assert_int_equal(alerts_layer_state(training.alerts, a), EMBMON_PENDING);
    assert_int_equal(alerts_layer_state(training.alerts, b), EMBMON_RESOLVED);
    assert_int_equal(alerts_firing(training.alerts), 0);
    gradient_with(a, NAN);
    gradient(b, 0.4);
    step_done();
    assert_int_equal(alerts_layer_state(training.alerts, a), EMBMON_FIRING); /* the worst */
    assert_true(alerts_pending(training.alerts, a));
    assert_int_equal(alerts_firing(training.alerts), 1);
    assert_int_equal(alerts_fired(training.alerts), 1);
    assert_int_equal(alerts_layer_state(training.alerts, 77), EMBMON_RESOLVED);
}

static void a_silent_detector_says_why_and_one_that_speaks_does_not(void **state)
{
    (void)state;
    size_t vanishing = detector_find("gradient_vanishing");
    size_t exploding = detector_find("gradient_exploding");

    two_layers();
    step_with(0.3, 0.4);
    assert_null(alerts_silent(training.alerts, vanishing, a));
    /* Of two silent clauses, the last one's reason is told. */
    assert_string_equal(alerts_silent(training.alerts, exploding, a),
                        "updates or weights were not posted, or the weights are 0");
    for (int i = 0; i < 25; i++)
        step_with(0.3, 0.4);
    assert_null(alerts_silent(training.alerts, exploding, a));
    step_done();
    assert_string_equal(alerts_silent(training.alerts, vanishing, a),
                        "no gradient was posted for this layer");
}

static void an_alert_freezes_its_layer_and_only_some_the_model(void **state)
{
    (void)state;
    two_layers();
    assert_false(alerts_freeze(training.alerts, DETECT_MODEL));
    step_with(0, 0.4);
    assert_true(alerts_freeze(training.alerts, a));
    assert_false(alerts_freeze(training.alerts, b));
    assert_false(alerts_freeze(training.alerts, DETECT_MODEL));
    gradient(a, 0.3);
    gradient_with(b, NAN);
    step_done();
    assert_true(alerts_freeze(training.alerts, b));
    assert_true(alerts_freeze(training.alerts, DETECT_MODEL));
}

static void a_nonfinite_loss_freezes_the_model_only(void **state)
{
    (void)state;
    two_layers();
    loss(NAN);
    step_with(0.3, 0.4);
    assert_false(alerts_freeze(training.alerts, a));
    assert_true(alerts_freeze(training.alerts, DETECT_MODEL));
}

static void alerts_are_listed_in_the_order_they_came_up(void **state)
{
    (void)state;
    two_layers();
    gradient(a, 0.3);
    gradient_with(b, NAN);
    step_done();
    step_with(0, 0.4);
    count_alerts();
    assert_int_equal(counted, 2);
    assert_int_equal(ever, 1); /* the second is pending */
    assert_string_equal(newest.detector, "gradient_vanishing");
}

static void many_layers_may_be_sick_at_once(void **state)
{
    (void)state;
    char path[32];

    for (int i = 0; i < 300; i++) {
        snprintf(path, sizeof path, "table_%d", i);
        gradient_of_rows(embedding(path), 3, 0, 0);
    }
    step_done();
    assert_int_equal(training.told_count, 300);
    count_alerts();
    assert_int_equal(counted, 300);
    alerts_close(training.alerts, EMBMON_TRAIN, 0, training.now);
    assert_int_equal(training.told_count, 600);
}

static void free_takes_nothing_and_alerts_that_saw_nothing(void **state)
{
    (void)state;
    alerts_free(NULL);
    struct alerts *alerts = alerts_new("x", listen, NULL);
    assert_non_null(alerts);
    alerts_new_level(alerts, 5, (struct moment){0, 0});
    alerts_close(alerts, EMBMON_INFER, 5, (struct moment){0, 0});
    assert_false(alerts_any(alerts));
    alerts_free(alerts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        training_test(a_change_carries_all_that_a_sink_shows),
        training_test(at_the_end_of_a_phase_what_is_up_is_closed),
        training_test(a_closed_alert_may_come_again_with_its_history_forgotten),
        training_test(states_and_counts_are_told_to_who_asks),
        training_test(a_silent_detector_says_why_and_one_that_speaks_does_not),
        training_test(an_alert_freezes_its_layer_and_only_some_the_model),
        training_test(a_nonfinite_loss_freezes_the_model_only),
        training_test(alerts_are_listed_in_the_order_they_came_up),
        training_test(many_layers_may_be_sick_at_once),
        training_test(free_takes_nothing_and_alerts_that_saw_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
