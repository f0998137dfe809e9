#include "client/seen.h"

#include <stdatomic.h>
#include <sys/mman.h>

/* A chunk of words is cleared only when it was written to. */
enum { WORD_BITS = 64, CHUNK_WORDS = 512, CHUNK_ROWS = CHUNK_WORDS * WORD_BITS, ALIGN = 64 };

#define SEEN_BYTES ((uint64_t)SEEN_ROWS / 8 + (1 << 20)) /* and what describes them */

struct seen_rows {
    _Atomic int64_t
        count; /* bits set; -1 for a moment, where one is cleared before it is counted */
    uint64_t rows, chunks;
    _Atomic uint64_t *words;   /* in the same reservation */
    _Atomic uint8_t written[]; /* by chunk */
};

bool seen_open(struct seen *seen)
{
    void *memory = mmap(NULL, SEEN_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    seen->memory = memory == MAP_FAILED ? NULL : memory;
    atomic_init(&seen->used, 0);
    return seen->memory != NULL;
}

void seen_close(struct seen *seen)
{
    if (seen->memory)
        munmap(seen->memory, SEEN_BYTES);
    seen->memory = NULL;
}

static uint64_t aligned(uint64_t bytes)
{
    return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

struct seen_rows *seen_reserve(struct seen *seen, uint64_t rows)
{
    uint64_t used = atomic_load(&seen->used), chunks, words, head, bytes;
    struct seen_rows *made;

    if (!seen->memory || rows == 0 || rows > SEEN_ROWS)
        return NULL;
    chunks = (rows + CHUNK_ROWS - 1) / CHUNK_ROWS;
    words = (rows + WORD_BITS - 1) / WORD_BITS;
    head = aligned(sizeof *made + chunks);
    bytes = head + aligned(words * sizeof made->words[0]);
    do {
        if (bytes > SEEN_BYTES - used)
            return NULL;
    } while (!atomic_compare_exchange_weak(&seen->used, &used, used + bytes));
    made = (struct seen_rows *)(void *)(seen->memory + used);
    made->rows = rows;
    made->chunks = chunks;
    made->words = (_Atomic uint64_t *)(void *)(seen->memory + used + head);
    return made;
}

/* Release, and acquire in seen_clear(): who takes the chunk's sign sees the bits. */
void seen_mark_word(struct seen_rows *rows, uint64_t word, uint64_t bits)
{
    bits &= ~atomic_load_explicit(&rows->words[word], memory_order_relaxed);
    if (bits == 0)
        return;
    bits &= ~atomic_fetch_or_explicit(&rows->words[word], bits, memory_order_relaxed);
    if (bits == 0)
        return;
    atomic_fetch_add_explicit(&rows->count, __builtin_popcountll(bits), memory_order_relaxed);
    atomic_store_explicit(&rows->written[word / CHUNK_WORDS], 1, memory_order_release);
}

void seen_mark(struct seen_rows *rows, uint64_t row)
{
    seen_mark_word(rows, row / WORD_BITS, (uint64_t)1 << row % WORD_BITS);
}

/* Most were seen before. */
void seen_mark_all(struct seen_rows *rows, const uint64_t *row, size_t n)
{
    const _Atomic uint64_t *words = rows->words;

    for (size_t i = 0; i < n; i++)
        if (!(atomic_load_explicit(&words[row[i] / WORD_BITS], memory_order_relaxed) >>
                  row[i] % WORD_BITS &
              1))
            seen_mark(rows, row[i]);
}

uint64_t seen_count(const struct seen_rows *rows)
{
    int64_t count = atomic_load_explicit(&rows->count, memory_order_relaxed);

    return count < 0 ? 0 : (uint64_t)count;
}

static void clear_chunk(struct seen_rows *rows, uint64_t chunk)
{
    uint64_t words = (rows->rows + WORD_BITS - 1) / WORD_BITS, first = chunk * CHUNK_WORDS;
    uint64_t end = words - first < CHUNK_WORDS ? words : first + CHUNK_WORDS;
    int64_t cleared = 0;

    for (uint64_t i = first; i < end; i++) {
        uint64_t bits = 0;

        if (atomic_load_explicit(&rows->words[i], memory_order_relaxed))
            bits = atomic_exchange_explicit(&rows->words[i], 0, memory_order_relaxed);
        cleared += __builtin_popcountll(bits);
    }
    atomic_fetch_sub_explicit(&rows->count, cleared, memory_order_relaxed);
}

void seen_clear(struct seen_rows *rows)
{
    for (uint64_t i = 0; i < rows->chunks; i++)
        if (atomic_load_explicit(&rows->written[i], memory_order_relaxed) &&
            atomic_exchange_explicit(&rows->written[i], 0, memory_order_acquire))
            clear_chunk(rows, i);
}
