/* How often steps are sampled where the trainer leaves that to us: as often as what it adds to a
 * training step stays below a share of the step. What it adds is measured: a step that is sampled
 * and the one after it, which has what happens behind the call that ends a step and colder caches,
 * beside two others. So it counts what happens outside of the posting calls, too. Pure: the time is
 * an argument. Not for several threads at once.
 *
 * The first BUDGET_FIRST steps are all sampled: what is wrong from the start is to be named then.
 * Afterwards at most one of BUDGET_EVERY_MIN is, so that there is something to compare with. */
#ifndef EMBMON_CLIENT_BUDGET_H
#define EMBMON_CLIENT_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

enum {
    BUDGET_FIRST = 16,
    BUDGET_EVERY_MIN = 4,
    BUDGET_EVERY_MAX = 1024,
    BUDGET_EVERY_GUESSED = 32, /* at most, until there is a measurement */
    BUDGET_WINDOW = 100,       /* steps in any of which the share is kept */
    BUDGET_KEPT = 31,          /* measurements whose median counts */
    BUDGET_KNOWN = 3,          /* so many are enough to believe in it */
    BUDGET_OWN_KEPT = 5,       /* the first steps post whole tables, later ones do not */
};

struct budget_ring {
    double values[BUDGET_KEPT];
    uint32_t count, next, kept;
};

struct budget {
    double overhead; /* the share that may be added; 0: any */
    bool fixed;      /* measured only: somebody else says how often */
    uint32_t every;
    uint64_t steps;
    uint64_t last_ns;           /* the end of the step before; 0: there was none */
    struct budget_ring sampled; /* ns of the latest steps that were sampled, */
    struct budget_ring plain;   /* of those that were not, nor the one before them, */
    struct budget_ring added;   /* and what each one that was has added */
    double before;              /* ns of the step before, where it was sampled; else negative */
    struct budget_ring own;     /* ns within posting calls, of steps that were sampled, */
    double own_plain;           /* and of those that were not: mean of the latest */
    bool window[BUDGET_WINDOW]; /* which of the latest steps were sampled */
    uint32_t in_window;
};

/* overhead: 0.01 is 1 % of a step. fixed: every step that is a multiple of something else. */
void budget_open(struct budget *b, double overhead, bool fixed);

/* A training step is complete. own_ns: of it within posting calls, or what the trainer's side of
 * the monitor says it took. True: budget_overhead() has a new measurement. */
bool budget_step(struct budget *b, uint64_t now_ns, bool sampled, uint64_t own_ns);

/* Something else than training is done: its time is no step's. */
void budget_pause(struct budget *b);

/* Steps that are multiples of this are to be sampled: a power of two; 1 where that is fixed. */
uint32_t budget_every(const struct budget *b);

/* The share of a step that monitoring adds now; NaN: not measured yet. */
double budget_overhead(const struct budget *b);

#endif
