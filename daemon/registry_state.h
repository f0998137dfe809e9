/* What registry.c and registry_space.c share: the memory behind struct registry. */
#ifndef EMBMON_DAEMON_REGISTRY_STATE_H
#define EMBMON_DAEMON_REGISTRY_STATE_H

#include "daemon/census.h"
#include "daemon/registry.h"
#include "daemon/run_claim.h"
#include "daemon/syncer.h"
#include "proto/name.h"

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
    struct census *census;   /* of event files in the logdir */
    uint64_t fed;            /* bytes since the memory was looked at: see registry_fed() */
    uint64_t (*weigh)(void); /* NULL: what is used is what was last said */
    enum thrift thrift;
    const char *why;        /* something waits, static; NULL or "": nothing does */
    uint64_t written;       /* to event files, by runs that are not loaded any more */
    struct run_posts posts; /* and theirs */
    struct sinks *sinks;    /* borrowed; NULL: none */
};

/* What a new session's run is called: the newest of <wanted>, <wanted>-2, -3, ... that it took part
 * in before an embmond was killed, else the newest that it belongs to, else the first behind all
 * that are there. CLAIM_OTHERS: there is none of these. */
enum run_claim registry_name(struct registry *registry, const char *wanted,
                             const struct msg_hello *hello, struct moment now,
                             char name[NAME_RUN_MAX + 1]);

/* How many layers the run may have; a run_room_asker, context is the registry. */
struct run_room registry_room(void *context, const struct run *run);

#endif
