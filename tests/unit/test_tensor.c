#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/tensor.h"

static struct tensor_tools tools;
static struct target table, layer, kernel;
static struct tally tally;
static struct summary moments;

static int start(void **state)
{
    (void)state;
    tools = (struct tensor_tools){.epochs = 0};
    table = (struct target){
        .kind = EMBMON_EMBEDDING, .rows = 40, .columns = 2, .padding_id = EMBMON_NO_PADDING};
    layer = (struct target){.id = 1,
                            .layer = 1,
                            .kind = EMBMON_DENSE,
                            .padding_id = EMBMON_NO_PADDING,
                            .rank = 2,
                            .shape = {-1, 2},
                            .activation = "tanh"};
    kernel = (struct target){.id = 2, .layer = 1, .padding_id = EMBMON_NO_PADDING};
    return rows_scratch_open(&tools.scratch) && busy_open(&tools.busy) && pairs_open(&tools.pairs)
               ? 0
               : -1;
}

static int stop(void **state)
{
    (void)state;
    assert_int_equal(tools.scratch.taken, 0);
    rows_scratch_close(&tools.scratch);
    busy_close(&tools.busy);
    pairs_close(&tools.pairs);
    return 0;
}

static void whole(const struct target *target, int signal, int phase, const float *data, size_t n)
{
    struct tensor_place place = {target,      target->id == 0 ? &table : &layer, signal, phase, 1,
                                 tools.epochs};

    tally_start(&tally);
    tensor_whole(&tally, &moments, &place, data, n, EMBMON_F32, &tools);
}

static double extra(uint32_t key)
{
    return summary_extra(&moments, key, -1);
}

/* Whether or not there is a board for it; which is given back. */
static void a_large_tensor_is_counted_by_pairs(void **state)
{
    static float data[PAIRS_FROM];
    static struct tally other;
    struct pairs *held[PAIRS_BOARDS];

    (void)state;
    for (size_t i = 0; i < PAIRS_FROM; i++)
        data[i] = (float)(int)(i * 2654435761u % 4001 - 2000) / 2000;
    whole(&kernel, EMBMON_WEIGHT, EMBMON_TRAIN, data, PAIRS_FROM);
    other = tally;
    assert_null(tally.pairs);
    assert_true(!kernel_best()->fold_pairs || tools.pairs.boards[0].patience > 0); /* was used */
    for (size_t i = 0; i < PAIRS_BOARDS; i++)
        assert_non_null(held[i] = pairs_take(&tools.pairs));
    whole(&kernel, EMBMON_WEIGHT, EMBMON_TRAIN, data, PAIRS_FROM);
    for (size_t i = 0; i < PAIRS_BOARDS; i++)
        pairs_give(held[i]);
    assert_int_equal(tally.count, other.count);
    assert_int_equal(tally.zeros, other.zeros);
    assert_true(tally.min == other.min && tally.max == other.max);
    for (uint32_t negative = 0; negative <= 1; negative++) {
        static uint64_t counts[2][BUCKETS];
        uint32_t first[2], length[2];

        tally_span(&tally, negative, &first[0], &length[0]);
        tally_span(&other, negative, &first[1], &length[1]);
        assert_int_equal(first[0], first[1]);
        assert_int_equal(length[0], length[1]);
        tally_counts(&tally, negative, first[0], length[0], counts[0]);
        tally_counts(&other, negative, first[1], length[1], counts[1]);
        assert_memory_equal(counts[0], counts[1], length[0] * sizeof counts[0][0]);
    }
}

static void an_output_is_looked_at_unit_by_unit(void **state)
{
    const float output[] = {1, 0, -1, 0, 0.5f, 0};

    (void)state;
    whole(&layer, EMBMON_ACTIVATION, EMBMON_TRAIN, output, 6);
    assert_true(extra(EXTRA_EXAMPLES) == 3);
    assert_true(extra(EXTRA_UNITS) == 2);
    assert_true(extra(EXTRA_UNITS_DEAD) == 1);
    assert_true(extra(EXTRA_SATURATED) == 2);
    assert_true(fabs(extra(EXTRA_VARIANCE) - 13.0 / 36) < 1e-12);
    assert_int_equal(moments.count, 6);
    strcpy(layer.activation, "relu");
    whole(&layer, EMBMON_ACTIVATION, EMBMON_TRAIN, output, 6);
    assert_true(extra(EXTRA_SATURATED) == -1);
    assert_true(extra(EXTRA_UNITS) == 2);
}

/* A variable's gradient and a table's output say nothing of units; other phases are not judged. */
static void nothing_else_is(void **state)
{
    const float values[] = {1, 0, 1, 0};

    (void)state;
    whole(&layer, EMBMON_GRADIENT, EMBMON_TRAIN, values, 4);
    assert_int_equal(moments.extra_count, 0);
    whole(&kernel, EMBMON_WEIGHT, EMBMON_TRAIN, values, 4);
    assert_int_equal(moments.extra_count, 0);
    whole(&layer, EMBMON_ACTIVATION, EMBMON_INFER, values, 4);
    assert_int_equal(moments.extra_count, 0);
    whole(&table, EMBMON_ACTIVATION, EMBMON_TRAIN, values, 4);
    assert_int_equal(moments.extra_count, 0);
    layer.rank = 0;
    whole(&layer, EMBMON_ACTIVATION, EMBMON_TRAIN, values, 4);
    assert_int_equal(moments.extra_count, 0);
    assert_int_equal(moments.count, 4);
}

static void what_a_variable_puts_out_is_of_its_layers_shape(void **state)
{
    const float values[] = {1, 0, 1, 0};

    (void)state;
    whole(&kernel, EMBMON_ACTIVATION, EMBMON_TRAIN, values, 4);
    assert_true(extra(EXTRA_UNITS_DEAD) == 1);
}

static void rows_bring_their_counts(void **state)
{
    const int32_t ids[] = {3, 1, 3, 0};
    const float values[] = {1, 1, 0, 0, 1, 1, 3, 4};
    struct tensor_place place = {&table, &table, EMBMON_GRADIENT, EMBMON_TRAIN, 1, 0};
    struct tensor_rows rows = {ids, values, EMBMON_I32, EMBMON_F32, 4, 2};

    (void)state;
    table.padding_id = 0;
    tally_start(&tally);
    tensor_sparse(&tally, &moments, &place, &rows, &tools);
    assert_true(extra(EXTRA_ROWS_LOOKED_UP) == 2);
    assert_true(extra(EXTRA_ROWS_TOUCHED) == 2); /* 3 and, wrongly, the padding */
    assert_true(extra(EXTRA_IDS) == 3);
    assert_true(extra(EXTRA_BUSIEST) == 2);
    assert_true(extra(EXTRA_PADDING_SQUARES) == 25);
}

static void the_padding_of_a_whole_table_is_looked_at_too(void **state)
{
    float gradient[80] = {0};

    (void)state;
    table.padding_id = 5;
    gradient[8] = 1;
    whole(&table, EMBMON_GRADIENT, EMBMON_TRAIN, gradient, 80);
    assert_true(extra(EXTRA_PADDING_SQUARES) == 0);
    gradient[10] = 3, gradient[11] = -4;
    whole(&table, EMBMON_GRADIENT, EMBMON_TRAIN, gradient, 80);
    assert_true(extra(EXTRA_PADDING_SQUARES) == 25);
    assert_true(extra(EXTRA_ROWS_TOUCHED) == 2);
    table.padding_id = EMBMON_NO_PADDING;
    whole(&table, EMBMON_GRADIENT, EMBMON_TRAIN, gradient, 80);
    assert_true(extra(EXTRA_PADDING_SQUARES) == -1);
}

/* Rows 0 to 19 get gradients: of them it is asked, once an epoch, whether they still differ. */
static void the_busiest_rows_are_compared_once_an_epoch(void **state)
{
    float gradient[80] = {0}, weights[80];

    (void)state;
    for (size_t i = 0; i < 40; i++) {
        gradient[2 * i] = i < 20;
        weights[2 * i] = i < 20 ? 1 : (float)i;
        weights[2 * i + 1] = i < 20 ? 1 : -1;
    }
    whole(&table, EMBMON_GRADIENT, EMBMON_TRAIN, gradient, 80);
    whole(&table, EMBMON_WEIGHT, EMBMON_TRAIN, weights, 80);
    assert_true(extra(EXTRA_COSINE) == -1); /* no epoch is complete */
    atomic_fetch_add(&tools.epochs, 1);
    whole(&table, EMBMON_WEIGHT, EMBMON_TRAIN, weights, 80);
    assert_true(fabs(extra(EXTRA_COSINE) - 1) < 1e-9);
    assert_true(fabs(extra(EXTRA_SPREAD) - 0.5) < 1e-6);
    whole(&table, EMBMON_WEIGHT, EMBMON_TRAIN, weights, 80);
    assert_true(extra(EXTRA_COSINE) == -1);
}

/* Where the trainer asked for it, and what is posted is large; not the touched rows of a table. */
static void large_tensors_are_sampled_on_request(void **state)
{
    enum { LARGE = SAMPLE_FROM };
    float *values = malloc(LARGE * sizeof *values);

    (void)state;
    assert_non_null(values);
    for (size_t i = 0; i < LARGE; i++)
        values[i] = (float)(i % 1000) + 1;
    whole(&kernel, EMBMON_WEIGHT, EMBMON_TRAIN, values, LARGE);
    assert_true(extra(EXTRA_BUCKET_ERROR) == -1);
    tools.sampled = true;
    whole(&kernel, EMBMON_WEIGHT, EMBMON_TRAIN, values, LARGE - 1);
    assert_true(extra(EXTRA_BUCKET_ERROR) == -1);
    whole(&kernel, EMBMON_WEIGHT, EMBMON_TRAIN, values, LARGE);
    assert_true(extra(EXTRA_BUCKET_ERROR) > 0 && extra(EXTRA_BUCKET_ERROR) < 0.01);
    assert_int_equal(moments.count, LARGE);
    table.rows = LARGE / 2;
    whole(&table, EMBMON_GRADIENT, EMBMON_TRAIN, values, LARGE);
    assert_true(extra(EXTRA_ROWS_TOUCHED) == LARGE / 2);
    assert_true(extra(EXTRA_BUCKET_ERROR) == -1);
    free(values);
}

#define tensor_test(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        tensor_test(a_large_tensor_is_counted_by_pairs),
        tensor_test(an_output_is_looked_at_unit_by_unit),
        tensor_test(nothing_else_is),
        tensor_test(what_a_variable_puts_out_is_of_its_layers_shape),
        tensor_test(rows_bring_their_counts),
        tensor_test(the_padding_of_a_whole_table_is_looked_at_too),
        tensor_test(the_busiest_rows_are_compared_once_an_epoch),
        tensor_test(large_tensors_are_sampled_on_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
