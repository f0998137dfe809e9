/* The one line that is said when the daemon is not there, and the one when it is again. A daemon
 * that comes and goes for ever fills nobody's log: beyond 16 lines there is one a minute. */
#ifndef EMBMON_CLIENT_OUTAGE_H
#define EMBMON_CLIENT_OUTAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { OUTAGE_LINES = 16, OUTAGE_LINE_MS = 60 * 1000 };

struct outage {
    void (*log)(void *context, const char *line); /* NULL: standard error */
    void *context;
    bool said;         /* the present outage has been told */
    bool known;        /* the daemon has been there before */
    int64_t lines_ms;  /* when all lines that were said are paid for, at one a minute */
    uint64_t left_out; /* lines, since the last one that was said */
};

/* The daemon cannot be reached, or was lost: told once per outage. where: the address, or
 * all that were tried. */
void outage_begins(struct outage *outage, int64_t now_ms, const char *where, const char *reason);

/* The daemon has welcomed us. Silent where no outage was told. */
void outage_ends(struct outage *outage, int64_t now_ms, const char *where, const char *run,
                 uint64_t dropped);

/* One line, whatever the outage: the daemon refuses, and says why. */
void outage_refused(struct outage *outage, int64_t now_ms, const char *where, const char *detail);

#endif
