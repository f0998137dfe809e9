/* The folder of a run below the logdir: <logdir>/<run>/embmon. Names were checked before
 * (proto/name.h); still a symbolic link below the logdir is never followed (daemon/beneath.h),
 * neither here nor by those who open the path again. */
#ifndef EMBMON_DAEMON_RUNDIR_H
#define EMBMON_DAEMON_RUNDIR_H

#include <stdbool.h>
#include <stddef.h>

/* Makes the run's folder with its parents, the logdir itself where it is gone. Returns the path of
 * its embmon folder (the caller frees it), or NULL with errno. */
char *rundir_make(const char *logdir, const char *run);

/* Opens the run's embmon folder as it is; -1 with errno. */
int rundir_open(const char *logdir, const char *run);

/* True when the run's embmon folder is there, or cannot be looked at. A folder without one is not a
 * run: it is the parent of one, or holds what the framework itself writes. */
bool rundir_exists(const char *logdir, const char *run);

#endif
