#include "client/model.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "proto/message_check.h"
#include "proto/name.h"

/* DEAD: another thread declared the same name at the same moment and was first. */
enum state { EMPTY = 0, READY = 1, DEAD = 2 };

enum { PLACES = 1 << 16, NO_LAYER = -1 };

struct model {
    _Atomic uint32_t layers, variables, targets; /* taken so far */
    _Atomic uint32_t places[PLACES];             /* by name: id + 1, or 0 */
    struct seen seen;
    struct vocabularies vocabularies;
    struct target entries[MODEL_TARGETS];
};

struct model *model_new(void)
{
    struct model *model = mmap(NULL, sizeof *model, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (model == MAP_FAILED)
        return NULL;
    seen_open(&model->seen); /* without it rows that were looked up are not counted */
    vocabularies_open(&model->vocabularies); /* without it ids have no words */
    return model;
}

void model_free(struct model *model)
{
    if (!model)
        return;
    vocabularies_close(&model->vocabularies);
    seen_close(&model->seen);
    munmap(model, sizeof *model);
}

/* ---- names --------------------------------------------------------------------------------------
 */

/* FNV-1a over the name, started by the layer it belongs to. */
static uint32_t hash_of(int32_t layer, const char *name)
{
    uint32_t hash = 2166136261u ^ (uint32_t)layer * 0x9e3779b9u;

    for (; *name; name++)
        hash = (hash ^ (uint8_t)*name) * 16777619u;
    return hash ^ hash >> 16;
}

/* A layer's name belongs to NO_LAYER, a variable's to its layer. */
static bool has_name(const struct target *t, int32_t layer, const char *name)
{
    int32_t owner = t->id == t->layer ? NO_LAYER : t->layer;

    return owner == layer && strcmp(t->name, name) == 0;
}

/* The place that has this name, or the free one where it belongs. */
static uint32_t place_of(const struct model *model, int32_t layer, const char *name, uint32_t *held)
{
    uint32_t at = hash_of(layer, name) & (PLACES - 1);

    for (;; at = (at + 1) & (PLACES - 1)) {
        *held = atomic_load(&model->places[at]);
        if (*held == 0 || has_name(&model->entries[*held - 1], layer, name))
            return at;
    }
}

/* What has a place is filled: whoever finds it before its maker says READY says it for him. */
static const struct target *find(struct model *model, int32_t layer, const char *name)
{
    uint32_t held;

    place_of(model, layer, name, &held);
    if (!held)
        return NULL;
    atomic_store(&model->entries[held - 1].state, READY);
    return &model->entries[held - 1];
}

/* Takes one of `limit`; the count never passes it. */
static bool take_one(_Atomic uint32_t *count, uint32_t limit)
{
    uint32_t now = atomic_load(count);

    while (now < limit)
        if (atomic_compare_exchange_weak(count, &now, now + 1))
            return true;
    return false;
}

/* Publishes a filled entry under its name; returns the one that has the name now. */
static const struct target *publish(struct model *model, struct target *entry)
{
    int32_t owner = entry->id == entry->layer ? NO_LAYER : entry->layer;

    for (;;) {
        uint32_t held, at = place_of(model, owner, entry->name, &held);

        if (held) {
            atomic_store(&entry->state, DEAD);
            return find(model, owner, entry->name);
        }
        if (atomic_compare_exchange_strong(&model->places[at], &held, (uint32_t)entry->id + 1)) {
            atomic_store(&entry->state, READY);
            return entry;
        }
    }
}

/* ---- declaring
 * ------------------------------------------------------------------------------------ */

static bool is_shape(const int64_t *shape, uint32_t rank)
{
    if (rank > EMBMON_RANK_MAX || (rank > 0 && !shape))
        return false;
    for (uint32_t i = 0; i < rank; i++)
        if (shape[i] < -1)
            return false;
    return true;
}

static void copy_shape(struct target *t, const int64_t *shape, uint32_t rank)
{
    t->rank = rank;
    for (uint32_t i = 0; i < rank; i++)
        t->shape[i] = shape[i];
}

static int check_layer(const struct model *model, const struct embmon_layer_info *info)
{
    if (!info->path || !name_is_path(info->path))
        return EMBMON_ENAME;
    if (info->activation) {
        size_t n = strnlen(info->activation, EMBMON_NAME_MAX + 1);

        if (n > EMBMON_NAME_MAX || !name_is_text(info->activation, n))
            return EMBMON_ENAME;
    }
    if (info->kind < EMBMON_OTHER || info->kind > EMBMON_POOLING || info->dtype < 0 ||
        info->dtype > EMBMON_I64 || info->mask < EMBMON_MASK_UNKNOWN ||
        info->mask > EMBMON_MASK_MISSED || info->rows > STEP_MAX || info->columns > STEP_MAX)
        return EMBMON_EINVAL;
    if (!is_shape(info->shape, info->rank))
        return EMBMON_EINVAL;
    if (info->input_count > EMBMON_INPUTS_MAX || (info->input_count > 0 && !info->inputs))
        return EMBMON_EINVAL;
    for (uint32_t i = 0; i < info->input_count; i++) {
        const struct target *input = model_target(model, info->inputs[i]);

        if (!input || input->layer != input->id)
            return EMBMON_EINVAL;
    }
    return 0;
}

static void fill_layer(struct target *t, const struct embmon_layer_info *info)
{
    t->layer = t->id;
    t->kind = info->kind;
    t->dtype = info->dtype;
    t->trainable = info->trainable != 0;
    t->sharded = info->sharded != 0;
    t->tied = info->tied != 0;
    t->mask = info->mask;
    t->rows = info->rows;
    t->columns = info->columns;
    t->padding_id = info->padding_id;
    t->input_count = info->input_count;
    for (uint32_t i = 0; i < info->input_count; i++)
        t->inputs[i] = (uint32_t)info->inputs[i];
    copy_shape(t, info->shape, info->rank);
    strncpy(t->name, info->path, EMBMON_NAME_MAX);
    if (info->activation)
        strncpy(t->activation, info->activation, EMBMON_NAME_MAX);
}

static int same_layer(const struct target *t, const struct embmon_layer_info *info)
{
    bool same = t->kind == info->kind && t->rows == info->rows && t->columns == info->columns;

    return same ? t->id : EMBMON_EEXISTS;
}

int model_add_layer(struct model *model, const struct embmon_layer_info *info)
{
    int problem = check_layer(model, info);
    const struct target *old;
    struct target *entry;
    uint32_t id;

    if (problem)
        return problem;
    old = find(model, NO_LAYER, info->path);
    if (old)
        return same_layer(old, info);
    if (!take_one(&model->layers, LAYERS_MAX))
        return EMBMON_ELIMIT;
    id = atomic_fetch_add(&model->targets, 1);
    entry = &model->entries[id];
    entry->id = (int32_t)id;
    fill_layer(entry, info);
    entry->seen = seen_reserve(&model->seen, info->rows); /* lost where another thread is first */
    return same_layer(publish(model, entry), info);
}

static int same_variable(const struct target *t, const int64_t *shape, uint32_t rank, int dtype)
{
    bool same = t->rank == rank && t->dtype == dtype;

    for (uint32_t i = 0; same && i < rank; i++)
        same = t->shape[i] == shape[i];
    return same ? t->id : EMBMON_EEXISTS;
}

int model_add_variable(struct model *model, int layer, const char *name, const int64_t *shape,
                       uint32_t rank, int dtype)
{
    const struct target *owner = model_target(model, layer), *old;
    struct target *entry;
    uint32_t id;

    if (!owner || owner->layer != owner->id)
        return EMBMON_EUNKNOWN;
    if (!name_is_path(name))
        return EMBMON_ENAME;
    if (!is_shape(shape, rank))
        return EMBMON_EINVAL;
    if (dtype < 0 || dtype > EMBMON_I64)
        return EMBMON_EDTYPE;
    old = find(model, layer, name);
    if (old)
        return same_variable(old, shape, rank, dtype);
    if (!take_one(&model->variables, VARIABLES_MAX))
        return EMBMON_ELIMIT;
    id = atomic_fetch_add(&model->targets, 1);
    entry = &model->entries[id];
    entry->id = (int32_t)id;
    entry->layer = layer;
    entry->padding_id = EMBMON_NO_PADDING;
    entry->dtype = dtype;
    copy_shape(entry, shape, rank);
    strncpy(entry->name, name, EMBMON_NAME_MAX);
    return same_variable(publish(model, entry), shape, rank, dtype);
}

int model_set_vocabulary(struct model *model, int layer, const char *const *words, size_t count)
{
    const struct target *found = model_target(model, layer);
    struct vocabulary *made, *none = NULL;

    if (!found || found->layer != found->id)
        return EMBMON_EUNKNOWN;
    if (count > 0 && !words)
        return EMBMON_EINVAL;
    if (atomic_load(&found->vocabulary))
        return EMBMON_EEXISTS;
    made = vocabulary_add(&model->vocabularies, words, count);
    if (!made)
        return EMBMON_ELIMIT;
    return atomic_compare_exchange_strong(&model->entries[layer].vocabulary, &none, made)
               ? 0
               : EMBMON_EEXISTS; /* another thread was first */
}

/* ---- reading
 * --------------------------------------------------------------------------------------- */

const struct target *model_target(const struct model *model, int id)
{
    if (id < 0 || id >= MODEL_TARGETS || atomic_load(&model->entries[id].state) != READY)
        return NULL;
    return &model->entries[id];
}

int model_find_layer(struct model *model, const char *path)
{
    const struct target *t = find(model, NO_LAYER, path);

    return t ? t->id : -1;
}

static void show_layer(const struct target *t, struct msg_layer *layer)
{
    *layer = (struct msg_layer){
        .id = (uint32_t)t->id,
        .path = t->name,
        .kind = (uint32_t)t->kind,
        .activation = t->activation,
        .trainable = t->trainable,
        .sharded = t->sharded,
        .tied = t->tied,
        .has_padding = t->padding_id != EMBMON_NO_PADDING,
        .rows = t->rows,
        .columns = t->columns,
        .padding_id = t->padding_id == EMBMON_NO_PADDING ? 0 : t->padding_id,
        .inputs = t->inputs,
        .input_count = t->input_count,
        .shape = t->shape,
        .shape_length = t->rank,
        .dtype = (uint32_t)t->dtype,
        .mask = (uint32_t)t->mask,
    };
}

static void show_variable(const struct target *t, struct msg_variable *variable)
{
    *variable = (struct msg_variable){
        .id = (uint32_t)t->id,
        .layer = (uint32_t)t->layer,
        .name = t->name,
        .shape = t->shape,
        .shape_length = t->rank,
        .dtype = (uint32_t)t->dtype,
    };
}

/* Stops at a target that is being filled: it is not posted to before it is published. */
bool model_batch(const struct model *model, uint32_t *cursor, struct model_batch *batch,
                 struct msg_layers *message)
{
    *message = (struct msg_layers){.layers = batch->layers, .variables = batch->variables};
    while (*cursor < MODEL_TARGETS &&
           message->layer_count + message->variable_count < MODEL_BATCH) {
        const struct target *t = &model->entries[*cursor];
        uint32_t state = atomic_load(&t->state);

        if (state == EMPTY)
            break;
        ++*cursor;
        if (state == DEAD)
            continue;
        if (t->layer == t->id)
            show_layer(t, &batch->layers[message->layer_count++]);
        else
            show_variable(t, &batch->variables[message->variable_count++]);
    }
    return message->layer_count + message->variable_count > 0;
}

void model_new_epoch(struct model *model)
{
    uint32_t begun = model_begun(model);

    for (uint32_t id = 0; id < begun; id++) {
        const struct target *t = model_target(model, (int)id);

        if (t && t->seen)
            seen_clear(t->seen);
    }
}

uint32_t model_begun(const struct model *model)
{
    uint32_t begun = atomic_load(&model->targets);

    return begun < MODEL_TARGETS ? begun : MODEL_TARGETS;
}
