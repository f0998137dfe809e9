#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "daemon/measure.h"
#include "embmon/embmon.h"
#include "tests/unit/tensors.h"

/* table (embedding), dense (variable kernel), shard (sharded), frozen. */
enum { TABLE, DENSE, SHARD, FROZEN };

static struct model model;
static struct baseline baseline;
static struct measures m;
static struct steps *steps;
static struct step *step;
static size_t kernel;

static const struct moment now = {.ms = 1, .wall = 1};

static void declare(const char *path, bool trainable, bool sharded)
{
    struct msg_layer layer = {
        .path = path, .activation = "", .trainable = trainable, .sharded = sharded};

    assert_true(model_layer(&model, &layer) >= 0);
}

static int start(void **state)
{
    (void)state;
    baseline_init(&baseline);
    steps = steps_new(8, 1 << 20, now);
    if (!steps || !model_init(&model))
        return -1;
    declare("table", true, false);
    declare("dense", true, false);
    declare("shard", true, true);
    declare("frozen", false, false);
    kernel = (size_t)model_variable(&model, DENSE, "kernel");
    step = NULL;
    return baseline_resize(&baseline, model.layer_count, model.variable_count) ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    if (step)
        steps_recycle(steps, step);
    steps_free(steps);
    measures_free(&m);
    baseline_free(&baseline);
    model_clear(&model);
    return 0;
}

static void post_to(uint32_t rank, size_t variable, uint32_t signal, struct summary s)
{
    assert_int_equal(steps_sample(steps, EMBMON_TRAIN, 1, rank, variable, signal, &s), STEPS_OK);
    summary_free(&s);
}

static size_t table_of(size_t layer)
{
    return model.layers[layer].table;
}

static void measure(int64_t only_rank)
{
    step = steps_take(steps, now, true);
    assert_non_null(step);
    measure_weights(&baseline, step, &model);
    assert_true(measure_step(&m, step, &model, &baseline, only_rank));
}

static void assert_near(double value, double expected)
{
    if (!(fabs(value - expected) <= 1e-12 * fabs(expected)))
        fail_msg("%.17g is not %.17g", value, expected);
}

static void a_layers_norm_is_the_root_of_its_variables_squares(void **state)
{
    (void)state;
    post_to(0, table_of(DENSE), EMBMON_GRADIENT, TENSOR(3, 0));
    post_to(0, kernel, EMBMON_GRADIENT, TENSOR(-4));
    post_to(0, table_of(TABLE), EMBMON_GRADIENT, TENSOR(12));
    measure(-1);
    assert_near(m.layers[DENSE].norm, 5);
    assert_near(m.layers[TABLE].norm, 12);
    assert_near(m.model_norm, 13);
    assert_near(m.layers[DENSE].rms, sqrt(25.0 / 3));
    assert_near(m.layers[DENSE].elements, 3);
    assert_true(m.layers[DENSE].has_gradient && !m.layers[DENSE].has_activation);
    assert_false(m.layers[SHARD].has_gradient);
    assert_false(m.nonfinite);
}

static void ranks_do_not_make_a_norm_larger_and_shards_do(void **state)
{
    (void)state;
    for (uint32_t rank = 0; rank < 4; rank++) {
        post_to(rank, table_of(TABLE), EMBMON_GRADIENT, TENSOR(3, 4));
        post_to(rank, table_of(SHARD), EMBMON_GRADIENT, TENSOR(3, 4));
    }
    measure(-1);
    assert_near(m.layers[TABLE].norm, 5);
    assert_near(m.layers[SHARD].norm, 10);
    assert_near(m.layers[TABLE].rms, sqrt(12.5));
    assert_near(m.layers[SHARD].rms, sqrt(12.5));
    assert_near(m.model_norm, sqrt(125));
}

static void without_a_gradient_there_is_no_norm(void **state)
{
    (void)state;
    post_to(0, table_of(TABLE), EMBMON_ACTIVATION, TENSOR(1));
    measure(-1);
    assert_true(isnan(m.model_norm));
    assert_true(isnan(m.last_norm));
    assert_true(isnan(m.loss) && isnan(m.rate) && isnan(m.batch));
    assert_true(m.layers[TABLE].has_activation);
    assert_true(isnan(m.layers[TABLE].update_ratio));
}

static void the_last_trainable_layer_has_a_finite_gradient_that_is_not_zero(void **state)
{
    (void)state;
    post_to(0, table_of(TABLE), EMBMON_GRADIENT, TENSOR(2));
    post_to(0, table_of(DENSE), EMBMON_GRADIENT, TENSOR(0.0));
    post_to(0, table_of(SHARD), EMBMON_GRADIENT, TENSOR(7, NAN));
    post_to(0, table_of(FROZEN), EMBMON_GRADIENT, TENSOR(9));
    measure(-1);
    assert_near(m.last_norm, 2);
    assert_int_equal(m.last_layer, TABLE);
    assert_true(m.layers[DENSE].has_gradient);
    assert_true(m.layers[DENSE].norm == 0);
    assert_true(m.nonfinite);
    assert_int_equal(m.layers[SHARD].nonfinite_gradient, 1);
}

static struct summary rows(double looked_up, double touched, struct summary s)
{
    assert_true(summary_set_extra(&s, EXTRA_ROWS_LOOKED_UP, looked_up));
    assert_true(summary_set_extra(&s, EXTRA_ROWS_TOUCHED, touched));
    return s;
}

static void rows_looked_up_and_none_touched_is_a_norm_of_zero(void **state)
{
    struct summary none = {.parts = 1};

    (void)state;
    post_to(0, table_of(TABLE), EMBMON_GRADIENT, rows(5, 0, none));
    measure(-1);
    assert_true(m.layers[TABLE].has_gradient);
    assert_true(m.layers[TABLE].norm == 0);
    assert_true(m.layers[TABLE].rms == 0);
    assert_true(m.layers[TABLE].looked_up == 5 && m.layers[TABLE].touched == 0);
}

static void no_row_looked_up_is_no_data(void **state)
{
    struct summary none = {.parts = 1};

    (void)state;
    post_to(0, table_of(TABLE), EMBMON_GRADIENT, rows(0, 0, none));
    post_to(0, table_of(DENSE), EMBMON_GRADIENT, none); /* a tensor without elements */
    measure(-1);
    assert_false(m.layers[TABLE].has_gradient);
    assert_false(m.layers[DENSE].has_gradient);
    assert_true(isnan(m.model_norm));
}

static void rows_of_all_ranks_are_added(void **state)
{
    (void)state;
    post_to(0, table_of(TABLE), EMBMON_GRADIENT, rows(5, 4, TENSOR(1)));
    post_to(1, table_of(TABLE), EMBMON_GRADIENT, rows(6, 3, TENSOR(1)));
    measure(-1);
    assert_true(m.layers[TABLE].looked_up == 11 && m.layers[TABLE].touched == 7);
}

static void the_update_ratio_pools_the_variables_and_remembers_the_weights(void **state)
{
    (void)state;
    post_to(0, table_of(DENSE), EMBMON_WEIGHT, TENSOR(3, 4));
    post_to(1, table_of(DENSE), EMBMON_WEIGHT, TENSOR(3, 4));
    post_to(0, kernel, EMBMON_WEIGHT, TENSOR(0.0, 12));
    measure(-1);
    assert_true(isnan(m.layers[DENSE].update_ratio));
    steps_recycle(steps, step);
    step = NULL;
    assert_int_equal(baseline.variables[table_of(DENSE)].weight_count, 2);

    struct summary update = TENSOR(1.0), kernels = TENSOR(0.5);
    assert_int_equal(
        steps_sample(steps, EMBMON_TRAIN, 2, 0, table_of(DENSE), EMBMON_UPDATE, &update), STEPS_OK);
    assert_int_equal(steps_sample(steps, EMBMON_TRAIN, 2, 0, kernel, EMBMON_UPDATE, &kernels),
                     STEPS_OK);
    summary_free(&update);
    summary_free(&kernels);
    measure(-1);
    assert_near(m.layers[DENSE].update_ratio, sqrt(1.25) / 13);
    assert_near(m.layers[DENSE].weights, 4);
    assert_near(measure_update_ratio(&m, &baseline, table_of(DENSE)), 0.2);
    assert_near(measure_update_ratio(&m, &baseline, kernel), 0.5 / 12);
    assert_true(isnan(measure_update_ratio(&m, &baseline, table_of(TABLE))));
}

static void weights_that_are_all_zero_have_no_update_ratio(void **state)
{
    (void)state;
    post_to(0, table_of(DENSE), EMBMON_WEIGHT, TENSOR(0.0, 0.0));
    post_to(0, table_of(DENSE), EMBMON_UPDATE, TENSOR(1.0, 1.0));
    measure(-1);
    assert_true(isnan(m.layers[DENSE].update_ratio));
    assert_true(isnan(measure_update_ratio(&m, &baseline, table_of(DENSE))));
}

static void the_others_median_leaves_the_layer_itself_out(void **state)
{
    (void)state;
    post_to(0, table_of(TABLE), EMBMON_GRADIENT, TENSOR(50));
    post_to(0, table_of(DENSE), EMBMON_GRADIENT, TENSOR(1));
    post_to(0, table_of(SHARD), EMBMON_GRADIENT, TENSOR(3));
    measure(-1);
    assert_near(measure_others_norm(&m, TABLE), 2);
    assert_near(measure_others_norm(&m, DENSE), 26.5);
    assert_near(measure_others_norm(&m, SHARD), 25.5);
    assert_near(measure_others_norm(&m, FROZEN), 3); /* has none itself */
}

static void one_other_layer_has_no_median(void **state)
{
    (void)state;
    post_to(0, table_of(TABLE), EMBMON_GRADIENT, TENSOR(50));
    post_to(0, table_of(DENSE), EMBMON_GRADIENT, TENSOR(1));
    post_to(0, table_of(SHARD), EMBMON_GRADIENT, TENSOR(NAN)); /* not finite: none */
    post_to(0, table_of(FROZEN), EMBMON_GRADIENT, TENSOR(0));
    measure(-1);
    assert_true(isnan(measure_others_norm(&m, TABLE)));
    assert_near(measure_others_norm(&m, FROZEN), 25.5);
}

static struct summary with_extra(struct summary s, uint32_t key, double value)
{
    assert_true(summary_set_extra(&s, key, value));
    return s;
}

static void an_update_moves_a_layer_unless_every_element_is_0(void **state)
{
    (void)state;
    post_to(0, table_of(DENSE), EMBMON_UPDATE, TENSOR(0, 0));
    post_to(0, kernel, EMBMON_UPDATE, TENSOR(0, 1e-300));
    post_to(0, table_of(TABLE), EMBMON_UPDATE, with_extra(TENSOR(0, 0), EXTRA_ROWS_TOUCHED, 0));
    post_to(0, table_of(SHARD), EMBMON_UPDATE,
            with_extra(TENSOR(0, 0), EXTRA_ROWS_LOOKED_UP, 0)); /* says nothing */
    measure(-1);
    assert_true(m.layers[DENSE].has_update && !m.layers[DENSE].unmoved);
    assert_true(isnan(m.layers[DENSE].moved));
    assert_true(m.layers[TABLE].has_update && m.layers[TABLE].unmoved);
    assert_near(m.layers[TABLE].moved, 0);
    assert_false(m.layers[SHARD].has_update || m.layers[SHARD].unmoved);
    assert_false(m.layers[FROZEN].has_update || m.layers[FROZEN].unmoved);
}

static void what_rides_along_with_a_gradient_is_added_up(void **state)
{
    (void)state;
    for (uint32_t rank = 0; rank < 2; rank++)
        post_to(
            rank, table_of(TABLE), EMBMON_GRADIENT,
            with_extra(with_extra(with_extra(TENSOR(1, 0, 0, 0), EXTRA_IDS, 20), EXTRA_BUSIEST, 5),
                       EXTRA_PADDING_SQUARES, 8));
    post_to(0, table_of(DENSE), EMBMON_GRADIENT, TENSOR(0, 1));
    measure(-1);
    assert_near(m.layers[TABLE].ids, 40);
    assert_near(m.layers[TABLE].busiest, 10);
    assert_near(m.layers[TABLE].padding, 4);
    assert_near(m.layers[TABLE].zeros, 0.75);
    assert_near(m.layers[DENSE].zeros, 0.5);
    assert_true(isnan(m.layers[DENSE].ids) && isnan(m.layers[DENSE].padding));
    assert_true(isnan(m.layers[SHARD].zeros));
}

static void the_variation_is_the_mean_variance_by_the_mean_square(void **state)
{
    (void)state;
    for (uint32_t rank = 0; rank < 2; rank++)
        post_to(rank, table_of(DENSE), EMBMON_ACTIVATION,
                with_extra(TENSOR(3, 1), EXTRA_VARIANCE, 1));
    post_to(0, table_of(TABLE), EMBMON_ACTIVATION, TENSOR(3, 1));
    post_to(0, table_of(SHARD), EMBMON_ACTIVATION, with_extra(TENSOR(0, 0), EXTRA_VARIANCE, 0));
    measure(-1);
    assert_near(measure_variation(&m, DENSE), 0.2);
    assert_true(isnan(measure_variation(&m, TABLE)));
    assert_true(isnan(measure_variation(&m, SHARD)));
    assert_true(isnan(measure_variation(&m, FROZEN)));
}

static void only_the_asked_ranks_nonfinite_values_count(void **state)
{
    (void)state;
    post_to(0, table_of(TABLE), EMBMON_GRADIENT, TENSOR(1));
    post_to(1, table_of(TABLE), EMBMON_GRADIENT, TENSOR(NAN, INFINITY));
    post_to(1, table_of(DENSE), EMBMON_ACTIVATION, TENSOR(NAN, 1));
    measure(0);
    assert_int_equal(m.layers[TABLE].nonfinite_gradient, 0);
    assert_int_equal(m.layers[DENSE].nonfinite_activation, 0);
    assert_true(measure_step(&m, step, &model, &baseline, 1));
    assert_int_equal(m.layers[TABLE].nonfinite_gradient, 2);
    assert_int_equal(m.layers[DENSE].nonfinite_activation, 1);
    assert_true(measure_step(&m, step, &model, &baseline, -1));
    assert_int_equal(m.layers[TABLE].nonfinite_gradient, 2);
    assert_near(m.layers[TABLE].norm, sqrt(0.5)); /* of the finite part, two parts */
}

static void a_short_batch_is_said_in_training_alone(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        baseline_batch(&baseline, 64);
    assert_int_equal(steps_scalar(steps, EMBMON_TRAIN, 1, 0, SCALAR_BATCH_SIZE, 32), STEPS_OK);
    assert_int_equal(steps_scalar(steps, EMBMON_VALIDATE, 1, 0, SCALAR_BATCH_SIZE, 32), STEPS_OK);
    measure(-1);
    assert_true(m.short_batch);
    steps_recycle(steps, step);
    measure(-1);
    assert_int_equal(step->phase, EMBMON_VALIDATE);
    assert_false(m.short_batch);
}

static void layers_declared_later_find_room(void **state)
{
    (void)state;
    post_to(0, table_of(TABLE), EMBMON_GRADIENT, TENSOR(1));
    measure(-1);
    declare("later", true, false);
    assert_true(baseline_resize(&baseline, model.layer_count, model.variable_count));
    assert_true(measure_step(&m, step, &model, &baseline, -1));
    assert_int_equal(m.layer_count, 5);
    assert_false(m.layers[4].has_gradient);
    assert_near(m.model_norm, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_layers_norm_is_the_root_of_its_variables_squares, start,
                                        stop),
        cmocka_unit_test_setup_teardown(ranks_do_not_make_a_norm_larger_and_shards_do, start, stop),
        cmocka_unit_test_setup_teardown(without_a_gradient_there_is_no_norm, start, stop),
        cmocka_unit_test_setup_teardown(
            the_last_trainable_layer_has_a_finite_gradient_that_is_not_zero, start, stop),
        cmocka_unit_test_setup_teardown(rows_looked_up_and_none_touched_is_a_norm_of_zero, start,
                                        stop),
        cmocka_unit_test_setup_teardown(no_row_looked_up_is_no_data, start, stop),
        cmocka_unit_test_setup_teardown(rows_of_all_ranks_are_added, start, stop),
        cmocka_unit_test_setup_teardown(
            the_update_ratio_pools_the_variables_and_remembers_the_weights, start, stop),
        cmocka_unit_test_setup_teardown(weights_that_are_all_zero_have_no_update_ratio, start,
                                        stop),
        cmocka_unit_test_setup_teardown(the_others_median_leaves_the_layer_itself_out, start, stop),
        cmocka_unit_test_setup_teardown(one_other_layer_has_no_median, start, stop),
        cmocka_unit_test_setup_teardown(an_update_moves_a_layer_unless_every_element_is_0, start,
                                        stop),
        cmocka_unit_test_setup_teardown(what_rides_along_with_a_gradient_is_added_up, start, stop),
        cmocka_unit_test_setup_teardown(the_variation_is_the_mean_variance_by_the_mean_square,
                                        start, stop),
        cmocka_unit_test_setup_teardown(only_the_asked_ranks_nonfinite_values_count, start, stop),
        cmocka_unit_test_setup_teardown(a_short_batch_is_said_in_training_alone, start, stop),
        cmocka_unit_test_setup_teardown(layers_declared_later_find_room, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
