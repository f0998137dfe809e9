/* One event file after the other. A file that is long enough gets nothing more; what comes waits
 * until all of it is on the disk, and only then the next one is begun: readers go on from file to
 * file, and so does whoever takes up what a power failure has left. A file that is deleted under us
 * is followed by the next one at once. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/tensorboard/event.h"
#include "daemon/tensorboard/event_file_state.h"
#include "daemon/tensorboard/tfrecord.h"

/* What waits for a disk that does not sync; then the old file is written on, and becomes longer. */
enum { WAITS_MAX = 4 << 20 };

static int create(struct event_file *file, char *name, const char **problem)
{
    struct folder_files files;
    int fd;

    if (!folder_list(file->folder, &files, problem))
        return -1;
    fd = folder_create(file->folder, &files, file->wall, name, problem);
    folder_files_free(&files);
    return fd;
}

bool event_file_next(struct event_file *file, const char **problem)
{
    struct event_head head = {.wall = file->wall};
    struct pending version = PENDING_INIT, *queue = &file->queue;
    char name[FOLDER_NAME_MAX];

    *problem = "out of memory";
    errno = ENOMEM;
    /* Room for the version is made before there is a file. */
    if (event_version(&version, LIMIT_TEXTS, &head) && pending_reserve(queue, version.length))
        version.fd = create(file, name, problem);
    if (version.fd < 0) {
        (void)pending_close(&version);
        return false;
    }
    (void)pending_flush(&version);
    pending_put_before(queue, &version);
    if (queue->fd >= 0) {
        (void)close(queue->fd);
        file->stats.events++;
    }
    queue->fd = version.fd;
    version.fd = -1;
    (void)pending_close(&version);
    file->earlier += queue->written;
    queue->written = version.written;
    queue->unsynced = queue->syncing = version.unsynced;
    file->durable = 0;
    memcpy(file->name, name, sizeof name);
    file->full = file->sealed = false;
    file->stats.files++;
    return true;
}

bool event_file_create(struct event_file *file, const char **problem)
{
    return event_file_next(file, problem);
}

/* ---- long enough */

void event_file_limit(struct event_file *file, uint64_t most)
{
    file->most = most;
}

void event_file_note_full(struct event_file *file)
{
    if (file->full || file->most == 0 || file->queue.written < file->most)
        return;
    file->full = true;
    file->sealed = false;
    tag_table_begin(file->tags); /* what waits from now on is the next file's */
}

bool event_file_open_for_more(struct event_file *file)
{
    const char *problem;

    if (!file->full || file->queue.length == 0)
        return true;
    if (file->sealed) {
        if (event_file_next(file, &problem))
            return true;
        file->queue.error = errno ? errno : EIO;
        return false;
    }
    if (file->queue.length >= WAITS_MAX)
        file->full = false;
    return !file->full;
}

bool event_file_unsealed(const struct event_file *file)
{
    return file->full && !file->sealed;
}

struct event_file_mark event_file_mark(struct event_file *file)
{
    pending_sync_begins(&file->queue);
    return (struct event_file_mark){file->stats.files, file->queue.written};
}

void event_file_synced(struct event_file *file, struct event_file_mark mark)
{
    if (mark.file != file->stats.files)
        return;
    pending_synced(&file->queue);
    file->durable = mark.length;
    file->sealed = file->full && file->durable == file->queue.written;
}

uint64_t event_file_durable(const struct event_file *file)
{
    return file->durable;
}

/* ---- deleted */

static bool is_deleted(int fd)
{
    struct stat status;

    return fstat(fd, &status) < 0 ? errno == ESTALE : status.st_nlink == 0;
}

bool event_file_deleted(const struct event_file *file)
{
    return is_deleted(file->queue.fd) || is_deleted(file->folder);
}

/* The queue, each value with its metadata: the file that had it is gone. Where a record is torn,
 * its beginning is gone with that file, and where the next one begins is not known. */
static bool describe_all(struct event_file *file, const struct pending *queue,
                         struct pending *described)
{
    size_t at = 0, used, length;
    const uint8_t *payload;

    while (at < queue->length && tfrecord_read(queue->data + at, queue->length - at, &payload,
                                               &length, &used) == TFRECORD_OK) {
        if (!event_describe(described, payload, length))
            return false;
        at += used;
    }
    file->stats.dropped_scalars += at < queue->length;
    return true;
}

bool event_file_again(struct event_file *file, const char *directory, const char **problem)
{
    struct pending described = PENDING_INIT, old = file->queue;
    int folder = file->folder;

    *problem = "out of memory";
    if (!describe_all(file, &old, &described))
        goto fail;
    if (is_deleted(folder) && (file->folder = folder_open(directory, problem)) < 0)
        goto fail;
    described.fd = -1;
    described.written = old.written;
    file->queue = described;
    if (!event_file_next(file, problem)) {
        described = file->queue;
        goto fail;
    }
    tag_table_begin(file->tags);
    file->stats.events++;
    (void)pending_close(&old);
    if (folder != file->folder) {
        file->fresh = true;
        (void)close(folder);
    }
    return true;

fail:
    (void)pending_close(&described);
    if (folder != file->folder && file->folder >= 0)
        (void)close(file->folder);
    file->folder = folder;
    file->queue = old;
    return false;
}
