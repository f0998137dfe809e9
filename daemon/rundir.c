#include "daemon/rundir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/beneath.h"
#include "proto/name.h"

/* Opens the run's embmon folder, or makes it. -1 with errno. */
static int reach(const char *logdir, const char *run, bool make)
{
    char path[NAME_RUN_MAX + sizeof "/embmon"];
    int folder, fd, saved;

    if (!name_is_run(run)) {
        errno = EINVAL;
        return -1;
    }
    (void)snprintf(path, sizeof path, "%s/embmon", run);
    folder = open(logdir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0 && errno == ENOENT && make && mkdir(logdir, 0777) == 0) /* it was deleted */
        folder = open(logdir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return -1;
    fd = make ? beneath_make(folder, path) : beneath_open(folder, path);
    saved = errno;
    (void)close(folder);
    errno = saved;
    return fd;
}

char *rundir_make(const char *logdir, const char *run)
{
    int folder = reach(logdir, run, true);
    char *path = NULL;

    if (folder < 0)
        return NULL;
    (void)close(folder);
    if (asprintf(&path, "%s/%s/embmon", logdir, run) < 0) {
        errno = ENOMEM;
        return NULL;
    }
    return path;
}

int rundir_open(const char *logdir, const char *run)
{
    return reach(logdir, run, false);
}

bool rundir_exists(const char *logdir, const char *run)
{
    int folder = reach(logdir, run, false);

    if (folder < 0)
        return errno != ENOENT; /* what cannot be entered must not be written over either */
    (void)close(folder);
    return true;
}
