#include "client/rows.h"

#include <float.h>
#include <math.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#include "client/chains.h"
#include "client/dtype.h"
#include "client/float_mode.h"
#include "client/gather.h"
#include "client/row_sum.h"

enum {
    PIECE = 128, /* elements that are made f64 at once */
    LINE = 64,
    READ_MOST = 8 << 20, /* bytes that some cache holds */
    TOGETHER = 32,       /* rows of an id that are added up together */
};

struct coalescer {
    struct chains chains; /* in the scratch, as the sum */
    double *sum;          /* one row */
    const uint8_t *values;
    size_t row_bytes;
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
    const uint8_t *values = s->values + row * s->row_bytes;
    uint64_t begin = 0;

    if (s->row_bytes >= sizeof begin)
        memcpy(&begin, values, sizeof begin); /* where most are touched */
    if (!(begin & s->not_zero) && !is_touched(values, s->row_bytes, s->not_zero))
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
    return dtype_id(set->ids, row, set->id_dtype);
}

/* Reads a line after the other, before rows are read in the order of their ids: then they are in a
 * cache. Reads, and no prefetches: where the lines come from memory these were found to be dropped,
 * and what is read in order comes ten times as fast as what is read here and there. */
static void read_through(const void *data, size_t bytes)
{
    const uint8_t *lines = data;
    uint64_t sum = 0;

    for (size_t at = 0; at < bytes; at += LINE)
        sum += __atomic_load_n(&lines[at], __ATOMIC_RELAXED); /* others look whose a table is */
    __asm__ volatile("" : : "r"(sum));                        /* it is wanted */
}

/* Adds up the rows of one id, in their order, of which the first two were asked for; returns how
 * many there are. */
static uint64_t sum_chain(const struct coalescer *c, const struct row_set *set, size_t row,
                          double *sum)
{
    const uint8_t *rows[TOGETHER];
    uint64_t length = 0;
    uint32_t place = (uint32_t)row + 1;

    while (place > 0) {
        size_t n = 0;

        for (; n < TOGETHER && place > 0; n++) {
            rows[n] = c->values + (place - 1) * c->row_bytes;
            place = c->chains.next[place - 1];
        }
        row_sum(sum, length == 0, rows, n, set->columns, set->dtype);
        length += n;
    }
    return length;
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

/* An id of several rows. Their sum is made where it is then gathered, if there is room. */
static void add_chain(struct gather *gather, const struct coalescer *c, const struct row_set *set,
                      size_t row, struct row_counts *counts)
{
    double *room = gather_room(gather, set->columns), *sum = room ? room : c->sum;
    uint64_t length = sum_chain(c, set, row, sum);

    count_id(counts, set, id_at(set, row), length, sum, EMBMON_F64);
    if (!is_touched((const uint8_t *)sum, set->columns * sizeof *sum, not_zero_bits(EMBMON_F64)))
        return;
    counts->touched++;
    if (room)
        gather_took(gather, set->columns);
    else
        gather_sum(gather, sum, set->columns);
}

__attribute__((noinline)) static void add_chains(struct tally *t, const struct coalescer *c,
                                                 const struct row_set *set,
                                                 struct row_counts *counts)
{
    struct gather gather;
    struct streak streak = streak_of(&gather, set);

    gather_start(&gather, t, set->dtype);
    for (size_t row = 0; row < set->rows; row++) {
        if (c->chains.follower[row])
            continue;
        if (c->chains.next[row] > 0) {
            add_chain(&gather, c, set, row, counts);
            continue;
        }
        counts->touched += streak_row(&streak, row);
        count_id(counts, set, id_at(set, row), 1, c->values + row * c->row_bytes, set->dtype);
    }
    streak_end(&streak);
    gather_end(&gather);
}

/* As they come: no id is known, nor the padding, and a place is none. */
static struct row_counts add_uncoalesced(struct tally *t, const struct row_set *set)
{
    struct row_set as_they_come = *set;

    as_they_come.busy = NULL;
    as_they_come.has_padding = false;
    (void)rows_add_dense(t, &as_they_come);
    return (struct row_counts){.uncoalesced = true};
}

struct row_counts rows_add_sparse(struct tally *t, const struct row_set *set,
                                  struct rows_scratch *scratch)
{
    struct coalescer c = {.values = set->values,
                          .row_bytes = set->columns * dtype_size((int)set->dtype)};
    size_t sum_bytes = set->columns * sizeof *c.sum;
    struct row_counts counts = {0};
    struct chains_plan plan;
    struct float_mode mode;
    uint8_t *memory;

    if (set->rows > CHAINS_ROWS_MAX || set->columns > ROWS_SCRATCH / sizeof *c.sum)
        return add_uncoalesced(t, set);
    plan = chains_plan(set->ids, set->id_dtype, set->rows);
    memory = rows_scratch_take(scratch, sum_bytes + plan.bytes);
    if (!memory)
        return add_uncoalesced(t, set);
    c.sum = (double *)(void *)memory;
    chains_link(&c.chains, &plan, memory + sum_bytes);
    if (c.chains.followers > 0 && set->rows * c.row_bytes <= READ_MOST)
        read_through(set->values, set->rows * c.row_bytes);
    if (set->busy)
        read_through(set->busy, sizeof *set->busy);
    mode = float_mode_enter();
    add_chains(t, &c, set, &counts);
    float_mode_leave(mode);
    rows_scratch_give(scratch, memory, sum_bytes + plan.bytes);
    return counts;
}
