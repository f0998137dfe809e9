/* What `embmond -- COMMAND` says at its end: per run, what was flagged, the most severe first, and
 * how many more there are. */
#ifndef EMBMON_DAEMON_REPORT_H
#define EMBMON_DAEMON_REPORT_H

#include <stdio.h>

struct registry;

enum { REPORT_ALERTS = 50 }; /* said of a run */

void report_print(FILE *out, const struct registry *registry);

#endif
