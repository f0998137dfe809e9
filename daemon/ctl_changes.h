/* What has changed between two answers to the query watch: for who reads lines, not a screen. */
#ifndef EMBMON_DAEMON_CTL_CHANGES_H
#define EMBMON_DAEMON_CTL_CHANGES_H

#include <stdbool.h>
#include <stdio.h>

#include "daemon/ctl_watched.h"

/* One line for each alert that has another state or is another time's than before, oldest first.
 * before NULL: the first look, then those that are pending or fire. */
void changes_print(FILE *out, const struct watched *before, const struct watched *now);

/* True when anything but the time is different. */
bool changes_any(const struct watched *before, const struct watched *now);

#endif
