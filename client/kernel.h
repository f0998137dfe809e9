/* The hot loops of a summary, one set for each level of the processor's vectors: moments and counts
 * of floats in one pass. client/summarize.c chooses which loop goes over what, and puts together
 * what they say; client/cells.h is the definition that they are held to, one element at a time.
 *
 * All levels give the same counts, minimum and maximum. Sums are in f64, in as many lanes as the
 * level has: they differ by rounding.
 *
 * To be called under float_mode_enter(), and not inlined (float_mode.h).
 */
#ifndef EMBMON_CLIENT_KERNEL_H
#define EMBMON_CLIENT_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "embmon/embmon.h"
#include "proto/buckets.h"

enum {
    /* Elements that are taken together: their loop skips a group that is all zeros. */
    KERNEL_GROUP = 32,

    /* Neighbours are counted in different tables: the next count of a bucket need not wait until
     * the one before is stored. They do not lie whole pages apart: what is at the same place of
     * two pages looks the same to a processor that decides whether a load must wait for a store. */
    KERNEL_TABLES = 4,
    KERNEL_STRIDE = 2 * BUCKET_TABLE + 80,

    /* So many elements are counted before a table of u16 could wrap. */
    KERNEL_FILL = KERNEL_TABLES * UINT16_MAX / KERNEL_GROUP * KERNEL_GROUP,
};

/* Positive buckets, then the negative ones from BUCKET_TABLE on. What is in places that are no
 * bucket means nothing. */
typedef uint16_t kernel_tables[KERNEL_TABLES][KERNEL_STRIDE];

struct kernel_sums {
    uint64_t finite, nans, infinities[2]; /* by sign */
    /* Of the finite ones; 0 where there is none. */
    double min, max;
    double least;                         /* magnitude but 0; by measure() alone */
    double sum, absolute_sum, square_sum; /* within +-DBL_MAX */
    uint64_t zeros[2];                    /* by sign; by count() and sum() all in the first */
    uint64_t skipped;                     /* more zeros, in groups that were not looked at */
    bool irregular;                       /* nothing else here is right, see below */
};

/* n: whole groups. */
typedef void kernel_scan(struct kernel_sums *sums, const void *data, size_t n,
                         kernel_tables tables);
/* n: any number. */
typedef void kernel_measure(struct kernel_sums *sums, const void *data, size_t n);

struct kernel_loops {
    /* Moments, and counts in the tables. Irregular when an element is not finite, or is not counted
     * by its bits as all others are: an f64 outside the normal f32, others in the lowest bucket.
     * What is regular is counted all the same. */
    kernel_scan *count;
    /* Moments alone; tables is not used. Irregular when an element is not finite. Both may be
     * irregular without need where the sum of absolute values is beyond f64. */
    kernel_scan *sum;
    /* Moments of whatever comes; never irregular. */
    kernel_measure *measure;
};

enum kernel_level {
    KERNEL_BASE, /* vectors of 16 bytes, which every processor we run on has */
    KERNEL_AVX2,
    KERNEL_AVX512,
    KERNEL_LEVELS
};

struct kernel {
    struct kernel_loops f32, f64, f16, bf16;
};

/* The best that this processor has. */
const struct kernel *kernel_best(void);

/* NULL where this processor does not have it. */
const struct kernel *kernel_at(enum kernel_level level);

static inline const struct kernel_loops *kernel_of(const struct kernel *kernel,
                                                   enum embmon_dtype dtype)
{
    switch ((int)dtype) {
    case EMBMON_F16:
        return &kernel->f16;
    case EMBMON_BF16:
        return &kernel->bf16;
    case EMBMON_F32:
        return &kernel->f32;
    default:
        return &kernel->f64;
    }
}

#endif
