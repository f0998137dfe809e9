/* Values -> a summary, written for the tests alone: one value after the other, through doubles. */
#ifndef EMBMON_TESTS_VALUES_H
#define EMBMON_TESTS_VALUES_H

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "proto/summary.h"

/* The bucket whose edges, as doubles, are around the magnitude. */
static inline uint32_t values_bucket(double magnitude)
{
    uint32_t low = 0, high = BUCKETS - 1;

    while (low < high) {
        uint32_t middle = (low + high + 1) / 2;

        if (bucket_low(middle) <= magnitude)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

/* False: out of memory. */
static inline bool values_summarise(struct summary *s, const double *values, size_t n)
{
    uint64_t *tables = calloc((size_t)2 * BUCKETS, sizeof *tables);
    bool first = true, fine = tables != NULL;

    memset(s, 0, sizeof *s);
    for (size_t i = 0; fine && i < n; i++) {
        double v = values[i];

        s->nans += isnan(v) != 0;
        s->positive_infinities += isinf(v) && v > 0;
        s->negative_infinities += isinf(v) && v < 0;
        if (!isfinite(v))
            continue;
        s->min = first || v < s->min ? v : s->min;
        s->max = first || v > s->max ? v : s->max;
        first = false;
        if (fabs(v) > 0)
            tables[(v < 0 ? BUCKETS : 0) + values_bucket(fabs(v))]++;
        else
            s->zeros++;
    }
    s->count = n;
    s->parts = n > 0;
    fine = fine && summary_set_span(&s->positive, 0, tables, BUCKETS) &&
           summary_set_span(&s->negative, 0, tables + BUCKETS, BUCKETS);
    free(tables);
    return fine;
}

#endif
