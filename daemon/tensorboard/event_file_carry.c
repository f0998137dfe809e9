/* An event file over a restart: what the one before it was still to get. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/tensorboard/event_file_state.h"
#include "daemon/tensorboard/leftover.h"
#include "daemon/tensorboard/resume.h"
#include "daemon/tensorboard/tfrecord.h"

static void carry_stats(struct carry *c, struct event_file_stats *stats)
{
    carry_u64(c, &stats->events);
    carry_u64(c, &stats->late);
    carry_u64(c, &stats->dropped_histograms);
    carry_u64(c, &stats->dropped_scalars);
    carry_u64(c, &stats->dropped_texts);
    carry_u64(c, &stats->invalid);
}

/* Where the first record of a file ends, its version. */
static uint64_t version_end(int fd)
{
    uint8_t head[TFRECORD_HEADER];

    return pending_read(fd, 0, head, sizeof head)
               ? TFRECORD_HEADER + TFRECORD_FOOTER + ((uint64_t)head[0] | (uint64_t)head[1] << 8)
               : 0;
}

/* A newer file began with what is queued now: only what it lacks stays queued. What is not like
 * that is learnt. */
static const char *pass_over(struct event_file *file, int fd)
{
    struct pending queued = file->queue;
    const char *problem;
    uint64_t whole;

    file->queue = (struct pending)PENDING_INIT;
    file->queue.fd = queued.fd;
    file->queue.written = queued.written;
    problem =
        leftover_records(fd, version_end(fd), queued.data, queued.length, &file->queue, file->tags);
    queued.fd = -1;
    if (problem) {
        (void)pending_close(&(struct pending){.fd = -1, .data = file->queue.data});
        queued.fd = file->queue.fd;
        file->queue = queued;
        return lseek(fd, 0, SEEK_SET) == 0 && resume_file(file->tags, fd, &whole) ? NULL : problem;
    }
    (void)pending_close(&queued);
    return NULL;
}

/* Files that are newer than the one the checkpoint speaks of are of embmonds whose checkpoints a
 * power failure took, or that came to none. */
static const char *pass_newer(struct event_file *file, const char *name)
{
    struct folder_files files = {0};
    const char *problem = NULL;

    if (!folder_list(file->folder, &files, &problem))
        return problem;
    for (size_t i = 0; i < files.count && !problem; i++) {
        bool newer = strcmp(files.names[i], name) > 0 && strcmp(files.names[i], file->name) != 0;
        int fd = newer ? folder_read(file->folder, files.names[i]) : -1;

        if (fd < 0)
            continue;
        problem = pass_over(file, fd);
        close(fd);
    }
    folder_files_free(&files);
    return problem;
}

/* Takes up what the file before this one was still to get. */
static void take_up(struct carry *c, struct event_file *file, const char *name,
                    const struct pending_place *place, const struct pending *queued)
{
    const char *problem = "the event file cannot be opened";
    int fd;

    if (c->problem)
        return;
    fd = strchr(name, '/') ? -1 : folder_read(file->folder, name);
    if (fd >= 0) {
        problem = pending_is_there(fd, place)
                      ? leftover_records(fd, place->length, queued->data, queued->length,
                                         &file->queue, file->tags)
                      : "the event file is not as it was left";
        close(fd);
    }
    if (!problem)
        problem = pass_newer(file, name);
    if (problem)
        carry_fail(c, problem);
}

void event_file_carry(struct carry *c, struct event_file *file)
{
    struct pending queued = PENDING_INIT;
    struct pending_place place = {0};
    char name[FOLDER_NAME_MAX];

    memcpy(name, file->name, sizeof name);
    carry_text(c, name, sizeof name);
    pending_carry_place(c, &file->queue, &place);
    pending_carry(c, c->loading ? &queued : &file->queue);
    carry_bool(c, &file->fresh);
    carry_stats(c, &file->stats);
    tag_table_carry(c, file->tags);
    if (c->loading)
        take_up(c, file, name, &place, &queued);
    (void)pending_close(&queued);
}
