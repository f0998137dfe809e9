/* What goes into an embedding: one pass over a tensor of ids, in place, to struct ids_stats.
 *
 * Works the same whatever the caller's floating-point control register says, and leaves it as it
 * was. Whole ids that are all rows are taken by id_plain.h, others in blocks, one by one; both say
 * the same. Scratch is bounded: of the others up to ID_STATS_SMALL different ids are counted on the
 * stack, more in the client's scratch; where that is in use, or more than DISTINCT_MAX are there,
 * the counts say by how much they may be wrong (distinct.h).
 */
#ifndef EMBMON_CLIENT_ID_STATS_H
#define EMBMON_CLIENT_ID_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/rows.h"
#include "client/seen.h"
#include "embmon/embmon.h"
#include "proto/ids.h"

enum { ID_STATS_SMALL = 1 << 10 };

struct id_batch {
    const void *ids;
    size_t count;
    enum embmon_dtype dtype;
    size_t sequence_length; /* 0: not sequences; else count is a multiple of it */
    const uint8_t *mask;    /* count bytes, 0: masked; or NULL */
    uint64_t rows;          /* of the table, 0: not known, and no id is beyond them */
    bool has_padding;
    int64_t padding_id;
};

/* Writes all of *stats, but rows_seen where seen is NULL: 0. seen: borrowed, of a table of
 * batch->rows rows; the rows looked up are marked there. */
void id_stats_take(struct ids_stats *stats, const struct id_batch *batch,
                   struct rows_scratch *scratch, struct seen_rows *seen);

#endif
