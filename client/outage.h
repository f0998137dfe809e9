/* The one line that is said when the daemon is not there, and the one when it is again. */
#ifndef EMBMON_CLIENT_OUTAGE_H
#define EMBMON_CLIENT_OUTAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct outage {
    void (*log)(void *context, const char *line); /* NULL: standard error */
    void *context;
    bool said;  /* the present outage has been told */
    bool known; /* the daemon has been there before */
};

/* The daemon cannot be reached, or was lost: told once per outage. where: the address, or
 * all that were tried. */
void outage_begins(struct outage *outage, const char *where, const char *reason);

/* The daemon has welcomed us. Silent where no outage was told. */
void outage_ends(struct outage *outage, const char *where, const char *run, uint64_t dropped);

/* One line, whatever the outage: the daemon refuses, and says why. */
void outage_refused(struct outage *outage, const char *where, const char *detail);

#endif
