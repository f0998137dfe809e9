/* The layers and variables of a run's model, in the order they were declared: forward order. Ranks
 * and reconnects declare them again; equal paths are one layer. */
#ifndef EMBMON_DAEMON_MODEL_H
#define EMBMON_DAEMON_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/message.h"

struct layer {
    char *path;
    char *activation; /* "" when unknown */
    uint32_t kind;    /* enum embmon_kind */
    bool trainable, sharded, has_padding;
    uint64_t rows, columns;
    int64_t padding_id;
    size_t table; /* index of the variable "" that posts with the layer's own id go to */
};

struct variable {
    size_t layer;
    char *name;  /* "" for what is posted with the layer's id */
    char *label; /* path, or path/name: as in tags */
    int64_t shape[SHAPE_MAX];
    size_t shape_length;
    uint32_t dtype;
};

struct model {
    struct layer *layers;
    size_t layer_count, layer_capacity;
    struct variable *variables; /* each layer's "" is made with it */
    size_t variable_count, variable_capacity;
};

void model_free(struct model *model);

enum { MODEL_FULL = -1, MODEL_CONFLICT = -2, MODEL_NO_MEMORY = -3 };

/* The index of the layer or variable, made when new; or one of the codes above (a layer of the same
 * path but another kind, rows or columns is a conflict). */
int model_layer(struct model *model, const struct msg_layer *layer);
int model_variable(struct model *model, size_t layer, const struct msg_variable *variable);

/* Index of the layer with this path, or -1. */
int model_find(const struct model *model, const char *path);

#endif
