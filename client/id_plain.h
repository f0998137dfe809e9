/* Ids as most batches have them: whole numbers, all of them rows or the padding. Each is counted
 * without a branch; what is asked of them is then read from the counts.
 *
 * Work and scratch are O(ids). Where the ids lie close together there is a count for each id from
 * the least to the greatest, at most ID_PLAIN_NEAR an id that came; else one where the id came
 * first, found by a hash table of such positions.
 */
#ifndef EMBMON_CLIENT_ID_PLAIN_H
#define EMBMON_CLIENT_ID_PLAIN_H

#include <stdbool.h>

#include "client/id_stats.h"

enum { ID_PLAIN_NEAR = 8 };

/* Writes into *stats, which comes zeroed, all that id_stats_take() does of such a batch, but what
 * needs no id: count, sequence_length, masked, varied, rows_seen. False where it is no such batch,
 * or the scratch is in use: nothing is written then. */
bool id_plain_take(struct ids_stats *stats, const struct id_batch *batch,
                   struct rows_scratch *scratch, struct seen_rows *seen);

#endif
