/* An append-only file that never loses its place: bytes are queued whole and written in order; a
 * short write (disk full) keeps the exact unwritten suffix for the next try. The owner decides what
 * may still be queued when much is waiting. */
#ifndef EMBMON_DAEMON_PENDING_H
#define EMBMON_DAEMON_PENDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/carry.h"

/* What was written from an offset on, as a checksum: it may not be on the disk yet. */
struct pending_sum {
    uint64_t from;
    uint32_t crc;
};

/* So much of what waits, and its checksum. */
struct pending_part {
    size_t length;
    uint32_t crc;
};

struct pending {
    int fd;        /* owned; -1 until set */
    uint8_t *data; /* owned: what is not written yet */
    size_t length, capacity;
    size_t expected;  /* capacity that a burst needed before it was written: there may come more */
    uint64_t written; /* the file's length: bytes that reached it */
    int error;        /* errno of the last write, 0 when it succeeded */
    struct pending_part summed;           /* from data on; nothing before has changed since */
    struct pending_sum unsynced, syncing; /* syncing: what will be so after the sync under way */
};

#define PENDING_INIT                                                                               \
    {                                                                                              \
        .fd = -1                                                                                   \
    }

/* How far an ended writer's file went, by its checkpoint. */
struct pending_place {
    uint64_t length;
    struct pending_sum unsynced;
};

/* Room for n bytes at the end: where to write them, or NULL when out of memory. They count once
 * pending_commit() says how many were used. */
uint8_t *pending_reserve(struct pending *p, size_t n);
void pending_commit(struct pending *p, size_t n);

/* Puts what waits in `head` before all else: there is room for it. */
void pending_put_before(struct pending *p, const struct pending *head);

/* Writes what is queued. True when nothing is left; else error says why. */
bool pending_flush(struct pending *p);

/* A sync of the file begins; one has ended well: what was there at its beginning is on the disk. */
void pending_sync_begins(struct pending *p);
void pending_synced(struct pending *p);

/* What is queued, over a restart; loading: behind what is queued already. */
void pending_carry(struct carry *c, struct pending *p);
/* The file's place; loading: into *place alone. */
void pending_carry_place(struct carry *c, const struct pending *p, struct pending_place *place);

/* True when the file is what it was up to there. After a power failure it may be shorter, and what
 * was not synced may read as zeros. */
bool pending_is_there(int fd, const struct pending_place *place);
/* How many of the n bytes that an ended writer had queued are in its file, behind the `length` it
 * had reached; there may be others behind them. False: the file is shorter, or cannot be read. */
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
