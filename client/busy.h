/* The busiest rows of the tables, nearly, in bounded memory: which rows a look at a table's rows
 * should be at, where a random choice would show rows that no batch has asked for.
 *
 * Of a table there are 2,048 places, and an id has one of them by its hash. An id that comes to its
 * own place is counted; one that comes to another's wears that down, and takes the place when
 * nothing is left of it. So an id that comes more often than all others of its place together keeps
 * it, and a look-up costs one access to 32 KiB.
 *
 * Memory is one reservation made when the client is opened, for 64 tables, of which the pages in
 * use appear by themselves; a table beyond that has none. Threads do not wait for each other: one
 * that finds a table held leaves its batch out.
 */
#ifndef EMBMON_CLIENT_BUSY_H
#define EMBMON_CLIENT_BUSY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BUSY_TABLES = 64, BUSY_PLACES = 2048 };

struct busy_place {
    int64_t id;
    uint64_t count; /* 0: free */
};

struct busy {
    _Atomic int32_t owner; /* id of the layer + 1; 0: nobody's */
    atomic_flag held;
    uint32_t looked_in_epoch; /* of busy_due() */
    uint32_t chances;         /* since then */
    struct busy_place places[BUSY_PLACES];
};

struct busy_tables {
    struct busy *tables; /* owned: BUSY_TABLES of them, or NULL: nothing is counted */
};

/* False when the system refuses the reservation; nothing is then counted. */
bool busy_open(struct busy_tables *tables);
void busy_close(struct busy_tables *tables);

/* The layer's, held until busy_give(); NULL where there is none, or another thread holds it. */
struct busy *busy_take(struct busy_tables *tables, int32_t layer);
void busy_give(struct busy *busy);

/* Counts n look-ups of an id. */
void busy_count(struct busy *busy, int64_t id, uint64_t n);

/* True once an epoch (epochs: how many are complete), and at one of 100 chances where there are no
 * epochs. */
bool busy_due(struct busy *busy, uint32_t epochs);

/* Writes the ids that came most often, at most n, in no order; returns how many. All counts are
 * halved, so that what was busy long ago makes way. */
size_t busy_pick(struct busy *busy, int64_t *ids, size_t n);

#endif
