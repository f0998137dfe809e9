/* A tensor in place, in one pass, to exact moments and bucket counts: the loops of client/kernel.h
 * put to work.
 *
 * A tally is the scratch of the thread that summarises; it lives on the stack and is never kept. Of
 * its 48 KiB small tensors touch the few buckets that they have; 32 KiB are touched only beyond 4
 * billion elements. Large tensors are counted in tables of their own, 33 KiB more of the stack.
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

#include "client/cells.h"
#include "client/dtype.h"
#include "client/kernel.h"
#include "client/pairs.h"
#include "embmon/embmon.h"
#include "proto/summary.h"

struct tally {
    const struct kernel *kernel;                /* tests set another level before they add */
    uint64_t count, zeros, nans, infinities[2]; /* the infinities by sign */
    double min, max;                            /* of the finite elements; 0 while there is none */
    double sum, absolute_sum, square_sum;
    kernel_tables *tables;  /* borrowed from tally_open_tables() to tally_close_tables() */
    uint64_t tables_filled; /* elements counted there */
    struct pairs *pairs;    /* borrowed: where large tensors may be counted; NULL: nowhere */
    uint64_t narrow_filled; /* elements in narrow since it was last emptied */
    bool spilled;           /* wide is in use */
    uint32_t low, high;     /* buckets from low to below high are in use, of either sign: the others
                               hold no element, and are undefined but while there are tables */
    uint32_t narrow[CELLS];
    uint64_t wide[CELLS]; /* undefined until spilled */
};

void tally_start(struct tally *t);

/* Adds n elements. data: aligned as its dtype asks, or at least readable byte by byte. */
void tally_add(struct tally *t, const void *data, size_t n, enum embmon_dtype dtype);

/* One part of it, of floats: moments without counts, or, while there are tables, the counts alone.
 */
enum tally_part { TALLY_WHOLE, TALLY_MOMENTS, TALLY_COUNTS };
void tally_add_part(struct tally *t, const void *data, size_t n, enum embmon_dtype dtype,
                    enum tally_part part);

/* Until they are closed, what is added is counted in these tables: for who adds many pieces of some
 * thousand elements. Nothing may be read of the tally meanwhile. */
void tally_open_tables(struct tally *t, kernel_tables *tables);
void tally_close_tables(struct tally *t);

/* Empties narrow into wide; called before a narrow count could wrap. */
void tally_spill(struct tally *t);

/* The occupied span of one sign: its first bucket and length; length 0 where there is none. */
void tally_span(const struct tally *t, bool negative, uint32_t *first, uint32_t *length);

/* Copies the counts of `length` buckets from `first` on, within the occupied span. */
void tally_counts(const struct tally *t, bool negative, uint32_t first, uint32_t length,
                  uint64_t *counts);

/* Writes all but the spans and the extras: count, parts = 1, classes and moments. */
void tally_moments(const struct tally *t, struct summary *s);

#endif
