/* How many different ids there are and how often each comes, in bounded memory.
 *
 * Each id has a place from its first occurrence on, so that its count is exact. Once all places are
 * taken, ids without one are counted in cells by their hash. What is then known of them for certain
 * bounds the errors: a cell that is not 0 is at least one id, a look-up without a place is at most
 * one, and no id has more look-ups than the fullest cell.
 */
#ifndef EMBMON_CLIENT_DISTINCT_H
#define EMBMON_CLIENT_DISTINCT_H

#include <stddef.h>
#include <stdint.h>

#include "proto/ids.h"

enum { DISTINCT_MAX = 1 << 20, DISTINCT_ALIGN = 16 };

/* What room there is to be. */
struct distinct_plan {
    uint32_t places, slots,
        cells; /* slots and cells: powers of two; 0 cells where none is needed */
    size_t bytes;
};

struct distinct {
    struct distinct_plan plan;
    struct ids_busiest *places;
    uint32_t *slots; /* by hash: a place + 1, or 0 */
    uint64_t *cells;
    uint32_t used;   /* places taken, in the order the ids came */
    uint64_t missed; /* look-ups of ids that have no place */
};

/* For at most `possible` different ids, with at most `most` places (1 ... DISTINCT_MAX). */
struct distinct_plan distinct_plan(uint64_t possible, uint32_t most);

/* memory: plan.bytes, aligned to DISTINCT_ALIGN; borrowed. */
void distinct_start(struct distinct *d, const struct distinct_plan *plan, void *memory);

void distinct_add(struct distinct *d, const int64_t *ids, size_t n);

/* Writes unique, unique_error, busiest and busiest_error. Of equally busy ids the least comes
 * first. */
void distinct_result(const struct distinct *d, struct ids_stats *stats);

/* One id with all its look-ups among the busiest ones, if it is one of them. */
void distinct_insert(struct ids_stats *stats, const struct ids_busiest *one);

#endif
