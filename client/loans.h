/* Arrays that the trainer lends: they are summarised by the sender's thread instead of its own.
 *
 * A loan lies in the inbox among the posts, so that what was posted behind it stays behind it. When
 * the sender comes to it, it makes the sample of it in place, and the memory is the trainer's again
 * once the inbox has passed the record: a ticket is a position of the inbox.
 *
 * What is lent and not returned is bounded, whatever holds the sender up. From loans_end() on
 * nothing more is read of it.
 */
#ifndef EMBMON_CLIENT_LOANS_H
#define EMBMON_CLIENT_LOANS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/tensor.h"
#include "proto/buckets.h"

enum {
    LOANS_BYTES = 64 << 20, /* lent at the same time, at most */
    LOANS_TURN = 16 << 20,  /* bytes or one loan: after so much the sender sees to the socket */
    LOANS_COUNTS = 2 * BUCKETS,
};

/* Gives back what a loan holds; of the sender's thread, or of who closes the client. */
typedef void loan_release(void *context);

/* All that the sender needs to know of it. What it leads to is the trainer's, the targets are the
 * model's. */
struct loan {
    struct tensor_place place;
    struct tensor tensor;
    size_t bytes;          /* of the trainer's memory */
    loan_release *release; /* called once it is read, or never will be; NULL: who lent it asks */
    void *context;
};

struct loans {
    struct tensor_tools *tools; /* borrowed */
    _Atomic size_t bytes;       /* lent, and not returned */
    _Atomic bool ended, reading;
};

struct inbox;
struct state;
struct record;

/* Zeroed before. tools: borrowed, outlives the thread that settles. */
void loans_open(struct loans *loans, struct tensor_tools *tools);

/* Of any thread: puts the loan into the inbox and counts it as produced; *ticket is where the inbox
 * has to get. False, and nothing is done: too much would be lent, the inbox is full, the client is
 * being closed. */
bool loans_lend(struct state *state, const struct loan *loan, uint64_t *ticket);

/* Bytes that settling this record will read; 0 where nothing was lent. */
size_t loans_bytes(const struct record *record);

/* Of the sender: makes the record what it would be had it been posted, with its counts in `counts`,
 * LOANS_COUNTS of them; one that was is left alone. False: loans have ended, there is no message.
 */
bool loans_settle(struct loans *loans, struct record *record, uint64_t *counts);

/* When the sender has ended: empties the inbox; what was lent is given back unread. NULL is fine.
 */
void loans_forget(struct inbox *inbox);

/* Nothing more will be read, but to its end the loan that loans_are_read() speaks of. */
void loans_end(struct loans *loans);
bool loans_are_read(const struct loans *loans);

#endif
