#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "daemon/model.h"
#include "embmon/embmon.h"

static struct model model;

static int start(void **state)
{
    (void)state;
    return model_init(&model) ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    model_clear(&model);
    return 0;
}

static int declare(const char *path, uint64_t rows)
{
    struct msg_layer layer = {.path = path,
                              .activation = "relu",
                              .kind = EMBMON_EMBEDDING,
                              .rows = rows,
                              .columns = 8,
                              .trainable = true};

    return model_layer(&model, &layer);
}

static void layers_keep_the_order_of_their_declaration(void **state)
{
    (void)state;
    assert_int_equal(declare("b", 1), 0);
    assert_int_equal(declare("a", 1), 1);
    assert_int_equal(declare("b", 1), 0);
    assert_int_equal(model.layer_count, 2);
    assert_int_equal(model_find(&model, "a"), 1);
    assert_int_equal(model_find(&model, "c"), -1);
    assert_string_equal(model.layers[0].activation, "relu");
    assert_string_equal(model.variables[model.layers[1].table].label, "a");
    assert_string_equal(model.variables[model.layers[1].table].name, "");
}

static void strings_are_the_models_own(void **state)
{
    char path[8] = "a", name[8] = "kernel";

    (void)state;
    assert_int_equal(declare(path, 1), 0);
    assert_int_equal(model_variable(&model, 0, name), 1);
    memset(path, 'x', sizeof path - 1);
    memset(name, 'x', sizeof name - 1);
    assert_string_equal(model.layers[0].path, "a");
    assert_string_equal(model.variables[1].label, "a/kernel");
    assert_string_equal(model.variables[1].name, "kernel");
}

static void another_size_is_a_conflict_until_the_trainers_have_gone(void **state)
{
    (void)state;
    assert_int_equal(declare("a", 100), 0);
    assert_int_equal(declare("a", 101), MODEL_CONFLICT);
    assert_int_equal(model.layers[0].rows, 100);
    model_reopen(&model);
    assert_int_equal(declare("a", 101), 0);
    assert_int_equal(model.layers[0].rows, 101);
    assert_int_equal(declare("a", 100), MODEL_CONFLICT);
    assert_int_equal(model.layer_count, 1);
}

static void words_are_those_of_the_present_trainers(void **state)
{
    (void)state;
    assert_int_equal(declare("a", 100), 0);
    words_take(&model.layers[0].words, &(struct ids_word){7, "dress"}, 1);
    assert_int_equal(declare("a", 100), 0);
    assert_string_equal(words_find(model.layers[0].words, 7), "dress");
    model_reopen(&model);
    assert_int_equal(declare("a", 100), 0);
    assert_null(words_find(model.layers[0].words, 7));
}

static void trainable_may_change_any_time(void **state)
{
    struct msg_layer layer = {.path = "a", .activation = "", .trainable = true};

    (void)state;
    assert_int_equal(model_layer(&model, &layer), 0);
    layer.trainable = false;
    assert_int_equal(model_layer(&model, &layer), 0);
    assert_false(model.layers[0].trainable);
}

static void the_output_is_what_nobody_reads_or_else_the_last(void **state)
{
    const size_t first[] = {0};

    (void)state;
    declare("a", 1);
    declare("b", 1);
    declare("c", 1);
    assert_true(model_is_output(&model, 2));
    assert_false(model_is_output(&model, 1));
    assert_true(model_inputs(&model, 1, first, 1));
    assert_true(model_is_output(&model, 1));
    assert_true(model_is_output(&model, 2));
    assert_false(model_is_output(&model, 0));
    assert_true(model_inputs(&model, 1, first, 0)); /* said anew */
    assert_int_equal(model.layers[1].input_count, 0);
}

static void a_label_belongs_to_one_layer(void **state)
{
    (void)state;
    assert_int_equal(declare("a", 1), 0);
    assert_int_equal(model_variable(&model, 0, "b"), 1);
    assert_int_equal(model_variable(&model, 0, "b"), 1);
    assert_int_equal(declare("a/b", 1), MODEL_CONFLICT); /* its tags would be the variable's */
    assert_int_equal(model.layer_count, 1);
    assert_int_equal(model_find(&model, "a/b"), -1); /* nothing is left of it */
    assert_int_equal(declare("c", 1), 1);
    assert_string_equal(model.variables[model.layers[1].table].label, "c");
    assert_int_equal(declare("a/b/c", 1), 2);
    assert_int_equal(model_variable(&model, 0, "b/c"), MODEL_CONFLICT);
}

static void the_known_scalars_have_their_places(void **state)
{
    (void)state;
    assert_int_equal(model_scalar(&model, "loss"), SCALAR_LOSS);
    assert_int_equal(model_scalar(&model, "learning_rate"), SCALAR_LEARNING_RATE);
    assert_int_equal(model_scalar(&model, "batch_size"), SCALAR_BATCH_SIZE);
    assert_int_equal(model_scalar(&model, "accuracy"), SCALARS_KNOWN);
    assert_int_equal(model_scalar(&model, "accuracy"), SCALARS_KNOWN);
}

static void each_kind_of_thing_has_its_limit(void **state)
{
    char name[32];

    (void)state;
    for (int i = SCALARS_KNOWN; i < SCALARS_MAX; i++) {
        (void)snprintf(name, sizeof name, "s%d", i);
        assert_int_equal(model_scalar(&model, name), i);
    }
    assert_int_equal(model_scalar(&model, "one more"), MODEL_FULL);
    assert_int_equal(model_scalar(&model, "loss"), SCALAR_LOSS);
    for (int i = 0; i < LAYERS_MAX; i++) {
        (void)snprintf(name, sizeof name, "l%d", i);
        assert_int_equal(declare(name, 1), i);
    }
    assert_int_equal(declare("one more", 1), MODEL_FULL);
    for (int i = LAYERS_MAX; i < VARIABLES_MAX; i++) {
        (void)snprintf(name, sizeof name, "v%d", i);
        assert_int_equal(model_variable(&model, (size_t)i % LAYERS_MAX, name), i);
    }
    assert_int_equal(model_variable(&model, 7, "one more"), MODEL_FULL);
    assert_int_equal(declare("l9", 1), 9);
}

static void without_room_for_a_variable_no_layer_is_left(void **state)
{
    char name[32];

    (void)state;
    assert_int_equal(declare("a", 1), 0);
    for (int i = 1; i < VARIABLES_MAX; i++) {
        (void)snprintf(name, sizeof name, "v%d", i);
        assert_int_equal(model_variable(&model, 0, name), i);
    }
    assert_int_equal(declare("b", 1), MODEL_FULL);
    assert_int_equal(model.layer_count, 1);
    assert_int_equal(model_find(&model, "b"), -1);
}

static void a_closed_model_finds_what_it_knows_and_takes_nothing_new(void **state)
{
    (void)state;
    assert_int_equal(declare("a", 1), 0);
    assert_int_equal(model_variable(&model, 0, "kernel"), 1);
    model.closed = true;
    assert_int_equal(declare("a", 1), 0);
    assert_int_equal(model_variable(&model, 0, "kernel"), 1);
    assert_int_equal(declare("b", 1), MODEL_FULL);
    assert_int_equal(model_variable(&model, 0, "bias"), MODEL_FULL);
    assert_int_equal(model_scalar(&model, "accuracy"), MODEL_FULL);
    assert_int_equal(model_scalar(&model, "loss"), SCALAR_LOSS);
}

static void the_longest_names_make_one_label(void **state)
{
    char path[256], name[256];

    (void)state;
    memset(path, 'p', 255);
    memset(name, 'n', 255);
    path[255] = name[255] = '\0';
    assert_int_equal(declare(path, 1), 0);
    assert_int_equal(model_variable(&model, 0, name), 1);
    assert_int_equal(strlen(model.variables[1].label), 511);
    assert_string_equal(model.variables[1].name, name);
}

static int declare_kind(const char *path, uint32_t kind, const size_t *inputs, size_t count)
{
    struct msg_layer layer = {.path = path, .kind = kind};
    int index = model_layer(&model, &layer);

    assert_true(index >= 0);
    assert_true(model_inputs(&model, (size_t)index, inputs, count));
    return index;
}

static void who_reads_a_layer_is_found_through_what_changes_no_position(void **state)
{
    (void)state;
    assert_int_equal(declare("table", 1), 0);
    assert_int_equal(declare("other_table", 1), 1);
    assert_int_equal(declare_kind("average", EMBMON_POOLING, NULL, 0), 2);
    assert_int_equal(model_reader(&model, 0, EMBMON_POOLING), MODEL_NO_GRAPH);
    assert_int_equal(declare_kind("drop", EMBMON_OTHER, (size_t[]){0}, 1), 3);
    assert_int_equal(declare_kind("norm", EMBMON_NORM, (size_t[]){MODEL_NO_LAYER, 3}, 2), 4);
    assert_int_equal(model_reader(&model, 0, EMBMON_POOLING), -1);
    assert_int_equal(declare_kind("lstm", EMBMON_RECURRENT, (size_t[]){4}, 1), 5);
    assert_int_equal(declare_kind("of_lstm", EMBMON_POOLING, (size_t[]){5}, 1), 6);
    assert_int_equal(model_reader(&model, 0, EMBMON_POOLING), -1);
    assert_int_equal(declare_kind("of_norm", EMBMON_POOLING, (size_t[]){4}, 1), 7);
    assert_int_equal(model_reader(&model, 0, EMBMON_POOLING), 7);
    assert_int_equal(model_reader(&model, 0, EMBMON_RECURRENT), 5);
    assert_int_equal(model_reader(&model, 1, EMBMON_POOLING), -1);
}

static void inputs_are_replaced_and_bounded(void **state)
{
    size_t many[INPUTS_MAX + 1] = {0};

    (void)state;
    assert_int_equal(declare("a", 1), 0);
    assert_true(model_inputs(&model, 0, many, INPUTS_MAX + 1));
    assert_int_equal(model.layers[0].input_count, INPUTS_MAX);
    assert_true(model_inputs(&model, 0, NULL, 0));
    assert_int_equal(model.layers[0].input_count, 0);
    assert_null(model.layers[0].inputs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(layers_keep_the_order_of_their_declaration, start, stop),
        cmocka_unit_test_setup_teardown(strings_are_the_models_own, start, stop),
        cmocka_unit_test_setup_teardown(another_size_is_a_conflict_until_the_trainers_have_gone,
                                        start, stop),
        cmocka_unit_test_setup_teardown(words_are_those_of_the_present_trainers, start, stop),
        cmocka_unit_test_setup_teardown(trainable_may_change_any_time, start, stop),
        cmocka_unit_test_setup_teardown(the_output_is_what_nobody_reads_or_else_the_last, start,
                                        stop),
        cmocka_unit_test_setup_teardown(a_label_belongs_to_one_layer, start, stop),
        cmocka_unit_test_setup_teardown(the_known_scalars_have_their_places, start, stop),
        cmocka_unit_test_setup_teardown(each_kind_of_thing_has_its_limit, start, stop),
        cmocka_unit_test_setup_teardown(without_room_for_a_variable_no_layer_is_left, start, stop),
        cmocka_unit_test_setup_teardown(a_closed_model_finds_what_it_knows_and_takes_nothing_new,
                                        start, stop),
        cmocka_unit_test_setup_teardown(the_longest_names_make_one_label, start, stop),
        cmocka_unit_test_setup_teardown(who_reads_a_layer_is_found_through_what_changes_no_position,
                                        start, stop),
        cmocka_unit_test_setup_teardown(inputs_are_replaced_and_bounded, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
