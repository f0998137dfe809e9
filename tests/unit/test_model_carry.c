#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/model.h"
#include "embmon/embmon.h"
#include "tests/unit/again.h"

static void carry(struct carry *c, void *thing)
{
    model_carry(c, thing);
}

static void fresh(void *thing)
{
    model_clear(thing);
    assert_true(model_init(thing));
}

static const struct kept kept = {carry, fresh};

static int add_layer(struct model *model, const char *path, uint32_t kind, uint64_t rows)
{
    static const int64_t dims[] = {-1, 16};
    struct msg_layer layer = {.path = path,
                              .kind = kind,
                              .mask = EMBMON_MASK_USED,
                              .activation = "tanh",
                              .trainable = true,
                              .has_padding = rows > 0,
                              .rows = rows,
                              .columns = rows ? 16 : 0,
                              .padding_id = -1,
                              .shape = dims,
                              .shape_length = 2,
                              .dtype = EMBMON_F16};

    return model_layer(model, &layer);
}

static void make(struct model *model)
{
    static const int64_t kernel[] = {16, 4};
    size_t inputs[] = {0, MODEL_NO_LAYER, 1};

    assert_true(model_init(model));
    assert_int_equal(add_layer(model, "tower/embedding", EMBMON_EMBEDDING, 100), 0);
    assert_int_equal(add_layer(model, "tower/dense", EMBMON_DENSE, 0), 1);
    assert_int_equal(model_variable(model, 1, "kernel"), 2);
    model_shape(model, 2, kernel, 2);
    assert_int_equal(add_layer(model, "out", EMBMON_DENSE, 0), 2);
    assert_int_equal(model_variable(model, 0, "late"), 4);
    assert_true(model_inputs(model, 1, inputs, 1));
    assert_true(model_inputs(model, 2, inputs, 3));
    assert_int_equal(model_scalar(model, "mine/one"), SCALARS_KNOWN);
    assert_int_equal(model_scalar(model, "two"), SCALARS_KNOWN + 1);
    model->layers[1].stale = true;
}

static void every_index_is_what_it_was(void **state)
{
    struct model model, into = {0};

    (void)state;
    make(&model);
    again(&kept, &model, &into);
    assert_int_equal(into.layer_count, 3);
    assert_int_equal(into.variable_count, 5);
    assert_int_equal(model_find(&into, "out"), 2);
    assert_int_equal(into.layers[2].table, 3);
    assert_string_equal(into.variables[2].label, "tower/dense/kernel");
    assert_string_equal(into.variables[2].name, "kernel");
    assert_string_equal(into.variables[1].name, "");
    assert_int_equal(into.variables[2].shape.dims[1], 4);
    assert_int_equal(into.layers[0].padding_id, -1);
    assert_int_equal(into.layers[0].mask, EMBMON_MASK_USED);
    assert_int_equal(into.layers[0].shape.dims[0], -1);
    assert_string_equal(into.layers[0].activation, "tanh");
    assert_true(into.layers[1].stale && !into.layers[0].stale && into.layers[0].half);
    assert_int_equal(into.layers[2].inputs[1], MODEL_NO_LAYER);
    assert_true(model_is_output(&into, 2) && !model_is_output(&into, 0));
    assert_int_equal(model_scalar(&into, "two"), SCALARS_KNOWN + 1);
    assert_int_equal(model_variable(&into, 2, "bias"), 5); /* it goes on */
    model_clear(&model);
    model_clear(&into);
}

static void a_closed_model_stays_closed(void **state)
{
    struct model model, into = {0};

    (void)state;
    make(&model);
    model.closed = true;
    again(&kept, &model, &into);
    assert_int_equal(add_layer(&into, "new", EMBMON_DENSE, 0), MODEL_FULL);
    assert_int_equal(add_layer(&into, "out", EMBMON_DENSE, 0), 2);
    model_clear(&model);
    model_clear(&into);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_index_is_what_it_was),
        cmocka_unit_test(a_closed_model_stays_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
