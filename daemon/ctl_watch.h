/* embmonctl watch: a run as it goes on, on a screen, or as lines where there is none. */
#ifndef EMBMON_DAEMON_CTL_WATCH_H
#define EMBMON_DAEMON_CTL_WATCH_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/address.h"
#include "proto/token.h"

struct ctl_watch {
    const struct address *addresses; /* tried in this order until one answers */
    size_t address_count;
    const struct token *token; /* see ctl_ask() */
    const char *run;           /* "": the daemon chooses */
    bool json;                 /* its answers as they are, one a line, whenever something changed */
};

/* Watches until it is told to end or the daemon is gone; while no run is loaded it waits for the
 * first. Uses the LC_CTYPE in force. Returns the exit status, with the reason
 * on stderr when that is not 0. */
int ctl_watch(const struct ctl_watch *options);

#endif
