/* What `embmond -- COMMAND` says at its end: per run, what was flagged. */
#ifndef EMBMON_DAEMON_REPORT_H
#define EMBMON_DAEMON_REPORT_H

#include <stdio.h>

struct registry;

void report_print(FILE *out, const struct registry *registry);

#endif
