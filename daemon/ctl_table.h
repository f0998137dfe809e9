/* What embmonctl shows people: aligned columns of the daemon's JSON. */
#ifndef EMBMON_DAEMON_CTL_TABLE_H
#define EMBMON_DAEMON_CTL_TABLE_H

#include <jansson.h>
#include <stdio.h>

/* The answer to query ("status", "runs", "layers", "alerts"), an array of its objects. An empty one
 * gives a sentence, never a bare heading. */
void ctl_table_print(FILE *out, const char *query, json_t *objects);

#endif
