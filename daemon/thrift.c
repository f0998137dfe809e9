#include "daemon/thrift.h"

#include <sys/statvfs.h>

/* A disk is not to be kept free for more than one in so many bytes of it. */
enum { SHARE_KEPT = 20 };

void thrift_look(const char *folder, struct space *space)
{
    struct statvfs at;

    space->size = space->free = 0;
    if (statvfs(folder, &at) != 0)
        return;
    space->size = (uint64_t)at.f_blocks * at.f_frsize;
    space->free = (uint64_t)at.f_bavail * at.f_frsize;
}

/* Nothing while it is not above the limit, scalars when it is above more than that. */
static enum thrift grade(uint64_t value, uint64_t limit, uint64_t more)
{
    return value > more ? THRIFT_SCALARS : value > limit ? THRIFT_HISTOGRAMS : THRIFT_NONE;
}

/* Notes what is used; an episode counts once. */
static void note(struct gauge *gauge, uint64_t used, bool was, bool is)
{
    gauge->used = used;
    gauge->refused += is && !was;
}

enum thrift thrift_of(const struct space *space, const struct ceilings *ceilings,
                      struct usage *usage, const char **why)
{
    uint64_t keep = ceilings->keep_free_bytes, most_files = ceilings->logdir_bytes,
             pending = ceilings->pending_bytes;
    enum thrift disk = THRIFT_NONE, file, queue, most;

    if (keep > space->size / SHARE_KEPT)
        keep = space->size / SHARE_KEPT;
    if (space->size > 0 && space->free < keep) /* scalars are small, and wait where it is full */
        disk = THRIFT_HISTOGRAMS;
    file = grade(space->logdir, most_files - most_files / 16, most_files);
    /* One run's queue is cut at 28 MiB: what waits here must wait before that. */
    queue = grade(space->pending, pending / 4, pending / 8 * 3);
    note(&usage->keep_free_bytes, space->free, usage->thrift & 1, disk != THRIFT_NONE);
    note(&usage->logdir_bytes, space->logdir, usage->thrift & 2, file != THRIFT_NONE);
    note(&usage->pending_bytes, space->pending, usage->thrift & 4, queue != THRIFT_NONE);
    usage->thrift = (disk ? 1u : 0) | (file ? 2u : 0) | (queue ? 4u : 0);
    most = disk > file ? disk : file;
    most = queue > most ? queue : most;
    *why = disk ? "less is free on the logdir's disk than limits.keep_free_bytes, or a twentieth "
                  "of it: make some space there"
           : file
               ? "event files in the logdir take as much as limits.logdir_bytes, or nearly: move "
                 "old runs elsewhere, or raise it"
           : queue ? "a quarter of limits.pending_bytes waits for the disk, which is full or slow: "
                     "see write_error"
                   : "";
    return most;
}
