#include "proto/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 16, CHUNK_MIN = 64 << 10, CHUNK_MAX = 4 << 20, KEPT_MAX = 1 << 20 };

struct arena_chunk {
    struct arena_chunk *next;
    size_t capacity, used;
    _Alignas(ALIGNMENT) uint8_t bytes[];
};

static size_t drop_chunks(struct arena *arena)
{
    size_t total = 0;

    while (arena->newest) {
        struct arena_chunk *chunk = arena->newest;

        total += chunk->capacity;
        arena->newest = chunk->next;
        free(chunk);
    }
    return total;
}

void arena_free(struct arena *arena)
{
    drop_chunks(arena);
    memset(arena, 0, sizeof *arena);
}

void arena_reset(struct arena *arena, size_t budget)
{
    struct arena_chunk *chunk = arena->newest;

    /* Several chunks become one of their size at the next use: then every message finds its place
     * in one piece. */
    if (chunk && (chunk->next || chunk->capacity > KEPT_MAX)) {
        size_t total = drop_chunks(arena);

        arena->first_chunk = total < KEPT_MAX ? total : KEPT_MAX;
    } else if (chunk) {
        chunk->used = 0;
    }
    arena->budget = budget;
    arena->spent = 0;
    arena->full = false;
}

static struct arena_chunk *add_chunk(struct arena *arena, size_t need)
{
    size_t capacity = arena->newest ? arena->newest->capacity * 2 : arena->first_chunk;
    struct arena_chunk *chunk;

    if (capacity < CHUNK_MIN)
        capacity = CHUNK_MIN;
    if (capacity > CHUNK_MAX)
        capacity = CHUNK_MAX;
    if (capacity < need)
        capacity = need;
    chunk = malloc(sizeof *chunk + capacity);
    if (!chunk)
        return NULL;
    chunk->next = arena->newest;
    chunk->capacity = capacity;
    chunk->used = 0;
    arena->newest = chunk;
    return chunk;
}

void *arena_alloc(struct arena *arena, size_t n)
{
    struct arena_chunk *chunk = arena->newest;
    size_t need;
    uint8_t *memory;

    arena->full = arena->full || n > arena->budget;
    if (n > arena->budget)
        return NULL; /* and the rounding below cannot wrap */
    need = ALIGNMENT + (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    arena->full = arena->full || need > arena->budget - arena->spent;
    if (need > arena->budget - arena->spent)
        return NULL;
    if (!chunk || need > chunk->capacity - chunk->used)
        chunk = add_chunk(arena, need);
    if (!chunk)
        return NULL;
    memory = chunk->bytes + chunk->used;
    memcpy(memory, &n, sizeof n);
    chunk->used += need;
    arena->spent += need;
    return memory + ALIGNMENT;
}

size_t arena_size(const void *memory)
{
    size_t n;

    memcpy(&n, (const uint8_t *)memory - ALIGNMENT, sizeof n);
    return n;
}
