/* Which rows of a table a list of ids names. */
#ifndef EMBMON_CLIENT_TOUCHED_H
#define EMBMON_CLIENT_TOUCHED_H

#include <stddef.h>
#include <stdint.h>

#include "embmon/embmon.h"

/* Longer lists have no rows. */
enum { TOUCHED_IDS = 1 << 28 };

/* Writes each id that is a row of a table of `rows`, once, in the order they first come, to
 * touched, which has room for n. ids: n of them, I32 or I64; of another dtype none is read. Returns
 * how many were written; 0 also when out of memory. */
size_t touched_rows(int64_t *touched, const void *ids, size_t n, enum embmon_dtype dtype,
                    int64_t rows);

#endif
