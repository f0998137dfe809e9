/* What the trainer says of detectors: thresholds, and layers they are to leave alone. It is sent on
 * every connection.
 *
 * Written from any thread without a lock: an entry is filled, then published at the end of the
 * list, where whoever published the same one meanwhile is found first; from then on only its value
 * changes.
 */
#ifndef EMBMON_CLIENT_THRESHOLDS_H
#define EMBMON_CLIENT_THRESHOLDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/message.h"

struct thresholds; /* opaque */

/* NULL: out of memory. */
struct thresholds *thresholds_new(void);
void thresholds_free(struct thresholds *t);

/* Results as embmon_threshold() and embmon_ignore(). */
int thresholds_set(struct thresholds *t, const char *detector, const char *layers, const char *key,
                   double value);
int thresholds_ignore(struct thresholds *t, const char *detector, const char *layers);

/* What one connection has been told; zeroed: nothing. */
struct thresholds_told {
    uint32_t revisions[RULES_MAX]; /* [place in the list]: the value that was sent */
};

/* A Layers message of the entries that are new to it or have another value, in the order they were
 * made, at most THRESHOLDS_BATCH; false when there is none. The arrays are the batch's, their
 * strings borrowed for good. batch->told is what is known when it
 * has been sent. */
enum { THRESHOLDS_BATCH = 64 };
struct thresholds_batch {
    struct msg_threshold thresholds[THRESHOLDS_BATCH];
    struct msg_ignore ignores[THRESHOLDS_BATCH];
    struct thresholds_told told; /* once it is sent */
};
bool thresholds_batch(struct thresholds *t, const struct thresholds_told *told,
                      struct thresholds_batch *batch, struct msg_layers *message);

#endif
