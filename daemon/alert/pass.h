/* Layers that pass: about which nothing is up and of which no detector finds anything. Nearly all
 * do at nearly every step, and so without what a sick clause needs.
 *
 * Of a layer that has nothing for a detector to look at, no gradient or no ids, it says the same at
 * each step: what a clause looks at is in the detectors' table (enum trait), and it is asked again
 * only when the layer's traits are others than at the last step, the model was declared anew, or an
 * alert was up about the layer. */
#ifndef EMBMON_ALERT_PASS_H
#define EMBMON_ALERT_PASS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/baseline.h"
#include "daemon/measure.h"

struct alerts;

/* Of one phase; a zeroed one knows nothing. */
struct pass {
    struct pass_layer *layers; /* owned */
    size_t count;
    uint32_t any;     /* traits that are looked at in this step, of all layers together */
    uint64_t changes; /* the model's, when it was last looked at */
    bool early;       /* another step was judged early since the last one closed */
    bool plain;       /* every detector is always asked: what tests compare with */
};
void pass_free(struct pass *pass);

/* What a layer has in this step to look at: bits of enum trait. */
uint32_t pass_traits(const struct measures *m, const struct baseline *baseline, size_t layer);

/* A closed step is to be judged: what is there of each layer to look at. Without memory all is. It
 * has been judged. */
void pass_begin(struct pass *pass, const struct measures *m, const struct baseline *baseline);
void pass_end(struct pass *pass);

/* An open step is to be judged for non-finite values: what detectors of these say of it is not what
 * they say of the next step that closes. */
void pass_early(struct pass *pass);

/* The layer was judged by itself: at the next step all detectors are asked about it. */
void pass_forget(struct pass *pass, size_t layer);

/* Judges layers by a detector, with the limits' defaults, from this one on. Returns the first that
 * does not pass, or the number of layers. The step is the one that pass_begin() saw, or behind
 * pass_early() another one. */
size_t pass_layers(const struct alerts *alerts, const struct measures *m,
                   const struct baseline *baseline, size_t detector, size_t layer);

#endif
