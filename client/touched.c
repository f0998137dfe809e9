#include "client/touched.h"

#include <stdlib.h>

#include "client/dtype.h"

/* slots: by hash, a place in touched + 1, or 0; a power of two of them, more than there are ids. */
static size_t unique(int64_t *touched, const void *ids, size_t n, enum embmon_dtype dtype,
                     int64_t rows, uint32_t *slots, size_t slot_count)
{
    size_t found = 0;

    for (size_t i = 0; i < n; i++) {
        int64_t id = dtype_id(ids, i, dtype);
        size_t at = (size_t)((uint64_t)id * 0x9e3779b97f4a7c15u >> 32) & (slot_count - 1);

        if (id < 0 || id >= rows)
            continue;
        while (slots[at] != 0 && touched[slots[at] - 1] != id)
            at = (at + 1) & (slot_count - 1);
        if (slots[at] != 0)
            continue;
        touched[found++] = id;
        slots[at] = (uint32_t)found;
    }
    return found;
}

size_t touched_rows(int64_t *touched, const void *ids, size_t n, enum embmon_dtype dtype,
                    int64_t rows)
{
    size_t slot_count = 16, found;
    uint32_t *slots;

    if (n > TOUCHED_IDS || (dtype != EMBMON_I32 && dtype != EMBMON_I64))
        return 0;
    while (slot_count < 2 * n)
        slot_count *= 2;
    slots = calloc(slot_count, sizeof *slots);
    if (!slots)
        return 0;
    found = unique(touched, ids, n, dtype, rows, slots, slot_count);
    free(slots);
    return found;
}
