/* Ids and shapes of a step; test_step.c has the samples and scalars, and how steps close. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/step.h"
#include "embmon/embmon.h"

static struct steps *steps;
static const struct moment now = {.ms = 1000};

static int start(void **state)
{
    (void)state;
    steps = steps_new(2, (size_t)1 << 20, now);
    return steps ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    steps_free(steps);
    return 0;
}

static enum steps_result post(uint64_t step, uint32_t rank, size_t layer, bool fed,
                              const char *input, uint32_t dtype, struct ids_stats stats)
{
    struct msg_ids ids = {.phase = EMBMON_TRAIN,
                          .step = step,
                          .fed = fed,
                          .input = input,
                          .dtype = dtype,
                          .stats = stats};
    const struct step *at = NULL;
    enum steps_result result = steps_ids(steps, rank, layer, &ids, &at);

    assert_true((result == STEPS_OK) == (at && at->number == step));
    return result;
}

static enum steps_result post_shape(uint64_t step, uint32_t rank, size_t layer, uint32_t index)
{
    struct posted_shape shape = {.phase = EMBMON_TRAIN,
                                 .role = EMBMON_SHAPE_INPUT,
                                 .index = index,
                                 .step = step,
                                 .rank = rank,
                                 .shape = {.dims = {32, 8}, .count = 2}};
    const struct step *at;

    return steps_shape(steps, &shape, layer, &at);
}

static struct step *take(void)
{
    struct step *step = steps_take(steps, now, true);

    assert_non_null(step);
    return step;
}

static const struct ids_stats FINE = {.count = 10}, BAD = {.count = 10, .beyond = 2, .worst = 120};

static void ids_of_all_ranks_add_up_by_layer_and_source(void **state)
{
    const struct step_ids *ids;
    struct step *step;

    (void)state;
    assert_int_equal(post(3, 0, 5, false, "x", EMBMON_I32, FINE), STEPS_OK);
    assert_int_equal(post(3, 1, 5, false, "y", EMBMON_I32, BAD), STEPS_OK);
    assert_int_equal(post(3, 0, 5, true, "z", EMBMON_F32, FINE), STEPS_OK);
    step = take();
    ids = step_ids(step, 5, IDS_REACHED);
    assert_non_null(ids);
    assert_int_equal(ids->stats.count, 20);
    assert_int_equal(ids->stats.beyond, 2);
    assert_string_equal(ids->input, "y"); /* where the worst came from */
    assert_int_equal(ids->example_rank, 1);
    assert_int_equal(ids->troubled[IDS_OUTSIDE].length, 1);
    assert_int_equal(ids->troubled[IDS_OUTSIDE].ranks[0], 1);
    assert_int_equal(ids->troubled[IDS_INEXACT].length, 0);
    assert_ptr_equal(step_ids_any(step, 5), ids);
    assert_int_equal(step_ids(step, 5, IDS_FED)->dtype, EMBMON_F32);
    assert_null(step_ids(step, 4, IDS_REACHED));
    assert_null(step_ids_any(step, 100000));
    assert_int_equal(step->posted.length, 2);
    steps_recycle(steps, step);
}

static void of_types_the_float_is_kept(void **state)
{
    struct step *step;

    (void)state;
    assert_int_equal(post(0, 0, 0, true, "", EMBMON_F16, FINE), STEPS_OK);
    assert_int_equal(post(0, 1, 0, true, "", EMBMON_I64, FINE), STEPS_OK);
    step = take();
    assert_int_equal(step_ids_any(step, 0)->dtype, EMBMON_F16);
    steps_recycle(steps, step);
}

static void what_is_used_again_is_empty_and_costs_what_it_did(void **state)
{
    struct step *step;
    size_t bytes[3];

    (void)state;
    for (uint64_t i = 0; i < 3; i++) {
        assert_int_equal(post(i, 0, 7, false, "x", EMBMON_F32, BAD), STEPS_OK);
        assert_int_equal(post_shape(i, 0, 7, 0), STEPS_OK);
        assert_int_equal(post_shape(i, 0, 7, 1), STEPS_OK);
        bytes[i] = steps_bytes(steps);
        assert_true(bytes[i] > sizeof(struct step_ids) + 2 * sizeof(struct posted_shape));
        step = take();
        assert_int_equal(step_shapes(step, 7)->count, 2);
        steps_recycle(steps, step);
        assert_int_equal(steps_bytes(steps), 0);
    }
    assert_int_equal(bytes[1], bytes[2]);
    assert_int_equal(post(3, 1, 7, false, "", EMBMON_I32, FINE), STEPS_OK);
    step = take();
    assert_int_equal(step_ids_any(step, 7)->stats.beyond, 0);
    assert_int_equal(step_ids_any(step, 7)->dtype, EMBMON_I32);
    assert_int_equal(step_ids_any(step, 7)->troubled[IDS_OUTSIDE].length, 0);
    assert_string_equal(step_ids_any(step, 7)->input, "");
    assert_null(step_shapes(step, 7));
    assert_null(step_shapes(step, 100000));
    steps_recycle(steps, step);
}

static void closed_steps_take_nothing_more(void **state)
{
    (void)state;
    assert_int_equal(steps_end(steps, EMBMON_TRAIN, 4, 0, now), STEPS_OK);
    steps_recycle(steps, take());
    assert_int_equal(post(4, 0, 0, false, "", EMBMON_I32, FINE), STEPS_LATE);
    assert_int_equal(post_shape(4, 0, 0, 0), STEPS_LATE);
}

static void counts_that_would_wrap_are_refused(void **state)
{
    const struct ids_stats most = {.count = UINT64_MAX};

    (void)state;
    assert_int_equal(post(0, 0, 0, false, "", EMBMON_I32, most), STEPS_OK);
    assert_int_equal(post(0, 1, 0, false, "", EMBMON_I32, FINE), STEPS_WRAPS);
}

static void they_count_against_the_budget(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 40 && !steps_full(steps); i++)
        for (size_t layer = 0; layer < 64; layer++)
            assert_int_equal(post(i, 0, layer, false, "", EMBMON_I32, FINE), STEPS_OK);
    assert_true(steps_full(steps));
    for (struct step *step; (step = steps_take(steps, now, false));)
        steps_recycle(steps, step);
    assert_false(steps_full(steps));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(ids_of_all_ranks_add_up_by_layer_and_source, start, stop),
        cmocka_unit_test_setup_teardown(of_types_the_float_is_kept, start, stop),
        cmocka_unit_test_setup_teardown(what_is_used_again_is_empty_and_costs_what_it_did, start,
                                        stop),
        cmocka_unit_test_setup_teardown(closed_steps_take_nothing_more, start, stop),
        cmocka_unit_test_setup_teardown(counts_that_would_wrap_are_refused, start, stop),
        cmocka_unit_test_setup_teardown(they_count_against_the_budget, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
