/* How an attempt to deliver went: what the sinks' transports say to sinks.c. */
#ifndef EMBMON_DAEMON_DELIVERY_H
#define EMBMON_DAEMON_DELIVERY_H

#include <stdint.h>

#include "daemon/alert/outbox.h"

struct delivery {
    uint32_t ticket; /* of the batch */
    enum outbox_outcome outcome;
    uint32_t kind;     /* of the error: one line in the log for each kind of an exec sink */
    const char *error; /* what went wrong, "" where nothing did; borrowed for the call */
};

typedef void delivery_done(void *context, const struct delivery *delivery);

#endif
