/* The ladder decides which windows a tag is recorded in, so that a run of any length costs a
 * bounded number of records and skips nothing.
 *
 * A window is one step long at first. Each time `limit` windows were recorded the stride doubles,
 * and a window then covers that many steps: limit x (1 + log2(steps / limit)) records in all. A
 * burst makes the next 64 steps windows of their own; the records of bursts never exceed the
 * ladder's own plus 64. Pure arithmetic: it counts steps and knows neither tags nor files. */
#ifndef EMBMON_DAEMON_LADDER_H
#define EMBMON_DAEMON_LADDER_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/carry.h"

enum { LADDER_HISTOGRAMS = 64, LADDER_SCALARS = 512, LADDER_BURST = 64 };

struct ladder {
    uint64_t stride;      /* steps of a window */
    uint64_t position;    /* steps since the last multiple of the stride */
    uint32_t since;       /* windows since the stride doubled */
    uint32_t limit;       /* windows until it doubles */
    uint32_t burst;       /* steps of the burst still to come */
    uint64_t own, bursts; /* records so far: of the ladder itself, and on top by bursts */
};

void ladder_init(struct ladder *ladder, uint32_t limit);

/* One more step is in the open window. True: close and record it now, this step being its label. */
bool ladder_step(struct ladder *ladder);

/* A burst begins with the next step. True: what is in the open window is to be recorded before it
 * (false when the budget of bursts is used up). window_open: the window holds a step. */
bool ladder_burst(struct ladder *ladder, bool window_open);

void ladder_carry(struct carry *c, struct ladder *ladder); /* over a restart */

#endif
