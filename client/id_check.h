/* Is anything wrong with a tensor of ids? A quick look, for steps that are not sampled: their ids
 * are posted only then. */
#ifndef EMBMON_CLIENT_ID_CHECK_H
#define EMBMON_CLIENT_ID_CHECK_H

#include "client/id_stats.h"

/* An id is no row of the table, or a value is no whole number or one that its dtype cannot tell
 * from its neighbours: what id_stats_take() would count as negative, beyond, fractional, inexact.
 */
bool id_check_wrong(const struct id_batch *batch);

#endif
