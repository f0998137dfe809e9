/* What outbox.c and outbox_send.c share: the memory behind struct outbox. */
#ifndef EMBMON_ALERT_OUTBOX_STATE_H
#define EMBMON_ALERT_OUTBOX_STATE_H

#include <stdlib.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>
#include <utlist.h>

#include "daemon/alert/outbox.h"
#include "daemon/alert/rate.h"
#include "embmon/embmon.h"

/* A change that is kept. */
struct letter {
    struct alert_change *change; /* owned; NULL: no letter */
    double started;
};

/* One alert. While its newest state can be told at once there is at most `next`; `last` is there
 * when it was over before anybody could be told that it fires: a healthy receiver gets both. */
struct entry {
    UT_hash_handle hh;
    struct entry *before, *after; /* in the order of their newest changes */
    struct letter told, next, last;
    struct letter flying;       /* under way; empty with a ticket: `told` is, once more */
    uint32_t ticket;            /* of the batch under way, 0: none */
    uint64_t told_ms;           /* when `told` was told last */
    uint64_t fired_ms, over_ms; /* when it was told that it fires, and that it is over */
    bool fired, over;           /* it ever was */
    bool held;                  /* what waits is counted as held back */
    bool doubt;                 /* an attempt failed: nobody knows whether it arrived */
    uint32_t fired_severity;    /* the greatest told in the quiet time that runs from fired_ms */
    uint32_t believed;          /* bit per severity under which it may be taken to fire */
    char key[];
};

struct outbox {
    struct outbox_rules rules;
    struct entry *index; /* by key */
    struct entry *first; /* in order */
    uint32_t last_ticket;
    size_t flights;
    uint32_t failures; /* in a row */
    uint64_t retry_ms; /* not before, while failures > 0 */
    bool hurry;
    bool pooled; /* something was held back since the last telling */
    struct rate rate;
    struct outbox_counts counts;
};

static inline void letter_drop(struct letter *letter)
{
    free(letter->change);
    *letter = (struct letter){0};
}

/* `to` becomes what `from` was. */
static inline void letter_move(struct letter *to, struct letter *from)
{
    letter_drop(to);
    *to = *from;
    *from = (struct letter){0};
}

static inline bool is_firing(const struct letter *letter)
{
    return letter->change && letter->change->state == EMBMON_FIRING;
}

static inline bool is_over(const struct letter *letter)
{
    return letter->change && letter->change->state == EMBMON_RESOLVED;
}

static inline bool within(uint64_t now_ms, uint64_t since_ms, uint64_t span_ms)
{
    return now_ms < since_ms + span_ms;
}

/* True while the letter would be one too many in five minutes. */
bool outbox_holds(const struct outbox *outbox, const struct entry *entry,
                  const struct letter *letter, uint64_t now_ms);

void outbox_remove(struct outbox *outbox, struct entry *entry);

#endif
