#include "client/summarize.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "client/float_mode.h"

enum {
    /* Elements whose moments are taken at once: what is irregular among them is gone over anew. */
    CHUNK = 16384,

    /* Fewer are not worth the tables: these are cleared and added up whatever is in them. */
    MANY = 4096,

    LINE = 64, /* bytes of a line of the cache */

    /* Integers are made f64 so many at a time. */
    INTEGERS = 512,
};
_Static_assert(CHUNK % KERNEL_GROUP == 0 && KERNEL_FILL % KERNEL_GROUP == 0, "whole groups");

static uint64_t bits_of(double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* ---- the table ---------------------------------------------------------------------------------
 */

static void clear(struct tally *t, uint32_t low, uint32_t high)
{
    memset(t->narrow + low, 0, (high - low) * sizeof t->narrow[0]);
    memset(t->narrow + BUCKET_TABLE + low, 0, (high - low) * sizeof t->narrow[0]);
}

/* Takes the buckets from low to below high into use. */
static void widen(struct tally *t, uint32_t low, uint32_t high)
{
    bool is_clear = t->tables != NULL; /* all of it */

    if (t->low == t->high) {
        if (!is_clear)
            clear(t, low, high);
        t->low = low;
        t->high = high;
        return;
    }
    if (low < t->low) {
        if (!is_clear)
            clear(t, low, t->low);
        t->low = low;
    }
    if (high > t->high) {
        if (!is_clear)
            clear(t, t->high, high);
        t->high = high;
    }
}

void tally_spill(struct tally *t)
{
    widen(t, 0, BUCKETS);
    if (!t->spilled)
        memset(t->wide, 0, sizeof t->wide);
    t->spilled = true;
    for (size_t i = 0; i < CELLS; i++)
        t->wide[i] += t->narrow[i];
    memset(t->narrow, 0, sizeof t->narrow);
    t->narrow_filled = 0;
}

static void make_room(struct tally *t, size_t n)
{
    if (t->narrow_filled > UINT32_MAX - n)
        tally_spill(t);
    t->narrow_filled += n;
}

/* ---- many elements: by the tables -------------------------------------------------------------
 */

/* Adds the tables up into narrow and clears them; most of them was never touched. */
static void fold(struct tally *t)
{
    make_room(t, t->tables_filled);
    t->tables_filled = 0;
    for (uint32_t first = 0; first < CELLS; first += KERNEL_PIECE) {
        uint32_t bucket = first % BUCKET_TABLE;

        if (!kernel_any_counted(*t->tables, first))
            continue;
        widen(t, bucket, bucket + KERNEL_PIECE < BUCKETS ? bucket + KERNEL_PIECE : BUCKETS);
        for (size_t k = 0; k < KERNEL_TABLES; k++) {
            uint16_t *counts = (*t->tables)[k] + first;

            for (size_t i = 0; i < KERNEL_PIECE; i++)
                t->narrow[first + i] += counts[i];
            memset(counts, 0, KERNEL_PIECE * sizeof *counts);
        }
    }
}

/* Adds up what was counted by pairs. */
static void fold_pairs(struct tally *t)
{
    uint32_t counts[KERNEL_PLACES], base;
    size_t filled = pairs_take_out(t->pairs, t->kernel, counts, &base);

    if (filled == 0)
        return;
    widen(t, base + KERNEL_PLACES_FROM, base + KERNEL_PLACES_END);
    make_room(t, filled);
    for (uint32_t place = KERNEL_PLACES_FROM; place < KERNEL_PLACES_END; place++) {
        t->narrow[base + place] += counts[place];
        t->narrow[BUCKET_TABLE + base + place] += counts[KERNEL_PLACES / 2 + place];
    }
}

void tally_open_tables(struct tally *t, kernel_tables *tables)
{
    memset(*tables, 0, sizeof *tables);
    clear(t, 0, t->low);
    clear(t, t->high, BUCKETS);
    t->tables = tables;
    t->tables_filled = 0;
    if (t->pairs)
        pairs_start(t->pairs);
}

void tally_close_tables(struct tally *t)
{
    fold(t);
    if (t->pairs)
        fold_pairs(t);
    t->tables = NULL;
}

/* ---- moments ----------------------------------------------------------------------------------
 */

static double saturate(double value)
{
    return fmax(fmin(value, DBL_MAX), -DBL_MAX);
}

static void take_sums(struct tally *t, const struct kernel_sums *s, size_t n)
{
    uint64_t before = t->count - t->nans - t->infinities[0] - t->infinities[1];

    t->count += n;
    t->zeros += s->zeros[0] + s->zeros[1] + s->skipped;
    t->nans += s->nans;
    t->infinities[0] += s->infinities[0];
    t->infinities[1] += s->infinities[1];
    if (s->finite == 0)
        return;
    t->min = before == 0 || s->min < t->min ? s->min : t->min;
    t->max = before == 0 || s->max > t->max ? s->max : t->max;
    t->sum = saturate(t->sum + s->sum);
    t->absolute_sum = saturate(t->absolute_sum + s->absolute_sum);
    t->square_sum = saturate(t->square_sum + s->square_sum);
}

/* ---- adding ------------------------------------------------------------------------------------
 */

/* sums: of these elements, as measured. */
static void count_few(struct tally *t, const uint8_t *data, size_t n, enum embmon_dtype dtype,
                      const struct kernel_sums *sums)
{
    if (sums->finite == sums->zeros[0] + sums->zeros[1])
        return;
    widen(t, cell_of_f64(bits_of(sums->least)),
          cell_of_f64(bits_of(fmax(-sums->min, sums->max))) + 1);
    make_room(t, n);
    cells_count(t->narrow, data, n, dtype);
    if (t->low == 0 || t->tables) {
        t->narrow[0] -= (uint32_t)sums->zeros[0];
        t->narrow[BUCKET_TABLE] -= (uint32_t)sums->zeros[1];
    }
}

static void add_few(struct tally *t, const uint8_t *data, size_t n, enum embmon_dtype dtype,
                    enum tally_part part)
{
    struct kernel_sums sums;

    kernel_of(t->kernel, dtype)->measure(&sums, data, n);
    if (part != TALLY_COUNTS)
        take_sums(t, &sums, n);
    if (part != TALLY_MOMENTS)
        count_few(t, data, n, dtype, &sums);
}

static size_t count_by_pairs(struct tally *t, struct kernel_sums *sums,
                             const struct pairs_piece *piece)
{
    size_t taken;

    if (pairs_are_full(t->pairs, piece->n))
        fold_pairs(t);
    taken = pairs_count(t->pairs, sums, piece, *t->tables, t->min, t->max);
    if (!pairs_are_open(t->pairs, piece)) {
        fold_pairs(t);
        fold(t); /* what comes is to be judged by itself */
    }
    return taken;
}

/* Returns how many elements were taken. */
static size_t count_chunk(struct tally *t, struct kernel_sums *sums,
                          const struct pairs_piece *piece)
{
    if (t->tables_filled > (size_t)KERNEL_FILL - piece->n)
        fold(t);
    t->tables_filled += piece->n;
    if (t->pairs && piece->n % KERNEL_PAIRED == 0 && pairs_are_open(t->pairs, piece))
        return count_by_pairs(t, sums, piece);
    piece->loops->count(sums, piece->data, piece->n, *t->tables);
    if (t->pairs)
        pairs_learn(t->pairs, sums, piece, *t->tables);
    return piece->n;
}

/* n: whole groups, at most CHUNK or PAIRS_CHUNK. Returns how many elements were taken. */
static size_t add_chunk(struct tally *t, const uint8_t *data, size_t n, enum embmon_dtype dtype,
                        enum tally_part part)
{
    const struct kernel_loops *loops = kernel_of(t->kernel, dtype);
    struct kernel_sums sums;

    if (part == TALLY_MOMENTS)
        loops->sum(&sums, data, n, NULL);
    else
        n = count_chunk(t, &sums, &(struct pairs_piece){loops, dtype, data, n});
    if (sums.irregular && part != TALLY_MOMENTS) {
        widen(t, 0, BUCKETS);
        make_room(t, n);
        cells_count_irregular(t->narrow, data, n, dtype);
    }
    if (part == TALLY_COUNTS)
        return n;
    if (sums.irregular)
        loops->measure(&sums, data, n);
    take_sums(t, &sums, n);
    return n;
}

/* Elements before the next line of the cache, where whole vectors then begin; 0 where none will. */
static size_t until_line(const uint8_t *data, size_t size)
{
    size_t bytes = (size_t)(-(uintptr_t)data % LINE);

    return bytes % size == 0 ? bytes / size : 0;
}

/* Of so many elements; whole groups. */
static size_t chunk_of(const struct tally *t, size_t n)
{
    if (t->pairs && t->pairs->open && n >= KERNEL_PAIRED)
        return n < PAIRS_CHUNK ? n / KERNEL_PAIRED * KERNEL_PAIRED : PAIRS_CHUNK;
    return n < CHUNK ? n / KERNEL_GROUP * KERNEL_GROUP : CHUNK;
}

static void add_chunks(struct tally *t, const uint8_t *data, size_t n, enum embmon_dtype dtype,
                       enum tally_part part)
{
    size_t size = dtype_size((int)dtype), head = until_line(data, size), at = 0;

    if (n >= 2 * KERNEL_GROUP && head > 0) {
        add_few(t, data, head, dtype, part);
        at = head;
    }
    while (n - at >= KERNEL_GROUP)
        at += add_chunk(t, data + at * size, chunk_of(t, n - at), dtype, part);
    if (at < n)
        add_few(t, data + at * size, n - at, dtype, part);
}

/* Not inlined: the tables are on the stack of those alone who have many elements. */
__attribute__((noinline)) static void add_many(struct tally *t, const uint8_t *data, size_t n,
                                               enum embmon_dtype dtype)
{
    _Alignas(64) kernel_tables tables;

    tally_open_tables(t, &tables);
    add_chunks(t, data, n, dtype, TALLY_WHOLE);
    tally_close_tables(t);
}

/* Their moments are those of f64, their buckets their own. */
static void add_integers(struct tally *t, const uint8_t *data, size_t n, enum embmon_dtype dtype)
{
    double values[INTEGERS];
    struct kernel_sums sums;

    widen(t, 0, BUCKETS);
    for (size_t taken; n > 0; n -= taken, data += taken * dtype_size((int)dtype)) {
        taken = n < INTEGERS ? n : INTEGERS;
        dtype_load(values, data, taken, dtype);
        t->kernel->f64.measure(&sums, values, taken);
        take_sums(t, &sums, taken);
        make_room(t, taken);
        cells_count(t->narrow, data, taken, dtype);
        t->narrow[0] -= (uint32_t)sums.zeros[0];
    }
}

/* Not inlined: the compiler may move arithmetic over float_mode_enter(), not over a call. */
__attribute__((noinline)) static void add(struct tally *t, const uint8_t *data, size_t n,
                                          enum embmon_dtype dtype, enum tally_part part)
{
    if (!dtype_is_float(dtype))
        add_integers(t, data, n, dtype);
    else if (t->tables || part != TALLY_WHOLE)
        add_chunks(t, data, n, dtype, part);
    else if (n >= MANY)
        add_many(t, data, n, dtype);
    else
        add_few(t, data, n, dtype, part);
}

void tally_start(struct tally *t)
{
    memset(t, 0, offsetof(struct tally, narrow));
    t->kernel = kernel_best();
}

void tally_add_part(struct tally *t, const void *data, size_t n, enum embmon_dtype dtype,
                    enum tally_part part)
{
    struct float_mode mode;

    if (n == 0)
        return;
    mode = float_mode_enter();
    add(t, data, n, dtype, part);
    float_mode_leave(mode);
}

void tally_add(struct tally *t, const void *data, size_t n, enum embmon_dtype dtype)
{
    tally_add_part(t, data, n, dtype, TALLY_WHOLE);
}

/* ---- reading ----------------------------------------------------------------------------------
 */

static uint64_t count_at(const struct tally *t, size_t cell)
{
    return t->narrow[cell] + (t->spilled ? t->wide[cell] : 0);
}

void tally_span(const struct tally *t, bool negative, uint32_t *first, uint32_t *length)
{
    size_t base = negative ? BUCKET_TABLE : 0;
    uint32_t low = t->low, end = t->high;

    while (low < end && count_at(t, base + low) == 0)
        low++;
    while (end > low && count_at(t, base + end - 1) == 0)
        end--;
    *length = end - low;
    *first = *length ? low : 0;
}

void tally_counts(const struct tally *t, bool negative, uint32_t first, uint32_t length,
                  uint64_t *counts)
{
    size_t base = (negative ? BUCKET_TABLE : 0) + first;

    for (uint32_t i = 0; i < length; i++)
        counts[i] = count_at(t, base + i);
}

/* -0.0 is a zero like any other. */
static double plain_zero(double value)
{
    return bits_of(value) << 1 == 0 ? 0 : value;
}

void tally_moments(const struct tally *t, struct summary *s)
{
    memset(s, 0, sizeof *s);
    s->count = t->count;
    s->parts = 1;
    s->zeros = t->zeros;
    s->nans = t->nans;
    s->positive_infinities = t->infinities[0];
    s->negative_infinities = t->infinities[1];
    s->min = plain_zero(t->min);
    s->max = plain_zero(t->max);
    s->sum = t->sum;
    s->absolute_sum = t->absolute_sum;
    s->square_sum = t->square_sum;
}
