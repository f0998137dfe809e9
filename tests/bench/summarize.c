/* The contestants of tests/bench/summarize.py that are C, each timed here: a call returns seconds.
 * Built as a shared library from the client's objects, whose inside the library itself hides. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/id_stats.h"
#include "client/rows.h"
#include "client/sample.h"
#include "client/summarize.h"
#include "client/units.h"

#define EXPORTED __attribute__((visibility("default")))

EXPORTED int bench_has_level(int level);
EXPORTED double bench_summarize(const void *data, size_t n, int dtype, int level, int repeat);
EXPORTED double bench_sampled(const void *data, size_t n, int dtype, int level);
EXPORTED double bench_rows(const void *data, size_t rows, size_t columns, int dtype);
EXPORTED int bench_step_open(uint64_t table_rows);
EXPORTED void bench_cool(size_t megabytes);
EXPORTED double bench_gradient(const void *values, const int32_t *ids, size_t rows, size_t columns);
EXPORTED double bench_ids(const int32_t *ids, size_t count, size_t length, uint64_t table_rows,
                          int looked_up, int padded);
EXPORTED double bench_units(const float *data, size_t examples, size_t length, size_t units);
EXPORTED double bench_sum(const float *data, size_t n, int level);
EXPORTED double bench_ceiling(const float *data, size_t n, int level);
EXPORTED double bench_increments(const float *data, size_t n, int level);
EXPORTED double bench_stores(const float *data, size_t n, int level);
EXPORTED double bench_pairs(const float *data, size_t n, int level);
EXPORTED double bench_moments(const float *data, size_t n, int level);
EXPORTED double bench_post(const float *data, size_t n, int repeat);
EXPORTED double bench_lend(const float *data, size_t n, int repeat);

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int bench_has_level(int level)
{
    return kernel_at((enum kernel_level)level) != NULL;
}

/* ---- ours -------------------------------------------------------------------------------------
 */

static struct pairs_boards boards;

/* All that a post does with a tally. */
__attribute__((noinline)) static uint64_t
summarize(const void *data, size_t n, enum embmon_dtype dtype, const struct kernel *kernel)
{
    struct tally t;
    struct summary s;
    uint64_t counts[BUCKETS], found = 0;
    uint32_t first, length;

    tally_start(&t);
    t.kernel = kernel;
    t.pairs = n >= PAIRS_FROM ? pairs_take(&boards) : NULL;
    tally_add(&t, data, n, dtype);
    pairs_give(t.pairs);
    tally_moments(&t, &s);
    for (int negative = 0; negative <= 1; negative++) {
        tally_span(&t, negative != 0, &first, &length);
        tally_counts(&t, negative != 0, first, length, counts);
        found += length > 0 ? counts[0] : 0;
    }
    return found + s.zeros;
}

double bench_summarize(const void *data, size_t n, int dtype, int level, int repeat)
{
    const struct kernel *kernel = level < 0 ? kernel_best() : kernel_at((enum kernel_level)level);
    volatile uint64_t kept;
    double start;

    if (!boards.boards && !pairs_open(&boards))
        return -1;
    start = now();
    for (int i = 0; i < repeat; i++)
        kept = summarize(data, n, (enum embmon_dtype)dtype, kernel);
    (void)kept;
    return (now() - start) / repeat;
}

/* Moments of all, buckets of a sample. */
double bench_sampled(const void *data, size_t n, int dtype, int level)
{
    struct tally t;
    struct summary s;
    volatile double kept;
    double start = now();

    tally_start(&t);
    t.kernel = kernel_at((enum kernel_level)level);
    kept = sample_add(&t, data, n, (enum embmon_dtype)dtype, n);
    tally_moments(&t, &s);
    (void)kept;
    return now() - start;
}

/* A table's gradient: its touched rows alone. */
double bench_rows(const void *data, size_t rows, size_t columns, int dtype)
{
    struct row_set set = {
        .values = data, .dtype = (enum embmon_dtype)dtype, .rows = rows, .columns = columns};
    struct tally t;
    double start = now();

    tally_start(&t);
    rows_add_dense(&t, &set);
    return now() - start;
}

/* ---- what a step of a training posts of a table -----------------------------------------------
 */

static struct {
    struct rows_scratch scratch;
    struct busy_tables busy;
    struct seen seen;
    struct seen_rows *rows;
    bool is_open;
} step;

/* 0: no memory. Once: later calls keep what there is. */
int bench_step_open(uint64_t table_rows)
{
    if (!step.is_open)
        step.is_open = rows_scratch_open(&step.scratch) && busy_open(&step.busy) &&
                       seen_open(&step.seen) &&
                       (step.rows = seen_reserve(&step.seen, table_rows)) != NULL;
    return step.is_open;
}

/* What others do between two posts: so many MB are read and written. */
void bench_cool(size_t megabytes)
{
    enum { MOST = 64, LINE = 64 };
    static uint8_t *memory;

    if (!memory)
        memory = calloc(MOST, 1 << 20);
    for (size_t i = 0; memory && i < (megabytes < MOST ? megabytes : MOST) << 20; i += LINE)
        ((volatile uint8_t *)memory)[i]++;
}

/* The table's gradient as rows by id. */
double bench_gradient(const void *values, const int32_t *ids, size_t rows, size_t columns)
{
    struct row_set set = {.ids = ids,
                          .id_dtype = EMBMON_I32,
                          .values = values,
                          .dtype = EMBMON_F32,
                          .rows = rows,
                          .columns = columns};
    volatile uint64_t kept;
    struct tally t;
    double start = now();

    tally_start(&t);
    set.busy = busy_take(&step.busy, 0);
    kept = rows_add_sparse(&t, &set, &step.scratch).looked_up;
    busy_give(set.busy);
    (void)kept;
    return now() - start;
}

/* A batch of ids; looked_up: its rows are marked as seen; padded: 0 is the padding. */
double bench_ids(const int32_t *ids, size_t count, size_t length, uint64_t table_rows,
                 int looked_up, int padded)
{
    struct id_batch batch = {.ids = ids,
                             .count = count,
                             .dtype = EMBMON_I32,
                             .sequence_length = length,
                             .rows = table_rows,
                             .has_padding = padded != 0};
    volatile uint64_t kept;
    struct ids_stats stats;
    double start = now();

    id_stats_take(&stats, &batch, &step.scratch, looked_up ? step.rows : NULL);
    kept = stats.unique;
    (void)kept;
    return now() - start;
}

/* What is asked of a layer's output beside its summary. */
double bench_units(const float *data, size_t examples, size_t length, size_t units)
{
    struct unit_shape shape = {units, length * units};
    volatile uint64_t kept;
    double start = now();

    kept =
        units_measure(data, examples * shape.example, EMBMON_F32, shape, UNITS_ANY, &step.scratch)
            .dead;
    (void)kept;
    return now() - start;
}

/* ---- what bounds it: one sum as a compiler vectorises it, and as fast as the memory gives ------
 */

#define SUMS(suffix, lanes, attribute)                                                             \
    typedef float floats_##suffix __attribute__((vector_size(lanes * 4)));                         \
    __attribute__((noinline)) attribute static float sum_##suffix(const float *data, size_t n)     \
    {                                                                                              \
        floats_##suffix sum = {0}, values;                                                         \
        float total = 0;                                                                           \
                                                                                                   \
        for (size_t i = 0; i + lanes <= n; i += lanes) {                                           \
            memcpy(&values, data + i, sizeof values);                                              \
            sum += values;                                                                         \
        }                                                                                          \
        for (size_t i = 0; i < lanes; i++)                                                         \
            total += sum[i];                                                                       \
        return total;                                                                              \
    }                                                                                              \
    __attribute__((noinline)) attribute static float ceiling_##suffix(const float *data, size_t n) \
    {                                                                                              \
        floats_##suffix a = {0}, b = a, c = a, d = a, values;                                      \
        float total = 0;                                                                           \
                                                                                                   \
        for (size_t i = 0; i + 4 * lanes <= n; i += 4 * lanes) {                                   \
            memcpy(&values, data + i, sizeof values);                                              \
            a += values;                                                                           \
            memcpy(&values, data + i + lanes, sizeof values);                                      \
            b += values;                                                                           \
            memcpy(&values, data + i + 2 * lanes, sizeof values);                                  \
            c += values;                                                                           \
            memcpy(&values, data + i + 3 * lanes, sizeof values);                                  \
            d += values;                                                                           \
        }                                                                                          \
        a += b + c + d;                                                                            \
        for (size_t i = 0; i < lanes; i++)                                                         \
            total += a[i];                                                                         \
        return total;                                                                              \
    }

SUMS(base, 4, )
#if defined(__x86_64__)
SUMS(avx2, 8, __attribute__((target("avx2"))))
SUMS(avx512, 16, __attribute__((target("avx512f"))))
#endif

typedef float sum_function(const float *data, size_t n);

static double timed(sum_function *function, const float *data, size_t n)
{
    volatile float kept;
    double start = now();

    kept = function(data, n);
    (void)kept;
    return now() - start;
}

double bench_sum(const float *data, size_t n, int level)
{
#if defined(__x86_64__)
    if (level == KERNEL_AVX512)
        return timed(sum_avx512, data, n);
    if (level == KERNEL_AVX2)
        return timed(sum_avx2, data, n);
#endif
    return timed(sum_base, data, n);
}

double bench_ceiling(const float *data, size_t n, int level)
{
#if defined(__x86_64__)
    if (level == KERNEL_AVX512)
        return timed(ceiling_avx512, data, n);
    if (level == KERNEL_AVX2)
        return timed(ceiling_avx2, data, n);
#endif
    return timed(ceiling_base, data, n);
}

/* ---- what bounds a summary: a count for each element is a store, and moments are additions ------
 */

/* Each element in its table, as the kernel counts; or no more than a store to that place. */
#define TOUCH(name, HOW)                                                                           \
    __attribute__((noinline)) static void name(kernel_tables tables, const float *data, size_t n)  \
    {                                                                                              \
        for (size_t i = 0; i + 8 <= n; i += 8) {                                                   \
            _Pragma("GCC unroll 4") for (size_t k = 0; k < 8; k += 2)                              \
            {                                                                                      \
                uint64_t word;                                                                     \
                                                                                                   \
                memcpy(&word, data + i + k, sizeof word);                                          \
                HOW(tables[k % KERNEL_TABLES][(uint32_t)word >> BUCKET_SHIFT]);                    \
                HOW(tables[(k + 1) % KERNEL_TABLES][word >> (32 + BUCKET_SHIFT)]);                 \
            }                                                                                      \
        }                                                                                          \
    }
#define INCREMENT(place) (place)++
#define STORE(place)     *(volatile uint16_t *)&(place) = 1
TOUCH(increment, INCREMENT)
TOUCH(store, STORE)

double bench_increments(const float *data, size_t n, int level)
{
    static kernel_tables tables;
    double start = now();

    (void)level;
    increment(tables, data, n);
    return now() - start;
}

double bench_stores(const float *data, size_t n, int level)
{
    static kernel_tables tables;
    double start = now();

    (void)level;
    store(tables, data, n);
    return now() - start;
}

/* Pairs in places that are known already: no element is read, no place made. */
__attribute__((noinline)) static void count_pairs(uint16_t *counts, const uint32_t *pairs, size_t n)
{
#pragma GCC unroll 16
    for (size_t i = 0; i < n; i++) {
        counts[(uint16_t)pairs[i]]++;
        counts[pairs[i] >> 16]++;
    }
}

/* Where an element is in a window of 126 buckets that ends at 1. */
static uint32_t place_of(float value)
{
    uint32_t bits, bucket, base = (127 << 3) - KERNEL_PLACES_END;

    memcpy(&bits, &value, sizeof bits);
    bucket = (bits & INT32_MAX) >> BUCKET_SHIFT;
    return (bits >> 31) << 7 | (bucket < base ? 0 : bucket - base);
}

double bench_pairs(const float *data, size_t n, int level)
{
    static uint16_t counts[KERNEL_PLACES * KERNEL_PLACES];
    static const float *made_of;
    static uint32_t *pairs;
    double start;

    if (level < 0 || (!pairs && !(pairs = malloc(n))))
        return -1;
    for (size_t i = 0; made_of != data && i + 4 <= n; i += 4)
        pairs[i / 4] = place_of(data[i]) | place_of(data[i + 1]) << 8 |
                       place_of(data[i + 2]) << 16 | place_of(data[i + 3]) << 24;
    made_of = data;
    start = now();
    count_pairs(counts, pairs, n / 4);
    return now() - start;
}

/* The moments without the counts. */
double bench_moments(const float *data, size_t n, int level)
{
    struct kernel_sums sums;
    double start = now();

    kernel_at((enum kernel_level)level)
        ->f32.sum(&sums, data, n / KERNEL_GROUP * KERNEL_GROUP, NULL);
    return now() - start;
}

/* ---- a whole post, no daemon there ------------------------------------------------------------
 */

static void say_nothing(void *context, const char *line)
{
    (void)context;
    (void)line;
}

/* A post of n f32, mean of `repeat`; < 0: no client. Pauses, so that the private thread is idle. */
static struct embmon_client *client;
static int layer;

static bool open_client(void)
{
    struct embmon_options options = EMBMON_OPTIONS_INIT;
    struct embmon_layer_info info = EMBMON_LAYER_INFO_INIT;

    if (client)
        return true;
    options.address = "unix:/nonexistent/embmond.sock";
    options.run = "bench";
    options.log = say_nothing;
    info.path = "layer";
    if (embmon_open(&options, &client) < 0)
        return false;
    layer = embmon_layer(client, &info);
    return true;
}

static void pause_ms(long ms)
{
    const struct timespec pause = {0, ms * 1000000};

    nanosleep(&pause, NULL);
}

double bench_post(const float *data, size_t n, int repeat)
{
    double start;

    if (!open_client())
        return -1;
    pause_ms(60);
    start = now();
    for (int i = 0; i < repeat; i++)
        embmon_post(client, layer, EMBMON_GRADIENT, 1, data, n, EMBMON_F32);
    return (now() - start) / repeat;
}

/* No more than 64 MiB in all. */
double bench_lend(const float *data, size_t n, int repeat)
{
    struct embmon_loan loan = EMBMON_LOAN_INIT;
    uint64_t ticket = 0;
    double start, took;

    if (!open_client())
        return -1;
    loan.target = layer;
    loan.signal = EMBMON_GRADIENT;
    loan.dtype = EMBMON_F32;
    loan.data = data;
    loan.count = n;
    pause_ms(60);
    start = now();
    for (int i = 0; i < repeat; i++)
        embmon_lend(client, 1, &loan, 1, &ticket);
    took = now() - start;
    for (int ms = 0; ms < 1000 && embmon_returned(client) < ticket; ms++)
        pause_ms(1);
    return ticket > 0 ? took / repeat : -1;
}
