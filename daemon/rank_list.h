/* A set of ranks, as a list. */
#ifndef EMBMON_DAEMON_RANK_LIST_H
#define EMBMON_DAEMON_RANK_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/carry.h"

/* Ascending, each once. A zeroed one is empty. */
struct rank_list {
    uint32_t *ranks; /* owned */
    size_t length, capacity;
};

/* False: out of memory, the list is unchanged. */
bool rank_list_add(struct rank_list *list, uint32_t rank);
bool rank_list_has(const struct rank_list *list, uint32_t rank);

/* Over a restart; ranks are below `world_size`. */
void rank_list_carry(struct carry *c, struct rank_list *list, uint32_t world_size);

#endif
