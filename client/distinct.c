#include "client/distinct.h"

#include <stdbool.h>
#include <string.h>

/* Ids whose slots are fetched together: they are far apart in a table larger than the cache. */
enum { AHEAD = 32, SLOTS_MIN = 16, SLOTS_PER_CELL = 4 };

struct distinct_plan distinct_plan(uint64_t possible, uint32_t most)
{
    struct distinct_plan plan = {.places = possible < most ? (uint32_t)possible : most};

    plan.slots = SLOTS_MIN;
    while (plan.slots < plan.places * 2)
        plan.slots *= 2;
    if (possible > most)
        plan.cells = plan.slots / SLOTS_PER_CELL;
    plan.bytes = plan.places * sizeof(struct ids_busiest) + plan.cells * sizeof(uint64_t) +
                 plan.slots * sizeof(uint32_t);
    return plan;
}

void distinct_start(struct distinct *d, const struct distinct_plan *plan, void *memory)
{
    *d = (struct distinct){.plan = *plan, .places = memory};
    d->cells = (uint64_t *)(void *)(d->places + plan->places);
    d->slots = (uint32_t *)(void *)(d->cells + plan->cells);
    memset(d->cells, 0, plan->cells * sizeof d->cells[0]);
    memset(d->slots, 0, plan->slots * sizeof d->slots[0]);
}

static uint64_t hash_of(int64_t id)
{
    return (uint64_t)id * 0x9e3779b97f4a7c15u;
}

/* n: a power of two. The upper bits of the product are the mixed ones. */
static size_t index_of(uint64_t hash, uint32_t n)
{
    return (size_t)((hash >> 32) * n >> 32);
}

/* Once more: ids at equal distances must not share few cells. */
static uint64_t mixed(uint64_t hash)
{
    return (hash ^ hash >> 29) * 0xbf58476d1ce4e5b9u;
}

/* The slot that leads to this id, or the free one where it belongs; half of them are free. */
static uint32_t *slot_of(const struct distinct *d, int64_t id, size_t at)
{
    while (d->slots[at] != 0 && d->places[d->slots[at] - 1].id != id)
        at = (at + 1) & (d->plan.slots - 1);
    return &d->slots[at];
}

static void add_one(struct distinct *d, int64_t id, size_t at)
{
    uint32_t *slot = slot_of(d, id, at);

    if (*slot != 0) {
        d->places[*slot - 1].count++;
    } else if (d->used < d->plan.places) {
        d->places[d->used] = (struct ids_busiest){id, 1};
        *slot = ++d->used;
    } else {
        d->cells[index_of(mixed(hash_of(id)), d->plan.cells)]++;
        d->missed++;
    }
}

void distinct_add(struct distinct *d, const int64_t *ids, size_t n)
{
    size_t at[AHEAD];

    for (size_t done = 0; done < n; done += AHEAD) {
        size_t some = n - done < AHEAD ? n - done : AHEAD;

        for (size_t i = 0; i < some; i++) {
            at[i] = index_of(hash_of(ids[done + i]), d->plan.slots);
            __builtin_prefetch(&d->slots[at[i]], 1);
        }
        for (size_t i = 0; i < some; i++)
            add_one(d, ids[done + i], at[i]);
    }
}

/* ---- what has come of it ----------------------------------------------------------------------
 */

static bool is_busier(const struct ids_busiest *a, const struct ids_busiest *b)
{
    return a->count > b->count || (a->count == b->count && a->id < b->id);
}

void distinct_insert(struct ids_stats *stats, const struct ids_busiest *one)
{
    uint32_t place = stats->busiest_count;

    if (place < IDS_BUSIEST_MAX)
        stats->busiest_count++;
    else if (!is_busier(one, &stats->busiest[--place]))
        return;
    for (; place > 0 && is_busier(one, &stats->busiest[place - 1]); place--)
        stats->busiest[place] = stats->busiest[place - 1];
    stats->busiest[place] = *one;
}

static void find_busiest(const struct distinct *d, struct ids_stats *stats)
{
    const struct ids_busiest *last = &stats->busiest[IDS_BUSIEST_MAX - 1];

    stats->busiest_count = 0;
    for (uint32_t i = 0; i < d->used; i++)
        if (stats->busiest_count < IDS_BUSIEST_MAX || is_busier(&d->places[i], last))
            distinct_insert(stats, &d->places[i]);
}

void distinct_result(const struct distinct *d, struct ids_stats *stats)
{
    uint64_t filled = 0, fullest = 0;

    for (uint32_t i = 0; d->missed > 0 && i < d->plan.cells; i++) {
        filled += d->cells[i] > 0;
        fullest = d->cells[i] > fullest ? d->cells[i] : fullest;
    }
    stats->unique = d->used + filled;
    stats->unique_error = d->missed - filled;
    stats->busiest_error = fullest;
    find_busiest(d, stats);
}
