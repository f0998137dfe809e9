#include "client/rows.h"

#include <float.h>
#include <math.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#include "client/float_mode.h"
#include "client/gather.h"

enum { PIECE = 128, LINE = 64, FETCHED = 1024 };
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

/* The bits of 8 bytes of elements that make them other than 0 or -0. */
static uint64_t not_zero_bits(enum embmon_dtype dtype)
{
    switch ((int)dtype) {
    case EMBMON_F16:
    case EMBMON_BF16:
        return 0x7fff7fff7fff7fff;
    case EMBMON_F32:
        return 0x7fffffff7fffffff;
    case EMBMON_F64:
        return INT64_MAX;
    default:
        return UINT64_MAX;
    }
}

typedef uint64_t lanes __attribute__((vector_size(16)));

static bool is_touched(const uint8_t *row, size_t bytes, uint64_t mask)
{
    lanes four[4];
    uint64_t rest;

    for (; bytes >= sizeof four; bytes -= sizeof four, row += sizeof four) {
        memcpy(four, row, sizeof four);
        four[0] |= four[1] | four[2] | four[3];
        if ((four[0][0] | four[0][1]) & mask)
            return true;
    }
    for (; bytes >= sizeof rest; bytes -= sizeof rest, row += sizeof rest) {
        memcpy(&rest, row, sizeof rest);
        if (rest & mask)
            return true;
    }
    rest = 0;
    memcpy(&rest, row, bytes);
    return (rest & mask) != 0;
}

/* Touched rows that follow each other are summarised in one go. */
struct streak {
    struct gather *gather;
    const uint8_t *values;
    size_t columns, row_bytes;
    uint64_t not_zero;
    size_t first, length; /* rows */
};

static void streak_end(struct streak *s)
{
    if (s->length > 0)
        gather_given(s->gather, s->values + s->first * s->row_bytes, s->length * s->columns);
    s->length = 0;
}

static struct streak streak_of(struct gather *gather, const struct row_set *set)
{
    return (struct streak){.gather = gather,
                           .values = set->values,
                           .columns = set->columns,
                           .row_bytes = set->columns * dtype_size((int)set->dtype),
                           .not_zero = not_zero_bits(set->dtype)};
}

/* True when the row is touched. */
static bool streak_row(struct streak *s, size_t row)
{
    if (!is_touched(s->values + row * s->row_bytes, s->row_bytes, s->not_zero))
        return false;
    if (s->length == 0 || s->first + s->length != row) {
        streak_end(s);
        s->first = row;
    }
    s->length++;
    return true;
}

/* To be called under float_mode_enter(). */
static double squares_of(const uint8_t *row, size_t columns, enum embmon_dtype dtype)
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

/* Not inlined: it runs under the default floating-point mode (float_mode.h), as add_chains(). */
__attribute__((noinline)) static void add_rows(struct tally *t, const struct row_set *set,
                                               struct row_counts *counts)
{
    struct gather gather;
    struct streak streak = streak_of(&gather, set);

    gather_start(&gather, t, set->dtype);
    for (size_t row = 0; row < set->rows; row++) {
        bool is_padding = set->has_padding && (int64_t)row == set->padding_id;

        if (!streak_row(&streak, row))
            continue;
        counts->touched++;
        if (is_padding)
            counts->padding_squares =
                squares_of(streak.values + row * streak.row_bytes, set->columns, set->dtype);
        else if (set->busy)
            busy_count(set->busy, (int64_t)row, 1);
    }
    streak_end(&streak);
    gather_end(&gather);
}

struct row_counts rows_add_dense(struct tally *t, const struct row_set *set)
{
    struct row_counts counts = {0};
    struct float_mode mode = float_mode_enter();

    add_rows(t, set, &counts);
    float_mode_leave(mode);
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

/* What most are: added as they are made wide, four at a time. */
static void accumulate_f32(double *sums, const uint8_t *row, size_t columns)
{
    typedef float floats __attribute__((vector_size(16)));
    typedef double doubles __attribute__((vector_size(32)));
    size_t i = 0;

    for (; i + 4 <= columns; i += 4) {
        floats narrow;
        doubles sum;

        memcpy(&narrow, row + i * sizeof(float), sizeof narrow);
        memcpy(&sum, sums + i, sizeof sum);
        sum += __builtin_convertvector(narrow, doubles);
        memcpy(sums + i, &sum, sizeof sum);
    }
    for (; i < columns; i++) {
        float value;

        memcpy(&value, row + i * sizeof value, sizeof value);
        sums[i] += (double)value;
    }
}

static void accumulate(double *sums, const uint8_t *row, size_t columns, enum embmon_dtype dtype)
{
    double values[PIECE];

    if (dtype == EMBMON_F32) {
        accumulate_f32(sums, row, columns);
        return;
    }
    for (size_t at = 0, n; at < columns; at += n) {
        n = columns - at < PIECE ? columns - at : PIECE;
        dtype_load(values, row + at * dtype_size((int)dtype), n, dtype);
        for (size_t i = 0; i < n; i++)
            sums[at + i] += values[i];
    }
}

/* A row that comes soon, and of which no loop before it tells the processor. */
static void fetch(const uint8_t *row, size_t bytes)
{
    for (size_t at = 0; at < bytes && at < FETCHED; at += LINE)
        __builtin_prefetch(row + at);
}

/* Adds up the rows of one id; returns how many there are. */
static uint64_t sum_chain(const struct coalescer *c, const struct row_set *set, size_t row)
{
    size_t row_bytes = set->columns * dtype_size((int)set->dtype);
    const uint8_t *values = set->values;

    memset(c->sum, 0, set->columns * sizeof(double));
    for (uint64_t length = 1;; length++) {
        uint32_t next = c->links[row] & ~FOLLOWER;

        if (next > 0)
            fetch(values + (next - 1) * row_bytes, row_bytes);
        accumulate(c->sum, values + row * row_bytes, set->columns, set->dtype);
        if (next == 0)
            return length;
        row = next - 1;
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

__attribute__((noinline)) static void add_chains(struct tally *t, const struct coalescer *c,
                                                 const struct row_set *set,
                                                 struct row_counts *counts)
{
    struct gather gather;
    struct streak streak = streak_of(&gather, set);

    gather_start(&gather, t, set->dtype);
    for (size_t row = 0; row < set->rows; row++) {
        uint64_t length;

        if (c->links[row] & FOLLOWER)
            continue;
        if (c->links[row] == 0) {
            counts->touched += streak_row(&streak, row);
            count_id(counts, set, id_at(set, row), 1, streak.values + row * streak.row_bytes,
                     set->dtype);
            continue;
        }
        length = sum_chain(c, set, row);
        count_id(counts, set, id_at(set, row), length, c->sum, EMBMON_F64);
        if (!is_touched((const uint8_t *)c->sum, set->columns * sizeof *c->sum,
                        not_zero_bits(EMBMON_F64)))
            continue;
        gather_sum(&gather, c->sum, set->columns);
        counts->touched++;
    }
    streak_end(&streak);
    gather_end(&gather);
}

struct row_counts rows_add_sparse(struct tally *t, const struct row_set *set,
                                  struct rows_scratch *scratch)
{
    struct coalescer coalescer;
    struct row_counts counts = {0};
    struct float_mode mode;
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
    mode = float_mode_enter();
    add_chains(t, &coalescer, set, &counts);
    float_mode_leave(mode);
    rows_scratch_give(scratch, memory, bytes);
    return counts;
}
