/* Do the rows of a table still differ? Of its busiest rows, brought to length 1: the mean cosine of
 * two of them, and their effective rank, the exponential of the entropy of the singular values as
 * shares of their sum (Roy and Vetterli, 2007), by the width.
 *
 * Bounded: at most 500 rows and, of a wider table, 64 columns at even distances; that is 256 KiB of
 * scratch, a million multiplications for their products and half of one for the singular values:
 * some 0.2 ms, once an epoch.
 */
#ifndef EMBMON_CLIENT_COLLAPSE_H
#define EMBMON_CLIENT_COLLAPSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "embmon/embmon.h"

enum { COLLAPSE_ROWS = 500, COLLAPSE_COLUMNS = 64 };

struct collapse {
    double cosine; /* -1 ... 1 */
    double spread; /* effective rank by the width looked at: 0 ... 1 */
};

/* Bytes of scratch that collapse_measure() needs. */
enum { COLLAPSE_SCRATCH = COLLAPSE_ROWS * COLLAPSE_COLUMNS * (int)sizeof(double) };

/* table: rows x columns elements. ids: n of its rows, n <= COLLAPSE_ROWS; those that are no row of
 * it, all zero or not finite are left out. False where too few are left to say: less than 2 for
 * each column looked at, or the rows of the table are. */
bool collapse_measure(const void *table, uint64_t rows, uint64_t columns, enum embmon_dtype dtype,
                      const int64_t *ids, size_t n, double *scratch, struct collapse *collapse);

#endif
