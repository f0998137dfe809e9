#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <float.h>
#include <math.h>

#include "daemon/step.h"
#include "embmon/embmon.h"
#include "tests/unit/tensors.h"

enum { BUDGET = 64 << 20 };

static struct moment at(uint64_t ms)
{
    return (struct moment){.ms = ms, .wall = 1e9 + (double)ms / 1e3};
}

/* A training of `world` ranks, all heard at time 10,000; it began long before. */
static struct steps *world_of(uint32_t world)
{
    struct steps *steps = steps_new(world, BUDGET, at(0));

    assert_non_null(steps);
    for (uint32_t r = 0; r < world; r++)
        steps_heard(steps, r, at(10000));
    return steps;
}

static enum steps_result post(struct steps *steps, uint64_t number, uint32_t rank, double value)
{
    struct summary s = TENSOR(value);
    enum steps_result result =
        steps_sample(steps, EMBMON_TRAIN, number, rank, 0, EMBMON_GRADIENT, &s);

    summary_free(&s);
    return result;
}

static void end(struct steps *steps, uint64_t number, uint32_t rank, uint64_t ms)
{
    assert_int_equal(steps_end(steps, EMBMON_TRAIN, number, rank, at(ms)), STEPS_OK);
}

/* The number of the step that closes now, -1 when none does. */
static int64_t taken(struct steps *steps, uint64_t ms)
{
    struct step *step = steps_take(steps, at(ms), false);
    int64_t number = step ? (int64_t)step->number : -1;

    if (step)
        steps_recycle(steps, step);
    return number;
}

static void a_step_closes_when_its_last_rank_ends_it(void **state)
{
    struct steps *steps = world_of(2);

    (void)state;
    assert_int_equal(post(steps, 0, 0, 1), STEPS_OK);
    assert_int_equal(post(steps, 0, 1, 1), STEPS_OK);
    assert_int_equal(taken(steps, 10001), -1);
    end(steps, 0, 0, 10002);
    assert_int_equal(taken(steps, 10003), -1);
    end(steps, 0, 1, 10004);
    assert_int_equal(taken(steps, 10004), 0);
    assert_int_equal(taken(steps, 10004), -1);
    assert_int_equal(steps_closed(steps, EMBMON_TRAIN), 0);
    steps_free(steps);
}

static void two_ranks_are_one_record_whose_norm_does_not_grow(void **state)
{
    struct steps *steps = world_of(2);
    struct summary a = TENSOR(3, 4, 0), b = TENSOR(-3, 4, 0);
    const struct step_cell *cell;
    struct step *step;

    (void)state;
    assert_int_equal(steps_sample(steps, EMBMON_TRAIN, 5, 0, 2, EMBMON_GRADIENT, &a), STEPS_OK);
    assert_int_equal(steps_sample(steps, EMBMON_TRAIN, 5, 1, 2, EMBMON_GRADIENT, &b), STEPS_OK);
    end(steps, 5, 1, 10000);
    end(steps, 5, 0, 10000);
    step = steps_take(steps, at(10000), false);
    assert_non_null(step);
    cell = step_cell(step, 2, EMBMON_GRADIENT);
    assert_non_null(cell);
    assert_int_equal(cell->summary.count, 6);
    assert_int_equal(cell->summary.parts, 2);
    assert_int_equal(cell->summary.zeros, 2);
    assert_true(fabs(summary_norm(&cell->summary, false) - 5) < 1e-12);
    assert_true(fabs(summary_norm(&cell->summary, true) - sqrt(50)) < 1e-12);
    assert_null(step_cell(step, 2, EMBMON_WEIGHT));
    assert_null(step_cell(step, 1, EMBMON_GRADIENT));
    assert_null(step_cell(step, 4000, EMBMON_GRADIENT));
    assert_int_equal(step->posted.length, 2);
    steps_recycle(steps, step);
    summary_free(&a);
    summary_free(&b);
    steps_free(steps);
}

static void scalars_are_the_mean_over_the_ranks(void **state)
{
    struct steps *steps = world_of(3);
    struct step *step;

    (void)state;
    assert_int_equal(steps_scalar(steps, EMBMON_TRAIN, 1, 0, SCALAR_LOSS, 1), STEPS_OK);
    assert_int_equal(steps_scalar(steps, EMBMON_TRAIN, 1, 1, SCALAR_LOSS, 2), STEPS_OK);
    assert_int_equal(steps_scalar(steps, EMBMON_TRAIN, 1, 2, SCALAR_LOSS, 6), STEPS_OK);
    assert_int_equal(steps_scalar(steps, EMBMON_TRAIN, 1, 2, 255, NAN), STEPS_OK);
    step = steps_take(steps, at(10000), true);
    assert_non_null(step);
    assert_true(step_scalar(step, SCALAR_LOSS) == 3);
    assert_true(step->scalars[SCALAR_LOSS].min == 1 && step->scalars[SCALAR_LOSS].max == 6);
    assert_true(isnan(step_scalar(step, SCALAR_LEARNING_RATE)));
    assert_int_equal(step->scalars[255].count, 1);
    assert_true(isnan(step_scalar(step, 100000)));
    steps_recycle(steps, step);

    /* What is used again must be empty. */
    assert_int_equal(steps_end(steps, EMBMON_TRAIN, 2, 0, at(10000)), STEPS_OK);
    step = steps_take(steps, at(10000), true);
    assert_true(isnan(step_scalar(step, SCALAR_LOSS)));
    assert_int_equal(step->posted.length, 0);
    assert_int_equal(step->ended.length, 1);
    steps_recycle(steps, step);
    steps_free(steps);
}

static void five_seconds_after_its_first_end_a_step_closes(void **state)
{
    struct steps *steps = world_of(2);

    (void)state;
    assert_int_equal(post(steps, 0, 0, 1), STEPS_OK);
    end(steps, 0, 0, 20000);
    steps_heard(steps, 1, at(24999)); /* alive, and slow */
    assert_int_equal(taken(steps, 24999), -1);
    assert_int_equal(taken(steps, 25000), 0);
    steps_free(steps);
}

static void a_rank_that_is_not_heard_for_five_seconds_is_not_waited_for(void **state)
{
    struct steps *steps = world_of(2);

    (void)state;
    end(steps, 0, 0, 14000);
    assert_int_equal(taken(steps, 14999), -1); /* rank 1 was heard at 10,000 */
    assert_int_equal(taken(steps, 15000), 0);
    steps_free(steps);
}

static void a_young_run_waits_for_ranks_that_have_not_come_yet(void **state)
{
    struct steps *steps = steps_new(3, BUDGET, at(1000));

    (void)state;
    steps_heard(steps, 0, at(1000));
    end(steps, 0, 0, 2000);
    assert_int_equal(taken(steps, 5999), -1);
    assert_int_equal(taken(steps, 6000), 0);
    end(steps, 1, 0, 6000);
    assert_int_equal(taken(steps, 6000), 1);
    steps_free(steps);
}

static void a_rank_that_missed_is_expected_again_when_it_ends_an_open_step(void **state)
{
    struct steps *steps = world_of(2);

    (void)state;
    end(steps, 0, 0, 10000);
    steps_heard(steps, 1, at(14000));
    assert_int_equal(taken(steps, 15000), 0);
    steps_heard(steps, 1, at(15001)); /* heartbeats do not count */
    end(steps, 1, 0, 15002);
    assert_int_equal(taken(steps, 15002), 1);
    assert_int_equal(steps_end(steps, EMBMON_TRAIN, 1, 1, at(15003)), STEPS_LATE);
    end(steps, 2, 0, 15004);
    assert_int_equal(taken(steps, 15004), 2); /* a late end does not either */

    steps_heard(steps, 0, at(15004));
    end(steps, 3, 1, 15005); /* rank 0 is awaited, and rank 1 is back */
    assert_int_equal(taken(steps, 15005), -1);
    end(steps, 3, 0, 15006);
    assert_int_equal(taken(steps, 15006), 3);
    end(steps, 4, 0, 15007);
    assert_int_equal(taken(steps, 15007), -1);
    steps_free(steps);
}

static void a_rank_that_does_not_validate_is_still_waited_for_in_training(void **state)
{
    struct steps *steps = world_of(2);

    (void)state;
    assert_int_equal(steps_end(steps, EMBMON_VALIDATE, 0, 0, at(10000)), STEPS_OK);
    steps_heard(steps, 1, at(14000));
    assert_int_equal(taken(steps, 14999), -1);
    assert_int_equal(taken(steps, 15000), 0);
    assert_int_equal(steps_end(steps, EMBMON_VALIDATE, 1, 0, at(15000)), STEPS_OK);
    assert_int_equal(taken(steps, 15000), 1); /* it is known now that rank 0 validates alone */
    assert_int_equal(steps_closed(steps, EMBMON_VALIDATE), 1);

    end(steps, 0, 0, 15001);
    assert_int_equal(taken(steps, 15001), -1);
    assert_int_equal(post(steps, 0, 1, 1), STEPS_OK);
    end(steps, 0, 1, 15002);
    assert_int_equal(taken(steps, 15002), 0);
    steps_free(steps);
}

static void a_new_session_of_a_rank_that_missed_is_expected(void **state)
{
    struct steps *steps = world_of(2);

    (void)state;
    steps_leave(steps, 1, true, at(10000));
    end(steps, 0, 0, 10001);
    assert_int_equal(taken(steps, 10001), 0);
    steps_join(steps, 1, at(10002));
    end(steps, 1, 0, 10003);
    assert_int_equal(taken(steps, 10003), -1);
    end(steps, 1, 1, 10004);
    assert_int_equal(taken(steps, 10004), 1);
    steps_free(steps);
}

static void after_a_restart_all_ranks_have_five_seconds_to_come(void **state)
{
    struct steps *steps = world_of(2);

    (void)state;
    steps_leave(steps, 0, true, at(10000));
    steps_leave(steps, 1, true, at(10000));
    steps_restart(steps, at(60000));
    steps_join(steps, 0, at(60000));
    end(steps, 0, 0, 60001);
    assert_int_equal(taken(steps, 64999), -1);
    steps_heard(steps, 0, at(64999));
    assert_int_equal(taken(steps, 65000), 0);
    steps_free(steps);
}

static void goodbye_ends_open_steps_and_the_rank_is_not_expected(void **state)
{
    struct steps *steps = world_of(2);

    (void)state;
    assert_int_equal(post(steps, 3, 1, 1), STEPS_OK);
    assert_int_equal(post(steps, 3, 0, 1), STEPS_OK);
    steps_leave(steps, 1, true, at(10000));
    assert_int_equal(taken(steps, 10000), -1); /* rank 0 is at it */
    end(steps, 3, 0, 10001);
    assert_int_equal(taken(steps, 10001), 3);
    end(steps, 4, 0, 10002);
    assert_int_equal(taken(steps, 10002), 4);
    steps_free(steps);
}

static void a_lost_connection_ends_the_steps_it_posted_to_and_no_others(void **state)
{
    struct steps *steps = world_of(2);

    (void)state;
    assert_int_equal(post(steps, 3, 1, 1), STEPS_OK);
    end(steps, 3, 0, 10000);
    end(steps, 4, 0, 10000);
    steps_leave(steps, 1, false, at(10001));
    assert_int_equal(taken(steps, 10001), 3);
    assert_int_equal(taken(steps, 10001), -1); /* it may be back before 5 s are over */
    assert_int_equal(post(steps, 4, 1, 1), STEPS_OK);
    end(steps, 4, 1, 10002);
    assert_int_equal(taken(steps, 10002), 4);
    steps_free(steps);
}

static void steps_close_in_ascending_order_and_what_comes_later_is_late(void **state)
{
    struct steps *steps = world_of(1);
    struct summary s = TENSOR(1);

    (void)state;
    assert_int_equal(post(steps, 9, 0, 1), STEPS_OK);
    assert_int_equal(post(steps, 7, 0, 1), STEPS_OK);
    assert_int_equal(post(steps, 8, 0, 1), STEPS_OK);
    end(steps, 8, 0, 10000); /* and 7 */
    assert_int_equal(taken(steps, 10000), 7);
    assert_int_equal(taken(steps, 10000), 8);
    assert_int_equal(taken(steps, 10000), -1);
    assert_int_equal(post(steps, 8, 0, 1), STEPS_LATE);
    assert_int_equal(post(steps, 0, 0, 1), STEPS_LATE);
    assert_int_equal(steps_scalar(steps, EMBMON_TRAIN, 8, 0, 0, 1), STEPS_LATE);
    assert_int_equal(steps_end(steps, EMBMON_TRAIN, 8, 0, at(10000)), STEPS_LATE);
    /* Each phase counts its own steps. */
    assert_int_equal(steps_sample(steps, EMBMON_INFER, 0, 0, 0, EMBMON_ACTIVATION, &s), STEPS_OK);
    assert_int_equal(steps_closed(steps, EMBMON_INFER), -1);
    summary_free(&s);
    steps_free(steps);
}

static void a_later_step_that_is_due_closes_the_ones_before_it(void **state)
{
    struct steps *steps = world_of(2);

    (void)state;
    assert_int_equal(post(steps, 0, 1, 1), STEPS_OK); /* rank 1 never ends it */
    end(steps, 1, 0, 10000);
    assert_int_equal(taken(steps, 14999), -1);
    steps_heard(steps, 1, at(14999));
    assert_int_equal(taken(steps, 15000), 0);
    assert_int_equal(taken(steps, 15000), 1);
    steps_free(steps);
}

static void a_rank_is_ahead_with_eight_ended_steps_that_wait_for_others(void **state)
{
    struct steps *steps = world_of(2);

    (void)state;
    for (uint64_t i = 0; i < STEP_AHEAD_MAX; i++) {
        assert_false(steps_ahead(steps, 0));
        end(steps, i, 0, 10000);
    }
    assert_true(steps_ahead(steps, 0));
    assert_false(steps_ahead(steps, 1));
    assert_int_equal(taken(steps, 10000), -1); /* being ahead closes nothing */
    end(steps, 0, 1, 10001);
    assert_int_equal(taken(steps, 10001), 0);
    assert_false(steps_ahead(steps, 0));
    steps_free(steps);
}

static void the_first_rank_to_end_a_step_is_judged_early_and_once(void **state)
{
    struct steps *steps = world_of(3);
    struct step *step;
    uint32_t rank = 99;

    (void)state;
    assert_int_equal(post(steps, 0, 0, 1), STEPS_OK);
    assert_null(steps_early(steps, &rank));
    end(steps, 0, 2, 10000);
    end(steps, 0, 1, 10000); /* a lower rank, but not the first */
    step = steps_early(steps, &rank);
    assert_non_null(step);
    assert_int_equal(step->number, 0);
    assert_int_equal(rank, 2);
    assert_null(steps_early(steps, &rank));
    steps_free(steps);
}

static void ranks_with_nonfinite_values_are_remembered(void **state)
{
    struct steps *steps = world_of(3);
    struct step *step;

    (void)state;
    assert_int_equal(post(steps, 0, 0, 1), STEPS_OK);
    assert_int_equal(post(steps, 0, 1, NAN), STEPS_OK);
    assert_int_equal(post(steps, 0, 2, INFINITY), STEPS_OK);
    step = steps_take(steps, at(10000), true);
    const struct step_cell *cell = step_cell(step, 0, EMBMON_GRADIENT);
    assert_int_equal(cell->nonfinite.length, 2);
    assert_int_equal(cell->nonfinite.ranks[0], 1);
    assert_int_equal(cell->nonfinite.ranks[1], 2);
    steps_recycle(steps, step);
    assert_int_equal(post(steps, 1, 0, 1), STEPS_OK); /* the cell is used again */
    step = steps_take(steps, at(10000), true);
    assert_int_equal(step_cell(step, 0, EMBMON_GRADIENT)->nonfinite.length, 0);
    assert_int_equal(step_cell(step, 0, EMBMON_GRADIENT)->summary.count, 1);
    steps_recycle(steps, step);
    steps_free(steps);
}

static void more_than_64_open_steps_close_the_oldest(void **state)
{
    struct steps *steps = world_of(1);

    (void)state;
    for (uint64_t i = 0; i < STEPS_OPEN_MAX; i++)
        assert_int_equal(post(steps, i, 0, 1), STEPS_OK);
    assert_false(steps_full(steps));
    assert_int_equal(taken(steps, 10000), -1);
    assert_int_equal(post(steps, STEPS_OPEN_MAX, 0, 1), STEPS_OK);
    assert_true(steps_full(steps));
    assert_int_equal(taken(steps, 10000), 0);
    assert_false(steps_full(steps));
    assert_int_equal(taken(steps, 10000), -1);
    steps_free(steps);
}

static void above_the_byte_budget_the_oldest_step_closes(void **state)
{
    static const double wide[] = {1e-300, 1e300, -1e-300, -1e300}; /* two spans of all buckets */
    struct steps *steps = steps_new(1, 1 << 20, at(0));
    struct summary s = tensor_of(wide, 4);
    struct step *step;
    size_t variable = 0;

    (void)state;
    assert_true(summary_bytes(&s) > 30000);
    assert_int_equal(post(steps, 0, 0, 1), STEPS_OK);
    while (!steps_full(steps)) {
        assert_int_equal(steps_sample(steps, EMBMON_TRAIN, 1, 0, variable++, EMBMON_GRADIENT, &s),
                         STEPS_OK);
        assert_true(variable < 40);
    }
    assert_true(variable > 25);
    assert_true(steps_bytes(steps) > 1 << 20);
    assert_int_equal(taken(steps, 10000), 0);
    step = steps_take(steps, at(10000), true);
    assert_int_equal(step->number, 1);
    steps_recycle(steps, step);
    assert_int_equal(steps_bytes(steps), 0);
    summary_free(&s);
    steps_free(steps);
}

static void bytes_come_back_to_nothing_whatever_was_posted(void **state)
{
    struct steps *steps = world_of(1);

    (void)state;
    for (uint64_t round = 0; round < 40; round++) {
        struct summary s = TENSOR(pow(10, (double)round - 20), -1);

        for (size_t v = 0; v < 30; v++) {
            assert_int_equal(steps_sample(steps, EMBMON_TRAIN, round, 0, v * 7 % (round + 1),
                                          1 + (uint32_t)v % STEP_SIGNALS, &s),
                             STEPS_OK);
            assert_int_equal(steps_scalar(steps, EMBMON_TRAIN, round, 0, v, 1), STEPS_OK);
        }
        summary_free(&s);
        if (round % 20 != 19)
            continue;
        for (struct step *step; (step = steps_take(steps, at(10000), true));)
            steps_recycle(steps, step);
        assert_int_equal(steps_bytes(steps), 0);
    }
    steps_free(steps);
}

static void a_trimmed_one_goes_on(void **state)
{
    struct steps *steps = world_of(1);

    (void)state;
    for (uint64_t step = 0; step < 5; step++) {
        assert_int_equal(post(steps, step, 0, 1), STEPS_OK);
        end(steps, step, 0, 10000);
    }
    assert_int_equal(taken(steps, 10000), 0);
    assert_int_equal(taken(steps, 10000), 1);
    size_t bytes = steps_bytes(steps);
    steps_trim(steps);
    assert_int_equal(steps_bytes(steps), bytes); /* open steps are not touched */
    assert_int_equal(taken(steps, 10000), 2);
    assert_int_equal(taken(steps, 10000), 3);
    assert_int_equal(taken(steps, 10000), 4);
    steps_trim(steps);
    steps_trim(steps);
    assert_int_equal(post(steps, 5, 0, 1), STEPS_OK);
    end(steps, 5, 0, 10000);
    assert_int_equal(taken(steps, 10000), 5);
    steps_free(steps);
}

static void the_last_steps_before_2_to_the_53_are_like_any_other(void **state)
{
    struct steps *steps = world_of(1);

    (void)state;
    end(steps, STEP_MAX - 2, 0, 10000);
    assert_int_equal(taken(steps, 10000), (int64_t)STEP_MAX - 2);
    end(steps, STEP_MAX - 1, 0, 10000);
    assert_int_equal(taken(steps, 10000), (int64_t)STEP_MAX - 1);
    assert_int_equal(steps_end(steps, EMBMON_TRAIN, STEP_MAX - 1, 0, at(10000)), STEPS_LATE);
    steps_free(steps);
}

static void a_continued_run_begins_behind_its_last_step(void **state)
{
    struct steps *steps = world_of(1);

    (void)state;
    steps_set_closed(steps, EMBMON_TRAIN, 99);
    assert_int_equal(post(steps, 99, 0, 1), STEPS_LATE);
    assert_int_equal(post(steps, 100, 0, 1), STEPS_OK);
    steps_free(steps);
}

static void a_count_that_would_wrap_is_refused_and_the_cell_stays(void **state)
{
    struct steps *steps = world_of(2);
    struct summary s = TENSOR(0);
    struct step *step;

    (void)state;
    s.count = s.zeros = UINT64_MAX;
    assert_int_equal(steps_sample(steps, EMBMON_TRAIN, 0, 0, 0, EMBMON_GRADIENT, &s), STEPS_OK);
    assert_int_equal(steps_sample(steps, EMBMON_TRAIN, 0, 1, 0, EMBMON_GRADIENT, &s), STEPS_WRAPS);
    step = steps_take(steps, at(10000), true);
    assert_int_equal(step_cell(step, 0, EMBMON_GRADIENT)->summary.parts, 1);
    assert_true(step_cell(step, 0, EMBMON_GRADIENT)->summary.count == UINT64_MAX);
    steps_recycle(steps, step);
    summary_free(&s);
    steps_free(steps);
}

static void a_clock_read_a_moment_earlier_expires_nothing(void **state)
{
    struct steps *steps = world_of(2);

    (void)state;
    end(steps, 0, 0, 10005);
    steps_heard(steps, 1, at(10005));
    assert_int_equal(taken(steps, 10004), -1);
    end(steps, 0, 1, 10006);
    assert_int_equal(taken(steps, 10004), 0);
    steps_free(steps);
}

static void a_thousand_ranks_make_one_step(void **state)
{
    struct steps *steps = world_of(1024);

    (void)state;
    for (uint64_t n = 0; n < 20; n++) {
        for (uint32_t r = 0; r < 1024; r++) {
            uint32_t rank = (r * 397 + (uint32_t)n) % 1024;

            assert_int_equal(post(steps, n, rank, 2), STEPS_OK);
            assert_int_equal(taken(steps, 10000), -1);
            end(steps, n, rank, 10000);
        }
        struct step *step = steps_take(steps, at(10000), false);
        assert_non_null(step);
        assert_int_equal(step->ended.length, 1024);
        assert_int_equal(step_cell(step, 0, EMBMON_GRADIENT)->summary.parts, 1024);
        assert_true(summary_norm(&step_cell(step, 0, EMBMON_GRADIENT)->summary, false) == 2);
        steps_recycle(steps, step);
    }
    steps_free(steps);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_step_closes_when_its_last_rank_ends_it),
        cmocka_unit_test(two_ranks_are_one_record_whose_norm_does_not_grow),
        cmocka_unit_test(scalars_are_the_mean_over_the_ranks),
        cmocka_unit_test(five_seconds_after_its_first_end_a_step_closes),
        cmocka_unit_test(a_rank_that_is_not_heard_for_five_seconds_is_not_waited_for),
        cmocka_unit_test(a_young_run_waits_for_ranks_that_have_not_come_yet),
        cmocka_unit_test(a_rank_that_missed_is_expected_again_when_it_ends_an_open_step),
        cmocka_unit_test(a_rank_that_does_not_validate_is_still_waited_for_in_training),
        cmocka_unit_test(a_new_session_of_a_rank_that_missed_is_expected),
        cmocka_unit_test(after_a_restart_all_ranks_have_five_seconds_to_come),
        cmocka_unit_test(goodbye_ends_open_steps_and_the_rank_is_not_expected),
        cmocka_unit_test(a_lost_connection_ends_the_steps_it_posted_to_and_no_others),
        cmocka_unit_test(steps_close_in_ascending_order_and_what_comes_later_is_late),
        cmocka_unit_test(a_later_step_that_is_due_closes_the_ones_before_it),
        cmocka_unit_test(a_rank_is_ahead_with_eight_ended_steps_that_wait_for_others),
        cmocka_unit_test(the_first_rank_to_end_a_step_is_judged_early_and_once),
        cmocka_unit_test(ranks_with_nonfinite_values_are_remembered),
        cmocka_unit_test(more_than_64_open_steps_close_the_oldest),
        cmocka_unit_test(above_the_byte_budget_the_oldest_step_closes),
        cmocka_unit_test(bytes_come_back_to_nothing_whatever_was_posted),
        cmocka_unit_test(a_trimmed_one_goes_on),
        cmocka_unit_test(the_last_steps_before_2_to_the_53_are_like_any_other),
        cmocka_unit_test(a_continued_run_begins_behind_its_last_step),
        cmocka_unit_test(a_count_that_would_wrap_is_refused_and_the_cell_stays),
        cmocka_unit_test(a_clock_read_a_moment_earlier_expires_nothing),
        cmocka_unit_test(a_thousand_ranks_make_one_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
