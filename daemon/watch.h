/* What embmonctl watch is told of a run: one object with all that it draws. Asked every second, so
 * what it costs is bounded. */
#ifndef EMBMON_DAEMON_WATCH_H
#define EMBMON_DAEMON_WATCH_H

#include <jansson.h>

#include "daemon/moment.h"
#include "daemon/run.h"

enum {
    WATCH_ALERTS_MAX = 64,    /* what fires before what is pending before what is over, the newest
                                 of each first */
    WATCH_NORMS_MAX = 1 << 14 /* norms of all layers together: of many layers fewer each */
};

/* The object (embmonctl(1) lists its fields). New reference, NULL when out of memory. */
json_t *watch_object(const struct run *run, struct moment now);

#endif
