#include "daemon/tensorboard/event_file.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/tensorboard/event.h"
#include "daemon/tensorboard/event_file_state.h"
#include "daemon/tensorboard/resume.h"
#include "proto/name.h"

/* ---- opening and closing */

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

/* A burst is written out early, before the queue needs more memory than it keeps; while the disk
 * refuses, only event_file_flush() tries again. */
static void relieve(struct event_file *file)
{
    enum { A_RECORD = 64 << 10 };

    if (file->queue.length >= EVENT_FILE_FULL - A_RECORD && file->queue.error == 0 && !file->held)
        pending_flush(&file->queue);
}

/* The value's tag and head when it may be written, NULL when it is counted as late or invalid, as
 * it is without a tag. */
static struct tag *admit_to(struct event_file *file, struct event_head *head, struct tag *tag)
{
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

static struct tag *admit(struct event_file *file, struct event_head *head, bool valid)
{
    bool fine = valid && head->step <= INT64_MAX;

    return admit_to(file, head, fine ? event_file_tag(file, head->tag) : NULL);
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

struct tag *event_file_tag(struct event_file *file, const char *name)
{
    return tag_table_need(file->tags, name, strlen(name));
}

bool event_file_scalar(struct event_file *file, double wall, uint64_t step, const char *tag,
                       double value)
{
    return event_file_scalar_of(file, wall, step,
                                step <= INT64_MAX ? event_file_tag(file, tag) : NULL, value);
}

bool event_file_scalar_of(struct event_file *file, double wall, uint64_t step, struct tag *tag,
                          double value)
{
    struct event_head head = {wall, step, tag ? tag->name : "", false};
    struct tag *known = admit_to(file, &head, step <= INT64_MAX ? tag : NULL);

    return known &&
           settle(file, known, step, event_scalar(&file->queue, LIMIT_SCALARS, &head, value),
                  &file->stats.dropped_scalars);
}

typedef double pair __attribute__((vector_size(16)));
typedef uint64_t pair_bits __attribute__((vector_size(16)));

static pair two_of(const double *from)
{
    pair two;

    memcpy(&two, from, sizeof two);
    return two;
}

/* The highest bit of each says that it is not finite: its exponent is all ones. */
static pair_bits not_finite(pair two)
{
    return ((pair_bits)two & 0x7fffffffffffffff) + 0x0010000000000000;
}

static bool bucket_is_valid(double left, double right, double count)
{
    return left >= -DBL_MAX && left <= right && right <= DBL_MAX && count >= 0 && count <= DBL_MAX;
}

/* One edge that is not finite leaves the tag's whole page blank. Two buckets at once, by the
 * highest bit alone, which is the sign of a number: comparing would take twice as long. */
static bool histogram_is_valid(const struct histogram *h)
{
    pair_bits wrong = {0, 0};
    size_t i;

    if (h->length == 0 || h->length > HISTOGRAM_BUCKETS_MAX)
        return false;
    for (i = 0; i + 1 < h->length; i += 2) {
        pair left = two_of(h->left + i), right = two_of(h->right + i), count = two_of(h->count + i);

        wrong |= not_finite(left) | not_finite(right) | not_finite(count);
        wrong |= (pair_bits)(right - left + 0.0); /* of -0 it makes 0 */
        wrong |= (pair_bits)(count + 0.0);
    }
    return (wrong[0] | wrong[1]) >> 63 == 0 &&
           (i == h->length || bucket_is_valid(h->left[i], h->right[i], h->count[i]));
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
    bool done = event_file_open_for_more(file) && pending_flush(&file->queue);

    if (done)
        event_file_note_full(file);
    return done;
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
    stats->bytes_written = file->earlier + file->queue.written;
    stats->file_bytes = file->queue.written;
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
