/* What is used of each of the configuration's limits, as JSON for those who ask. */
#ifndef EMBMON_DAEMON_LIMITS_H
#define EMBMON_DAEMON_LIMITS_H

#include <jansson.h>

struct registry;

/* {"connections": {"used": 3, "limit": 1024, "refused": 0}, ...}; used is null for durations. NULL
 * when out of memory. */
json_t *limits_object(struct registry *registry);

#endif
