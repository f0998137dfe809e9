/* What one sink is still owed. Delivery is by state: for each alert what its receiver was told last
 * and what it is to be told next, not a queue of all that happened. So a receiver that is down
 * costs a bounded table, and gets the state of things when it is back. Pure: no clock, no socket.
 *
 *     outbox_put() ─▶ [ told | next ] for each alert ─▶ outbox_take() ─▶ outbox_settle()
 *
 * A change is told once. An alert that flaps is told at most once in five minutes that it fires
 * (once more when it became more severe) and once that it is over; what happened in between is
 * folded into its newest state, which is never lost. Where there would be more tellings in a minute
 * than the rules allow, they wait, and are told together, the most severe first. Pending is
 * nobody's business here. */
#ifndef EMBMON_ALERT_OUTBOX_H
#define EMBMON_ALERT_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/alert/change.h"

struct outbox; /* opaque */

enum {
    OUTBOX_ALERTS_MAX = 2048,      /* alerts a sink keeps */
    OUTBOX_BATCH_MAX = 64,         /* alerts told at once */
    OUTBOX_QUIET_MS = 300 * 1000,  /* between two tellings of the same kind about one alert */
    OUTBOX_RETAIN_MS = 900 * 1000, /* how long "it is over" is repeated, where tellings are */
    OUTBOX_BACKOFF_MS = 1000,      /* after the first failure; doubles */
    OUTBOX_BACKOFF_MAX_MS = 30000,
};

struct outbox_rules {
    uint32_t severity;  /* least severity that is told: enum embmon_severity */
    uint32_t resend_ms; /* what fires is told again so often; 0: never */
    size_t capacity;    /* alerts kept, at most OUTBOX_ALERTS_MAX */
    size_t batch;       /* alerts told at once, at most OUTBOX_BATCH_MAX */
    size_t flights;     /* batches under way at once */
    bool one_group;     /* the alerts of a batch share run and detector, unless it is pooled */
    uint32_t a_minute;  /* batches in any 60 s, at most RATE_MAX; 0: as many as there are */
    uint32_t seed;      /* of the back-off's jitter: two daemons shall not knock at once */
};

struct outbox_item {
    const struct alert_change *change; /* borrowed until the batch is settled */
    double started;                    /* when it began to fire, seconds since 1970 */
    uint32_t also; /* bit per severity under which the receiver may still take it to fire */
    bool again;    /* it was told before */
};

struct outbox_batch {
    uint32_t ticket; /* for outbox_settle() */
    bool pooled;     /* it was held back: what is in it need not be of one group */
    size_t more;     /* alerts whose newest state is not in it and not told yet */
    size_t count;
    struct outbox_item items[OUTBOX_BATCH_MAX];
};

enum outbox_outcome {
    OUTBOX_DELIVERED,
    OUTBOX_FAILED,  /* to be tried again after a while */
    OUTBOX_REFUSED, /* the receiver will never take it: counted as dropped */
};

struct outbox_counts {
    uint64_t delivered; /* changes; repetitions are not counted */
    uint64_t failed;    /* attempts */
    uint64_t dropped;   /* changes nobody will be told of */
    uint64_t held;      /* that had to wait because there were too many tellings in a minute */
    size_t waiting;     /* alerts whose newest state is not told yet */
};

struct outbox *outbox_new(const struct outbox_rules *rules); /* NULL when out of memory */
void outbox_free(struct outbox *outbox);

/* Takes an alert's change; it is copied. */
void outbox_put(struct outbox *outbox, const struct alert_change *change, uint64_t now_ms);

/* What is due now, oldest change first; false: nothing is. The batch is under way until
 * outbox_settle(). */
bool outbox_take(struct outbox *outbox, uint64_t now_ms, struct outbox_batch *batch);
void outbox_settle(struct outbox *outbox, uint32_t ticket, enum outbox_outcome outcome,
                   uint64_t now_ms);

/* The daemon ends: what waits is due at once, and what fails now is dropped. */
void outbox_hurry(struct outbox *outbox);

/* True when nothing waits and nothing is under way. */
bool outbox_idle(const struct outbox *outbox);

/* Failures in a row; 0: the last attempt was taken. */
uint32_t outbox_failures(const struct outbox *outbox);
void outbox_count(const struct outbox *outbox, struct outbox_counts *counts);

#endif
