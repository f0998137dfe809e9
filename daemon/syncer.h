/* Syncing files to the disk without waiting for it: a thread of its own, because a sick disk may
 * take half a minute, and the loop has trainers to answer. It touches nothing but the descriptors
 * of a job; who gave it asks now and then whether it is done. */
#ifndef EMBMON_DAEMON_SYNCER_H
#define EMBMON_DAEMON_SYNCER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct syncer; /* opaque */
struct sync;   /* one job */

/* The thread starts with the first job. NULL: out of memory. */
struct syncer *syncer_new(void);

/* Jobs that are not done are given up: the process may end while the disk does not answer. */
void syncer_free(struct syncer *syncer);

enum { SYNC_FILES_MAX = 4, SYNC_ABOVE_MAX = 16 };

/* again: an offset from which on all of the file is to be written once more, as it is, because the
 * disk refused to sync it: the kernel then takes what it could not write for written. */
struct sync_file {
    int fd;
    uint64_t again;
};
#define SYNC_NOTHING_AGAIN UINT64_MAX

/* Gives a job: the data of `count` files, then their folder, are to reach the disk; then, where it
 * is not NULL, the file `from` in the folder is renamed to `to`, and the folder synced once more.
 * above: so many folders above it have been made, or may have been, and all of its files come from
 * somebody who may not have synced them; 0: neither. The descriptors stay the caller's; names are
 * static. NULL: no thread, descriptors or memory. */
struct sync *syncer_start(struct syncer *syncer, const struct sync_file *files, size_t count,
                          int folder, size_t above, const char *from, const char *to);

/* True when the job is done: it is then freed, and *error is 0 or the errno of what failed. */
bool syncer_done(struct syncer *syncer, struct sync *sync, int *error);

/* Nobody will ask about it any more, and it renames nothing from now on. */
void syncer_forget(struct syncer *syncer, struct sync *sync);

#endif
