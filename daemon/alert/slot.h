/* What alert.c and judge.c share: the memory behind struct alerts. */
#ifndef EMBMON_ALERT_SLOT_H
#define EMBMON_ALERT_SLOT_H

#include "daemon/alert/alert.h"
#include "daemon/alert/pass.h"
#include "daemon/alert/tracker.h"
#include "daemon/step.h"
#include "embmon/embmon.h"

/* One alert, made when it is first pending. Its strings live here. */
struct alert {
    struct alert_change change; /* the newest; its pointers are into this struct and the model */
    bool ever_fired;
    char summary[FINDING_SUMMARY];
    char hint[FINDING_HINT];
    struct rank_list ranks;
};

/* What one detector holds against one layer. There is one for each detector, layer and phase, and
 * nearly all of them have nothing to hold against anybody. */
struct slot {
    struct tracker *clauses; /* owned: CLAUSES_MAX of them; NULL: none of them is up */
    struct alert *alert;     /* owned; NULL while it never came up */
    const char *silent;      /* why it could not tell at the last step */
    uint64_t first_step;     /* of the present trouble */
    uint64_t sight_step;     /* 1 + the step at which it was last sick at first sight; 0: never */
    uint32_t state;
    uint32_t level_steps; /* sampled steps pending or firing at what may be a new level */
};

struct alerts {
    const char *run;
    alert_listener *listener;
    void *context;
    struct slot *slots[STEP_PHASES]; /* [detector * places + place]; place 0: the model */
    size_t places;                   /* layers + 1 */
    struct pass passes[STEP_PHASES];
    struct alert **all; /* borrowed from the slots, in order of coming up */
    size_t count, capacity;
    uint64_t fired;
    size_t firing;
    size_t active; /* pending or firing */
};

/* The slot of a layer, or of the model with DETECT_MODEL. The phase's slots must be there. */
static inline struct slot *slot_of(const struct alerts *alerts, uint32_t phase, size_t detector,
                                   size_t layer)
{
    size_t place = layer == DETECT_MODEL ? 0 : layer + 1;

    return &alerts->slots[phase - 1][detector * alerts->places + place];
}

/* The state of one of its clauses. */
static inline uint32_t slot_clause(const struct slot *slot, size_t clause)
{
    return slot->clauses ? slot->clauses[clause].state : EMBMON_RESOLVED;
}

/* Its clauses, made when the first comes up; NULL when out of memory. Gives them back once none is
 * up, or all at once. */
struct tracker *slot_need_clauses(struct slot *slot);
void slot_settle(struct slot *slot);
void slot_reset(struct slot *slot);

/* Slots for so many layers in this phase and in all that were seen before, which keep what is in
 * them; false: out of memory, and nothing has changed. */
bool slots_make_room(struct alerts *alerts, uint32_t phase, size_t layers);

/* The alert of a slot, made when it first comes up; NULL when out of memory. */
struct alert *slot_alert(struct alerts *alerts, struct slot *slot, size_t detector, uint32_t phase,
                         const char *layer);

/* Sets the state of a slot that has an alert, and tells the listener. A firing one is told again
 * when its severity has risen. */
void slot_tell(struct alerts *alerts, struct slot *slot, uint32_t state, const char *reason,
               uint64_t step, struct moment now);

/* The baseline is learnt anew: what was compared with the old one counts no more. Resolves the
 * alert, unless a clause that compares with something else keeps it up. */
void slot_new_level(struct alerts *alerts, struct slot *slot, size_t detector, uint64_t step,
                    struct moment now);

/* What the alert was about is over; its sentence stays and says so besides. */
void slot_resolve(struct alerts *alerts, struct slot *slot, const char *reason, uint64_t step,
                  struct moment now);
/* Nobody looks any longer, and nothing got better. why: "the run was closed". */
void slot_close(struct alerts *alerts, struct slot *slot, const char *why, uint64_t step,
                struct moment now);

#endif
