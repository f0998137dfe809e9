/* A model over a restart. Loading declares all again in the order in which it was declared, so that
 * every index is what it was and nothing can be loaded that could not be declared. The words of a
 * table are not kept: trainers declare it again when they come back, and then say them again. */
#include <string.h>

#include "daemon/carry.h"
#include "daemon/model.h"
#include "embmon/embmon.h"
#include "proto/name.h"

/* A layer and its table; what it reads comes when all layers are there. */
struct declared {
    char path[NAME_LAYER_MAX + 1], activation[NAME_LAYER_MAX + 1];
    struct layer as; /* but for its pointers */
};

static void carry_flags(struct carry *c, struct layer *layer)
{
    carry_bool(c, &layer->trainable);
    carry_bool(c, &layer->sharded);
    carry_bool(c, &layer->tied);
    carry_bool(c, &layer->has_padding);
    carry_bool(c, &layer->half);
    carry_bool(c, &layer->stale);
}

static void carry_layer(struct carry *c, struct declared *layer)
{
    carry_text(c, layer->path, sizeof layer->path);
    carry_text(c, layer->activation, sizeof layer->activation);
    carry_u32(c, &layer->as.kind, UINT32_MAX);
    carry_u32(c, &layer->as.mask, UINT32_MAX);
    carry_flags(c, &layer->as);
    carry_u64(c, &layer->as.rows);
    carry_u64(c, &layer->as.columns);
    carry_i64(c, &layer->as.padding_id);
    shape_carry(c, &layer->as.shape);
}

static void save_layer(struct carry *c, const struct layer *layer)
{
    struct declared declared = {.as = *layer};

    strncpy(declared.path, layer->path, NAME_LAYER_MAX);
    strncpy(declared.activation, layer->activation, NAME_LAYER_MAX);
    carry_layer(c, &declared);
}

/* Returns its table's index, or that of nothing. */
static int load_layer(struct carry *c, struct model *model)
{
    struct declared declared = {.path = ""};
    struct msg_layer msg;
    int index;

    carry_layer(c, &declared);
    msg = (struct msg_layer){.path = declared.path,
                             .kind = declared.as.kind,
                             .mask = declared.as.mask,
                             .activation = declared.activation,
                             .trainable = declared.as.trainable,
                             .sharded = declared.as.sharded,
                             .tied = declared.as.tied,
                             .has_padding = declared.as.has_padding,
                             .rows = declared.as.rows,
                             .columns = declared.as.columns,
                             .padding_id = declared.as.padding_id,
                             .shape = declared.as.shape.dims,
                             .shape_length = declared.as.shape.count};
    if (c->problem || !name_is_path(declared.path))
        return -1;
    index = model_layer(model, &msg);
    if (index < 0)
        return -1;
    model->layers[index].half = declared.as.half;
    model->layers[index].stale = declared.as.stale;
    return (int)model->layers[index].table;
}

static int load_variable(struct carry *c, struct model *model)
{
    char name[NAME_LAYER_MAX + 1];
    size_t layer = 0;

    carry_size(c, &layer, LAYERS_MAX - 1);
    carry_text(c, name, sizeof name);
    if (c->problem || layer >= model->layer_count || !name_is_path(name))
        return -1;
    return model_variable(model, layer, name);
}

static void save_variable(struct carry *c, const struct variable *variable)
{
    char name[NAME_LAYER_MAX + 1] = "";
    size_t layer = variable->layer;

    strncpy(name, variable->name, NAME_LAYER_MAX);
    carry_size(c, &layer, LAYERS_MAX - 1);
    carry_text(c, name, sizeof name);
}

static void carry_variables(struct carry *c, struct model *model)
{
    size_t count = carry_count(c, model->variable_count, VARIABLES_MAX);

    for (size_t i = 0; i < count && !c->problem; i++) {
        const struct variable *variables = model->variables; /* loading makes more of them */
        bool of_layer = !c->loading && model->layers[variables[i].layer].table == i;
        int index = (int)i;

        carry_bool(c, &of_layer);
        if (c->loading)
            index = of_layer ? load_layer(c, model) : load_variable(c, model);
        else if (of_layer)
            save_layer(c, &model->layers[variables[i].layer]);
        else
            save_variable(c, &variables[i]);
        if (index != (int)i) {
            carry_fail(c, "a layer or variable cannot be declared again");
            return;
        }
        shape_carry(c, &model->variables[i].shape);
    }
}

static void carry_inputs(struct carry *c, struct model *model, size_t layer)
{
    struct layer *of = &model->layers[layer];
    size_t count = carry_count(c, of->input_count, INPUTS_MAX), inputs[INPUTS_MAX];

    for (size_t i = 0; i < count; i++) {
        size_t place = 0; /* an index + 1; 0: of a layer that is not known */

        if (!c->loading && of->inputs[i] != MODEL_NO_LAYER)
            place = of->inputs[i] + 1;
        carry_size(c, &place, model->layer_count);
        inputs[i] = place ? place - 1 : MODEL_NO_LAYER;
    }
    if (c->loading && !model_inputs(model, layer, inputs, count))
        carry_fail(c, "out of memory");
}

static void carry_scalars(struct carry *c, struct model *model)
{
    size_t count = carry_count(c, model->scalar_count, SCALARS_MAX);

    for (size_t i = SCALARS_KNOWN; i < count && !c->problem; i++) {
        char name[NAME_LAYER_MAX + 1] = "";

        if (!c->loading)
            strncpy(name, model->scalars[i], NAME_LAYER_MAX);
        carry_text(c, name, sizeof name);
        if (c->loading && (!name_is_path(name) || model_scalar(model, name) != (int)i))
            carry_fail(c, "a scalar cannot be taken up again");
    }
}

void model_carry(struct carry *c, struct model *model)
{
    carry_variables(c, model);
    for (size_t i = 0; i < model->layer_count && !c->problem; i++)
        carry_inputs(c, model, i);
    for (size_t i = 0; i < model->layer_count;
         i++) /* a layer may read itself, or be read no more */
        carry_bool(c, &model->layers[i].is_read);
    carry_scalars(c, model);
    carry_bool(c, &model->closed);
}
