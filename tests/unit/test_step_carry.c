#include "tests/unit/restarted.h"

static size_t table_layer, dense_layer;

static void two_layers(void)
{
    table_layer = embedding("table");
    dense_layer = dense("dense");
}

static void post_from(uint32_t rank, uint64_t number, double value)
{
    const double values[] = {value, -value, 0};

    training.number = number;
    post_values(rank, table(dense_layer), EMBMON_GRADIENT, values, 3);
}

static void end_of(uint32_t rank, uint64_t number)
{
    assert_int_equal(steps_end(training.steps, EMBMON_TRAIN, number, rank, training.now), STEPS_OK);
}

static struct step *taken(uint64_t after_ms)
{
    struct moment later = training.now;

    later.ms += after_ms;
    return steps_take(training.steps, later, false);
}

static void a_step_goes_on_where_its_ranks_left_it(void **state)
{
    struct step *step;

    (void)state;
    two_layers();
    post_from(0, 7, 1);
    post_from(1, 7, NAN);
    post_from(0, 8, 2);
    scalar(SCALAR_LOSS, 0.25);
    training.number = 7;
    ids_from(2, table_layer, true, "words", EMBMON_F32,
             (struct ids_stats){.count = 5, .beyond = 1});
    end_of(0, 7);
    end_of(1, 7);
    training_restart();
    assert_null(taken(0));
    post_from(2, 7, 4);
    end_of(2, 7);
    assert_null(taken(0));
    end_of(3, 7);
    step = taken(0);
    assert_non_null(step);
    assert_int_equal(step->number, 7);
    assert_int_equal(step_cell(step, table(dense_layer), EMBMON_GRADIENT)->summary.parts, 3);
    assert_int_equal(step_cell(step, table(dense_layer), EMBMON_GRADIENT)->summary.nans, 2);
    assert_int_equal(step_cell(step, table(dense_layer), EMBMON_GRADIENT)->nonfinite.length, 1);
    assert_string_equal(step_ids(step, table_layer, IDS_FED)->input, "words");
    assert_int_equal(step_ids(step, table_layer, IDS_FED)->example_rank, 2);
    assert_int_equal(step->posted.length, 3);
    assert_int_equal(step->ended.length, 4);
    steps_recycle(training.steps, step);
    assert_int_equal(steps_closed(training.steps, EMBMON_TRAIN), 7);
    end_of(0, 8);
    step = taken(STEP_TIMEOUT_MS);
    assert_non_null(step);
    must_near(step_scalar(step, SCALAR_LOSS), 0.25, 0);
    steps_recycle(training.steps, step);
    assert_int_equal(steps_bytes(training.steps), 0);
}

static void a_rank_that_was_ahead_still_is(void **state)
{
    (void)state;
    two_layers();
    for (uint64_t number = 0; number < STEP_AHEAD_MAX; number++) {
        assert_false(steps_ahead(training.steps, 0));
        post_from(0, number, 1);
        end_of(0, number);
    }
    assert_true(steps_ahead(training.steps, 0));
    training_restart();
    assert_true(steps_ahead(training.steps, 0));
    assert_false(steps_ahead(training.steps, 1));
    for (uint32_t rank = 1; rank < 4; rank++)
        end_of(rank, 0);
    steps_recycle(training.steps, taken(0));
    assert_false(steps_ahead(training.steps, 0));
}

static void ranks_have_time_to_come_back(void **state)
{
    (void)state;
    two_layers();
    post_from(0, 0, 1);
    for (uint32_t rank = 0; rank < 4; rank++)
        steps_heard(training.steps, rank, training.now);
    training.now.ms += STEP_TIMEOUT_MS; /* embmond was away for so long */
    training_restart();
    end_of(0, 0);
    assert_null(taken(STEP_TIMEOUT_MS - 1));
    assert_non_null(training.open = taken(STEP_TIMEOUT_MS));
}

static void a_rank_that_said_goodbye_is_not_waited_for(void **state)
{
    (void)state;
    two_layers();
    for (uint32_t rank = 1; rank < 4; rank++)
        steps_leave(training.steps, rank, true, training.now);
    training_restart();
    end_of(0, 0);
    assert_non_null(training.open = taken(0));
}

static void another_world_size_is_refused(void **state)
{
    struct training of_two = {.ranks = 2};
    struct carry saved = again_saved(&restarted, &training);

    (void)state;
    assert_string_equal(again_loaded(&restarted, saved.data, saved.length, &of_two),
                        "it is of another world size");
    carry_free(&saved);
    restarted_free(&of_two);
}

static void damage_is_refused_or_harmless(void **state)
{
    struct training into = {.ranks = 4};

    (void)state;
    two_layers();
    for (uint64_t number = 0; number < 5; number++) {
        for (uint32_t rank = 0; rank < 4; rank++)
            post_from(rank, number, (double)number + rank);
        shape_at(dense_layer, (struct posted_shape){.role = EMBMON_SHAPE_OUTPUT},
                 (const int64_t[]){4, 8}, 2);
        end_of(3, number);
    }
    again(&restarted, &training, &into);
    restarted_free(&into);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        training_test_of_4(a_step_goes_on_where_its_ranks_left_it),
        training_test_of_4(a_rank_that_was_ahead_still_is),
        training_test_of_4(ranks_have_time_to_come_back),
        training_test_of_4(a_rank_that_said_goodbye_is_not_waited_for),
        training_test_of_4(another_world_size_is_refused),
        training_test_of_4(damage_is_refused_or_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
