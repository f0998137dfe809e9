/* What alert.c, judge.c and keep.c share: the memory behind struct alerts. */
#ifndef EMBMON_ALERT_SLOT_H
#define EMBMON_ALERT_SLOT_H

#include "daemon/alert/alert.h"
#include "daemon/alert/pass.h"
#include "daemon/alert/tracker.h"
#include "daemon/ceilings.h"
#include "daemon/step.h"
#include "embmon/embmon.h"

/* How hard it would be to do without an alert: what is over, by the severity it fired with, what is
 * pending, and what fires, by its severity. */
enum { ALERT_WEIGHTS = 8 };

/* One alert, made when it is first pending. Its strings live here. */
struct alert {
    struct alert_change change;   /* the newest; its pointers are into this struct and the model */
    size_t detector, place;       /* of its slot */
    struct alert *before, *after; /* in the order of coming up */
    struct alert *lighter, *heavier; /* those of its weight, in the order of getting it */
    uint64_t order;                  /* of its last change among all */
    uint32_t weight;
    bool weighed; /* it is in the list of its weight */
    char summary[FINDING_SUMMARY];
    char hint[FINDING_HINT];
    struct rank_list ranks;
};

/* What one detector holds against one layer. There is one for each detector, layer and phase, and
 * nearly all of them have nothing to hold against anybody. */
struct slot {
    struct tracker *clauses; /* owned: CLAUSES_MAX of them; NULL: none of them is up */
    union {
        struct alert *alert; /* owned, where it is kept: see keep.c */
        uint64_t fired_step; /* else the first sick step of the first time it fired */
    };
    const char *silent;  /* why it could not tell at the last step */
    uint64_t first_step; /* of the present trouble */
    uint64_t sight_step; /* 1 + the step at which it was last sick at first sight; 0: never */
    uint32_t variable;   /* what is up without an alert is about, 1 + its index; 0: none */
    bool kept;
    uint8_t state;
    uint8_t level_steps; /* sampled steps pending or firing at what may be a new level */
    /* As last told, and the highest it ever fired with; 0: never. */
    uint8_t severity : 4, fired_severity : 4;
};

struct alerts {
    const char *run;
    alert_listener *listener;
    void *context;
    struct slot *slots[STEP_PHASES]; /* [detector * places + place]; place 0: the model */
    size_t places;                   /* layers + 1 */
    struct pass passes[STEP_PHASES];
    const struct model *model;              /* borrowed: the run's, as last judged by */
    struct alert *first;                    /* owned: those kept, in the order of coming up */
    struct alert *by_weight[ALERT_WEIGHTS]; /* the same ones */
    struct alert spare;                     /* to tell of one that is not kept */
    size_t count, most;                     /* kept, and how many may be */
    uint64_t all_most;                      /* of all runs together */
    struct gauge own[2], *of_run, *of_all;  /* borrowed, or its own */
    bool left_out;                          /* something may be up, or fired, that is not kept */
    double time;                            /* of the last change */
    uint64_t orders;
    size_t ever_fired[EMBMON_CRITICAL + 1]; /* alerts, by the highest severity */
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

_Static_assert(sizeof(struct slot) <= 48, "there are thirty for each layer and phase");

/* Its alert, NULL when that is not kept or there never was one. */
static inline struct alert *slot_kept(const struct slot *slot)
{
    return slot->kept ? slot->alert : NULL;
}

/* The slot of an alert that is kept. */
static inline struct slot *alert_slot(const struct alerts *alerts, const struct alert *alert)
{
    return &alerts->slots[alert->change.phase - 1][alert->detector * alerts->places + alert->place];
}

/* The alert of a slot that comes up, made and kept where there is room for this weight; else
 * borrowed until the next call. */
uint32_t alert_weight(uint32_t state, uint32_t severity, uint32_t fired_severity);
struct alert *slot_alert(struct alerts *alerts, struct slot *slot, uint32_t phase, size_t detector,
                         size_t place, uint32_t weight);

/* The same of one that is up, however it came up. */
struct alert *slot_spoken(struct alerts *alerts, const struct slot *slot);

/* Makes and keeps one; NULL when out of memory. It is to be weighed, and again when its slot has
 * changed. */
struct alert *alert_keep(struct alerts *alerts, uint32_t phase, size_t detector, size_t place);
void alerts_weigh(struct alerts *alerts, struct alert *alert);

/* What the slot needs to know of an alert that it does not keep. */
void slot_note_variable(const struct alerts *alerts, struct slot *slot, const struct alert *alert);

/* Sets the state of a slot whose alert this is, and tells the listener. A firing one is told again
 * when its severity has risen. */
void slot_tell(struct alerts *alerts, struct slot *slot, struct alert *alert, uint32_t state,
               const char *reason, uint64_t step, struct moment now);

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
