/* Rows that are summarised, but do not lie together: short ones are copied into one piece until it
 * is worth a loop's beginning and end, long ones are taken where they are. Lives on the stack.
 */
#ifndef EMBMON_CLIENT_GATHER_H
#define EMBMON_CLIENT_GATHER_H

#include <stddef.h>
#include <stdint.h>

#include "client/summarize.h"

enum { GATHER_BYTES = 16 << 10 };

struct gather_piece {
    enum embmon_dtype dtype;
    size_t filled; /* bytes */
    _Alignas(64) uint8_t bytes[GATHER_BYTES];
};

struct gather {
    struct tally *tally;               /* borrowed until gather_end() */
    struct gather_piece given;         /* in the dtype they came in */
    struct gather_piece sums;          /* in f64 */
    _Alignas(64) kernel_tables tables; /* of the tally, once a piece was full */
};

/* The tally comes started; nothing is read of it until gather_end(). */
void gather_start(struct gather *g, struct tally *tally, enum embmon_dtype dtype);

/* n elements of the dtype. */
void gather_given(struct gather *g, const void *data, size_t n);

/* n elements of f64. */
void gather_sum(struct gather *g, const double *sums, size_t n);

/* Where the next n elements of f64 may be written, before gather_took(), if they are to be added;
 * NULL where gather_sum() is to be called. */
double *gather_room(struct gather *g, size_t n);
void gather_took(struct gather *g, size_t n);

void gather_end(struct gather *g);

#endif
