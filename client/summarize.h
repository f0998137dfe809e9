/* The hot loop: a tensor in place, one pass, to exact moments and bucket counts.
 *
 * A tally is the scratch of the thread that summarises; it lives on the stack (48 KiB, of which
 * 32 KiB are touched only beyond 4 billion elements) and is never kept.
 *
 * Class and bucket come from integer bits (proto/buckets.h); f64 and integers are rounded toward
 * zero to f32 for the bucket only, the moments are those of the exact value. Works the same
 * whatever the caller's floating-point control register says, and leaves it as it was.
 */
#ifndef EMBMON_CLIENT_SUMMARIZE_H
#define EMBMON_CLIENT_SUMMARIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "embmon/embmon.h"
#include "proto/summary.h"

enum { TALLY_CELLS = 2 * BUCKET_TABLE + 1 };

struct tally {
    uint64_t count, nans, positive_infinities, negative_infinities;
    uint64_t finite;
    double min, max;
    double sum, absolute_sum, square_sum;
    uint64_t narrow_filled;       /* elements in narrow since it was last emptied */
    bool spilled;                 /* wide is in use */
    uint32_t narrow[TALLY_CELLS]; /* positive, negative, and the zeros */
    uint64_t wide[TALLY_CELLS];   /* undefined until spilled */
};

/* Bytes of an element; 0 for what is not a dtype. */
size_t dtype_size(int dtype);

/* to[0 ... n) = data, exactly converted but for integers above 2^53. To be called under
 * float_mode_enter(). */
void dtype_load(double *to, const void *data, size_t n, enum embmon_dtype dtype);

void tally_start(struct tally *t);

/* Adds n elements. data: aligned as its dtype asks, or at least readable byte by byte. */
void tally_add(struct tally *t, const void *data, size_t n, enum embmon_dtype dtype);

/* Empties narrow into wide; called before a narrow count could wrap. */
void tally_spill(struct tally *t);

/* The occupied span of one sign: its first bucket and length; length 0 where there is none. */
void tally_span(const struct tally *t, bool negative, uint32_t *first, uint32_t *length);

/* Copies the counts of `length` buckets from `first` on. */
void tally_counts(const struct tally *t, bool negative, uint32_t first, uint32_t length,
                  uint64_t *counts);

/* Writes all but the spans and the extras: count, parts = 1, classes and moments. */
void tally_moments(const struct tally *t, struct summary *s);

#endif
