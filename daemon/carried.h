/* The values both ends of the wire share, as they are kept over a restart (carry.h): proto/ knows
 * nothing of the daemon. A summary that was
 * loaded is as sound as one that a peer may send, or the load fails; ids that were added up over
 * ranks need not be, and are only numbers. */
#ifndef EMBMON_DAEMON_CARRIED_H
#define EMBMON_DAEMON_CARRIED_H

#include "daemon/carry.h"
#include "proto/ids.h"
#include "proto/summary.h"

/* Loading: into an empty one. */
void summary_carry(struct carry *c, struct summary *s);
void ids_stats_carry(struct carry *c, struct ids_stats *s);

#endif
