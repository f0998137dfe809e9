/* What a step changes of a variable: a copy is kept before, and subtracted after. Not for several
 * threads at once. */
#ifndef EMBMON_CLIENT_MOVED_H
#define EMBMON_CLIENT_MOVED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "embmon/embmon.h"

/* A larger copy is not made: the variable has no updates then. */
#define MOVED_BYTES ((size_t)256 << 20)

/* A variable's value, of floats. */
struct moved_value {
    const void *data;
    size_t count;
    enum embmon_dtype dtype;
};

struct moved; /* opaque */

struct moved *moved_new(void); /* NULL: out of memory */
void moved_free(struct moved *moved);

/* Keeps the value until moved_drop() or the next moved_keep(). False: it is too large, or out of
 * memory, and nothing is kept. */
bool moved_keep(struct moved *moved, const struct moved_value *before);

bool moved_is_kept(const struct moved *moved);

/* After minus before, in f64 for a variable of f64, else in f32; valid until moved_drop(). False:
 * nothing was kept, or the value has another form. */
bool moved_take(struct moved *moved, const struct moved_value *after,
                struct moved_value *difference);

/* Frees what is kept. */
void moved_drop(struct moved *moved);

#endif
