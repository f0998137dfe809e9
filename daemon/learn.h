/* What the baselines take in of a training step once it has been judged: what is usual. */
#ifndef EMBMON_DAEMON_LEARN_H
#define EMBMON_DAEMON_LEARN_H

#include "daemon/alert/alert.h"
#include "daemon/baseline.h"
#include "daemon/measure.h"

/* Steps of other phases teach nothing; nor do short batches, values that are not finite, and what
 * an alert is up about: that is not usual. */
void learn_step(struct baseline *baseline, const struct measures *m, const struct alerts *alerts);

#endif
