/* How much may still be written: where space runs out, windows of histograms wait first, then those
 * of scalars, and go on collecting meanwhile: they become wider, and nothing is lost. Alerts and
 * checkpoints never wait. */
#ifndef EMBMON_DAEMON_THRIFT_H
#define EMBMON_DAEMON_THRIFT_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/ceilings.h"

enum thrift {
    THRIFT_NONE,
    THRIFT_HISTOGRAMS, /* these wait */
    THRIFT_SCALARS,    /* and these, too */
};

struct space {
    uint64_t size, free; /* of the logdir's file system, for us; size 0: not known */
    uint64_t logdir;     /* event files take in it, of old runs, too */
    uint64_t pending;    /* wait for the disk */
};

/* Looks at the file system of the folder; what is not known is left 0. */
void thrift_look(const char *folder, struct space *space);

/* What is to wait. Keeps the gauges of the three limits; *why: a static sentence that says what to
 * do, "" where nothing is to wait. */
enum thrift thrift_of(const struct space *space, const struct ceilings *ceilings,
                      struct usage *usage, const char **why);

#endif
