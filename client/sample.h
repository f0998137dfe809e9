/* Tensors that no cache holds, for who would rather have them fast than have every bucket exact:
 * moments, zeros and what is not finite are of all elements, the buckets of a sample.
 *
 * Of each stratum of 1 KiB one line of 64 bytes is drawn at random and its elements are counted;
 * the counts are then brought up to the number of finite elements that are not 0, which is known.
 * As each stratum's line has the same chance, an element's chance of being counted is the same for
 * all, and however alike the elements of a line are, a bucket's count as a share of all elements
 * has a standard error of at most 0.5 / sqrt(strata): 1 in 400 of a tensor of 10^7 f32.
 */
#ifndef EMBMON_CLIENT_SAMPLE_H
#define EMBMON_CLIENT_SAMPLE_H

#include <stddef.h>
#include <stdint.h>

#include "client/summarize.h"

enum {
    SAMPLE_FROM = 1 << 20, /* elements; fewer are counted one and all */
    SAMPLE_LINE = 64,
    SAMPLE_STRATUM = 16 * SAMPLE_LINE,
    /* Where the sample has fewer finite elements but zeros, all are counted. */
    SAMPLE_LEAST = 4096,
};

/* Adds n elements to a tally that was just started; data as in tally_add(). seed: another one for
 * each tensor, as errors of the same lines would add up. Returns the standard error of a bucket's
 * count as a share of n, at most; 0: all were counted. */
double sample_add(struct tally *t, const void *data, size_t n, enum embmon_dtype dtype,
                  uint64_t seed);

#endif
