/* Which posts are wanted. The daemon says how often (Welcome's every), the budget (budget.h) asks
 * for fewer, and the daemon for more while an alert is pending (Wish); all take effect at the next
 * end of a training step, so that all posts of a step agree. No locks: posts read, the sender
 * writes what is asked, embmon_step() decides. What cannot wait is urged. */
#ifndef EMBMON_CLIENT_SAMPLING_H
#define EMBMON_CLIENT_SAMPLING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "embmon/embmon.h"

enum { SAMPLING_WISHES = 64, SAMPLING_PHASES = 4, SAMPLING_NO_LAYER = -1 };
enum { SAMPLING_URGED = 8, SAMPLING_REST = 248 };

/* What a wish asks for is beyond what the trainer was told to give, and whoever answers at the
 * daemon's address may ask for it for ever. So wished steps are paid for: there are 512 to begin
 * with, enough for any alert, and one more for every four steps that the trainer's own `every`
 * samples. */
enum { SAMPLING_WISHED_AT_ONCE = 512, SAMPLING_WISHED_ONE_OF = 4 };

struct sampling_wish {
    uint32_t steps;
    int32_t layer; /* id, or SAMPLING_NO_LAYER */
};

struct sampling {
    _Atomic uint32_t asked;    /* every, as the daemon last said it */
    _Atomic uint32_t own;      /* the same as the options or the budget say it */
    _Atomic uint32_t every;    /* in force at the current step */
    _Atomic bool wished;       /* a wish is in force at the current step */
    _Atomic uint64_t index;    /* training steps ended */
    _Atomic uint64_t wish_end; /* a wish is in force while index < wish_end */
    _Atomic uint64_t urge_end; /* what a step shows is wanted while index is below */
    _Atomic uint64_t *ends;    /* owned: the same per layer */
    uint64_t credit;           /* for wished steps; of who is deciding */
    uint32_t layers;           /* places in ends */
    _Atomic uint64_t current[SAMPLING_PHASES]; /* the step that comes next, per phase */
    atomic_flag deciding;                      /* one thread takes wishes */
    struct sampling_wish wishes[SAMPLING_WISHES];
    _Atomic uint32_t given, taken; /* wishes written by the sender, read by embmon_step() */
};

/* every: of the options, 0 for 1; rounded up to a power of two. False: out of memory. */
bool sampling_open(struct sampling *s, uint32_t every, uint32_t layers);
void sampling_close(struct sampling *s);

/* 0 stays 0, else the next power of two, at most EVERY_MAX. */
uint32_t sampling_round(uint32_t every);

/* How often this client itself would have it: no daemon makes it more often. */
void sampling_own(struct sampling *s, uint32_t every);

/* What the daemon says, kept until the next decision. False: too many wishes wait. */
void sampling_ask(struct sampling *s, uint32_t every);
bool sampling_wish(struct sampling *s, uint32_t steps, int32_t layer);

/* From now on, for SAMPLING_URGED training steps: gradients, activations, ids and scalars of all
 * layers. Once in so many and SAMPLING_REST more. */
void sampling_urge(struct sampling *s);

/* Puts into force what was asked; done at open and at each end of a training step. */
void sampling_decide(struct sampling *s);

/* Is this signal (0: a scalar, a step's end) of this layer (SAMPLING_NO_LAYER: none) wanted at
 * this step? */
bool sampling_wanted(const struct sampling *s, int32_t layer, int signal, uint64_t step);

/* Step `step` of the phase is complete. */
void sampling_step(struct sampling *s, enum embmon_phase phase, uint64_t step);

/* The step that posts of the phase belong to now, as far as known. */
uint64_t sampling_current(const struct sampling *s, enum embmon_phase phase);

#endif
