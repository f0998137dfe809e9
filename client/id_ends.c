#include "client/id_ends.h"

#include <string.h>

/* As many side by side as 16 bytes hold. */
#define FIND(name, type)                                                                           \
    static struct id_ends name(const uint8_t *ids, size_t n)                                       \
    {                                                                                              \
        typedef type lanes __attribute__((vector_size(16)));                                       \
        enum { LANES = sizeof(lanes) / sizeof(type) };                                             \
        lanes least, greatest;                                                                     \
        struct id_ends ends;                                                                       \
        size_t i = 0;                                                                              \
        type id;                                                                                   \
                                                                                                   \
        memcpy(&id, ids, sizeof id);                                                               \
        least = greatest = (lanes){0} + id;                                                        \
        for (; i + LANES <= n; i += LANES) {                                                       \
            lanes some, below, above;                                                              \
                                                                                                   \
            memcpy(&some, ids + i * sizeof id, sizeof some);                                       \
            below = (lanes)(some < least);                                                         \
            above = (lanes)(some > greatest);                                                      \
            least = (some & below) | (least & ~below);                                             \
            greatest = (some & above) | (greatest & ~above);                                       \
        }                                                                                          \
        ends = (struct id_ends){least[0], greatest[0]};                                            \
        for (size_t k = 1; k < LANES; k++) {                                                       \
            ends.least = least[k] < ends.least ? least[k] : ends.least;                            \
            ends.greatest = greatest[k] > ends.greatest ? greatest[k] : ends.greatest;             \
        }                                                                                          \
        for (; i < n; i++) {                                                                       \
            memcpy(&id, ids + i * sizeof id, sizeof id);                                           \
            ends.least = id < ends.least ? id : ends.least;                                        \
            ends.greatest = id > ends.greatest ? id : ends.greatest;                               \
        }                                                                                          \
        return ends;                                                                               \
    }
FIND(of_i32, int32_t)
FIND(of_i64, int64_t)
#undef FIND

struct id_ends id_ends(const void *ids, size_t n, enum embmon_dtype dtype)
{
    return dtype == EMBMON_I64 ? of_i64(ids, n) : of_i32(ids, n);
}
