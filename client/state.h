/* What the trainer's threads and the sender share: the inbox between them and the counters that
 * both move. All of it is lock-free; the rest of the client belongs to one side. */
#ifndef EMBMON_CLIENT_STATE_H
#define EMBMON_CLIENT_STATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/inbox.h"
#include "client/loans.h"
#include "client/model.h"
#include "client/notices.h"
#include "client/sampling.h"
#include "client/thresholds.h"
#include "proto/message.h"
#include "proto/name.h"

/* A post on its way: a message without its number, and the room its pointers lead to; or that of a
 * sample that is still to be made, and in its room a struct loan. */
struct record {
    struct message message;
    bool lent;
    uint64_t room[];
};

/* One post is one numbered frame is one count. Each is counted in `produced` before anything else
 * happens to it, and later in at most one of the others: what is in none of them is in flight. */
struct counters {
    _Atomic uint64_t produced;
    _Atomic uint64_t turned_away;              /* dropped by the caller: the inbox was full */
    _Atomic uint64_t acked, rejected, dropped; /* moved by the sender */
    _Atomic uint64_t skipped, reconnects, post_ns;
};

/* The first Welcome; written once, read when `welcomed` is set. */
struct welcome {
    char run[NAME_RUN_MAX + 1];
    uint64_t next_step;
};

struct state {
    struct inbox *inbox;
    struct model *model;
    struct thresholds *thresholds;
    struct notices *notices;
    struct sampling sampling;
    struct loans loans;
    struct counters counters;
    struct welcome welcome;
    _Atomic bool welcomed;  /* once, for ever */
    _Atomic bool connected; /* welcomed on the present connection */
    _Atomic bool closing;
    _Atomic int phase;           /* enum embmon_phase: of posts from now on */
    _Atomic int64_t close_by_ms; /* set before closing */
    _Atomic int socket;          /* -1: none */
};

/* A view of the counters in which the sum holds: what `produced` counts is read last, so that
 * nothing can be answered that was not produced. */
struct tallied {
    uint64_t produced, acked, rejected, dropped, in_flight;
};

static inline struct tallied state_counts(const struct state *state)
{
    const struct counters *c = &state->counters;
    struct tallied t;

    t.acked = atomic_load(&c->acked);
    t.rejected = atomic_load(&c->rejected);
    t.dropped = atomic_load(&c->dropped) + atomic_load(&c->turned_away);
    t.produced = atomic_load(&c->produced);
    t.in_flight = t.produced - t.acked - t.rejected - t.dropped;
    return t;
}

#endif
