#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "client/model.h"

static int add(struct model *m, const char *path)
{
    struct embmon_layer_info info = EMBMON_LAYER_INFO_INIT;

    info.path = path;
    return model_add_layer(m, &info);
}

static void ids_are_given_in_the_order_of_declaration(void **state)
{
    struct model *m = model_new();

    (void)state;
    assert_int_equal(add(m, "a"), 0);
    assert_int_equal(model_add_variable(m, 0, "kernel", NULL, 0, EMBMON_F32), 1);
    assert_int_equal(add(m, "b"), 2);
    assert_int_equal(model_add_variable(m, 2, "kernel", NULL, 0, EMBMON_F32), 3);
    assert_int_equal(add(m, "kernel"), 4); /* a layer of that name is another thing */
    assert_int_equal(add(m, "a"), 0);
    assert_int_equal(model_add_variable(m, 2, "kernel", NULL, 0, EMBMON_F32), 3);
    assert_int_equal(model_find_layer(m, "b"), 2);
    assert_int_equal(model_find_layer(m, "c"), -1);
    assert_int_equal(model_target(m, 3)->layer, 2);
    assert_null(model_target(m, 5));
    assert_null(model_target(m, -1));
    model_free(m);
}

static void what_differs_from_before_is_refused(void **state)
{
    struct model *m = model_new();
    struct embmon_layer_info info = EMBMON_LAYER_INFO_INIT;
    const int64_t shape[] = {2, 3}, other[] = {2, 4};

    (void)state;
    info.path = "table";
    info.kind = EMBMON_EMBEDDING, info.rows = 10, info.columns = 2;
    assert_int_equal(model_add_layer(m, &info), 0);
    assert_int_equal(model_add_layer(m, &info), 0);
    info.rows = 11;
    assert_int_equal(model_add_layer(m, &info), EMBMON_EEXISTS);
    assert_int_equal(model_add_variable(m, 0, "v", shape, 2, EMBMON_F32), 1);
    assert_int_equal(model_add_variable(m, 0, "v", other, 2, EMBMON_F32), EMBMON_EEXISTS);
    assert_int_equal(model_add_variable(m, 0, "v", shape, 2, EMBMON_F16), EMBMON_EEXISTS);
    model_free(m);
}

static void what_is_out_of_range_is_refused(void **state)
{
    struct model *m = model_new();
    struct embmon_layer_info info = EMBMON_LAYER_INFO_INIT;
    const int64_t shape[9] = {-2};
    const int32_t inputs[] = {7};
    char path[258];

    (void)state;
    assert_int_equal(add(m, ""), EMBMON_ENAME);
    assert_int_equal(add(m, NULL), EMBMON_ENAME);
    assert_int_equal(add(m, "a//b"), EMBMON_ENAME);
    assert_int_equal(add(m, "\xff"), EMBMON_ENAME);
    memset(path, 'a', sizeof path);
    path[256] = '\0';
    assert_int_equal(add(m, path), EMBMON_ENAME);
    path[255] = '\0';
    assert_int_equal(add(m, path), 0);
    assert_string_equal(model_target(m, 0)->name, path);
    info.path = "x";
    info.kind = EMBMON_POOLING + 1;
    assert_int_equal(model_add_layer(m, &info), EMBMON_EINVAL);
    info.kind = 0, info.dtype = 9;
    assert_int_equal(model_add_layer(m, &info), EMBMON_EINVAL);
    info.dtype = 0, info.mask = EMBMON_MASK_MISSED + 1;
    assert_int_equal(model_add_layer(m, &info), EMBMON_EINVAL);
    info.mask = -1;
    assert_int_equal(model_add_layer(m, &info), EMBMON_EINVAL);
    info.mask = 0, info.rank = 9, info.shape = shape;
    assert_int_equal(model_add_layer(m, &info), EMBMON_EINVAL);
    info.rank = 1;
    assert_int_equal(model_add_layer(m, &info), EMBMON_EINVAL);
    info.rank = 0, info.inputs = inputs, info.input_count = 1;
    assert_int_equal(model_add_layer(m, &info), EMBMON_EINVAL);
    info.input_count = 65;
    assert_int_equal(model_add_layer(m, &info), EMBMON_EINVAL);
    assert_int_equal(model_add_variable(m, 5, "v", NULL, 0, 0), EMBMON_EUNKNOWN);
    assert_int_equal(model_add_variable(m, 0, "", NULL, 0, 0), EMBMON_ENAME);
    assert_int_equal(model_add_variable(m, 0, "v", NULL, 1, 0), EMBMON_EINVAL);
    assert_int_equal(model_add_variable(m, 0, "v", NULL, 0, 9), EMBMON_EDTYPE);
    assert_int_equal(model_add_variable(m, 0, "v", NULL, 0, 0), 1);
    assert_int_equal(model_add_variable(m, 1, "w", NULL, 0, 0), EMBMON_EUNKNOWN);
    model_free(m);
}

static void tables_have_bits_for_their_rows_and_a_new_epoch_clears_all(void **state)
{
    struct model *m = model_new();
    struct embmon_layer_info info = EMBMON_LAYER_INFO_INIT;
    const struct target *a, *b;

    (void)state;
    assert_int_equal(add(m, "dense"), 0);
    assert_null(model_target(m, 0)->seen);
    info.kind = EMBMON_EMBEDDING;
    info.path = "a", info.rows = 10;
    a = model_target(m, model_add_layer(m, &info));
    info.path = "b", info.rows = 100000;
    b = model_target(m, model_add_layer(m, &info));
    assert_true(a->seen && b->seen && a->seen != b->seen);
    seen_mark(a->seen, 9);
    seen_mark(b->seen, 99999);
    assert_int_equal(model_add_layer(m, &info), b->id); /* declared again: the same bits */
    assert_int_equal(seen_count(b->seen), 1);
    model_new_epoch(m);
    assert_int_equal(seen_count(a->seen), 0);
    assert_int_equal(seen_count(b->seen), 0);
    info.path = "c", info.rows = SEEN_ROWS + 1;
    assert_null(model_target(m, model_add_layer(m, &info))->seen);
    model_new_epoch(m);
    model_free(m);
}

static void there_is_a_limit_of_layers_and_one_of_variables(void **state)
{
    struct model *m = model_new();
    char name[32];

    (void)state;
    for (int i = 0; i < LAYERS_MAX; i++) {
        snprintf(name, sizeof name, "layer_%d", i);
        assert_int_equal(add(m, name), i);
    }
    assert_int_equal(add(m, "one more"), EMBMON_ELIMIT);
    assert_int_equal(add(m, "layer_7"), 7);
    for (int i = 0; i < VARIABLES_MAX; i++) {
        snprintf(name, sizeof name, "v%d", i);
        assert_int_equal(model_add_variable(m, i % 100, name, NULL, 0, 0), LAYERS_MAX + i);
    }
    assert_int_equal(model_add_variable(m, 0, "one more", NULL, 0, 0), EMBMON_ELIMIT);
    model_free(m);
}

static void batches_tell_all_once_and_then_what_is_new(void **state)
{
    struct model *m = model_new();
    static struct model_batch batch;
    struct msg_layers message;
    struct embmon_layer_info info = EMBMON_LAYER_INFO_INIT;
    const int64_t shape[] = {-1, 8};
    uint32_t cursor = 0;
    char name[32];

    (void)state;
    assert_false(model_batch(m, &cursor, &batch, &message));
    for (int i = 0; i < 70; i++) {
        snprintf(name, sizeof name, "layer_%d", i);
        add(m, name);
    }
    assert_true(model_batch(m, &cursor, &batch, &message));
    assert_int_equal(message.layer_count, MODEL_BATCH);
    assert_true(model_batch(m, &cursor, &batch, &message));
    assert_int_equal(message.layer_count, 70 - MODEL_BATCH);
    assert_string_equal(message.layers[5].path, "layer_69");
    assert_false(message.layers[5].has_padding);
    assert_false(model_batch(m, &cursor, &batch, &message));
    info.path = "t", info.kind = EMBMON_EMBEDDING, info.rows = 5, info.columns = 8;
    info.padding_id = 0, info.sharded = 1, info.tied = 1, info.activation = "relu";
    info.mask = EMBMON_MASK_PASSED;
    info.shape = shape, info.rank = 2, info.dtype = EMBMON_BF16;
    info.inputs = (const int32_t[]){3, 4}, info.input_count = 2;
    assert_int_equal(model_add_layer(m, &info), 70);
    assert_int_equal(model_add_variable(m, 70, "v", shape, 2, EMBMON_F64), 71);
    assert_true(model_batch(m, &cursor, &batch, &message));
    assert_int_equal(message.layer_count, 1);
    assert_int_equal(message.layers[0].id, 70);
    assert_int_equal(message.layers[0].rows, 5);
    assert_true(message.layers[0].has_padding && message.layers[0].sharded);
    assert_true(message.layers[0].tied);
    assert_int_equal(message.layers[0].mask, EMBMON_MASK_PASSED);
    assert_true(message.layers[0].trainable);
    assert_string_equal(message.layers[0].activation, "relu");
    assert_int_equal(message.layers[0].inputs[1], 4);
    assert_int_equal(message.layers[0].shape[0], -1);
    assert_int_equal(message.layers[0].dtype, EMBMON_BF16);
    assert_int_equal(message.variable_count, 1);
    assert_int_equal(message.variables[0].layer, 70);
    assert_int_equal(message.variables[0].shape_length, 2);
    model_free(m);
}

static void a_table_gets_its_words_once(void **state)
{
    const char *const words[] = {"pad", "dress"}, *const others[] = {"other"};
    struct model *m = model_new();
    int layer = add(m, "a"), variable = model_add_variable(m, layer, "v", NULL, 0, 0);

    (void)state;
    assert_null(model_target(m, layer)->vocabulary);
    assert_int_equal(model_set_vocabulary(m, layer, NULL, 1), EMBMON_EINVAL);
    assert_int_equal(model_set_vocabulary(m, layer, words, (1 << 24) + (size_t)1), EMBMON_ELIMIT);
    assert_int_equal(model_set_vocabulary(m, layer, words, 2), 0);
    assert_string_equal(vocabulary_word(model_target(m, layer)->vocabulary, 1), "dress");
    assert_int_equal(model_set_vocabulary(m, layer, others, 1), EMBMON_EEXISTS);
    assert_string_equal(vocabulary_word(model_target(m, layer)->vocabulary, 0), "pad");
    assert_int_equal(model_set_vocabulary(m, variable, words, 2), EMBMON_EUNKNOWN);
    assert_int_equal(model_set_vocabulary(m, 99, words, 2), EMBMON_EUNKNOWN);
    assert_int_equal(model_set_vocabulary(m, add(m, "b"), NULL, 0), 0);
    model_free(m);
}

enum { THREADS = 4, NAMES = 1000 };

static void *declare_many(void *argument)
{
    struct model *m = argument;
    char name[32];

    for (int i = 0; i < NAMES; i++) {
        int id;

        snprintf(name, sizeof name, "layer_%d", i);
        id = add(m, name);
        if (id < 0 || !model_target(m, id) || strcmp(model_target(m, id)->name, name) != 0)
            return argument;
    }
    return NULL;
}

static void threads_that_declare_the_same_get_the_same_ids(void **state)
{
    struct model *m = model_new();
    static struct model_batch batch;
    struct msg_layers message;
    pthread_t threads[THREADS];
    uint32_t cursor = 0;
    size_t told = 0;

    (void)state;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, declare_many, m), 0);
    for (int i = 0; i < THREADS; i++) {
        void *failed;

        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    while (model_batch(m, &cursor, &batch, &message))
        told += message.layer_count;
    assert_int_equal(told, NAMES);
    model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_are_given_in_the_order_of_declaration),
        cmocka_unit_test(what_differs_from_before_is_refused),
        cmocka_unit_test(what_is_out_of_range_is_refused),
        cmocka_unit_test(tables_have_bits_for_their_rows_and_a_new_epoch_clears_all),
        cmocka_unit_test(there_is_a_limit_of_layers_and_one_of_variables),
        cmocka_unit_test(batches_tell_all_once_and_then_what_is_new),
        cmocka_unit_test(a_table_gets_its_words_once),
        cmocka_unit_test(threads_that_declare_the_same_get_the_same_ids),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
