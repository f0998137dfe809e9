#include "client/chains.h"

#include <string.h>

#include "client/id_ends.h"

enum {
    PLACES_MIN = 16,
    TOGETHER = 32,          /* rows whose places are asked for before they are linked */
    FETCHED_FROM = 1 << 16, /* places: a table that does not stay in a cache */
};

struct chains_plan chains_plan(const void *ids, enum embmon_dtype id_dtype, size_t rows)
{
    struct chains_plan plan = {
        .ids = ids, .rows = rows, .is_wide = id_dtype == EMBMON_I64, .is_near = true};
    struct id_ends ends = {0, 0};

    if (rows > 0)
        ends = id_ends(ids, rows, id_dtype);
    plan.least = (uint64_t)ends.least;
    if ((uint64_t)ends.greatest - plan.least < CHAINS_NEAR * rows) {
        plan.places = (size_t)((uint64_t)ends.greatest - plan.least) + 1;
    } else {
        plan.is_near = false;
        plan.shift = 60;
        for (plan.places = PLACES_MIN; plan.places < 2 * rows; plan.places *= 2)
            plan.shift--;
    }
    plan.bytes = (plan.places + rows + 1) * sizeof(uint32_t) + rows + 1;
    return plan;
}

/* ---- linking: what has no row before it is written to a row that nobody asks for, so that there
 * is no branch to be guessed. places: the last row of each id so far + 1, or 0; next and follower
 * by row + 1. */

static size_t hash_of(uint64_t id, uint32_t shift)
{
    return (size_t)(id * 0x9e3779b97f4a7c15u >> shift);
}

#define LINK(name, type)                                                                           \
    static void name##_near(const struct chains_plan *plan, uint32_t *places, uint32_t *next,      \
                            uint8_t *follower)                                                     \
    {                                                                                              \
        const uint8_t *ids = plan->ids;                                                            \
                                                                                                   \
        for (size_t row = 0; row < plan->rows; row++) {                                            \
            uint32_t *place, before;                                                               \
            type id;                                                                               \
                                                                                                   \
            memcpy(&id, ids + row * sizeof id, sizeof id);                                         \
            place = &places[(uint64_t)id - plan->least];                                           \
            before = *place;                                                                       \
            *place = (uint32_t)row + 1;                                                            \
            next[row + 1] = 0;                                                                     \
            next[before] = (uint32_t)row + 1;                                                      \
            follower[row + 1] = before != 0;                                                       \
        }                                                                                          \
    }                                                                                              \
    static void name##_fetch(const struct chains_plan *plan, const uint32_t *places, size_t row,   \
                             size_t end)                                                           \
    {                                                                                              \
        for (; row < end; row++) {                                                                 \
            type id;                                                                               \
                                                                                                   \
            memcpy(&id, (const uint8_t *)plan->ids + row * sizeof id, sizeof id);                  \
            __builtin_prefetch(&places[hash_of((uint64_t)id, plan->shift)], 1);                    \
        }                                                                                          \
    }                                                                                              \
    static void name##_hashed(const struct chains_plan *given, uint32_t *places, uint32_t *next,   \
                              uint8_t *follower)                                                   \
    {                                                                                              \
        const struct chains_plan plan = *given; /* nothing that is written can change it */        \
        const uint8_t *ids = plan.ids;                                                             \
                                                                                                   \
        for (size_t row = 0, end; row < plan.rows; row = end) {                                    \
            end = plan.rows - row < TOGETHER ? plan.rows : row + TOGETHER;                         \
            if (plan.places >= FETCHED_FROM)                                                       \
                name##_fetch(&plan, places, row, end);                                             \
            for (; row < end; row++) {                                                             \
                uint32_t before;                                                                   \
                type id, other;                                                                    \
                size_t at;                                                                         \
                                                                                                   \
                memcpy(&id, ids + row * sizeof id, sizeof id);                                     \
                at = hash_of((uint64_t)id, plan.shift);                                            \
                while ((before = places[at]) != 0) {                                               \
                    memcpy(&other, ids + (before - 1) * sizeof id, sizeof id);                     \
                    if (other == id)                                                               \
                        break;                                                                     \
                    at = (at + 1) & (plan.places - 1);                                             \
                }                                                                                  \
                places[at] = (uint32_t)row + 1;                                                    \
                next[row + 1] = 0;                                                                 \
                next[before] = (uint32_t)row + 1;                                                  \
                follower[row + 1] = before != 0;                                                   \
            }                                                                                      \
        }                                                                                          \
    }
LINK(link_i32, int32_t)
LINK(link_i64, int64_t)
#undef LINK

void chains_link(struct chains *chains, const struct chains_plan *plan, void *memory)
{
    uint32_t *places = memory, *next = places + plan->places;
    uint8_t *follower = (uint8_t *)(next + plan->rows + 1);

    memset(places, 0, plan->places * sizeof *places);
    if (plan->is_near)
        (plan->is_wide ? link_i64_near : link_i32_near)(plan, places, next, follower);
    else
        (plan->is_wide ? link_i64_hashed : link_i32_hashed)(plan, places, next, follower);
    chains->next = next + 1;
    chains->follower = follower + 1;
    chains->followers = 0;
    for (size_t row = 0; row < plan->rows; row++)
        chains->followers += chains->follower[row];
}
