/* What registry.c and registry_space.c share: the memory behind struct registry. */
#ifndef EMBMON_DAEMON_REGISTRY_STATE_H
#define EMBMON_DAEMON_REGISTRY_STATE_H

#include "daemon/census.h"
#include "daemon/registry.h"
#include "daemon/syncer.h"

struct registry {
    char *logdir;
    struct moment started, now;
    struct run **runs;
    size_t run_count, run_capacity;
    struct ceilings ceilings;
    const struct rules *rules; /* borrowed: the configuration file's, or NULL */
    struct syncer *syncer;
    struct registry_totals totals;
    struct registry_scratch scratch;
    struct registry_refusals refusals;
    struct usage usage;
    struct census *census; /* of event files in the logdir */
    enum thrift thrift;
    const char *why;        /* something waits, static; NULL or "": nothing does */
    uint64_t written;       /* to event files, by runs that are not loaded any more */
    struct run_posts posts; /* and theirs */
    struct sinks *sinks;    /* borrowed; NULL: none */
};

/* True when the whole process has as much memory as it may have. */
bool registry_crowded(const struct registry *registry);

/* How many layers the run may have; a run_room_asker, context is the registry. */
struct run_room registry_room(void *context, const struct run *run);

#endif
