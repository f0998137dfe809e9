/* What run.c and run_*.c share: the memory behind struct run. */
#ifndef EMBMON_DAEMON_RUN_STATE_H
#define EMBMON_DAEMON_RUN_STATE_H

#include "daemon/alert/alert.h"
#include "daemon/alert/alert_log.h"
#include "daemon/alert/jsonl.h"
#include "daemon/baseline.h"
#include "daemon/detect/rules.h"
#include "daemon/measure.h"
#include "daemon/member.h"
#include "daemon/norms.h"
#include "daemon/pace.h"
#include "daemon/run.h"
#include "daemon/step.h"
#include "daemon/syncer.h"
#include "daemon/tensorboard/record.h"

enum {
    COMPLAINTS_MAX = 16,         /* different lines about what trainers declared */
    MEMBERS_MAX = 4 * RANKS_MAX, /* sessions, resumed ones included; then the oldest go */
    TROUBLE_MAX = 1024,
};

struct run {
    char *name, *wanted, *key, *logdir;
    uint32_t world_size;
    uint32_t every; /* sampled steps are multiples of this */
    struct model model;
    struct run_member **members;
    size_t member_count, member_capacity;
    struct steps *steps;
    struct baseline baseline;
    struct measures measures;
    struct rules rules;
    struct norms norms; /* of the last training steps, for those who look */
    double loss;        /* of the last training step that had one; may be NaN */
    bool loss_posted;
    struct pace pace;     /* of training */
    uint64_t closed_ms;   /* when the last step closed */
    uint64_t byte_budget; /* of open steps and windows */
    uint64_t idle_ms;     /* without a word until it may be closed */
    uint64_t file_bytes;  /* of an event file until the next one is begun */
    struct alerts *alerts;
    struct record *record;
    struct jsonl *jsonl;
    struct alert_log *log;
    alert_listener *listener; /* or NULL */
    run_room_asker *room;     /* or NULL */
    void *listener_context;   /* of both */
    uint64_t steps_closed;
    uint64_t heard_ms;    /* of any session */
    uint64_t now_ms;      /* the time, to 100 ms */
    uint64_t wished_step; /* when members were last asked for every step */
    bool wishing;
    bool phases[STEP_PHASES]; /* that have begun: see run_may_begin() */
    bool ended;               /* run_end() was called, and nobody has joined since */
    bool suspended;           /* its trainers will find it again: see run_suspend() */
    bool begun;               /* it has been kept, by this process or an earlier one */
    bool awaited; /* as that says: somebody was connected when it was made, and may come back */
    uint64_t acked, rejected;
    char refused[RULES_SENTENCE];        /* of the last Layers message, for its Nack */
    uint32_t complaints[COMPLAINTS_MAX]; /* hashes of what was logged */
    size_t complaint_count;
    /* what is kept: run_keep.c */
    uint64_t changes, kept_changes; /* counted up; as in the last checkpoint */
    uint64_t kept_events;           /* queued for the event file, as in it */
    uint64_t kept_acked;            /* acked, as in it */
    uint64_t kept_ms;               /* when the last one was tried; 0: never */
    uint64_t shown_ms;              /* when its file was last made to look new */
    bool hurry;                     /* somebody waits for the next */
    int write_error;                /* as last logged */
    char trouble[TROUBLE_MAX];      /* what that was about, or the last error of a sync */
    uint64_t write_failures;
    uint64_t deleted_acked; /* posts acked whose files somebody has deleted */
    uint64_t retry_ms;      /* after a failure: when to write again */
    /* what is on the disk: run_sync.c */
    struct syncer *syncer; /* borrowed */
    struct sync *sync;     /* under way, or NULL */
    bool settling; /* what an earlier process has written is not known to be on the disk: nothing
                      that stands on it is written before */
    bool settled;  /* one has been done: what was there before is synced */
    uint64_t synced_ms;                    /* when it was begun, or the last one was */
    uint64_t synced;                       /* kept_changes, as in it */
    uint64_t syncing_acked, durable_acked; /* kept_acked, as in it, and as in the last that was */
    struct event_file_mark syncing_mark;   /* how far the event files were written, as in it */
    int sync_error;                        /* as last logged */
};

/* False: steps of this phase cannot begin, for there is no memory for what their layers take. It is
 * promised otherwise. */
bool run_may_begin(struct run *run, uint32_t phase);

/* What becomes of a numbered post: the reason it is refused for, counted for the member and the
 * run. Returns the reason. */
enum nack_reason run_reason(enum steps_result result);
enum nack_reason run_count(struct run_member *member, uint64_t sequence, enum nack_reason reason);

/* A post of this phase has come: the trainer is not stalled, or training is not its turn. False: it
 * cannot be taken, see run_may_begin(). */
bool run_take_pace(struct run *run, uint32_t phase, struct moment now);

/* Whoever posts to step after step without ending any is held to what may be open right away. */
void run_relieve(struct run *run, struct moment now);

/* Whoever is not connected is not waited for any more: what is in its memory is lost, and shown as
 * that until it comes after all. */
void run_give_up(struct run_member *member);

/* Judges and closes the steps that are due; force: all of them. */
void run_process(struct run *run, struct moment now, bool force);

/* Frees it as it is. */
void run_destroy(struct run *run);

/* What an alert's change sets off; context: the run. */
void run_on_change(void *context, const struct alert_change *change);

/* A session is connected. */
bool run_is_live(const struct run *run);

/* All that is to be found again after a restart, in one direction or the other; and its beginning,
 * which says whose the run is. run_carry_head() needs of the run its name alone. */
void run_carry(struct carry *c, struct run *run, struct moment now);
void run_carry_head(struct carry *c, struct run *run, struct moment now);
void run_free_head(struct run *run);

/* Somebody has deleted its files; then: opens new ones, for what comes. Returns 0 or an errno. */
bool run_files_deleted(const struct run *run);
int run_open_files_again(struct run *run);

/* Something cannot be done to a file of the run: keeps and logs a sentence about it. */
void run_trouble(struct run *run, const char *what, const char *name, int error, const char *often);

/* Writes a checkpoint, of which nobody is told. Returns 0 or an errno. */
int run_write_checkpoint(struct run *run, struct moment now);

/* Writes a checkpoint, and what is queued for the files, now. */
void run_write(struct run *run, struct moment now);

/* True while the disk has refused to sync what was written. */
bool run_sync_refused(const struct run *run);

/* Gives up what is under way. */
void run_sync_forget(struct run *run);

/* Takes up what an earlier process has kept in the file. *found: there is something. NULL, or a
 * sentence on why it cannot be used, run_no_memory where that may pass; the run is then good for
 * nothing but run_destroy(). */
extern const char run_no_memory[];
const char *run_take_up(struct run *run, const char *name, struct moment now, bool *found);

#endif
