/* An append-only file that never loses its place: bytes are queued whole and written in order; a
 * short write (disk full) keeps the exact unwritten suffix for the next try. The owner decides what
 * may still be queued when much is waiting. */
#ifndef EMBMON_DAEMON_PENDING_H
#define EMBMON_DAEMON_PENDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/carry.h"

struct pending {
    int fd;        /* owned; -1 until set */
    uint8_t *data; /* owned: what is not written yet */
    size_t length, capacity;
    uint64_t written; /* bytes that reached the file */
    int error;        /* errno of the last write, 0 when it succeeded */
};

#define PENDING_INIT                                                                               \
    {                                                                                              \
        -1, NULL, 0, 0, 0, 0                                                                       \
    }

/* Room for n bytes at the end: where to write them, or NULL when out of memory. They count once
 * pending_commit() says how many were used. */
uint8_t *pending_reserve(struct pending *p, size_t n);
void pending_commit(struct pending *p, size_t n);

/* Writes what is queued. True when nothing is left; else error says why. */
bool pending_flush(struct pending *p);

/* What is queued, over a restart; loading: behind what is queued already. */
void pending_carry(struct carry *c, struct pending *p);

/* How many of the n bytes that an ended writer had queued are in its file, behind the `length` it
 * had reached. False: the file is shorter, holds something else there, or cannot be read. */
bool pending_found(int fd, uint64_t length, const uint8_t *queued, size_t n, size_t *found);
/* True when the file has all of them, and more behind them: what a later checkpoint, which was lost
 * with the machine's power, had queued. */
bool pending_passed(int fd, uint64_t length, const uint8_t *queued, size_t n);
/* Reads n bytes at an offset, all of them. */
bool pending_read(int fd, uint64_t offset, uint8_t *to, size_t n);

/* Gives the memory of an emptied queue back, however small it is. */
void pending_trim(struct pending *p);

/* Closes the file and frees the queue; what was not written is lost and returned as a byte count.
 */
size_t pending_close(struct pending *p);

#endif
