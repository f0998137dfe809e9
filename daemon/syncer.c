#include "daemon/syncer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/thread.h"

struct sync {
    struct sync *next;
    struct sync_file files[SYNC_FILES_MAX]; /* owned, as is the folder */
    size_t count, above;
    int folder;
    const char *from, *to;
    int error;
    bool done, forgotten;
};

struct syncer {
    pthread_mutex_t mutex;
    pthread_cond_t work;
    struct sync *first, **last;
    bool started, ending;
};

static void sync_free(struct sync *sync)
{
    for (size_t i = 0; i < sync->count; i++)
        (void)close(sync->files[i].fd);
    if (sync->folder >= 0)
        (void)close(sync->folder);
    free(sync);
}

/* ---- the thread */

/* Copies the file onto itself, from the offset on; what is appended meanwhile may be left out. By a
 * descriptor of its own: the other one appends. 0, or an errno. */
static int write_again(const struct sync_file *file)
{
    uint8_t bytes[16 << 10];
    char path[32];
    off_t at = (off_t)file->again;
    ssize_t n = 0, put = 0;
    int fd, error;

    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", file->fd);
    fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return errno;
    while (put >= 0 && (n = pread(fd, bytes, sizeof bytes, at)) > 0 &&
           (put = pwrite(fd, bytes, (size_t)n, at)) >= 0)
        at += put;
    error = n < 0 || put < 0 ? errno : 0;
    (void)close(fd);
    return error;
}

static bool is_ours(const char *name)
{
    return strstr(name, "tfevents") || strncmp(name, "state", strlen("state")) == 0 ||
           strcmp(name, "alerts.jsonl") == 0;
}

/* 0, or an errno. What cannot be opened is not ours. What the disk refuses is written to it once
 * more: who knew how much of it was new is gone. */
static int sync_one(int folder, const char *name)
{
    int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC), error = 0;

    if (fd < 0)
        return 0;
    if (fsync(fd) < 0 && errno != EINVAL && errno != EROFS) {
        error = errno;
        if (is_ours(name) && write_again(&(struct sync_file){fd, 0}) == 0 && fsync(fd) == 0)
            error = 0;
    }
    (void)close(fd);
    return error;
}

/* All files of the folder, and the names by which it is reached. */
static int sync_around(const struct sync *sync)
{
    int fd = openat(sync->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), error = 0;
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    char up[3 * SYNC_ABOVE_MAX + 1] = "";

    if (!stream) {
        error = errno;
        if (fd >= 0)
            (void)close(fd);
        return error;
    }
    while (!error && (entry = readdir(stream)))
        error = entry->d_type == DT_DIR ? 0 : sync_one(sync->folder, entry->d_name);
    (void)closedir(stream);
    for (size_t i = 0; i < sync->above && !error; i++) {
        strcat(up, i > 0 ? "/.." : "..");
        error = sync_one(sync->folder, up);
    }
    return error;
}

static int sync_files(const struct sync *sync)
{
    int error = sync->above > 0 ? sync_around(sync) : 0;

    for (size_t i = 0; i < sync->count && !error; i++)
        error = sync->files[i].again != SYNC_NOTHING_AGAIN ? write_again(&sync->files[i]) : 0;
    for (size_t i = 0; i < sync->count && !error; i++)
        error = fdatasync(sync->files[i].fd) < 0 ? errno : 0;
    return error ? error : fsync(sync->folder) < 0 ? errno : 0;
}

/* Under the lock: whoever has forgotten the job may have others do the same there. */
static int rename_mark(const struct sync *sync)
{
    if (sync->forgotten)
        return 0;
    return renameat(sync->folder, sync->from, sync->folder, sync->to) < 0 ? errno : 0;
}

static void free_syncer(struct syncer *syncer)
{
    for (struct sync *sync = syncer->first, *next; sync; sync = next) {
        next = sync->next;
        sync_free(sync);
    }
    pthread_cond_destroy(&syncer->work);
    pthread_mutex_destroy(&syncer->mutex);
    free(syncer);
}

static void work_on(struct syncer *syncer, struct sync *sync)
{
    int error;

    pthread_mutex_unlock(&syncer->mutex);
    error = sync_files(sync);
    pthread_mutex_lock(&syncer->mutex);
    if (!error && sync->from && !(error = rename_mark(sync))) {
        pthread_mutex_unlock(&syncer->mutex);
        error = fsync(sync->folder) < 0 ? errno : 0;
        pthread_mutex_lock(&syncer->mutex);
    }
    sync->error = error;
    sync->done = true;
    if (sync->forgotten)
        sync_free(sync);
}

static void *run(void *argument)
{
    struct syncer *syncer = argument;

    pthread_mutex_lock(&syncer->mutex);
    while (!syncer->ending) {
        struct sync *sync = syncer->first;

        if (!sync) {
            pthread_cond_wait(&syncer->work, &syncer->mutex);
            continue;
        }
        syncer->first = sync->next;
        if (!syncer->first)
            syncer->last = &syncer->first;
        work_on(syncer, sync);
    }
    pthread_mutex_unlock(&syncer->mutex);
    free_syncer(syncer); /* whoever ended us has gone on long ago */
    return NULL;
}

/* ---- from outside */

struct syncer *syncer_new(void)
{
    struct syncer *syncer = calloc(1, sizeof *syncer);

    if (!syncer)
        return NULL;
    syncer->last = &syncer->first;
    if (pthread_mutex_init(&syncer->mutex, NULL) != 0 ||
        pthread_cond_init(&syncer->work, NULL) != 0) {
        free(syncer);
        return NULL;
    }
    return syncer;
}

void syncer_free(struct syncer *syncer)
{
    if (!syncer)
        return;
    if (!syncer->started) {
        free_syncer(syncer);
        return;
    }
    pthread_mutex_lock(&syncer->mutex);
    syncer->ending = true;
    pthread_cond_signal(&syncer->work);
    pthread_mutex_unlock(&syncer->mutex); /* the thread frees it */
}

static bool is_started(struct syncer *syncer)
{
    if (!syncer->started)
        syncer->started = thread_start(run, syncer);
    return syncer->started;
}

static bool copy_descriptors(struct sync *sync, const struct sync_file *files, size_t count,
                             int folder)
{
    for (size_t i = 0; i < count; i++) {
        int fd = fcntl(files[i].fd, F_DUPFD_CLOEXEC, 0);

        if (fd < 0)
            return false;
        sync->files[sync->count++] = (struct sync_file){fd, files[i].again};
    }
    /* A descriptor of its own: a copy would keep the folder's lock when the run is gone. */
    sync->folder = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return sync->folder >= 0;
}

struct sync *syncer_start(struct syncer *syncer, const struct sync_file *files, size_t count,
                          int folder, size_t above, const char *from, const char *to)
{
    struct sync *sync = calloc(1, sizeof *sync);

    if (!sync)
        return NULL;
    sync->folder = -1;
    sync->above = above < SYNC_ABOVE_MAX ? above : SYNC_ABOVE_MAX;
    sync->from = from;
    sync->to = to;
    if (!copy_descriptors(sync, files, count, folder) || !is_started(syncer)) {
        sync_free(sync);
        return NULL;
    }
    pthread_mutex_lock(&syncer->mutex);
    *syncer->last = sync;
    syncer->last = &sync->next;
    pthread_cond_signal(&syncer->work);
    pthread_mutex_unlock(&syncer->mutex);
    return sync;
}

bool syncer_done(struct syncer *syncer, struct sync *sync, int *error)
{
    bool done;

    pthread_mutex_lock(&syncer->mutex);
    done = sync->done;
    pthread_mutex_unlock(&syncer->mutex);
    if (done) {
        *error = sync->error;
        sync_free(sync);
    }
    return done;
}

void syncer_forget(struct syncer *syncer, struct sync *sync)
{
    bool done;

    pthread_mutex_lock(&syncer->mutex);
    done = sync->done;
    sync->forgotten = true;
    pthread_mutex_unlock(&syncer->mutex);
    if (done)
        sync_free(sync);
}
