/* The runs that are loaded, by name: which session joins which run, and what a run is called.
 * Counts what happened to every post. Also what embmonctl asks about. */
#ifndef EMBMON_DAEMON_REGISTRY_H
#define EMBMON_DAEMON_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/ceilings.h"
#include "daemon/log.h"
#include "daemon/moment.h"
#include "daemon/run.h"
#include "daemon/sinks.h"
#include "proto/frame.h"
#include "proto/message.h"

struct registry; /* opaque */

/* Messages longer than that, inflated, are long; so much may be done for those of all peers in one
 * turn of the loop, in layers that are looked at (session.c): at least one. */
enum { LIGHT_MESSAGE_MAX = 256 << 10, HEAVY_A_TURN = 8192 };

/* What sessions read and write their messages with: one message at a time, so one for all. */
struct registry_scratch {
    struct message_decoder *decoder;
    struct frame_codec inflater,
        deflater; /* what one inflated may be borrowed while another deflates */
    /* What may still be done for long messages in this turn; SIZE_MAX: nobody counts. Who has sent
     * one waits, once it is used up. */
    size_t heavy_left;
};

/* Who is turned away before it joined a run can come as often as it likes: each reason is worth a
 * line now and then. */
enum { REFUSALS_KEPT = 32 };
struct registry_refusals {
    const char *reasons[REFUSALS_KEPT]; /* static sentences; the last place is for all others */
    struct log_seldom seldom[REFUSALS_KEPT];
};

struct registry_totals {
    size_t sessions;         /* welcomed and connected */
    uint64_t invalid_frames; /* frames that ended a connection */
    uint64_t unknown_frames; /* frames of a type we do not know, skipped */
    uint64_t failed_proofs;  /* connections over tcp without the token */
};

/* logdir: made by the caller, borrowed. NULL when out of memory. */
struct registry *registry_new(const char *logdir, struct moment now);

/* What the configuration says, of the runs that are loaded, from their next step on, and of those
 * to come. rules: the file's, borrowed until the next call; NULL: none. */
void registry_configure(struct registry *registry, const struct ceilings *ceilings,
                        const struct rules *rules);

/* embmond ends and trainers go on: see run_suspend(). */
void registry_suspend(struct registry *registry);

/* Flushes and closes all runs. */
void registry_free(struct registry *registry, struct moment now);

/* Finds or makes the run a Hello asks for and joins it. NULL and *problem (static sentence) when
 * that cannot be. */
struct run_member *registry_join(struct registry *registry, const struct msg_hello *hello,
                                 struct moment now, const char **problem);

/* Closes what is due, flushes, unloads runs that were idle for too long. Call at least every 100 ms
 * while sessions are open. */
void registry_tick(struct registry *registry, struct moment now);

/* Keeps what is due, writes what is queued for the files, and has it synced: see run_flush(). */
void registry_flush(struct registry *registry);

/* Keeps at once what members have posted, and tells them. */
void registry_keep(struct registry *registry, struct moment now);

/* Unloads the run that has ended first; false: there is none. */
bool registry_unload_ended(struct registry *registry, struct moment now);

/* Once a second: what is there and what was written says which windows are to wait. */
void registry_save_space(struct registry *registry, struct space space);

/* Ends all runs that are not suspended: their last steps and alerts are told of now. */
void registry_end(struct registry *registry, struct moment now);

/* Alerts of all runs go to these sinks; borrowed until NULL is set. */
void registry_set_sinks(struct registry *registry, struct sinks *sinks);
struct sinks *registry_sinks(const struct registry *registry);

/* sinks_configure(); new sinks are told what fires. */
bool registry_configure_sinks(struct registry *registry, const struct sink_options *options,
                              size_t count, const char *tensorboard_url,
                              char problem[SINKS_PROBLEM_MAX]);

/* Loaded runs in the order they were loaded. */
size_t registry_runs(const struct registry *registry);
struct run *registry_run(const struct registry *registry, size_t index);
struct run *registry_find(const struct registry *registry, const char *name);

/* What became of all posts since the start, over all runs. */
struct run_posts registry_posts(const struct registry *registry);

struct registry_totals *registry_totals(struct registry *registry);
struct registry_scratch *registry_scratch(struct registry *registry);
struct registry_refusals *registry_refusals(struct registry *registry);

/* Bytes that new runs and layers may still take, what is promised to others taken away. Looks at
 * the memory where it can. */
uint64_t registry_left(struct registry *registry);

/* Where more memory is used than there is, what the run that holds most has collected is written
 * early.
 */
void registry_relieve(struct registry *registry, struct moment now);

/* So many bytes have come from peers: after some MiB of them the memory is looked at again. */
void registry_fed(struct registry *registry, size_t n);

/* Whom to ask how much memory the process has, whenever that is to be known at once: more may have
 * come since usage said so last. */
void registry_set_scale(struct registry *registry, uint64_t (*weigh)(void));

/* What holds at present, and what is used of it; the rim counts connections and their bytes. */
const struct ceilings *registry_ceilings(const struct registry *registry);
struct usage *registry_usage(struct registry *registry);

const char *registry_logdir(const struct registry *registry);
/* Why something is to wait for space, and what to do about it; "" where nothing is. */
const char *registry_thrift(const struct registry *registry);
struct moment registry_started(const struct registry *registry);

#endif
