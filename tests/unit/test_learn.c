#include "tests/unit/training.h"

static size_t t;

/* A step of 100 look-ups of 50 rows, the busiest of which takes 5, in a gradient without zeros. */
static void lookups(double ids, double rows, double busiest)
{
    const double values[] = {0.6, -0.8};
    struct summary s;

    summarise(&s, values, 2);
    assert_true(summary_set_extra(&s, EXTRA_ROWS_LOOKED_UP, rows));
    assert_true(summary_set_extra(&s, EXTRA_ROWS_TOUCHED, rows));
    assert_true(summary_set_extra(&s, EXTRA_IDS, ids));
    assert_true(summary_set_extra(&s, EXTRA_BUSIEST, busiest));
    post_summary(0, table(t), EMBMON_GRADIENT, &s);
    summary_free(&s);
    step_done();
}

static void each_training_step_teaches_what_is_usual(void **state)
{
    const struct layer_memory *memory;

    (void)state;
    t = embedding("t");
    for (int i = 0; i < 25; i++)
        lookups(100, 50, 5);
    memory = &training.baseline.memories[t];
    must_near(usual_median(&memory->ids), 100, 0);
    must_near(usual_median(&memory->variety), 0.5, 0);
    must_near(usual_median(&memory->busiest), 0.05, 0);
    must_near(usual_level(&memory->zeros), 0, 0);
    must_near(norm_baseline_level(&training.baseline.layers[t]), 1, 1e-9);
    must_near(norm_baseline_level(&training.baseline.model), 1, 1e-9);
    assert_int_equal(training.baseline.steps, 25);
}

static void other_phases_short_batches_and_broken_values_teach_nothing(void **state)
{
    (void)state;
    t = embedding("t");
    batch(32);
    lookups(100, 50, 5);
    batch(20);
    lookups(20, 20, 1);
    gradient_with(t, NAN);
    step_done();
    training.phase = EMBMON_VALIDATE;
    training.number = 0;
    lookups(7, 7, 7);
    assert_int_equal(training.baseline.memories[t].ids.count, 1);
    assert_int_equal(training.baseline.layers[t].learnt, 1); /* an alert is up */
    assert_int_equal(training.baseline.steps, 3);
}

static void what_an_alert_is_up_about_is_not_usual(void **state)
{
    (void)state;
    t = embedding("t");
    for (int i = 0; i < 25; i++)
        lookups(100, 50, 5);
    gradient(t, 500);
    step_done();
    must_be("gradient_spike", "t", EMBMON_FIRING, 25);
    must_near(norm_baseline_level(&training.baseline.layers[t]), 1, 1e-9);
    must_near(training.baseline.layers[t].recent[0], 1, 1e-9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        training_test(each_training_step_teaches_what_is_usual),
        training_test(other_phases_short_batches_and_broken_values_teach_nothing),
        training_test(what_an_alert_is_up_about_is_not_usual),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
