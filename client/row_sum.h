/* Rows added up in f64, element by element and in the order they are given: the same to the bit
 * whatever vectors the processor has.
 *
 * To be called under float_mode_enter(), and not inlined (float_mode.h).
 */
#ifndef EMBMON_CLIENT_ROW_SUM_H
#define EMBMON_CLIENT_ROW_SUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "embmon/embmon.h"

/* sums[0 ... columns) += each of the n rows, which hold `columns` floats of dtype each at any
 * address; anew: to 0, whatever is there. */
void row_sum(double *sums, bool anew, const uint8_t *const *rows, size_t n, size_t columns,
             enum embmon_dtype dtype);

#endif
