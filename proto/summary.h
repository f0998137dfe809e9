/* A summary is the value type of the product: exact moments of a tensor and a log-linear histogram
 * of its finite, non-zero elements (buckets.h), which merges by addition without losing resolution.
 * It is made by the client (client/summarize.h), travels as a message, is merged over ranks and
 * steps, and becomes the histogram of an event file.
 *
 * The histogram is kept as the occupied span of each sign: index of the first bucket, number of
 * buckets, counts. Typically under 1 KiB, at most 2 x 2,040 counts.
 *
 * Invariants (summary_check() proves them for what came from outside):
 *   count = zeros + nans + infinities + the counts of both spans, no sum wraps;
 *   parts >= 1, or everything is 0 (an empty summary, the neutral element of summary_add());
 *   min, max, sum, absolute_sum, square_sum are finite (they saturate at +-DBL_MAX) and are 0 when
 *   no element is finite; a span of length > 0 has non-zero counts at both ends.
 *
 * Not thread-safe per value; no function here does I/O.
 */
#ifndef EMBMON_PROTO_SUMMARY_H
#define EMBMON_PROTO_SUMMARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/buckets.h"

struct summary_span {
    uint32_t first;   /* bucket index of counts[0] */
    uint32_t length;  /* occupied buckets; 0: none, first is then 0 */
    uint64_t *counts; /* owned; room for `capacity` counts */
    uint32_t capacity;
};

/* Keys of the extras: counts per unit that ride along. How they merge is part of the key. */
enum summary_extra_key {
    EXTRA_ROWS_LOOKED_UP = 1,  /* distinct ids of the step; added */
    EXTRA_ROWS_TOUCHED = 2,    /* rows with a non-zero gradient after coalescing; added */
    EXTRA_UNCOALESCED = 3,     /* 1 where rows of one id could not be added up first; maximum */
    EXTRA_IDS = 4,             /* ids of the step but the padding's, repeated ones too; added */
    EXTRA_BUSIEST = 5,         /* of these the ids of the row that has most; added */
    EXTRA_PADDING_SQUARES = 6, /* sum of squares of the padding row's gradient; added */
    EXTRA_EXAMPLES = 7,        /* of the batch; added */
    EXTRA_UNITS = 8,           /* of the layer; added */
    EXTRA_UNITS_DEAD = 9,      /* of these those that are 0 in the whole batch; added */
    EXTRA_SATURATED = 10,      /* outputs within 1e-4 of their function's limit; added */
    EXTRA_VARIANCE = 11,       /* over the examples, mean over what an example consists of; added */
    EXTRA_COSINE = 12,         /* mean cosine of the busiest rows of a table, at least 0; maximum */
    EXTRA_SPREAD = 13,         /* effective rank of the busiest rows, by the width; maximum */
    EXTRA_BUCKET_ERROR = 14,   /* buckets are of a sample: standard error of one's count, by count,
                                  at most; maximum */
    EXTRA_KEY_MAX = 14,
};
enum { SUMMARY_EXTRAS_MAX = 16 };
_Static_assert((int)EXTRA_KEY_MAX <= (int)SUMMARY_EXTRAS_MAX, "any two summaries can be merged");

struct summary_extra {
    uint32_t key;
    double value;
};

struct summary {
    uint64_t count;
    uint64_t parts; /* tensors added into this summary */
    uint64_t zeros, nans, positive_infinities, negative_infinities;
    double min, max; /* of the finite elements, zeros included */
    double sum, absolute_sum, square_sum;
    struct summary_span negative; /* by magnitude: negative.counts[0] is nearest to zero */
    struct summary_span positive;
    struct summary_extra extras[SUMMARY_EXTRAS_MAX]; /* ascending keys, each at most once */
    uint32_t extra_count;
};

/* A zeroed struct summary is a valid empty one. */
void summary_free(struct summary *s);

/* Empties s and keeps its memory. */
void summary_clear(struct summary *s);

/* into += from. On false (out of memory, or a count would wrap) into is unchanged. */
__attribute__((warn_unused_result)) bool summary_add(struct summary *into,
                                                     const struct summary *from);

/* Makes the span hold `length` counts from bucket `first` on, copied and trimmed of zero ends.
 * False: out of memory, or not within the table; the span is then unchanged. */
__attribute__((warn_unused_result)) bool summary_set_span(struct summary_span *span, uint32_t first,
                                                          const uint64_t *counts, uint32_t length);

/* Sets an extra, keeping the keys in order. False when all places are taken or the key is 0. */
bool summary_set_extra(struct summary *s, uint32_t key, double value);

/* The value of an extra, or `missing`. */
double summary_extra(const struct summary *s, uint32_t key, double missing);

/* Checks every invariant. Returns NULL, or a static sentence on the first one that does not hold.
 */
const char *summary_check(const struct summary *s);

/* Elements that are neither NaN nor infinite. */
uint64_t summary_finite(const struct summary *s);

/* Elements that are NaN or infinite. */
uint64_t summary_nonfinite(const struct summary *s);

/* Root of the sum of squares divided by parts: the norm of a tensor that `parts` ranks each hold
 * whole. With sharded, every part is a piece of it and the squares add up: parts do not divide. */
double summary_norm(const struct summary *s, bool sharded);

/* Root mean square of the finite elements; 0 when there is none. */
double summary_rms(const struct summary *s);

/* The q-quantile (0 ... 1) of the finite elements, right to one bucket: linear within the bucket,
 * within [min, max]. NaN when there is no finite element. */
double summary_quantile(const struct summary *s, double q);

/* Bytes of memory the value holds, its own struct included. */
size_t summary_bytes(const struct summary *s);

#endif
