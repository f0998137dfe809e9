/* The inbox: a bounded ring of bytes, many writers, one reader, no lock. Writers are the trainer's
 * threads, the reader is the sender.
 *
 *      tail (reader)             head (writers)
 *        v                         v
 *     ---+--------+------+---------+-----------------+
 *        | ready  | busy | ready   | zeros           |   each record: u32 bytes, u32 state, payload
 *     ---+--------+------+---------+-----------------+
 *
 * A writer reserves by moving head (compare and swap), fills, and commits with one release store.
 * The reader takes records in order, up to the first that is not committed. What it has read it
 * zeroes before it moves tail, so that a place that was never written reads as not committed. A
 * record is in one piece: one that would wrap is preceded by a filler up to the end.
 */
#ifndef EMBMON_CLIENT_INBOX_H
#define EMBMON_CLIENT_INBOX_H

#include <stddef.h>
#include <stdint.h>

struct inbox; /* opaque */

/* bytes: a power of two, >= 4096. All pages are there from the start. NULL: out of memory. */
struct inbox *inbox_new(size_t bytes);
void inbox_free(struct inbox *inbox);

/* A place for a payload of n bytes, aligned to 16, not yet to be seen by the reader; NULL: full, or
 * n above a quarter of the ring. */
void *inbox_reserve(struct inbox *inbox, size_t n);
void inbox_commit(void *payload);

/* Positions only grow. The payload is the reader's no longer once inbox_position() has reached its
 * inbox_end(), and what the reader did before that is then seen. */
uint64_t inbox_end(const void *payload);
uint64_t inbox_position(const struct inbox *inbox);

/* The oldest payload, or NULL. It is the reader's until inbox_pop(). */
void *inbox_peek(struct inbox *inbox);
void inbox_pop(struct inbox *inbox);

#endif
