/* The layers, variables and scalars of a run, in the order they were declared: forward order. Ranks
 * and reconnects declare them again; equal names are one thing. Indices never change. */
#ifndef EMBMON_DAEMON_MODEL_H
#define EMBMON_DAEMON_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/carry.h"
#include "daemon/shapes.h"
#include "daemon/words.h"
#include "proto/message.h"

struct layer {
    const char *path;
    char *activation; /* "" when unknown */
    uint32_t kind;    /* enum embmon_kind */
    uint32_t mask;    /* enum embmon_mask */
    bool trainable, sharded, tied, has_padding;
    bool is_read; /* another layer has named it as an input */
    bool half;    /* its output or a variable is f16 */
    bool stale;   /* declared by a trainer that has gone: the next one may say otherwise */
    uint64_t rows, columns;
    int64_t padding_id;
    size_t *inputs; /* owned: indices of the layers it reads; MODEL_NO_LAYER: of an unknown one */
    size_t input_count;
    struct shape shape;  /* of its output, as declared; of 0 dimensions when unknown */
    struct words *words; /* owned: of its ids; NULL: none is known */
    size_t table;        /* index of the variable "": what is posted with the layer's own id */
};

struct variable {
    size_t layer;
    const char *label;  /* path, or path/name: as in tags */
    const char *name;   /* the part of label after the path; "" for the layer's own */
    struct shape shape; /* as declared; of 0 dimensions when unknown */
};

#define MODEL_NO_LAYER SIZE_MAX

/* Scalars the detectors know have fixed indices. */
enum { SCALAR_LOSS = 0, SCALAR_LEARNING_RATE, SCALAR_BATCH_SIZE, SCALARS_KNOWN };
enum { SCALARS_MAX = 256 };

struct model {
    struct layer *layers;
    size_t layer_count, layer_capacity;
    struct variable *variables; /* each layer's own is made with it */
    size_t variable_count, variable_capacity;
    const char **scalars;
    size_t scalar_count, scalar_capacity;
    size_t most;    /* layers it may have, at most LAYERS_MAX */
    uint64_t room;  /* bytes that new layers and variables may take, as below */
    size_t refused; /* layers that were one too many, also those declared again and again */
    size_t starved; /* the same of layers and variables that there was no room for */
    bool closed;    /* takes nothing new: what is declared already is still found */
    uint64_t
        changes; /* of what is said of layers and variables: what follows from it may be kept */
    struct model_name *by_path, *by_label, *by_scalar; /* hash tables that own the strings */
};

/* A zeroed model is empty; false when out of memory. */
bool model_init(struct model *model);
void model_clear(struct model *model);

/* What is reserved for a layer without its variables, and for a variable (each layer has its own),
 * when they are declared: what they take in the whole run once all signals were posted in a step of
 * training, with names of usual length and narrow histograms. Steps of another phase take PHASE
 * more, a layer. tests/unit/test_run_room.c measures all three. */
enum { MODEL_LAYER_BYTES = 5760, MODEL_VARIABLE_BYTES = 5888, MODEL_PHASE_BYTES = 4 << 10 };

enum { MODEL_FULL = -1, MODEL_CONFLICT = -2, MODEL_NO_MEMORY = -3 };

/* The index of the layer, variable or scalar, made when new; or one of the codes above. A layer of
 * the same path but another kind, rows or columns is a conflict. */
int model_layer(struct model *model, const struct msg_layer *layer);
int model_variable(struct model *model, size_t layer, const char *name);
void model_variable_dtype(struct model *model, size_t variable, uint32_t dtype);
int model_scalar(struct model *model, const char *name);

/* Sets which layers a layer reads, at most INPUTS_MAX of them; MODEL_NO_LAYER: one that was not
 * declared. False: out of memory, nothing has changed. */
bool model_inputs(struct model *model, size_t layer, const size_t *inputs, size_t count);

/* Sets the shape a variable was declared with. */
void model_shape(struct model *model, size_t variable, const int64_t *dims, size_t count);

/* The first layer of this kind, in forward order, that reads this one: itself, or through layers
 * that change no position (of kind other or norm). -1: none; MODEL_NO_GRAPH: nobody has declared
 * what reads what. */
enum { MODEL_NO_GRAPH = -2 };
int model_reader(const struct model *model, size_t layer, uint32_t kind);

/* The trainers have gone: those that come next may declare a layer with another kind or size. */
void model_reopen(struct model *model);

/* Nobody reads the layer: the last declared one where no layer has named its inputs. */
bool model_is_output(const struct model *model, size_t layer);
/* What a kind (enum embmon_kind) is called: "embedding", "dense", ... */
const char *kind_name(uint32_t kind);

/* Index of the layer with this path, or -1. */
int model_find(const struct model *model, const char *path);

/* Over a restart; loading: into an initialised one. */
void model_carry(struct carry *c, struct model *model);

#endif
