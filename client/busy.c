#include "client/busy.h"

#include <sys/mman.h>

enum { CHANCES = 100 };

bool busy_open(struct busy_tables *tables)
{
    void *memory = mmap(NULL, BUSY_TABLES * sizeof(struct busy), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    tables->tables = memory == MAP_FAILED ? NULL : memory;
    return tables->tables != NULL;
}

void busy_close(struct busy_tables *tables)
{
    if (tables->tables)
        munmap(tables->tables, BUSY_TABLES * sizeof(struct busy));
    tables->tables = NULL;
}

/* The layer's, or the first free one behind where it belongs, made its own. */
static struct busy *find(struct busy_tables *tables, int32_t layer)
{
    for (size_t i = 0; tables->tables && i < BUSY_TABLES; i++) {
        struct busy *busy = &tables->tables[((size_t)layer + i) % BUSY_TABLES];
        int32_t owner = 0;

        if (atomic_compare_exchange_strong(&busy->owner, &owner, layer + 1) || owner == layer + 1)
            return busy;
    }
    return NULL;
}

struct busy *busy_take(struct busy_tables *tables, int32_t layer)
{
    struct busy *busy = find(tables, layer);

    return busy && !atomic_flag_test_and_set(&busy->held) ? busy : NULL;
}

void busy_give(struct busy *busy)
{
    if (busy)
        atomic_flag_clear(&busy->held);
}

/* Without a branch: who is worn down, and who comes again, is not to be guessed. */
void busy_count(struct busy *busy, int64_t id, uint64_t n)
{
    size_t at = (size_t)((uint64_t)id * 0x9e3779b97f4a7c15u >> 53);
    struct busy_place *place = &busy->places[at];
    uint64_t count = place->count, less = count - n;
    uint64_t is_own = -(uint64_t)(place->id == id), is_gone = -(uint64_t)(count < n) & ~is_own;

    place->count = (is_own & (count + n)) | (~is_own & ((less ^ is_gone) - is_gone));
    place->id = (int64_t)(((uint64_t)place->id & ~is_gone) | ((uint64_t)id & is_gone));
}

bool busy_due(struct busy *busy, uint32_t epochs)
{
    if (epochs == busy->looked_in_epoch && ++busy->chances < CHANCES)
        return false;
    busy->looked_in_epoch = epochs;
    busy->chances = 0;
    return true;
}

/* How many places have at least this count. */
static size_t at_least(const struct busy *busy, uint64_t count)
{
    size_t found = 0;

    for (size_t i = 0; i < BUSY_PLACES; i++)
        found += busy->places[i].count >= count;
    return found;
}

/* The smallest count, at least 1, that at most n places have. */
static uint64_t threshold_of(const struct busy *busy, size_t n)
{
    uint64_t low = 1, high = UINT64_MAX;

    while (low < high) {
        uint64_t middle = low + (high - low) / 2;

        if (at_least(busy, middle) <= n)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

size_t busy_pick(struct busy *busy, int64_t *ids, size_t n)
{
    uint64_t threshold = threshold_of(busy, n);
    size_t picked = 0;

    for (size_t i = 0; i < BUSY_PLACES; i++)
        if (busy->places[i].count >= threshold && picked < n)
            ids[picked++] = busy->places[i].id;
    /* Where more are equal than there is room for, some of those just below. */
    for (size_t i = 0; i < BUSY_PLACES; i++)
        if (busy->places[i].count > 0 && busy->places[i].count == threshold - 1 && picked < n)
            ids[picked++] = busy->places[i].id;
    for (size_t i = 0; i < BUSY_PLACES; i++)
        busy->places[i].count /= 2;
    return picked;
}
