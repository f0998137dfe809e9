/* Rows by id: the first row of each id, and from each row the next one of its id, in the order they
 * came.
 *
 * Work and memory are O(rows). Where the ids lie close together each has a place of its own between
 * the least and the greatest; else a hash table has two places for each row. What lies in a place
 * is a row alone: the ids are read where they are, so that the table is as small as it can be, and
 * what is done for a row does not depend on what came before.
 */
#ifndef EMBMON_CLIENT_CHAINS_H
#define EMBMON_CLIENT_CHAINS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "embmon/embmon.h"

enum {
    CHAINS_ROWS_MAX = 1 << 20,
    CHAINS_NEAR = 8, /* places a row where each id has its own */
    CHAINS_ALIGN = sizeof(uint32_t),
};

struct chains_plan {
    const void *ids; /* borrowed until chains_link() */
    size_t rows;
    bool is_wide;   /* ids of 8 bytes, not of 4 */
    bool is_near;   /* each id has its own place, counted from the least one */
    uint32_t shift; /* of the hash */
    uint64_t least;
    size_t places;
    size_t bytes; /* of memory */
};

struct chains {
    uint32_t *next;    /* by row: the next row of its id + 1, or 0 */
    uint8_t *follower; /* by row: 1 where it is not the first of its id */
    size_t followers;  /* how many such rows */
};

/* Reads the ids once. id_dtype: I32 or I64; rows: at most CHAINS_ROWS_MAX. */
struct chains_plan chains_plan(const void *ids, enum embmon_dtype id_dtype, size_t rows);

/* memory: plan->bytes, aligned to CHAINS_ALIGN; borrowed. */
void chains_link(struct chains *chains, const struct chains_plan *plan, void *memory);

#endif
