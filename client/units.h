/* What a layer's output says of its units: how many are 0 in the whole batch, how many outputs have
 * reached the limit of their function, and how far the examples of the batch differ.
 *
 * A unit is the last dimension of the declared shape; an example is all dimensions but the first,
 * where they are declared, else one unit each. One pass over the bits, one over the values where
 * there is a limit, and one over at most 64 examples at even distances for the variance. Scratch:
 * an element for each unit.
 */
#ifndef EMBMON_CLIENT_UNITS_H
#define EMBMON_CLIENT_UNITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/rows.h"
#include "embmon/embmon.h"

enum { UNITS_MAX = 1 << 19 };

enum unit_function { UNITS_ANY, UNITS_TANH, UNITS_SIGMOID };

/* The function of this name, as it was declared. */
enum unit_function units_function(const char *activation);

struct unit_shape {
    size_t units;   /* 0: not known */
    size_t example; /* elements of an example; a multiple of units */
};

/* The shape of `count` elements of a tensor declared like this; units 0 where it does not fit. */
struct unit_shape units_shape(const int64_t *shape, uint32_t rank, size_t count);

struct unit_counts {
    uint64_t examples, units, dead; /* units 0: nothing is known */
    uint64_t saturated;             /* 0 where the function has no limit */
    double variance;                /* NaN: not known */
};

/* Looks at count elements of floats at data. A limit is 1 or -1 for tanh, 0 or 1 for sigmoid, and
 * reached within 1e-4. */
struct unit_counts units_measure(const void *data, size_t count, enum embmon_dtype dtype,
                                 struct unit_shape shape, enum unit_function function,
                                 struct rows_scratch *scratch);

#endif
