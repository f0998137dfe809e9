#include "daemon/rundir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/name.h"

/* Enters one part below the folder, which is closed; makes it first when asked. -1 with errno. */
static int enter(int folder, const char *part, bool make)
{
    int next = -1, saved;

    if (!make || mkdirat(folder, part, 0777) == 0 || errno == EEXIST)
        next = openat(folder, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    saved = errno;
    (void)close(folder);
    errno = saved;
    return next;
}

/* Walks from the logdir to the run's folder. -1 with errno. */
static int walk(const char *logdir, const char *run, bool make)
{
    char parts[NAME_RUN_MAX + 1], *rest = NULL;
    int folder;

    if (!name_is_run(run) || strlen(run) > NAME_RUN_MAX) {
        errno = EINVAL;
        return -1;
    }
    (void)snprintf(parts, sizeof parts, "%s", run);
    folder = open(logdir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (char *part = strtok_r(parts, "/", &rest); part && folder >= 0;
         part = strtok_r(NULL, "/", &rest))
        folder = enter(folder, part, make);
    return folder;
}

char *rundir_make(const char *logdir, const char *run)
{
    int folder = walk(logdir, run, true);
    char *path = NULL;

    if (folder >= 0)
        folder = enter(folder, "embmon", true);
    if (folder < 0)
        return NULL;
    (void)close(folder);
    if (asprintf(&path, "%s/%s/embmon", logdir, run) < 0) {
        errno = ENOMEM;
        return NULL;
    }
    return path;
}

bool rundir_exists(const char *logdir, const char *run)
{
    int folder = walk(logdir, run, false);

    if (folder >= 0)
        folder = enter(folder, "embmon", false);
    if (folder < 0)
        return errno != ENOENT; /* what cannot be entered must not be written over either */
    (void)close(folder);
    return true;
}
