#include "daemon/reserve.h"

#include <malloc.h>
#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* libuv keeps one allocator for the process: so is this. A block is preceded by its size. */
static alignas(max_align_t) uint8_t reserve[RESERVE_BYTES];
static size_t used;

enum { HEAD = alignof(max_align_t) };

static bool is_ours(const void *memory)
{
    uintptr_t at = (uintptr_t)memory, start = (uintptr_t)reserve;

    return at >= start && at < start + sizeof reserve;
}

static void *take(size_t n)
{
    uint8_t *head = reserve + used;
    size_t whole = (n + HEAD - 1) / HEAD * HEAD + HEAD;

    if (n > sizeof reserve || whole > sizeof reserve - used)
        return NULL;
    used += whole;
    memcpy(head, &n, sizeof n);
    return memset(head + HEAD, 0, n);
}

static size_t size_of(const void *memory)
{
    size_t n;

    memcpy(&n, (const uint8_t *)memory - HEAD, sizeof n);
    return n;
}

void *reserve_malloc(size_t n)
{
    void *memory = malloc(n);

    return memory || n == 0 ? memory : take(n);
}

void *reserve_calloc(size_t count, size_t n)
{
    void *memory = calloc(count, n);
    size_t bytes;

    if (memory || __builtin_mul_overflow(count, n, &bytes) || bytes == 0)
        return memory;
    return take(bytes);
}

void *reserve_realloc(void *memory, size_t n)
{
    size_t before;
    void *more;

    if (!memory)
        return reserve_malloc(n);
    if (!is_ours(memory)) {
        more = realloc(memory, n);
        if (more || n == 0)
            return more;
        before = malloc_usable_size(memory);
        more = take(n);
    } else {
        before = size_of(memory);
        more = reserve_malloc(n);
    }
    if (!more)
        return NULL;
    memcpy(more, memory, before < n ? before : n);
    reserve_free(memory);
    return more;
}

void reserve_free(void *memory)
{
    if (!is_ours(memory))
        free(memory);
}

size_t reserve_used(void)
{
    return used;
}
