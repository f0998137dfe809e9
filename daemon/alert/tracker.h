/* The hold of one clause: pending at the first sick step, firing when `hold` of the last 2 x hold
 * sampled steps were sick (1: at once). A pending clears after max(hold, 10) clear steps in a row,
 * a firing one after max(2 x hold, 10). Steps at which the detector is silent do not count. */
#ifndef EMBMON_ALERT_TRACKER_H
#define EMBMON_ALERT_TRACKER_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/carry.h"

enum { TRACKER_HOLD_MAX = 256, TRACKER_CLEAR_MIN = 10 };

struct tracker {
    uint64_t history[2 * TRACKER_HOLD_MAX / 64]; /* bit 0: the last step, 1: sick */
    uint32_t clear;                              /* clear steps in a row */
    uint32_t state;                              /* enum embmon_alert_state */
};

/* hold: 1 ... TRACKER_HOLD_MAX. hold_back: stay pending however often it was sick. */
void tracker_sick(struct tracker *t, uint32_t hold, bool hold_back);
void tracker_clear(struct tracker *t, uint32_t hold);
void tracker_reset(struct tracker *t);

void tracker_carry(struct carry *c, struct tracker *t); /* over a restart */

#endif
