/* The event files of one run: `<logdir>/<run>/embmon/events.out.tfevents.*`.
 *
 * One writer per folder (it holds a lock on it), always into a file of its own: what an earlier
 * writer left is read once, for the last step of each tag, and never touched; one that is long
 * enough is followed by the next one (event_file_limit()). Records go out whole
 * and in order; on a full disk the unwritten suffix waits, at most 32 MiB; above that histograms,
 * then scalars, then texts are dropped and counted. The steps of a tag strictly increase: a value
 * at or below the tag's last step is refused and counted as late.
 *
 * A tag's metadata goes out with its first value in each file. Nothing non-finite ever becomes an
 * edge or a wall time; a scalar may be NaN or infinite. */
#ifndef EMBMON_TENSORBOARD_EVENT_FILE_H
#define EMBMON_TENSORBOARD_EVENT_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/carry.h"
#include "daemon/tensorboard/histogram.h"

struct event_file; /* opaque */

enum {
    EVENT_FILE_FULL = 1 << 20,   /* bytes queued that should wait no longer */
    EVENT_FILE_QUEUE = 32 << 20, /* that may wait at most */
};

struct event_file_stats {
    uint64_t events;        /* queued, the file's own header included */
    uint64_t files;         /* begun so far */
    uint64_t file_bytes;    /* in the newest of them */
    uint64_t bytes_written; /* reached the files */
    size_t bytes_pending;   /* wait for the disk */
    uint64_t late;          /* refused: at or below the tag's last step */
    uint64_t dropped_histograms, dropped_scalars, dropped_texts; /* disk full for too long */
    int error;        /* errno of the last write, 0 when it succeeded */
    const char *name; /* of the newest, borrowed; it changes with the file */
    uint64_t invalid; /* refused: no valid tag or text, a step or edge out of range */
};

/* Opens the folder `directory` (made with its parents by the caller; borrowed name) for writing:
 * locks it, reads the last steps, creates a file whose name sorts after all others:
 * events.out.tfevents.<10 digits: max(wall, last + 1)>.<host>.<pid>.<n>.
 * NULL and *problem, a sentence in a static buffer of the caller's thread, when that fails. */
struct event_file *event_file_open(const char *directory, double wall, const char **problem);

/* The same in three steps, for who knows the last steps from elsewhere, event_file_carry(), or may
 * find that the folder is not to be written to: there is no file before the last step. */
struct event_file *event_file_begin(const char *directory, double wall, const char **problem);
bool event_file_learn(struct event_file *file, const char **problem);
bool event_file_create(struct event_file *file, const char **problem);

/* Bytes that wait. */
size_t event_file_pending(const struct event_file *file);

/* From now on nothing is written but by event_file_flush() and event_file_close(): what is queued
 * must be in a checkpoint first. */
void event_file_hold(struct event_file *file);

/* From how many bytes on a file is followed by the next one; 0: none is. */
void event_file_limit(struct event_file *file, uint64_t most);

/* True while a file is long enough, and has to be synced to the disk before the next one is begun.
 * What is queued meanwhile waits, 4 MiB at most: then it is written on. */
bool event_file_unsealed(const struct event_file *file);

/* A sync begins: how far the files are written; and that so much has been synced to the disk. */
struct event_file_mark {
    uint64_t file, length;
};
struct event_file_mark event_file_mark(struct event_file *file);
void event_file_synced(struct event_file *file, struct event_file_mark mark);
/* So much of the newest file is synced. */
uint64_t event_file_durable(const struct event_file *file);

/* Somebody has deleted the file, or the folder. */
bool event_file_deleted(const struct event_file *file);
/* Then: goes on in a new file, in the folder of this name where the old one is gone, with what
 * waits, each value with its metadata. False and *problem: all is as it was. */
bool event_file_again(struct event_file *file, const char *directory, const char **problem);

/* Over a restart; loading: into one that has begun. What is queued goes on in the new file, but for
 * the records that the old one holds already. An old file that is not as it was left is a problem.
 */
void event_file_carry(struct carry *c, struct event_file *file);

/* The folder and the file, borrowed. */
int event_file_folder(const struct event_file *file);
int event_file_descriptor(const struct event_file *file);

/* Flushes once and closes; bytes that could not be written are returned. NULL is fine. */
size_t event_file_close(struct event_file *file);

/* SessionLog START at `step`: once in a run's first file, and when its trainer resumes. */
void event_file_start(struct event_file *file, double wall, uint64_t step);

/* Queue one value. False: late, dropped or invalid, counted in the stats. */
bool event_file_scalar(struct event_file *file, double wall, uint64_t step, const char *tag,
                       double value);
/* The same of a tag that was looked up before, which NULL stands for where it is not valid. It is
 * the file's, as long as that lives. */
struct tag *event_file_tag(struct event_file *file, const char *name);
bool event_file_scalar_of(struct event_file *file, double wall, uint64_t step, struct tag *tag,
                          double value);
bool event_file_histogram(struct event_file *file, double wall, uint64_t step, const char *tag,
                          const struct histogram *histogram);
bool event_file_text(struct event_file *file, double wall, uint64_t step, const char *tag,
                     const char *markdown);

/* The layout of the CUSTOM SCALARS page (layout.h), under the one tag that page reads. */
bool event_file_layout(struct event_file *file, double wall, uint64_t step, const uint8_t *layout,
                       size_t length);

/* Writes what is queued, in one go. True when nothing is left; else stats' error says why, and the
 * rest waits for the next call. A queue of nearly 1 MiB is written out without being asked, until a
 * write fails, unless it is held. */
bool event_file_flush(struct event_file *file);
/* Gives back what memory the empty queue keeps. */
void event_file_trim(struct event_file *file);

/* The last step of a tag, in this and in earlier files: -1 when it has none. */
int64_t event_file_last_step(const struct event_file *file, const char *tag);

/* Calls each(context, tag, last step) for every tag known. */
void event_file_tags(const struct event_file *file,
                     void (*each)(void *context, const char *tag, int64_t last_step),
                     void *context);

/* True when the folder held no event before. */
bool event_file_fresh(const struct event_file *file);

void event_file_get_stats(const struct event_file *file, struct event_file_stats *stats);

#endif
