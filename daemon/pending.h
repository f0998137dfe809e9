/* An append-only file that never loses its place: bytes are queued whole and written in order; a
 * short write (disk full) keeps the exact unwritten suffix for the next try. The owner decides what
 * may still be queued when much is waiting. */
#ifndef EMBMON_DAEMON_PENDING_H
#define EMBMON_DAEMON_PENDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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

/* Gives the memory of an emptied queue back, however small it is. */
void pending_trim(struct pending *p);

/* Closes the file and frees the queue; what was not written is lost and returned as a byte count.
 */
size_t pending_close(struct pending *p);

#endif
