/* The dashboard: a layout for TensorBoard's CUSTOM SCALARS page, made from the layers of a run.
 * Alerts first, then each embedding's gradient norm with its band and its thresholds and its
 * coverage, then the other layers' norms, folded. */
#ifndef EMBMON_TENSORBOARD_LAYOUT_H
#define EMBMON_TENSORBOARD_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LAYOUT_LAYERS_MAX = 128
}; /* charts beyond this many layers are left out: a page, not a list */

struct layout_layer {
    const char *path; /* borrowed */
    bool embedding;
};

/* The serialized layout of these layers, those that have gradients, in forward order. The caller
 * frees it; NULL when out of memory. */
uint8_t *layout_make(const struct layout_layer *layers, size_t count, size_t *length);

#endif
