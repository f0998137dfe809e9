/* Memory for one message at a time: allocations with a ceiling, given back all at once. */
#ifndef EMBMON_PROTO_ARENA_H
#define EMBMON_PROTO_ARENA_H

#include <stdbool.h>
#include <stddef.h>

struct arena_chunk;

/* A zeroed one is valid and refuses everything until arena_reset() gives it a budget. */
struct arena {
    struct arena_chunk *newest; /* owned, linked */
    size_t budget;              /* bytes that may be handed out before the next reset */
    size_t spent;
    bool full;          /* something was refused since the last reset for the budget */
    size_t first_chunk; /* what earlier messages needed */
};

void arena_free(struct arena *arena);

/* Takes everything back and sets the budget. Memory is kept, at most 1 MiB of it. */
void arena_reset(struct arena *arena, size_t budget);

/* n bytes aligned for any type, not zeroed; NULL beyond the budget or when out of memory. */
void *arena_alloc(struct arena *arena, size_t n);

/* The n that `memory`, which came from arena_alloc(), was asked for. */
size_t arena_size(const void *memory);

#endif
