/* Time is an argument: whoever reads a clock does it at the rim, once per event, and hands this on.
 */
#ifndef EMBMON_DAEMON_MOMENT_H
#define EMBMON_DAEMON_MOMENT_H

#include <stdint.h>

struct moment {
    uint64_t ms; /* monotonic milliseconds: intervals and deadlines */
    double wall; /* seconds since 1970, finite: stamps only */
};

/* Milliseconds since then; 0 when that is not past: two readings may come in either order. */
static inline uint64_t moment_since(struct moment now, uint64_t ms)
{
    return now.ms > ms ? now.ms - ms : 0;
}

/* Reads the clocks: for the rim alone. */
struct moment moment_now(void);

#endif
