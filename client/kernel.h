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
#include <string.h>

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

/* Counts of two elements at once, of all pairs of places: one store for two elements, where tables
 * take one each, and stores are what bounds them. A place is a bucket above `base`, of a negative
 * element KERNEL_PLACES / 2 beyond. What has none is zero, or outside the window, and is at a place
 * that means nothing. */
enum {
    KERNEL_PLACES = 256,
    KERNEL_PLACES_FROM = 1, /* of each sign; beside it, all that is below */
    KERNEL_PLACES_END = 127,

    /* A base is from the one to the other, so that a window holds normal f32 alone. */
    KERNEL_LOWEST_BASE = (1 << 3) - KERNEL_PLACES_FROM,
    KERNEL_HIGHEST_BASE = BUCKETS - KERNEL_PLACES_END,

    /* Elements that are taken together. */
    KERNEL_PAIRED = 2 * KERNEL_GROUP,

    /* So many elements are counted before a pair could wrap. */
    KERNEL_PAIRS_FILL = 2 * UINT16_MAX / KERNEL_PAIRED * KERNEL_PAIRED,
};
typedef uint16_t kernel_pairs[KERNEL_PLACES][KERNEL_PLACES];

struct kernel_window {
    uint32_t base; /* the bucket below the window */
    uint32_t edge; /* elements below this place, in magnitude, are neither the least nor the
                      greatest: from KERNEL_PLACES_FROM, which asks of each, to KERNEL_PLACES_END */
    /* Written: */
    size_t looked_at; /* groups with a zero, or an element at the edge or outside */
    size_t outside;   /* groups with an element outside */
    size_t taken;     /* elements, whole groups: a loop ends early where the window is unfit */
};

/* Counts that are looked at together where tables are read: most are 0. */
enum { KERNEL_PIECE = 32 };

static inline bool kernel_any_counted(kernel_tables tables, size_t first)
{
    typedef uint64_t counts __attribute__((vector_size(16)));
    counts found = {0};

    for (size_t k = 0; k < KERNEL_TABLES; k++)
#pragma GCC unroll 4
        for (size_t i = 0; i < KERNEL_PIECE; i += sizeof(counts) / sizeof tables[0][0]) {
            counts some;

            memcpy(&some, &tables[k][first + i], sizeof some);
            found |= some;
        }
    return (found[0] | found[1]) != 0;
}

/* So many groups are to be looked at that it would be faster to look at all, or, of what is
 * outside, not to count pairs; the first few do not tell. */
static inline bool kernel_is_unfit(const struct kernel_window *window, size_t taken)
{
    size_t groups = taken / KERNEL_PAIRED;

    return window->outside > 8 + groups / 8 ||
           (window->edge > KERNEL_PLACES_FROM && window->looked_at > 16 + groups / 8);
}

struct kernel_sums {
    uint64_t finite, nans, infinities[2]; /* by sign */
    /* Of the finite ones; 0 where there is none. */
    double min, max;
    double least;                         /* magnitude but 0; by measure() alone */
    double sum, absolute_sum, square_sum; /* within +-DBL_MAX */
    uint64_t zeros[2];                    /* by sign; by measure(), else all in the first */
    uint64_t skipped;                     /* more zeros, in groups that were not looked at */
    bool irregular;                       /* nothing else here is right, see below */
};

/* n: whole groups. */
typedef void kernel_scan(struct kernel_sums *sums, const void *data, size_t n,
                         kernel_tables tables);
/* n: whole groups of KERNEL_PAIRED. */
typedef void kernel_scan_pairs(struct kernel_sums *sums, const void *data, size_t n,
                               kernel_tables tables, kernel_pairs pairs,
                               struct kernel_window *window);
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
    /* As count, but in the pairs; what is outside the window is counted in the tables. Min and max
     * are those of what was looked at, infinity and -infinity where nothing was. NULL where it is
     * no faster. */
    kernel_scan_pairs *count_pairs;
};

enum kernel_level {
    KERNEL_BASE, /* vectors of 16 bytes, which every processor we run on has */
    KERNEL_AVX2,
    KERNEL_AVX512,
    KERNEL_LEVELS
};

struct kernel {
    struct kernel_loops f32, f64, f16, bf16;
    /* Adds what was counted, in at most KERNEL_PAIRS_FILL elements, to the counts of places, and
     * clears it; the places that mean nothing get anything. NULL where nothing counts pairs. */
    void (*fold_pairs)(kernel_pairs pairs, uint32_t counts[KERNEL_PLACES]);
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
