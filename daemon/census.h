/* How much the event files in the logdir take, those of runs that ended long ago included. Counted
 * by a thread of its own, at the start and now and then: somebody may move old runs away, and a
 * logdir may be large, or lie on a disk that does not answer. */
#ifndef EMBMON_DAEMON_CENSUS_H
#define EMBMON_DAEMON_CENSUS_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/moment.h"

struct census; /* opaque */

/* NULL: out of memory. */
struct census *census_new(const char *logdir);

/* A count that is under way is given up. NULL is fine. */
void census_free(struct census *census);

/* Begins a count where it is time, and takes in the one that is done. soon: somebody waits for
 * space to be made. written: bytes that this process has written to event files since its start.
 * Call once a second. */
void census_look(struct census *census, struct moment now, bool soon, uint64_t written);

/* What the event files take: as counted last, and what was written since. */
uint64_t census_bytes(const struct census *census, uint64_t written);

/* Counts that are done. */
uint64_t census_count(const struct census *census);

#endif
