#include "client/inbox.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { ALIGN = 16, CACHE_LINE = 64 };
enum state { EMPTY = 0, READY = 1, FILLER = 2 };

struct slot {
    uint32_t bytes; /* of the whole slot; written before state */
    _Atomic uint32_t state;
    uint64_t end; /* bytes ever reserved, with it */
};

struct inbox {
    uint8_t *ring; /* owned */
    size_t size;
    _Alignas(CACHE_LINE) _Atomic uint64_t head; /* bytes ever reserved */
    _Alignas(CACHE_LINE) _Atomic uint64_t tail; /* bytes ever read */
};

struct inbox *inbox_new(size_t bytes)
{
    struct inbox *inbox = aligned_alloc(CACHE_LINE, sizeof *inbox);
    void *ring;

    if (!inbox)
        return NULL;
    ring = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1,
                0);
    if (ring == MAP_FAILED) {
        free(inbox);
        return NULL;
    }
    inbox->ring = ring;
    inbox->size = bytes;
    atomic_init(&inbox->head, 0);
    atomic_init(&inbox->tail, 0);
    return inbox;
}

void inbox_free(struct inbox *inbox)
{
    if (!inbox)
        return;
    munmap(inbox->ring, inbox->size);
    free(inbox);
}

static struct slot *slot_at(struct inbox *inbox, uint64_t position)
{
    return (struct slot *)(void *)(inbox->ring + (position & (inbox->size - 1)));
}

static void publish(struct slot *slot, size_t bytes, enum state state)
{
    slot->bytes = (uint32_t)bytes;
    atomic_store_explicit(&slot->state, state, memory_order_release);
}

void *inbox_reserve(struct inbox *inbox, size_t n)
{
    uint64_t head = atomic_load_explicit(&inbox->head, memory_order_relaxed);
    size_t bytes, filler;
    struct slot *slot;

    if (n > inbox->size / 4)
        return NULL;
    bytes = sizeof *slot + (n + ALIGN - 1) / ALIGN * ALIGN;
    for (;;) {
        size_t to_end = inbox->size - (size_t)(head & (inbox->size - 1));
        /* Acquire: what the reader zeroed is zero before we write there. */
        uint64_t tail = atomic_load_explicit(&inbox->tail, memory_order_acquire);
        uint64_t before = head;

        filler = bytes > to_end ? to_end : 0;
        if (bytes + filler <= inbox->size - (size_t)(head - tail)) {
            if (atomic_compare_exchange_weak_explicit(&inbox->head, &head, head + filler + bytes,
                                                      memory_order_relaxed, memory_order_relaxed))
                break;
            continue;
        }
        head = atomic_load_explicit(&inbox->head, memory_order_relaxed);
        if (head == before)
            return NULL;
    }
    if (filler)
        publish(slot_at(inbox, head), filler, FILLER);
    slot = slot_at(inbox, head + filler);
    slot->bytes = (uint32_t)bytes;
    slot->end = head + filler + bytes;
    return slot + 1;
}

void inbox_commit(void *payload)
{
    struct slot *slot = (struct slot *)payload - 1;

    atomic_store_explicit(&slot->state, READY, memory_order_release);
}

uint64_t inbox_end(const void *payload)
{
    return ((const struct slot *)payload - 1)->end;
}

uint64_t inbox_position(const struct inbox *inbox)
{
    return atomic_load_explicit(&inbox->tail, memory_order_acquire);
}

/* Zeroes the slot at tail, then gives it back to the writers. */
static void release(struct inbox *inbox, uint64_t tail, struct slot *slot)
{
    size_t bytes = slot->bytes;

    memset(slot, 0, bytes);
    atomic_store_explicit(&inbox->tail, tail + bytes, memory_order_release);
}

void *inbox_peek(struct inbox *inbox)
{
    for (;;) {
        uint64_t tail = atomic_load_explicit(&inbox->tail, memory_order_relaxed);
        struct slot *slot = slot_at(inbox, tail);

        switch (atomic_load_explicit(&slot->state, memory_order_acquire)) {
        case READY:
            return slot + 1;
        case FILLER:
            release(inbox, tail, slot);
            break;
        default:
            return NULL;
        }
    }
}

void inbox_pop(struct inbox *inbox)
{
    uint64_t tail = atomic_load_explicit(&inbox->tail, memory_order_relaxed);

    release(inbox, tail, slot_at(inbox, tail));
}
