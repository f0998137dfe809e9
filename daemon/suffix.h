/* What runs are called whose name is taken: <wanted>-2, -3, ... Pure. */
#ifndef EMBMON_DAEMON_SUFFIX_H
#define EMBMON_DAEMON_SUFFIX_H

#include <stdbool.h>

#include "proto/name.h"

enum { SUFFIX_MAX = 999999 };

/* The wanted name for 1, <wanted>-2 for 2, ... False: there is no such name. */
bool suffix_name(const char *wanted, unsigned suffix, char name[NAME_RUN_MAX + 1]);

/* The last that is taken, such that the next one is not, or is no name; 0: none is. Asks taken() of
 * at most some forty names, however many there are: that looks at the disk, and others wait
 * meanwhile. So where names in between were taken away it need not be the first that is free. */
unsigned suffix_last(const char *wanted, bool (*taken)(void *context, const char *name),
                     void *context);

#endif
