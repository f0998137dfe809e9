#include "daemon/census.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/thread.h"

enum {
    PERIOD_MS = 60 * 1000, /* between two counts */
    SOON_MS = 5 * 1000,
    LOOK_MS = 1000,        /* when it is done is only seen so often */
    SHARE = 50,            /* no more than one in so many parts of the time is spent with them */
    DEPTH_MAX = 64,        /* folders within each other */
    ENTRIES_MAX = 1 << 24, /* looked at in one count */
};

struct census {
    pthread_mutex_t mutex;
    char *logdir; /* owned */
    bool counting, done, forgotten;
    uint64_t found; /* by the thread */
    /* of the owner alone */
    uint64_t bytes, written; /* as counted, and what was written when that began */
    uint64_t counts, began_ms, next_ms, writing;
};

/* ---- the thread */

struct walk {
    struct census *census;
    uint64_t bytes, entries;
};

static bool is_forgotten(struct census *census)
{
    bool forgotten;

    pthread_mutex_lock(&census->mutex);
    forgotten = census->forgotten;
    pthread_mutex_unlock(&census->mutex);
    return forgotten;
}

/* Adds up the event files in a folder, which is closed, and below it. ours: it is called embmon. */
static void walk_folder(struct walk *walk, int fd, bool ours, int depth)
{
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    struct stat status;

    if (!stream) {
        if (fd >= 0)
            (void)close(fd);
        return;
    }
    while (walk->entries++ < ENTRIES_MAX && !is_forgotten(walk->census) &&
           (entry = readdir(stream))) {
        const char *name = entry->d_name;

        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
            continue;
        if (ours && strstr(name, "tfevents")) {
            if (fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(status.st_mode))
                walk->bytes += (uint64_t)status.st_size;
        } else if ((entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN) && depth < DEPTH_MAX) {
            walk_folder(
                walk,
                openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC),
                strcmp(name, "embmon") == 0, depth + 1);
        }
    }
    (void)closedir(stream);
}

static void destroy(struct census *census)
{
    pthread_mutex_destroy(&census->mutex);
    free(census->logdir);
    free(census);
}

static void *count(void *argument)
{
    struct walk walk = {.census = argument};
    struct census *census = argument;
    bool forgotten;

    walk_folder(&walk, open(census->logdir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), false, 0);
    pthread_mutex_lock(&census->mutex);
    census->found = walk.bytes;
    census->done = true;
    forgotten = census->forgotten;
    pthread_mutex_unlock(&census->mutex);
    if (forgotten)
        destroy(census); /* its owner has gone on long ago */
    return NULL;
}

/* ---- from outside */

struct census *census_new(const char *logdir)
{
    struct census *census = calloc(1, sizeof *census);

    if (!census)
        return NULL;
    census->logdir = strdup(logdir);
    if (!census->logdir || pthread_mutex_init(&census->mutex, NULL) != 0) {
        free(census->logdir);
        free(census);
        return NULL;
    }
    return census;
}

void census_free(struct census *census)
{
    bool thread;

    if (!census)
        return;
    pthread_mutex_lock(&census->mutex);
    thread = census->counting && !census->done;
    census->forgotten = true;
    pthread_mutex_unlock(&census->mutex);
    if (!thread)
        destroy(census); /* else the thread does */
}

static void take_in(struct census *census, struct moment now)
{
    uint64_t took;
    bool done;

    pthread_mutex_lock(&census->mutex);
    done = census->done;
    pthread_mutex_unlock(&census->mutex);
    if (!done)
        return;
    census->counting = census->done = false;
    census->bytes = census->found;
    census->written = census->writing;
    census->counts++;
    took = moment_since(now, census->began_ms);
    census->next_ms = now.ms + (took > LOOK_MS ? SHARE * (took - LOOK_MS) : 0);
}

void census_look(struct census *census, struct moment now, bool soon, uint64_t written)
{
    if (census->counting)
        take_in(census, now);
    if (census->counting || now.ms < census->next_ms ||
        (census->counts > 0 && moment_since(now, census->began_ms) < (soon ? SOON_MS : PERIOD_MS)))
        return;
    census->began_ms = now.ms;
    census->writing = written;
    census->counting = thread_start(count, census);
    if (!census->counting)
        census->next_ms = now.ms + SOON_MS;
}

uint64_t census_bytes(const struct census *census, uint64_t written)
{
    return census->bytes + written - census->written;
}

uint64_t census_count(const struct census *census)
{
    return census->counts;
}
