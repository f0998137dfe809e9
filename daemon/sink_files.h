/* Descriptors that sinks have open while they deliver: left for them, and no more taken. Pure. */
#ifndef EMBMON_DAEMON_SINK_FILES_H
#define EMBMON_DAEMON_SINK_FILES_H

#include <stddef.h>
#include <stdint.h>

#include "daemon/alert/sink_options.h"

/* Of one delivery, at most. */
size_t sink_files(const struct sink_options *options);

/* Of these sinks together, in a process that may have `files` (0: more than it needs): at most a
 * quarter of those, but what one delivery needs. */
size_t sink_files_all(const struct sink_options *options, size_t count, uint64_t files);

#endif
