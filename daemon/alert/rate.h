/* At most so many in any 60 seconds. Pure: no clock. */
#ifndef EMBMON_ALERT_RATE_H
#define EMBMON_ALERT_RATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RATE_MAX = 600, RATE_SPAN_MS = 60 * 1000 };

/* A zeroed one has seen nothing. */
struct rate {
    uint64_t at_ms[RATE_MAX]; /* the last ones, a ring of `most` */
    size_t count, next;
};

/* most: the same in all calls, 1 ... RATE_MAX. */
bool rate_allows(const struct rate *rate, size_t most, uint64_t now_ms);
void rate_take(struct rate *rate, size_t most, uint64_t now_ms);

#endif
