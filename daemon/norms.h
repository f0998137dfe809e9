/* The latest gradient norms of each layer, for those who look between steps: the newest as it is,
 * the last 64 in the precision of a drawing. Bounded: under 300 bytes a layer. */
#ifndef EMBMON_DAEMON_NORMS_H
#define EMBMON_DAEMON_NORMS_H

#include <stddef.h>

#include "daemon/carry.h"
#include "daemon/measure.h"

enum { NORMS_KEPT = 64 };

/* A zeroed one is empty. */
struct norms {
    struct layer_norms *layers; /* owned */
    size_t count;
};

void norms_free(struct norms *norms);

/* Takes in the norms of a step; a layer without a gradient in it keeps what it has. Out of memory:
 * the layers there is no room for are left out until the next step. */
void norms_add(struct norms *norms, const struct measures *m);

/* The newest norm of a layer; -1: none yet, NaN: its gradient was not finite. */
double norms_last(const struct norms *norms, size_t layer);

/* The last norms, oldest first, NaN as above; returns how many: at most `most` and NORMS_KEPT. */
size_t norms_recent(const struct norms *norms, size_t layer, size_t most, float to[NORMS_KEPT]);

/* Over a restart; of at most so many layers. */
void norms_carry(struct carry *c, struct norms *norms, size_t layers);

#endif
