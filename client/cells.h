/* Where an element is counted, one element at a time: the definition that the loops of
 * client/kernel.h are held to, and what takes the few elements that they leave.
 *
 * A cell is the bucket of proto/buckets.h, of negative values BUCKET_TABLE beyond. f64 and integers
 * are rounded toward zero to f32 for it. A zero is in the lowest bucket of its sign, from where its
 * caller takes it out; what is not finite is in a cell that is no bucket.
 */
#ifndef EMBMON_CLIENT_CELLS_H
#define EMBMON_CLIENT_CELLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "embmon/embmon.h"
#include "proto/buckets.h"

enum { CELLS = 2 * BUCKET_TABLE };

uint32_t cell_of_f64(uint64_t bits);
uint32_t cell_of_integer(int64_t value);

/* cells[...]++ for each element. */
void cells_count(uint32_t cells[CELLS], const void *data, size_t n, enum embmon_dtype dtype);

/* The same, of those elements alone that are left where kernel_loops.count says "irregular": finite
 * ones but zeros, of f64 those outside the normal f32, of other floats those in the lowest bucket.
 */
void cells_count_irregular(uint32_t cells[CELLS], const void *data, size_t n,
                           enum embmon_dtype dtype);

#endif
