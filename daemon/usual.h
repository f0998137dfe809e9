/* What is usual of a share or a count: the last 25 values and their median. A share has no decades,
 * so unlike a norm's baseline (baseline.h) it is kept as it is.
 *
 * The median follows what it is given within 13 steps. Where that would be too fast there is the
 * level: the median of the first 25, which then falls with the median and rises by at most 0.0005 a
 * step, so that it cannot follow a share which creeps up over hundreds of steps. */
#ifndef EMBMON_DAEMON_USUAL_H
#define EMBMON_DAEMON_USUAL_H

#include <stdint.h>

#include "daemon/carry.h"

enum { USUAL_VALUES = 25, USUAL_MEDIAN_MIN = 10 };

/* A zeroed one has seen nothing. */
struct usual {
    double values[USUAL_VALUES]; /* the last ones, a ring */
    uint8_t order[USUAL_VALUES]; /* their places, by value: each step asks for the median */
    uint32_t count, next;
    double level; /* once count == USUAL_VALUES */
};

void usual_add(struct usual *usual, double value); /* ignores what is not finite */

double usual_median(const struct usual *usual); /* of the last 25; NaN until there are 10 */
double usual_level(const struct usual *usual);  /* NaN until there were 25 */

void usual_carry(struct carry *c, struct usual *usual); /* over a restart */

#endif
