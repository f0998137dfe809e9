/* What an operation of a graph knows of itself, and what it does when the graph comes to it. For
 * tensorflow.c, which makes them, and operation.c alone. */
#ifndef EMBMON_CLIENT_OPERATION_H
#define EMBMON_CLIENT_OPERATION_H

#include "client/gate.h"
#include "client/tensorflow_api.h"
#include "proto/name.h"

struct operation {
    struct embmon_gate *gate;
    struct moved *moved; /* of the gate's, by the slot; or NULL */
    int target, signal;  /* EmbmonBefore: signals, 1 << each; EmbmonIds: 1 as fed */
    int64_t rows;        /* EmbmonTouched */
    char text[NAME_LAYER_MAX + 1];
};

/* TensorFlow has one registry for the process, and hands no context to who makes an operation. */
extern struct tensorflow_api tensorflow;

tensorflow_compute operation_post, operation_rows, operation_ids, operation_look, operation_scalar,
    operation_touched, operation_before, operation_after;

#endif
