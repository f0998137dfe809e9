/* What the trainer declared: layers and variables, one space of ids in the order of declaration.
 *
 * Declared from any thread without a lock, read by all: a target is filled, then published by its
 * place in the table of names; after that it never changes, but that a table may get its words.
 * Memory is reserved when the client is opened, once for targets, once for the bits of their rows
 * and once for their words; the pages in use appear by themselves.
 */
#ifndef EMBMON_CLIENT_MODEL_H
#define EMBMON_CLIENT_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/seen.h"
#include "client/vocabulary.h"
#include "embmon/embmon.h"
#include "proto/message.h"

enum { MODEL_TARGETS = LAYERS_MAX + VARIABLES_MAX };

struct target {
    _Atomic uint32_t state; /* of model.c */
    int32_t id, layer;      /* the same for a layer */
    int32_t kind, dtype, mask;
    bool trainable, sharded, tied;
    uint32_t rank, input_count;
    uint64_t rows, columns;
    int64_t padding_id;
    struct seen_rows *seen;                  /* NULL: rows looked up are not counted */
    _Atomic(struct vocabulary *) vocabulary; /* set once; NULL: ids have no words */
    int64_t shape[EMBMON_RANK_MAX];
    uint32_t inputs[EMBMON_INPUTS_MAX];
    char name[EMBMON_NAME_MAX + 1]; /* a layer's path, a variable's name */
    char activation[EMBMON_NAME_MAX + 1];
};

struct model; /* opaque */

/* NULL: out of memory. */
struct model *model_new(void);
void model_free(struct model *model);

/* Results as embmon_layer() and embmon_variable(). */
int model_add_layer(struct model *model, const struct embmon_layer_info *info);
int model_add_variable(struct model *model, int layer, const char *name, const int64_t *shape,
                       uint32_t rank, int dtype);

/* Results as embmon_vocabulary(). */
int model_set_vocabulary(struct model *model, int layer, const char *const *words, size_t count);

/* The target of this id, NULL where there is none. */
const struct target *model_target(const struct model *model, int id);

/* The id of the layer of this path, or -1. */
int model_find_layer(struct model *model, const char *path);

/* A Layers message in pieces: the targets from *cursor on that are declared, at most
 * MODEL_BATCH. Moves *cursor; false when there is nothing new. The arrays are the batch's, their
 * strings and lists borrowed from the model for good. */
enum { MODEL_BATCH = 64 };
struct model_batch {
    struct msg_layer layers[MODEL_BATCH];
    struct msg_variable variables[MODEL_BATCH];
};
bool model_batch(const struct model *model, uint32_t *cursor, struct model_batch *batch,
                 struct msg_layers *message);

/* An epoch begins: no row of any layer has been looked up in it. */
void model_new_epoch(struct model *model);

/* How many targets were begun; one of them may not be whole yet. */
uint32_t model_begun(const struct model *model);

#endif
