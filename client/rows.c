#include "client/rows.h"

#include <float.h>
#include <math.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#include "client/float_mode.h"

enum { PIECE = 128 };
enum { FOLLOWER = 1u << 31 }; /* in a link: not the first row of its id */

struct entry {
    int64_t id;
    uint32_t first, last; /* rows + 1; 0: the place is free */
};

/* All lies in the scratch. */
struct coalescer {
    struct entry *entries;
    double *sum;     /* one row */
    uint32_t *links; /* per row: the next row of its id + 1, or 0; and FOLLOWER */
    uint32_t shift;  /* 64 - log2 of the number of entries */
    size_t mask;
};

/* ---- the scratch ------------------------------------------------------------------------------
 */

bool rows_scratch_open(struct rows_scratch *scratch)
{
    void *memory = mmap(NULL, ROWS_SCRATCH, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    scratch->memory = memory == MAP_FAILED ? NULL : memory;
    atomic_init(&scratch->taken, 0);
    return scratch->memory != NULL;
}

void rows_scratch_close(struct rows_scratch *scratch)
{
    if (scratch->memory)
        munmap(scratch->memory, ROWS_SCRATCH);
    scratch->memory = NULL;
}

static uint32_t units_for(size_t n)
{
    return (uint32_t)((n + ROWS_UNIT - 1) / ROWS_UNIT);
}

void *rows_scratch_take(struct rows_scratch *scratch, size_t n)
{
    uint32_t taken = atomic_load_explicit(&scratch->taken, memory_order_relaxed);
    uint32_t units, run;

    if (!scratch->memory || n == 0 || n > ROWS_SCRATCH)
        return NULL;
    units = units_for(n);
    run = (uint32_t)(((uint64_t)1 << units) - 1);
    for (uint32_t at = 0; at + units <= ROWS_UNITS;) {
        if (taken & run << at) {
            at++;
            continue;
        }
        if (atomic_compare_exchange_weak_explicit(&scratch->taken, &taken, taken | run << at,
                                                  memory_order_acquire, memory_order_relaxed))
            return scratch->memory + (size_t)at * ROWS_UNIT;
    }
    return NULL;
}

void rows_scratch_give(struct rows_scratch *scratch, void *memory, size_t n)
{
    size_t at = (size_t)((uint8_t *)memory - scratch->memory) / ROWS_UNIT;
    uint32_t run = (uint32_t)(((uint64_t)1 << units_for(n)) - 1);

    atomic_fetch_and_explicit(&scratch->taken, ~(run << at), memory_order_release);
}

/* ---- touched: by the bits, for no comparison of floats is right under flush-to-zero ------------
 */

#define ANY_SET(name, type)                                                                        \
    static bool name(const uint8_t *data, size_t n, type mask)                                     \
    {                                                                                              \
        type found = 0;                                                                            \
                                                                                                   \
        for (size_t i = 0; i < n; i++) {                                                           \
            type bits;                                                                             \
                                                                                                   \
            memcpy(&bits, data + i * sizeof bits, sizeof bits);                                    \
            found = (type)(found | (bits & mask));                                                 \
        }                                                                                          \
        return found != 0;                                                                         \
    }
ANY_SET(any_set8, uint8_t)
ANY_SET(any_set16, uint16_t)
ANY_SET(any_set32, uint32_t)
ANY_SET(any_set64, uint64_t)
#undef ANY_SET

static bool is_touched(const uint8_t *row, size_t columns, enum embmon_dtype dtype)
{
    bool is_float =
        dtype == EMBMON_F32 || dtype == EMBMON_F64 || dtype == EMBMON_F16 || dtype == EMBMON_BF16;

    switch (dtype_size(dtype)) {
    case 1:
        return any_set8(row, columns, UINT8_MAX);
    case 2:
        return any_set16(row, columns, is_float ? INT16_MAX : UINT16_MAX);
    case 4:
        return any_set32(row, columns, is_float ? INT32_MAX : UINT32_MAX);
    default:
        return any_set64(row, columns, is_float ? INT64_MAX : UINT64_MAX);
    }
}

/* Touched rows that follow each other are summarised in one go. */
struct streak {
    struct tally *tally;
    const uint8_t *values;
    size_t columns, row_bytes;
    enum embmon_dtype dtype;
    size_t first, length; /* rows */
};

static void streak_end(struct streak *s)
{
    if (s->length > 0)
        tally_add(s->tally, s->values + s->first * s->row_bytes, s->length * s->columns, s->dtype);
    s->length = 0;
}

static struct streak streak_of(struct tally *t, const struct row_set *set)
{
    return (struct streak){.tally = t,
                           .values = set->values,
                           .columns = set->columns,
                           .row_bytes = set->columns * dtype_size((int)set->dtype),
                           .dtype = set->dtype};
}

/* True when the row is touched. */
static bool streak_row(struct streak *s, size_t row)
{
    if (!is_touched(s->values + row * s->row_bytes, s->columns, s->dtype))
        return false;
    if (s->length == 0 || s->first + s->length != row) {
        streak_end(s);
        s->first = row;
    }
    s->length++;
    return true;
}

/* Not inlined: it runs under the default floating-point mode (float_mode.h). */
__attribute__((noinline)) static double sum_squares(const uint8_t *row, size_t columns,
                                                    enum embmon_dtype dtype)
{
    double values[PIECE], total = 0;

    for (size_t at = 0, n; at < columns; at += n) {
        n = columns - at < PIECE ? columns - at : PIECE;
        dtype_load(values, row + at * dtype_size((int)dtype), n, dtype);
        for (size_t i = 0; i < n; i++)
            total += isfinite(values[i]) ? values[i] * values[i] : 0;
    }
    return isfinite(total) ? total : DBL_MAX;
}

static double squares_of(const void *row, size_t columns, enum embmon_dtype dtype)
{
    struct float_mode mode = float_mode_enter();
    double squares = sum_squares(row, columns, dtype);

    float_mode_leave(mode);
    return squares;
}

struct row_counts rows_add_dense(struct tally *t, const struct row_set *set)
{
    struct streak streak = streak_of(t, set);
    struct row_counts counts = {0};

    for (size_t row = 0; row < set->rows; row++) {
        bool is_padding = set->has_padding && (int64_t)row == set->padding_id;

        if (!streak_row(&streak, row))
            continue;
        counts.touched++;
        if (is_padding)
            counts.padding_squares =
                squares_of(streak.values + row * streak.row_bytes, set->columns, set->dtype);
        else if (set->busy)
            busy_count(set->busy, (int64_t)row, 1);
    }
    streak_end(&streak);
    return counts;
}

/* ---- coalescing --------------------------------------------------------------------------------
 */

static int64_t id_at(const struct row_set *set, size_t row)
{
    if (set->id_dtype == EMBMON_I32) {
        int32_t id;

        memcpy(&id, (const uint8_t *)set->ids + row * sizeof id, sizeof id);
        return id;
    } else {
        int64_t id;

        memcpy(&id, (const uint8_t *)set->ids + row * sizeof id, sizeof id);
        return id;
    }
}

/* Bytes of scratch and, with memory, the coalescer laid out in it; 0 where it can never fit. */
static size_t lay_out(struct coalescer *c, const struct row_set *set, uint8_t *memory)
{
    size_t entries = 16, sum_bytes, links_bytes;
    uint32_t shift = 60;

    if (set->rows > ROWS_SCRATCH / sizeof(struct entry) ||
        set->columns > ROWS_SCRATCH / sizeof(double))
        return 0;
    for (; entries < set->rows * 2; entries *= 2)
        shift--;
    sum_bytes = set->columns * sizeof(double);
    links_bytes = set->rows * sizeof(uint32_t);
    if (memory) {
        c->entries = (struct entry *)(void *)memory;
        c->sum = (double *)(void *)(memory + entries * sizeof(struct entry));
        c->links = (uint32_t *)(void *)((uint8_t *)c->sum + sum_bytes);
        c->shift = shift;
        c->mask = entries - 1;
        memset(c->entries, 0, entries * sizeof(struct entry));
        memset(c->links, 0, links_bytes);
    }
    return entries * sizeof(struct entry) + sum_bytes + links_bytes;
}

static struct entry *entry_of(const struct coalescer *c, int64_t id)
{
    size_t at = (size_t)((uint64_t)id * 0x9e3779b97f4a7c15u >> c->shift);

    while (c->entries[at].first != 0 && c->entries[at].id != id)
        at = (at + 1) & c->mask;
    return &c->entries[at];
}

/* Chains the rows of each id in the order they came. */
static void chain_rows(struct coalescer *c, const struct row_set *set)
{
    for (size_t row = 0; row < set->rows; row++) {
        int64_t id = id_at(set, row);
        struct entry *entry = entry_of(c, id);
        uint32_t place = (uint32_t)row + 1;

        if (entry->first == 0) {
            entry->id = id;
            entry->first = place;
        } else {
            c->links[entry->last - 1] |= place;
            c->links[row] = FOLLOWER;
        }
        entry->last = place;
    }
}

static void accumulate(double *sums, const uint8_t *row, size_t columns, enum embmon_dtype dtype)
{
    double values[PIECE];

    for (size_t at = 0, n; at < columns; at += n) {
        n = columns - at < PIECE ? columns - at : PIECE;
        dtype_load(values, row + at * dtype_size((int)dtype), n, dtype);
        for (size_t i = 0; i < n; i++)
            sums[at + i] += values[i];
    }
}

/* Adds up the rows of one id; returns how many there are. Not inlined: it runs under the default
 * floating-point mode (float_mode.h). */
__attribute__((noinline)) static uint64_t sum_chain(const struct coalescer *c,
                                                    const struct row_set *set, size_t row)
{
    size_t element = dtype_size((int)set->dtype);
    const uint8_t *values = set->values;

    memset(c->sum, 0, set->columns * sizeof(double));
    for (uint64_t length = 1;; length++) {
        accumulate(c->sum, values + row * set->columns * element, set->columns, set->dtype);
        if ((c->links[row] & ~FOLLOWER) == 0)
            return length;
        row = (c->links[row] & ~FOLLOWER) - 1;
    }
}

/* One id: its rows and their sum, in whichever dtype that is. */
static void count_id(struct row_counts *counts, const struct row_set *set, int64_t id,
                     uint64_t length, const void *sum, enum embmon_dtype dtype)
{
    if (set->has_padding && id == set->padding_id) {
        counts->padding_squares = squares_of(sum, set->columns, dtype);
        return;
    }
    counts->looked_up++;
    counts->ids += length;
    if (length > counts->busiest)
        counts->busiest = length;
    if (set->busy)
        busy_count(set->busy, id, length);
}

static void add_chains(struct tally *t, const struct coalescer *c, const struct row_set *set,
                       struct row_counts *counts)
{
    struct streak streak = streak_of(t, set);

    for (size_t row = 0; row < set->rows; row++) {
        struct float_mode mode;
        uint64_t length;

        if (c->links[row] & FOLLOWER)
            continue;
        if (c->links[row] == 0) {
            counts->touched += streak_row(&streak, row);
            count_id(counts, set, id_at(set, row), 1, streak.values + row * streak.row_bytes,
                     set->dtype);
            continue;
        }
        mode = float_mode_enter();
        length = sum_chain(c, set, row);
        float_mode_leave(mode);
        count_id(counts, set, id_at(set, row), length, c->sum, EMBMON_F64);
        if (!is_touched((const uint8_t *)c->sum, set->columns, EMBMON_F64))
            continue;
        tally_add(t, c->sum, set->columns, EMBMON_F64);
        counts->touched++;
    }
    streak_end(&streak);
}

struct row_counts rows_add_sparse(struct tally *t, const struct row_set *set,
                                  struct rows_scratch *scratch)
{
    struct coalescer coalescer;
    struct row_counts counts = {0};
    size_t bytes = lay_out(&coalescer, set, NULL);
    void *memory = rows_scratch_take(scratch, bytes);

    if (!memory) {
        struct row_set as_they_come = *set;

        as_they_come.busy = NULL; /* a place is no id */
        as_they_come.has_padding = false;
        (void)rows_add_dense(t, &as_they_come);
        counts.uncoalesced = true;
        return counts;
    }
    lay_out(&coalescer, set, memory);
    chain_rows(&coalescer, set);
    add_chains(t, &coalescer, set, &counts);
    rows_scratch_give(scratch, memory, bytes);
    return counts;
}
