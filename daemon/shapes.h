/* Shapes as they were posted: of layers' inputs and outputs, of variables' gradients. A list holds
 * those of one layer, each once; a step has one for every layer that posted any, a run's memory one
 * with the newest of each phase. */
#ifndef EMBMON_DAEMON_SHAPES_H
#define EMBMON_DAEMON_SHAPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/carry.h"
#include "proto/message.h"

struct shape {
    int64_t dims[SHAPE_MAX]; /* with the batch; -1: not known, or varies */
    uint32_t count;
};

/* More dimensions than SHAPE_MAX are cut off. */
struct shape shape_of(const int64_t *dims, size_t count);
bool shape_equal(const struct shape *a, const struct shape *b);

/* "(32, 10, 64)", and "?" for what is not known. Returns to->text. */
struct shape_text {
    char text[SHAPE_MAX * 22 + 3];
};
const char *shape_text(struct shape_text *to, const struct shape *shape);

/* The posted shape `like` can take part in an element by element operation with the other: each
 * dimension, counted from the last, is equal, 1, or not known. As Keras does, a tensor of fewer
 * dimensions may also line up with the other's batch. */
bool shape_broadcasts(const struct shape *a, const struct shape *b);

/* The first axis but `but` in which both are known and differ, -1: none. Of equal dimensions. */
int shape_differs(const struct shape *a, const struct shape *b, int but);

struct posted_shape {
    uint32_t phase, role;
    uint32_t index, inputs; /* of an input: which of how many */
    int64_t axis;           /* of a concatenation */
    size_t variable;        /* of the model, for a gradient; else 0 */
    struct shape shape;
    uint64_t step;
    uint32_t rank;
    bool several; /* the layer is called more than once in a step, with different shapes */
};

enum { SHAPES_OF_LAYER_MAX = 1024 }; /* each that comes is compared with all of them */

struct shape_list {
    struct posted_shape *items; /* owned */
    size_t count, capacity;
};
void shape_list_free(struct shape_list *list);

/* The one of this phase, role, index and variable, NULL when there is none. */
const struct posted_shape *shape_list_find(const struct shape_list *list,
                                           const struct posted_shape *key);

/* Adds it, or puts it in the place of the one with the same key. A rank that posts two shapes in
 * one step for one key calls the layer more than once. False: there are SHAPES_OF_LAYER_MAX, or out
 * of memory. */
bool shape_list_put(struct shape_list *list, const struct posted_shape *posted);

/* The newest shapes of each layer. */
enum { SHAPES_KNOWN_MAX = 1 << 15 }; /* of all layers together: beyond it none is added */

struct shapes {
    struct shape_list *layers; /* owned */
    size_t layer_count;
    size_t known;
};
void shapes_free(struct shapes *shapes);
bool shapes_resize(struct shapes *shapes, size_t layers); /* false: out of memory */

/* Remembers what a step posted for a layer. Without room for it what is known stays as it was. */
void shapes_learn(struct shapes *shapes, size_t layer, const struct shape_list *posted);

/* What is known of a layer, and with one key; NULL when nothing is. */
const struct shape_list *shapes_known(const struct shapes *shapes, size_t layer);
const struct posted_shape *shapes_find(const struct shapes *shapes, size_t layer,
                                       const struct posted_shape *key);

/* Over a restart. A list is of a model with so many variables; all lists, with so many layers. */
void shape_carry(struct carry *c, struct shape *shape);
void shape_list_carry(struct carry *c, struct shape_list *list, size_t variables);
void shapes_carry(struct carry *c, struct shapes *shapes, size_t layers, size_t variables);

#endif
