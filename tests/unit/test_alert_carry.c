#include "tests/unit/random.h"
#include "tests/unit/restarted.h"

static size_t table_layer, dense_layer, kernel;

static void three_variables(void)
{
    struct msg_layer of = {.path = "tower/table",
                           .kind = EMBMON_EMBEDDING,
                           .activation = "",
                           .trainable = true,
                           .rows = 50,
                           .columns = 4,
                           .has_padding = true};
    table_layer = layer_like(of);
    dense_layer = dense("tower/dense");
    kernel = variable(dense_layer, "kernel");
}

/* A step of a training that goes wrong now and then; the same for the same state of `random`. */
static void post_step(uint64_t *random)
{
    double norm = 0.3 * (1 + 0.1 * (double)random_below(random, 10));
    uint64_t luck = random_below(random, 100);

    gradient_of_rows(table_layer, 20, luck < 5 ? 0 : 18, luck < 10 ? 1e-9 : norm);
    if (luck == 50)
        gradient_with(dense_layer, NAN);
    else
        gradient(dense_layer, luck > 95 ? norm * 1e6 : norm);
    post_even(kernel, EMBMON_WEIGHT, 100, 0.5);
    post_even(kernel, EMBMON_UPDATE, 100, luck > 80 ? 0 : 1e-3);
    activation(dense_layer, luck > 90 ? INFINITY : 0.5);
    ids(table_layer, (struct ids_stats){.count = 40,
                                        .sequences = 4,
                                        .sequence_length = 10,
                                        .beyond = luck % 17 == 0,
                                        .worst = luck % 17 == 0 ? 512 : 0,
                                        .unique = 20});
    if (luck % 9 == 0) {
        const int64_t dims[] = {4, luck % 2 ? 10 : 12};

        shape_at(dense_layer, (struct posted_shape){.role = EMBMON_SHAPE_INPUT, .inputs = 1}, dims,
                 2);
    }
    loss(luck == 7 ? 900 : 1);
    rate(0.01);
    batch(32);
}

enum { STEPS = 400 };

static void train(bool with_restarts)
{
    uint64_t random = 11, when = 5;

    three_variables();
    for (int step = 0; step < STEPS; step++) {
        post_step(&random);
        if (with_restarts && random_below(&when, 3) == 0)
            training_restart(); /* with an open step */
        step_done();
        if (with_restarts && random_below(&when, 3) == 0)
            training_restart();
        if (step % 50 == 49)
            epoch_ends();
    }
    alerts_close(training.alerts, EMBMON_TRAIN, training.number, training.now);
}

static void a_restart_changes_nothing_that_is_told(void **state)
{
    struct told *told;
    size_t count;

    train(false);
    told = training.told;
    count = training.told_count;
    training.told = NULL;
    training_end(state);
    training_begin(state);
    train(true);
    assert_true(count > 30);
    assert_int_equal(training.told_count, count);
    for (size_t i = 0; i < count; i++) {
        struct told *a = &told[i], *b = &training.told[i];

        assert_string_equal(a->detector, b->detector);
        assert_string_equal(a->layer, b->layer);
        assert_string_equal(a->variable, b->variable);
        assert_string_equal(a->summary, b->summary);
        assert_string_equal(a->hint, b->hint);
        assert_string_equal(a->reason, b->reason);
        assert_int_equal(a->step, b->step);
        assert_int_equal(a->first_step, b->first_step);
        assert_int_equal(a->state, b->state);
        assert_int_equal(a->before, b->before);
        assert_int_equal(a->severity, b->severity);
        assert_memory_equal(&a->value, &b->value, sizeof a->value);
        assert_memory_equal(&a->baseline, &b->baseline, sizeof a->baseline);
    }
    free(told);
}

static void damage_is_refused_or_harmless(void **state)
{
    uint64_t random = 3;
    struct training into = {.ranks = 1};

    (void)state;
    three_variables();
    for (int step = 0; step < 60; step++) {
        post_step(&random);
        if (step < 59)
            step_done();
    }
    again(&restarted, &training, &into);
    restarted_free(&into);
}

static size_t firing;

static void count_firing(void *context, const struct alert_change *change, bool ever_fired)
{
    (void)context, (void)ever_fired;
    firing += change->state == EMBMON_FIRING;
    assert_string_equal(change->run, "run");
    assert_ptr_equal(change->layer, training.model.layers[dense_layer].path);
}

static void what_fires_is_still_asked_about(void **state)
{
    (void)state;
    three_variables();
    gradient_with(dense_layer, NAN);
    step_done();
    assert_int_equal(alerts_firing(training.alerts), 1);
    training_restart();
    assert_int_equal(alerts_firing(training.alerts), 1);
    assert_int_equal(alerts_fired(training.alerts), 1);
    assert_true(alerts_any(training.alerts));
    assert_int_equal(alerts_layer_state(training.alerts, dense_layer), EMBMON_FIRING);
    firing = 0;
    alerts_each(training.alerts, count_firing, NULL);
    assert_int_equal(firing, 1);
}

static void alerts_that_judged_nothing_come_back_empty(void **state)
{
    (void)state;
    training_restart();
    assert_false(alerts_any(training.alerts));
    three_variables();
    gradient(dense_layer, 1);
    step_done();
    must_be_quiet();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        training_test(a_restart_changes_nothing_that_is_told),
        training_test(damage_is_refused_or_harmless),
        training_test(what_fires_is_still_asked_about),
        training_test(alerts_that_judged_nothing_come_back_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
