/* A member: one session's place in a run, which outlives its connections. Maps the ids that this
 * session chose to the run's layers and variables, and counts its posts. */
#ifndef EMBMON_DAEMON_MEMBER_H
#define EMBMON_DAEMON_MEMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/carry.h"
#include "daemon/model.h"
#include "daemon/run.h"

struct member_target {
    int32_t layer;    /* index + 1 of the run's layer this id is; 0: it is none */
    int32_t variable; /* index + 1 of the variable that posts with this id go to; 0: not declared */
};

/* Ids are the trainer's to choose: one that is far from the others costs a page. */
enum {
    TARGETS_PAGE = 256,
    TARGETS_PAGES = (LAYERS_MAX + VARIABLES_MAX) / TARGETS_PAGE,
};

struct run_member {
    struct run *run;
    uint8_t session[SESSION_BYTES];
    uint32_t rank;
    uint32_t every;
    bool live;      /* connected */
    bool bye;       /* said goodbye: will not come back */
    uint32_t phase; /* that it posts to now, as it said last; 0: it does not say */
    uint64_t heard_ms;
    uint64_t taken;            /* highest sequence number merged or refused */
    uint64_t kept;             /* and of those in the last checkpoint */
    uint64_t syncing, durable; /* and in the one that is being synced, and the last that was */
    uint64_t acked, rejected, dropped; /* its posts; dropped: as it says itself */
    uint64_t
        produced;  /* as it said last, but for those that are known to an earlier embmond alone */
    bool given_up; /* nobody waits for it any more: what has not come is lost, too */
    struct {
        uint64_t acked, rejected, dropped;
    } before; /* these counts when this process took them up */
    struct run_member_events events;
    struct member_target
        *targets[TARGETS_PAGES]; /* [id / TARGETS_PAGE][id % TARGETS_PAGE]; owned */
};

/* Takes out the oldest that nobody waits for and whose rank a later one has, too; what it has
 * posted counts as another's. False: there is none, nothing has changed. */
bool members_forget(struct run_member **members, size_t *count);

/* It posts to training now, as far as it says. */
bool member_trains(const struct run_member *member);

void member_free(struct run_member *member);

/* What its heartbeat says of its posts. */
void member_says(struct run_member *member, const struct msg_heartbeat *heartbeat);

/* At every moment its posts are: produced = acked + rejected + lost + in flight, those in flight
 * being on their way or in its memory; of one that is given up these are lost. */
uint64_t member_produced(const struct run_member *member);
uint64_t member_lost(const struct run_member *member);
uint64_t member_in_flight(const struct run_member *member);

/* Sets what an id means. False: out of memory, or the id is above its ceiling. */
bool member_map(struct run_member *member, uint32_t id, struct member_target target);

/* What an id means; zeroed when it was not declared on this connection. */
struct member_target member_target(const struct run_member *member, uint32_t id);

/* Forgets all ids and gives back their memory: a new connection declares them again. */
void member_unmap(struct run_member *member);

/* Takes a Layers message into the model. 0, or the first reason one of its layers or variables is
 * refused for, with *problem; the others are taken, and the id of a refused one means nothing. */
enum nack_reason member_layers(struct run_member *member, struct model *model,
                               const struct msg_layers *layers, const char **problem);

/* Over a restart: the place without its connection. */
void member_carry(struct carry *c, struct run_member *member, uint32_t world_size);

#endif
