#include "daemon/tensorboard/event_file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/pending.h"
#include "daemon/tensorboard/event.h"
#include "daemon/tensorboard/folder.h"
#include "daemon/tensorboard/leftover.h"
#include "daemon/tensorboard/resume.h"
#include "daemon/tensorboard/tag_table.h"
#include "daemon/tensorboard/tfrecord.h"
#include "proto/name.h"

/* What may wait for the disk, by kind, so that an alert's text outlives the histograms. A queue
 * that has no reason to wait is written out long before. */
enum {
    LIMIT_HISTOGRAMS = 28 << 20,
    LIMIT_SCALARS = 30 << 20,
    LIMIT_TEXTS = EVENT_FILE_QUEUE,
    TEXT_BYTES_MAX = 1 << 20,
};

struct event_file {
    int folder; /* owned; holds the lock */
    struct pending queue;
    struct tag_table *tags;
    struct event_file_stats stats; /* counters; the rest is filled in when asked */
    double wall;                   /* the last finite one */
    bool fresh;
    bool held; /* nothing is written but when asked */
    char name[FOLDER_NAME_MAX];
};

/* ---- opening and closing */

/* A new file and its version; -1 in queue->fd on failure. */
static void start_file(struct event_file *file, struct pending *queue, const char **problem)
{
    struct event_head head = {.wall = file->wall};
    struct folder_files files = {0};

    if (!folder_list(file->folder, &files, problem))
        return;
    *problem = "out of memory";
    if (event_version(queue, LIMIT_TEXTS, &head))
        queue->fd = folder_create(file->folder, &files, file->wall, file->name, problem);
    folder_files_free(&files);
}

struct event_file *event_file_begin(const char *directory, double wall, const char **problem)
{
    struct event_file *file = calloc(1, sizeof *file);

    *problem = "out of memory";
    if (!file)
        return NULL;
    file->queue = (struct pending)PENDING_INIT;
    file->folder = -1;
    file->wall = isfinite(wall) ? wall : 0;
    file->tags = tag_table_new();
    if (!file->tags)
        goto fail;
    file->folder = folder_open(directory, problem);
    if (file->folder < 0)
        goto fail;
    file->fresh = folder_vacant(file->folder);
    file->stats.events = 1;
    return file;
fail:
    event_file_close(file);
    return NULL;
}

bool event_file_create(struct event_file *file, const char **problem)
{
    struct pending queue = PENDING_INIT, meanwhile = file->queue;
    uint8_t *room;

    start_file(file, &queue, problem);
    if (queue.fd < 0)
        goto fail;
    (void)pending_flush(&queue);
    *problem = "out of memory";
    room = pending_reserve(&queue, meanwhile.length);
    if (!room)
        goto fail;
    if (meanwhile.length > 0)
        memcpy(room, meanwhile.data, meanwhile.length);
    pending_commit(&queue, meanwhile.length);
    (void)pending_close(&meanwhile);
    file->queue = queue;
    return true;

fail:
    (void)pending_close(&queue);
    return false;
}

bool event_file_learn(struct event_file *file, const char **problem)
{
    struct folder_files files = {0};
    uint64_t whole;
    bool fine = true;

    if (!folder_list(file->folder, &files, problem))
        return false;
    for (size_t i = files.count; i > 0 && fine; i--) {
        int fd = folder_read(file->folder, files.names[i - 1]);

        if (fd < 0)
            continue; /* no file a reader could follow either */
        fine = resume_file(file->tags, fd, &whole);
        close(fd);
    }
    folder_files_free(&files);
    if (!fine)
        *problem = "out of memory";
    return fine;
}

struct event_file *event_file_open(const char *directory, double wall, const char **problem)
{
    struct event_file *file = event_file_begin(directory, wall, problem);

    if (file && (!event_file_learn(file, problem) || !event_file_create(file, problem))) {
        event_file_close(file);
        file = NULL;
    }
    return file;
}

void event_file_hold(struct event_file *file)
{
    file->held = true;
}

size_t event_file_close(struct event_file *file)
{
    size_t lost;

    if (!file)
        return 0;
    if (file->queue.fd >= 0)
        pending_flush(&file->queue);
    lost = pending_close(&file->queue);
    if (file->folder >= 0)
        close(file->folder);
    tag_table_free(file->tags);
    free(file);
    return lost;
}

/* ---- writing */

static double finite_wall(struct event_file *file, double wall)
{
    if (isfinite(wall))
        file->wall = wall;
    return file->wall;
}

/* A burst is written out early; while the disk refuses, only event_file_flush() tries again. */
static void relieve(struct event_file *file)
{
    if (file->queue.length >= EVENT_FILE_FULL && file->queue.error == 0 && !file->held)
        pending_flush(&file->queue);
}

/* The value's tag and head when it may be written, NULL when it is counted as late or invalid. */
static struct tag *admit(struct event_file *file, struct event_head *head, bool valid)
{
    struct tag *tag = NULL;

    if (valid && head->step <= INT64_MAX)
        tag = tag_table_need(file->tags, head->tag, strlen(head->tag));
    if (!tag) {
        file->stats.invalid++;
        return NULL;
    }
    if ((int64_t)head->step <= tag->last_step) {
        file->stats.late++;
        return NULL;
    }
    head->describe = !tag->described;
    head->wall = finite_wall(file, head->wall);
    return tag;
}

static bool settle(struct event_file *file, struct tag *tag, uint64_t step, bool queued,
                   uint64_t *dropped)
{
    if (!queued) {
        (*dropped)++;
        return false;
    }
    tag->last_step = (int64_t)step;
    tag->described = true;
    file->stats.events++;
    relieve(file);
    return true;
}

void event_file_start(struct event_file *file, double wall, uint64_t step)
{
    struct event_head head = {.wall = finite_wall(file, wall), .step = step};

    if (step <= INT64_MAX && event_start(&file->queue, LIMIT_TEXTS, &head))
        file->stats.events++;
}

bool event_file_scalar(struct event_file *file, double wall, uint64_t step, const char *tag,
                       double value)
{
    struct event_head head = {wall, step, tag, false};
    struct tag *known = admit(file, &head, true);

    return known &&
           settle(file, known, step, event_scalar(&file->queue, LIMIT_SCALARS, &head, value),
                  &file->stats.dropped_scalars);
}

/* One edge that is not finite leaves the tag's whole page blank. */
static bool histogram_is_valid(const struct histogram *h)
{
    if (h->length == 0 || h->length > HISTOGRAM_BUCKETS_MAX)
        return false;
    for (size_t i = 0; i < h->length; i++)
        if (!isfinite(h->left[i]) || !isfinite(h->right[i]) || !(h->left[i] <= h->right[i]) ||
            !(h->count[i] >= 0) || !isfinite(h->count[i]))
            return false;
    return true;
}

bool event_file_histogram(struct event_file *file, double wall, uint64_t step, const char *tag,
                          const struct histogram *histogram)
{
    struct event_head head = {wall, step, tag, false};
    struct tag *known = admit(file, &head, histogram_is_valid(histogram));

    return known && settle(file, known, step,
                           event_histogram(&file->queue, LIMIT_HISTOGRAMS, &head, histogram),
                           &file->stats.dropped_histograms);
}

/* Lines of valid text; tabs and line ends are the only control characters. */
static bool markdown_is_valid(const char *markdown, size_t n)
{
    if (n > TEXT_BYTES_MAX)
        return false;
    while (*markdown) {
        size_t line = strcspn(markdown, "\t\r\n");

        if (line > 0 && !name_is_text(markdown, line))
            return false;
        markdown += line + (markdown[line] != '\0');
    }
    return true;
}

bool event_file_text(struct event_file *file, double wall, uint64_t step, const char *tag,
                     const char *markdown)
{
    struct event_head head = {wall, step, tag, false};
    size_t n = strlen(markdown);
    struct tag *known = admit(file, &head, markdown_is_valid(markdown, n));

    return known &&
           settle(file, known, step, event_text(&file->queue, LIMIT_TEXTS, &head, markdown, n),
                  &file->stats.dropped_texts);
}

bool event_file_layout(struct event_file *file, double wall, uint64_t step, const uint8_t *layout,
                       size_t length)
{
    struct event_head head = {wall, step, "custom_scalars__config__", false};
    struct tag *known = admit(file, &head, true);

    return known &&
           settle(file, known, step, event_layout(&file->queue, LIMIT_TEXTS, &head, layout, length),
                  &file->stats.dropped_texts);
}

bool event_file_flush(struct event_file *file)
{
    return pending_flush(&file->queue);
}

void event_file_trim(struct event_file *file)
{
    pending_trim(&file->queue);
}

/* ---- what is known */

int64_t event_file_last_step(const struct event_file *file, const char *tag)
{
    const struct tag *known = tag_table_find(file->tags, tag, strlen(tag));

    return known ? known->last_step : -1;
}

void event_file_tags(const struct event_file *file,
                     void (*each)(void *context, const char *tag, int64_t last_step), void *context)
{
    tag_table_each(file->tags, each, context);
}

size_t event_file_pending(const struct event_file *file)
{
    return file->queue.length;
}

bool event_file_fresh(const struct event_file *file)
{
    return file->fresh;
}

void event_file_get_stats(const struct event_file *file, struct event_file_stats *stats)
{
    *stats = file->stats;
    stats->bytes_written = file->queue.written;
    stats->bytes_pending = file->queue.length;
    stats->error = file->queue.error;
    stats->name = file->name;
}

int event_file_descriptor(const struct event_file *file)
{
    return file->queue.fd;
}

int event_file_folder(const struct event_file *file)
{
    return file->folder;
}

/* ---- over a restart */

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
        (void)pending_close(&(struct pending){-1, file->queue.data, 0, 0, 0, 0});
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
static void take_up(struct carry *c, struct event_file *file, const char *name, uint64_t length,
                    const struct pending *queued)
{
    const char *problem = "the event file cannot be opened";
    int fd;

    if (c->problem)
        return;
    fd = strchr(name, '/') ? -1 : folder_read(file->folder, name);
    if (fd >= 0) {
        problem =
            leftover_records(fd, length, queued->data, queued->length, &file->queue, file->tags);
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
    uint64_t length = file->queue.written;
    char name[FOLDER_NAME_MAX];

    memcpy(name, file->name, sizeof name);
    carry_text(c, name, sizeof name);
    carry_u64(c, &length);
    pending_carry(c, c->loading ? &queued : &file->queue);
    carry_bool(c, &file->fresh);
    carry_stats(c, &file->stats);
    tag_table_carry(c, file->tags);
    if (c->loading)
        take_up(c, file, name, length, &queued);
    (void)pending_close(&queued);
}
