/* A run: one training as the user sees it, of one or many ranks. Owns the model's layers, the open
 * steps, the detectors' memory, the alerts and the event files, and calls them in order:
 * sample -> step -> detect -> alert -> record. */
#ifndef EMBMON_DAEMON_RUN_H
#define EMBMON_DAEMON_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/alert/change.h"
#include "daemon/ceilings.h"
#include "daemon/detect/rules.h"
#include "daemon/model.h"
#include "daemon/moment.h"
#include "daemon/norms.h"
#include "daemon/thrift.h"
#include "embmon/embmon.h"
#include "proto/message.h"

struct run;        /* opaque */
struct run_member; /* one session's place in a run */

/* What a run tells a member; output goes to its session. */
struct run_member_events {
    void *context;
    void (*notice)(void *context, const struct alert_change *change);
    void (*wish)(void *context, uint32_t steps, const char *layer);
    void (*sampling)(void *context, uint32_t every); /* the run's `every` changed */
    void (*superseded)(void *context); /* the session is back on another connection: forget the
                                          member, this one is over */
    void (*kept)(void *context);       /* more of its posts are kept, or durable */
};

/* How many layers a run may have, what bounds that, and whose gauge a layer too many belongs to;
 * and how much memory there is for new ones, and where it is counted that there is none. */
struct run_room {
    size_t layers;
    const char *problem; /* a static sentence */
    struct gauge *gauge;
    uint64_t bytes;
    const char *no_bytes; /* a static sentence */
    struct gauge *memory;
};
typedef struct run_room run_room_asker(void *context, const struct run *run);

struct run_options {
    const char *logdir; /* borrowed for the call */
    const char *name;   /* the folder below it */
    const char *wanted; /* the name the first session wanted */
    const char *key;    /* of the launch, "" when none */
    uint32_t world_size;
    bool resume; /* the trainer resumes: SessionLog START, nothing learnt is kept */
    /* Told of every change of an alert, beside the log, alerts.jsonl and TensorBoard; may be NULL.
     */
    void (*listener)(void *context, const struct alert_change *change);
    struct usage *usage; /* where the alerts that are kept are counted; NULL: nowhere */
    /* Asked when a trainer declares layers; NULL: LAYERS_MAX. */
    run_room_asker *room;
    void *context;
};

/* Makes the folder, opens the event file, reads where an earlier writer stopped. NULL and *problem
 * (a static sentence) when that fails. */
struct run *run_open(const struct run_options *options, struct moment now, const char **problem);

/* What the configuration says of it, from the next step on. rules: the file's, borrowed; NULL:
 * none. Without this the defaults hold. */
void run_configure(struct run *run, const struct ceilings *ceilings, const struct rules *rules);

/* embmond ends and the trainers that are connected go on: all that is open stays open for the next
 * one. Call before their connections are closed. */
void run_suspend(struct run *run);

/* The trainers have gone for good: closes all steps, ends the alerts, records the open windows. The
 * run stays loaded and may go on. One that is suspended is left as it is. */
void run_end(struct run *run, struct moment now);

/* run_end(), or the windows of a suspended one, which stay open; then frees it. NULL is fine. */
void run_close(struct run *run, struct moment now);

/* ---- members */

/* True when this session took part before, whether it knows the run's name or not. */
bool run_knows(const struct run *run, const struct msg_hello *hello);

/* True when a new session of this Hello may join: see embmond(8), "Runs". */
bool run_admits(const struct run *run, const struct msg_hello *hello, struct moment now);

/* Joins; a session that was here before (same random id) gets its place back, also while its old
 * connection is not known to be lost yet. NULL: the rank is held by another session that is
 * connected, the world size differs, or out of memory. */
struct run_member *run_join(struct run *run, const struct msg_hello *hello, struct moment now);
void run_member_listen(struct run_member *member, const struct run_member_events *events);
struct run *run_member_run(const struct run_member *member);

/* The highest sequence number that is kept, for Welcome and Ack; and the highest that was merged or
 * refused, which will be. */
uint64_t run_member_kept(const struct run_member *member);
uint64_t run_member_taken(const struct run_member *member);
/* The highest that survives a power failure. */
uint64_t run_member_durable(const struct run_member *member);

/* Its posts that were refused, each with a Nack. */
uint64_t run_member_rejected(const struct run_member *member);

/* True while this rank is 8 closed-for-it steps ahead of the ranks that are waited for. */
bool run_member_paused(const struct run_member *member);

/* The connection is lost, or said goodbye: ends the member's open steps. The place stays. */
void run_member_leave(struct run_member *member, bool bye, struct moment now);

/* ---- what a member posts. 0 (merged), or a reason: late, unknown, limit, invalid. */
/* problem: a sentence, borrowed until the next call. */
enum nack_reason run_layers(struct run_member *member, const struct msg_layers *layers,
                            const char **problem);
enum nack_reason run_sample(struct run_member *member, const struct msg_sample *sample,
                            struct moment now);
enum nack_reason run_ids(struct run_member *member, const struct msg_ids *ids, struct moment now);
enum nack_reason run_shape(struct run_member *member, const struct msg_shape *shape,
                           struct moment now);
enum nack_reason run_scalar(struct run_member *member, const struct msg_scalar *scalar,
                            struct moment now);
enum nack_reason run_step_end(struct run_member *member, const struct msg_step_end *end,
                              struct moment now);
enum nack_reason run_epoch(struct run_member *member, const struct msg_epoch *epoch,
                           struct moment now);
/* Counts a numbered post that could not be read as rejected. */
void run_reject(struct run_member *member, uint64_t sequence);
void run_heartbeat(struct run_member *member, const struct msg_heartbeat *heartbeat,
                   struct moment now);

/* Closes the steps that are due, at least every 100 ms. */
void run_tick(struct run *run, struct moment now);
/* Writes a checkpoint, and then what is queued for the files, where something has changed: once a
 * second, and after a failure; where somebody waits for it after 100 ms. */
void run_flush(struct run *run, struct moment now);

/* The same at once, where posts wait to be kept: for a Bye. */
void run_keep(struct run *run, struct moment now);

/* The same of a new run, before its first member is told the name: whoever comes after a kill finds
 * whose the folder is. */
void run_keep_begun(struct run *run, struct moment now);

/* The same as soon as there is much to be written, or a member waits: after each message. */
void run_relieve_files(struct run *run, struct moment now);

/* Has what is kept reach the disk, twice a second at most and never two at a time; what has is
 * `durable`. Call after run_flush(). */
struct syncer;
void run_sync(struct run *run, struct syncer *syncer, struct moment now);

/* What of the windows is to wait for space. */
void run_set_thrift(struct run *run, enum thrift thrift);

/* Memory has run out: writes what is in its windows, as far as the disk takes it, and gives back
 * what they and steps to come hold. */
void run_relieve_memory(struct run *run, struct moment now);

/* Bytes that its layers and variables will take and do not yet: see model.h. */
uint64_t run_promised(const struct run *run);

/* True when no session is connected and none was heard for `idle_seconds`: may be closed. */
bool run_idle(const struct run *run, struct moment now);

/* ---- what is asked about it */

/* At every moment: produced = acked + rejected + dropped + in flight. Those in flight are on their
 * way, or in the memory of a trainer that may still send them. */
struct run_posts {
    uint64_t produced, acked, rejected, dropped, in_flight;
};

struct run_status {
    const char *name;
    bool live;      /* a session is connected */
    bool ended;     /* its trainers have gone for good, as far as is known */
    int64_t step;   /* last closed training step, -1: none */
    uint64_t steps; /* closed, all phases */
    size_t ranks;   /* that ever took part */
    uint32_t every; /* training steps that are multiples of it are sampled */
    size_t layers;
    size_t firing;                     /* alerts firing now */
    size_t alerts;                     /* kept, see run_alerts() */
    size_t fired[EMBMON_CRITICAL + 1]; /* alerts that ever fired, kept or not, by the highest
                                          severity they did with */
    bool loss_posted;                  /* in some training step */
    double loss;                       /* then of the last one that had it, may be NaN */
    uint64_t closed_ms;                /* when the last step closed; meaningless before one did */
    struct run_posts posts, here;      /* here: since this process has the run */
    uint64_t kept, durable;            /* of those acked: in a checkpoint, and on the disk */
    size_t bytes;                      /* memory held by open steps and windows */
    size_t bytes_pending;              /* wait for the disk */
    uint64_t bytes_written;            /* to event files */
    const char *write_error;           /* "" while the last write succeeded */
    const char *trouble, *advice;      /* which file that is about, and what to do; else "" */
    uint64_t deleted;                  /* posts acked whose files somebody has deleted */
    uint64_t file_bytes, files;        /* in the newest event file, and how many were begun */
    uint64_t write_failures;           /* so far */
};
void run_get_status(const struct run *run, struct run_status *status);

uint64_t run_next_step(const struct run *run); /* first training step that is not recorded yet */
uint32_t run_every(const struct run *run);     /* sampled steps are multiples of this */
const char *run_name(const struct run *run);
const struct model *run_model(const struct run *run);

/* The layer's gradient norm at its last step (-1: none yet, NaN: not finite) and its
 * worst alert state. */
void run_layer_status(const struct run *run, size_t layer, double *gradient_norm, uint32_t *state);

/* The detector whose alert is the layer's worst, "" while nothing is pending or firing. */
const char *run_layer_detector(const struct run *run, size_t layer);

/* The layer's last norms: see norms_recent(). */
size_t run_layer_norms(const struct run *run, size_t layer, size_t most, float to[NORMS_KEPT]);

/* Calls each(context, detector, reason) for every detector that is silent about the layer. */
void run_layer_silent(const struct run *run, size_t layer,
                      void (*each)(void *context, const char *detector, const char *reason),
                      void *context);

/* Calls each(context, newest change, ever_fired) for every alert of the run that is kept, oldest
 * first; or for every one that fires, kept or not. */
void run_alerts(const struct run *run,
                void (*each)(void *context, const struct alert_change *change, bool ever_fired),
                void *context);
void run_alerts_firing(const struct run *run,
                       void (*each)(void *context, const struct alert_change *change,
                                    bool ever_fired),
                       void *context);

/* What is not kept, by detector: see alerts_more(). */
void run_alerts_more(const struct run *run,
                     void (*each)(void *context, const struct alert_change *change, size_t count),
                     void *context);

#endif
