#include "tests/unit/training.h"

/* Judges as time passes, after the last step that was done. */
static void silent_for(double seconds, double step_seconds)
{
    struct step last = {.phase = EMBMON_TRAIN, .number = training.number - 1};
    struct measures m = {.step = &last,
                         .model = &training.model,
                         .layer_count = training.model.layer_count,
                         .silence = seconds,
                         .step_seconds = step_seconds,
                         .only_rank = -1};

    assert_true(rank_list_add(&last.posted, 2));
    assert_true(rules_resolve(&training.rules, &training.model));
    assert_true(
        alerts_judge_time(training.alerts, &m, &training.baseline, &training.rules, training.now));
    free(last.posted.ranks);
}

static enum verdict verdict_after(double seconds, double step_seconds, struct finding *finding)
{
    struct step last = {.phase = EMBMON_TRAIN, .number = 7};
    struct measures m = {.step = &last, .silence = seconds, .step_seconds = step_seconds};

    *finding = (struct finding){.value = NAN, .threshold = NAN, .baseline = NAN};
    return trainer_stalled(&m, DETECT_MODEL, &training.baseline, &limits_default, finding);
}

static void a_minute_without_a_sample_is_a_stall(void **state)
{
    struct finding f;

    (void)state;
    assert_int_equal(verdict_after(60, 0.5, &f), VERDICT_CLEAR);
    assert_int_equal(verdict_after(60.1, 0.5, &f), VERDICT_SICK);
    must_near(f.value, 60.1, 0);
    must_near(f.threshold, 60, 0);
    must_near(f.baseline, 0.5, 0);
    assert_string_equal(f.summary, "no sample of training came for 60 s after step 7; a step takes "
                                   "0.5 s");
}

static void slow_steps_are_given_twenty_times_their_time(void **state)
{
    struct finding f;

    (void)state;
    assert_int_equal(verdict_after(200, 10, &f), VERDICT_CLEAR);
    assert_int_equal(verdict_after(200.1, 10, &f), VERDICT_SICK);
    must_near(f.threshold, 200, 0);
}

static void what_is_not_known_is_not_judged(void **state)
{
    struct finding f;

    (void)state;
    assert_int_equal(verdict_after(NAN, NAN, &f), VERDICT_SILENT);
    assert_string_equal(f.silent, "it is not known yet how long a step takes");
}

static void it_fires_at_once_and_is_over_with_the_next_step(void **state)
{
    (void)state;
    loss(1);
    step_done();
    silent_for(59, 1);
    must_be_quiet();
    silent_for(61, 1);
    silent_for(62, 1);
    assert_int_equal(training.told_count, 1);
    must_be("trainer_stalled", "", EMBMON_FIRING, 0);
    assert_int_equal(training.told[0].severity, EMBMON_WARNING);
    assert_int_equal(training.told[0].rank_count, 1);
    assert_int_equal(training.told[0].ranks[0], 2);
    silent_for(0.5, 1); /* a post came, but no step has ended yet */
    assert_int_equal(training.told_count, 1);
    loss(1);
    step_done();
    must_be("trainer_stalled", "", EMBMON_RESOLVED, 1);
    assert_string_equal(last_told("trainer_stalled", "")->reason, "cleared");
    silent_for(61, 1);
    must_be("trainer_stalled", "", EMBMON_FIRING, 1);
}

static void it_is_over_when_nobody_waits_for_it(void **state)
{
    (void)state;
    loss(1);
    step_done();
    loss(NAN);
    step_done();
    silent_for(61, 1);
    alerts_time_over(training.alerts, 2, training.now);
    must_be("trainer_stalled", "", EMBMON_RESOLVED, 2);
    must_be("loss_nonfinite", "", EMBMON_FIRING, 1); /* this is not judged by time */
    alerts_time_over(training.alerts, 2, training.now);
    assert_int_equal(times_told("trainer_stalled"), 2);
}

static void a_validation_step_neither_judges_nor_clears_it(void **state)
{
    (void)state;
    loss(1);
    step_done();
    silent_for(61, 1);
    training.phase = EMBMON_VALIDATE;
    loss(1);
    step_done();
    must_be("trainer_stalled", "", EMBMON_FIRING, 0);
    assert_int_equal(training.told_count, 1);
}

static void a_trainer_may_set_its_own_time_or_none(void **state)
{
    struct msg_threshold threshold = {
        .detector = "trainer_stalled", .layers = "*", .key = "seconds", .value = 5};
    struct msg_ignore ignore = {.detector = "trainer_stalled", .layers = "*"};
    char problem[RULES_SENTENCE];

    (void)state;
    assert_int_equal(rules_threshold(&training.rules, &threshold, problem), 0);
    threshold.key = "steps";
    threshold.value = 2;
    assert_int_equal(rules_threshold(&training.rules, &threshold, problem), 0);
    loss(1);
    step_done();
    silent_for(5.5, 3);
    must_be_quiet();
    silent_for(6.5, 3);
    must_be("trainer_stalled", "", EMBMON_FIRING, 0);
    must_near(training.told[0].threshold, 6, 0);
    assert_int_equal(rules_ignore(&training.rules, &ignore, problem), 0);
    silent_for(7, 3);
    must_be("trainer_stalled", "", EMBMON_RESOLVED, 0);
    assert_string_equal(last_told("trainer_stalled", "")->reason, "closed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        training_test(a_minute_without_a_sample_is_a_stall),
        training_test(slow_steps_are_given_twenty_times_their_time),
        training_test(what_is_not_known_is_not_judged),
        training_test(it_fires_at_once_and_is_over_with_the_next_step),
        training_test(it_is_over_when_nobody_waits_for_it),
        training_test(a_validation_step_neither_judges_nor_clears_it),
        training_test(a_trainer_may_set_its_own_time_or_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
