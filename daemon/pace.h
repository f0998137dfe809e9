/* How fast a training goes, and since when it is silent: what trainer_stalled compares. Time is an
 * argument. */
#ifndef EMBMON_DAEMON_PACE_H
#define EMBMON_DAEMON_PACE_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/carry.h"
#include "daemon/moment.h"

enum { PACE_STEPS = 25 };

/* A zeroed one knows nothing. */
struct pace {
    double seconds[PACE_STEPS]; /* a step took, of the last ones that closed */
    uint32_t count, next;
    bool training;      /* a training post came since training began, or began again */
    uint64_t posted_ms; /* then: when the last one did */
    bool closed;        /* a training step closed since then */
    uint64_t closed_ms; /* then: when the last one did */
    uint64_t last_step; /* and its number */
};

/* A sample, a scalar or a step's end came in training. */
void pace_post(struct pace *pace, struct moment now);

/* A training step closed. Steps that are not sampled take their share of the time. */
void pace_step(struct pace *pace, uint64_t number, struct moment now);

/* It is another phase's turn: what time that takes, and the step after it, is none of training's.
 */
void pace_pause(struct pace *pace);

/* Seconds a step takes, the median of the last 25; NaN until two have closed one after the other.
 */
double pace_step_seconds(const struct pace *pace);

/* Seconds without a training post that one would have come in, when each `every`th step is sampled;
 * NaN when it is not training's turn, or nothing is known of its steps. */
double pace_silence(const struct pace *pace, uint32_t every, struct moment now);

/* Over a restart: how long steps take; what time the restart takes is none of training's. */
void pace_carry(struct carry *c, struct pace *pace);

#endif
