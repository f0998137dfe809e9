#include "client/units.h"

#include <math.h>
#include <string.h>

#include "client/float_mode.h"
#include "client/summarize.h"

enum { BLOCK = 512, EXAMPLES_LOOKED_AT = 64 };

static const double LIMIT = 1e-4; /* so near to it counts as reached */

enum unit_function units_function(const char *activation)
{
    if (strcmp(activation, "tanh") == 0)
        return UNITS_TANH;
    return strcmp(activation, "sigmoid") == 0 ? UNITS_SIGMOID : UNITS_ANY;
}

struct unit_shape units_shape(const int64_t *shape, uint32_t rank, size_t count)
{
    struct unit_shape found = {0, 1};

    if (rank == 0 || shape[rank - 1] <= 0 || shape[rank - 1] > UNITS_MAX || count == 0)
        return found;
    found.units = (size_t)shape[rank - 1];
    for (uint32_t i = rank > 1; i < rank; i++) {
        if (shape[i] <= 0 || (uint64_t)shape[i] > UNITS_MAX / found.example) {
            found.example = found.units; /* varies, or too large */
            break;
        }
        found.example *= (size_t)shape[i];
    }
    if (count % found.example)
        found.example = found.units;
    if (count % found.units)
        found.units = 0;
    return found;
}

/* ---- every element: is the unit ever not 0, is the limit reached */

struct scan {
    uint64_t *seen; /* [units]: all bits that came, but the sign */
    size_t units, at;
    enum unit_function function;
    uint64_t saturated;
};

static void see_units(struct scan *scan, const double *values, size_t n)
{
    while (n > 0) {
        size_t run = scan->units - scan->at < n ? scan->units - scan->at : n;
        uint64_t *seen = scan->seen + scan->at;

        for (size_t i = 0; i < run; i++) {
            uint64_t bits;

            memcpy(&bits, values + i, sizeof bits);
            seen[i] |= bits << 1;
        }
        scan->at = scan->at + run == scan->units ? 0 : scan->at + run;
        values += run;
        n -= run;
    }
}

static uint64_t count_saturated(const double *values, size_t n, enum unit_function function)
{
    double low = function == UNITS_TANH ? -1 + LIMIT : LIMIT, high = 1 - LIMIT;
    uint64_t count = 0;

    for (size_t i = 0; i < n; i++)
        count += (values[i] < low) | (values[i] > high);
    return count;
}

/* Not inlined: it runs under the default floating-point mode (float_mode.h), as those below. */
__attribute__((noinline)) static void scan_all(struct scan *scan, const uint8_t *data, size_t count,
                                               enum embmon_dtype dtype)
{
    double values[BLOCK];

    while (count > 0) {
        size_t n = count < BLOCK ? count : BLOCK;

        dtype_load(values, data, n, dtype);
        see_units(scan, values, n);
        if (scan->function != UNITS_ANY)
            scan->saturated += count_saturated(values, n, scan->function);
        data += n * dtype_size((int)dtype);
        count -= n;
    }
}

/* ---- some examples: how far do they differ. Each element as its distance from the first
 * example's, so that equal ones give exactly 0 and nearly equal ones do not cancel. */

struct spread {
    double *first, *sums, *squares; /* [example] */
    size_t example;
};

static void add_example(struct spread *spread, const uint8_t *data, enum embmon_dtype dtype)
{
    double values[BLOCK];

    for (size_t at = 0; at < spread->example;) {
        size_t n = spread->example - at < BLOCK ? spread->example - at : BLOCK;

        dtype_load(values, data + at * dtype_size((int)dtype), n, dtype);
        for (size_t i = 0; i < n; i++) {
            double distance = values[i] - spread->first[at + i];

            spread->sums[at + i] += distance;
            spread->squares[at + i] += distance * distance;
        }
        at += n;
    }
}

__attribute__((noinline)) static double variance_of(struct spread *spread, const uint8_t *data,
                                                    size_t examples, enum embmon_dtype dtype)
{
    size_t bytes = spread->example * dtype_size((int)dtype);
    size_t taken = examples < EXAMPLES_LOOKED_AT ? examples : EXAMPLES_LOOKED_AT;
    double total = 0, n = (double)taken;

    dtype_load(spread->first, data, spread->example, dtype);
    for (size_t i = 0; i < taken; i++)
        add_example(spread, data + i * examples / taken * bytes, dtype);
    for (size_t i = 0; i < spread->example; i++) {
        double mean = spread->sums[i] / n;
        double variance = spread->squares[i] / n - mean * mean;

        total += variance < 0 ? 0 : variance; /* NaN stays */
    }
    total /= (double)spread->example;
    return isfinite(total) ? total : NAN;
}

/* ---- both */

struct unit_counts units_measure(const void *data, size_t count, enum embmon_dtype dtype,
                                 struct unit_shape shape, enum unit_function function,
                                 struct rows_scratch *scratch)
{
    size_t bytes = (shape.units + 3 * shape.example) * sizeof(double);
    struct unit_counts counts = {.variance = NAN};
    struct scan scan = {.units = shape.units, .function = function};
    struct spread spread = {.example = shape.example};
    struct float_mode mode;
    double *memory;

    memory = shape.units > 0 ? rows_scratch_take(scratch, bytes) : NULL;
    if (!memory)
        return counts;
    memset(memory, 0, bytes);
    scan.seen = (uint64_t *)(void *)memory;
    spread.first = memory + shape.units;
    spread.sums = spread.first + shape.example;
    spread.squares = spread.sums + shape.example;
    counts.examples = count / shape.example;
    mode = float_mode_enter();
    scan_all(&scan, data, count, dtype);
    counts.variance = variance_of(&spread, data, (size_t)counts.examples, dtype);
    float_mode_leave(mode);
    counts.units = shape.units;
    counts.saturated = scan.saturated;
    for (size_t i = 0; i < shape.units; i++)
        counts.dead += scan.seen[i] == 0;
    rows_scratch_give(scratch, memory, bytes);
    return counts;
}
