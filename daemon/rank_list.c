#include "daemon/rank_list.h"

#include <stdlib.h>
#include <string.h>

static size_t place_of(const struct rank_list *list, uint32_t rank)
{
    size_t low = 0, high = list->length;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (list->ranks[middle] < rank)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool rank_list_has(const struct rank_list *list, uint32_t rank)
{
    size_t place = place_of(list, rank);

    return place < list->length && list->ranks[place] == rank;
}

bool rank_list_add(struct rank_list *list, uint32_t rank)
{
    size_t place = place_of(list, rank);

    if (place < list->length && list->ranks[place] == rank)
        return true;
    if (list->length == list->capacity) {
        size_t capacity = list->capacity ? list->capacity * 2 : 4;
        uint32_t *more = reallocarray(list->ranks, capacity, sizeof *more);

        if (!more)
            return false;
        list->ranks = more;
        list->capacity = capacity;
    }
    memmove(&list->ranks[place + 1], &list->ranks[place],
            (list->length - place) * sizeof *list->ranks);
    list->ranks[place] = rank;
    list->length++;
    return true;
}

void rank_list_carry(struct carry *c, struct rank_list *list, uint32_t world_size)
{
    size_t count = carry_count(c, list->length, world_size);

    if (c->loading) {
        *list = (struct rank_list){.ranks = carry_room(c, count, sizeof *list->ranks)};
        count = list->ranks ? count : 0;
        list->length = list->capacity = count;
    }
    for (size_t i = 0; i < count; i++) {
        carry_u32(c, &list->ranks[i], world_size - 1);
        if (i > 0 && list->ranks[i] <= list->ranks[i - 1])
            carry_fail(c, "ranks are not in order");
    }
}
