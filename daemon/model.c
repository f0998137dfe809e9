#include "daemon/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "embmon/embmon.h"
#include "proto/name.h"

struct model_name {
    UT_hash_handle hh;
    int index;
    char text[];
};

static int names_find(struct model_name *names, const char *text)
{
    struct model_name *found;

    HASH_FIND_STR(names, text, found);
    return found ? found->index : -1;
}

/* Returns the owned copy of the text, or NULL when out of memory. */
static const char *names_add(struct model_name **names, const char *text, size_t index)
{
    size_t n = strlen(text) + 1;
    struct model_name *name = malloc(sizeof *name + n);

    if (!name)
        return NULL;
    memcpy(name->text, text, n);
    name->index = (int)index;
    name->hh.tbl = NULL;
    HASH_ADD_STR(*names, text, name);
    if (!name->hh.tbl) { /* how uthash reports that it could not grow */
        free(name);
        return NULL;
    }
    return name->text;
}

static void names_remove(struct model_name **names, const char *text)
{
    struct model_name *found;

    HASH_FIND_STR(*names, text, found);
    if (found)
        HASH_DEL(*names, found);
    free(found);
}

static void names_free(struct model_name **names)
{
    struct model_name *name, *next;

    HASH_ITER(hh, *names, name, next)
    {
        HASH_DEL(*names, name);
        free(name);
    }
}

bool model_init(struct model *model)
{
    *model = (struct model){.most = LAYERS_MAX, .room = UINT64_MAX};
    if (model_scalar(model, "loss") != SCALAR_LOSS ||
        model_scalar(model, "learning_rate") != SCALAR_LEARNING_RATE ||
        model_scalar(model, "batch_size") != SCALAR_BATCH_SIZE) {
        model_clear(model);
        return false;
    }
    return true;
}

void model_clear(struct model *model)
{
    for (size_t i = 0; i < model->layer_count; i++) {
        free(model->layers[i].activation);
        free(model->layers[i].inputs);
        words_free(model->layers[i].words);
    }
    free(model->layers);
    free(model->variables);
    free(model->scalars);
    names_free(&model->by_path);
    names_free(&model->by_label);
    names_free(&model->by_scalar);
    *model = (struct model){0};
}

/* Makes room for one more element; items is the array's current place. */
static void *grown(void *items, size_t count, size_t *capacity, size_t size)
{
    size_t wanted = *capacity ? *capacity * 2 : 16;
    void *more;

    if (count < *capacity)
        return items;
    more = reallocarray(items, wanted, size);
    if (more)
        *capacity = wanted;
    return more;
}

/* True when that much is left; what is refused is counted. */
static bool has_room(struct model *model, uint64_t bytes)
{
    if (model->room >= bytes)
        return true;
    model->starved++;
    return false;
}

/* UINT64_MAX is as much as anybody wants. */
static void take_room(struct model *model, uint64_t bytes)
{
    if (model->room != UINT64_MAX)
        model->room -= bytes;
}

int model_variable(struct model *model, size_t layer, const char *name)
{
    char label[2 * (NAME_LAYER_MAX + 1)];
    struct variable *variables;
    const char *path = model->layers[layer].path;
    const char *owned;
    size_t index = model->variable_count;
    int known;

    (void)snprintf(label, sizeof label, "%s%s%s", path, *name ? "/" : "", name);
    known = names_find(model->by_label, label);
    if (known >= 0)
        return model->variables[known].layer == layer ? known : MODEL_CONFLICT;
    if (model->closed || index >= VARIABLES_MAX || !has_room(model, MODEL_VARIABLE_BYTES))
        return MODEL_FULL;
    variables = grown(model->variables, index, &model->variable_capacity, sizeof *variables);
    if (!variables)
        return MODEL_NO_MEMORY;
    model->variables = variables;
    owned = names_add(&model->by_label, label, index);
    if (!owned)
        return MODEL_NO_MEMORY;
    variables[index] = (struct variable){
        .layer = layer, .label = owned, .name = *name ? owned + strlen(path) + 1 : ""};
    take_room(model, MODEL_VARIABLE_BYTES);
    model->variable_count++;
    model->changes++;
    return (int)index;
}

int model_find(const struct model *model, const char *path)
{
    return names_find(model->by_path, path);
}

/* Takes over what the declaration says, but for the path. False: out of memory. */
static bool describe(struct layer *layer, const struct msg_layer *from)
{
    char *activation = strdup(from->activation ? from->activation : "");

    if (!activation)
        return false;
    free(layer->activation);
    layer->activation = activation;
    layer->kind = from->kind;
    layer->trainable = from->trainable;
    layer->sharded = from->sharded;
    layer->tied = from->tied;
    layer->has_padding = from->has_padding;
    layer->rows = from->rows;
    layer->columns = from->columns;
    layer->padding_id = from->padding_id;
    layer->shape = shape_of(from->shape, from->shape_length);
    layer->mask = from->mask;
    layer->half = from->dtype == EMBMON_F16;
    words_free(layer->words); /* another trainer may have another vocabulary */
    layer->words = NULL;
    layer->stale = layer->is_read = false;
    return true;
}

static int known_layer(struct model *model, int index, const struct msg_layer *from)
{
    struct layer *layer = &model->layers[index];

    model->changes++;
    if (layer->stale)
        return describe(layer, from) ? index : MODEL_NO_MEMORY;
    if (layer->kind != from->kind || layer->rows != from->rows || layer->columns != from->columns)
        return MODEL_CONFLICT;
    layer->trainable = from->trainable; /* may be frozen or thawed between fits */
    return index;
}

int model_layer(struct model *model, const struct msg_layer *from)
{
    struct layer *layers, *layer;
    size_t index = model->layer_count;
    int known = model_find(model, from->path), table = MODEL_NO_MEMORY;

    if (known >= 0)
        return known_layer(model, known, from);
    if (model->closed || index >= model->most) {
        model->refused++;
        return MODEL_FULL;
    }
    if (!has_room(model, MODEL_LAYER_BYTES + MODEL_VARIABLE_BYTES))
        return MODEL_FULL;
    layers = grown(model->layers, index, &model->layer_capacity, sizeof *layers);
    if (!layers)
        return MODEL_NO_MEMORY;
    model->layers = layers;
    layer = &layers[index];
    *layer = (struct layer){0};
    if (!describe(layer, from))
        return MODEL_NO_MEMORY;
    layer->path = names_add(&model->by_path, from->path, index);
    if (layer->path)
        table = model_variable(model, index, "");
    if (table < 0) { /* leave nothing behind that speaks of a layer that is not there */
        names_remove(&model->by_path, from->path);
        free(layer->activation); /* it has no inputs yet */
        return table;
    }
    layer->table = (size_t)table;
    take_room(model, MODEL_LAYER_BYTES);
    model->layer_count++;
    return (int)index;
}

bool model_inputs(struct model *model, size_t layer, const size_t *inputs, size_t count)
{
    struct layer *of = &model->layers[layer];
    size_t *copy = NULL;

    count = count < INPUTS_MAX ? count : INPUTS_MAX;
    if (count > 0 && !(copy = calloc(count, sizeof *copy)))
        return false;
    for (size_t i = 0; i < count; i++)
        copy[i] = inputs[i];
    free(of->inputs);
    model->changes++;
    of->inputs = copy;
    of->input_count = count;
    for (size_t i = 0; i < count; i++) {
        if (copy[i] != MODEL_NO_LAYER && copy[i] != layer)
            model->layers[copy[i]].is_read = true;
    }
    return true;
}

void model_shape(struct model *model, size_t variable, const int64_t *dims, size_t count)
{
    model->variables[variable].shape = shape_of(dims, count);
    model->changes++;
}

/* True when it reads one of the marked layers. */
static bool reads_marked(const struct layer *layer, const bool *marked)
{
    for (size_t i = 0; i < layer->input_count; i++) {
        if (layer->inputs[i] != MODEL_NO_LAYER && marked[layer->inputs[i]])
            return true;
    }
    return false;
}

int model_reader(const struct model *model, size_t layer, uint32_t kind)
{
    bool marked[LAYERS_MAX] = {false}; /* passes on what the layer says, position by position */
    bool graph = false;

    marked[layer] = true;
    for (size_t i = 0; i < model->layer_count; i++) {
        const struct layer *at = &model->layers[i];

        graph = graph || at->input_count > 0;
        if (i == layer || !reads_marked(at, marked))
            continue;
        if (at->kind == kind)
            return (int)i;
        marked[i] = at->kind == EMBMON_OTHER || at->kind == EMBMON_NORM;
    }
    return graph ? -1 : MODEL_NO_GRAPH;
}

void model_variable_dtype(struct model *model, size_t variable, uint32_t dtype)
{
    if (dtype == EMBMON_F16)
        model->layers[model->variables[variable].layer].half = true;
    model->changes++;
}

bool model_is_output(const struct model *model, size_t layer)
{
    for (size_t i = 0; i < model->layer_count; i++) {
        if (model->layers[i].is_read)
            return !model->layers[layer].is_read;
    }
    return layer + 1 == model->layer_count;
}

void model_reopen(struct model *model)
{
    for (size_t i = 0; i < model->layer_count; i++)
        model->layers[i].stale = true;
}

int model_scalar(struct model *model, const char *name)
{
    const char **scalars;
    size_t index = model->scalar_count;
    int known = names_find(model->by_scalar, name);

    if (known >= 0)
        return known;
    if (model->closed || index >= SCALARS_MAX)
        return MODEL_FULL;
    scalars = grown(model->scalars, index, &model->scalar_capacity, sizeof *scalars);
    if (!scalars)
        return MODEL_NO_MEMORY;
    model->scalars = scalars;
    scalars[index] = names_add(&model->by_scalar, name, index);
    if (!scalars[index])
        return MODEL_NO_MEMORY;
    model->scalar_count++;
    return (int)index;
}

const char *kind_name(uint32_t kind)
{
    static const char *const names[] = {"other", "embedding", "dense",     "recurrent",
                                        "conv",  "norm",      "attention", "concatenate",
                                        "merge", "pooling"};

    return kind < sizeof names / sizeof names[0] ? names[kind] : "other";
}
