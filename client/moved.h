/* What a step changes of a variable: kept before, subtracted after. Of a table with a sparse
 * gradient the rows that were looked up, each once; of anything else all of it. Not for several
 * threads at once. */
#ifndef EMBMON_CLIENT_MOVED_H
#define EMBMON_CLIENT_MOVED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "embmon/embmon.h"

/* A larger copy is not made: the variable has no updates then. */
#define MOVED_BYTES ((size_t)256 << 20)

/* A variable's value, row-major, of floats. */
struct moved_value {
    const void *data;
    size_t rows, columns; /* 1 column: elements */
    enum embmon_dtype dtype;
};

/* Which rows; ids NULL: all of them. */
struct moved_rows {
    const void *ids;
    size_t count;
    enum embmon_dtype dtype; /* I32 or I64 */
};

struct moved; /* opaque */

struct moved *moved_new(void); /* NULL: out of memory */
void moved_free(struct moved *moved);

/* Keeps the value, or the rows of it (ids that are none of it are left out), until moved_take() or
 * the next moved_keep(). False: it is too large, or out of memory, and nothing is kept. */
bool moved_keep(struct moved *moved, const struct moved_value *before,
                const struct moved_rows *rows);

bool moved_is_kept(const struct moved *moved);

/* What was subtracted; valid until moved_drop(). */
struct moved_difference {
    const void *values; /* count x columns */
    enum embmon_dtype dtype;
    const int64_t *ids; /* count, each once; NULL: all rows */
    size_t count, columns;
};

/* After minus before, in f64 for a variable of f64, else in f32. False: nothing was kept, or the
 * value has another form. */
bool moved_take(struct moved *moved, const struct moved_value *after,
                struct moved_difference *difference);

/* Frees what is kept. */
void moved_drop(struct moved *moved);

#endif
