/* The least and the greatest of some ids: whether all are rows, and how close together they lie. */
#ifndef EMBMON_CLIENT_ID_ENDS_H
#define EMBMON_CLIENT_ID_ENDS_H

#include <stddef.h>
#include <stdint.h>

#include "embmon/embmon.h"

struct id_ends {
    int64_t least, greatest;
};

/* n: at least 1; dtype: I32 or I64. ids: at any address. */
struct id_ends id_ends(const void *ids, size_t n, enum embmon_dtype dtype);

#endif
