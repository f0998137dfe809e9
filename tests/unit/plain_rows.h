/* A sparse gradient the plain way, for who does it faster: the rows of each id are looked for one
 * by one, their sum is made element by element; touched rows that follow each other are one piece.
 */
#ifndef EMBMON_TESTS_UNIT_PLAIN_ROWS_H
#define EMBMON_TESTS_UNIT_PLAIN_ROWS_H

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "client/float_mode.h"
#include "client/gather.h"
#include "client/rows.h"

static inline int64_t plain_id(const struct row_set *set, size_t row)
{
    return set->id_dtype == EMBMON_I32 ? ((const int32_t *)set->ids)[row]
                                       : ((const int64_t *)set->ids)[row];
}

/* By the bits of each element: 0 and -0 do not touch. */
static inline bool plain_touched(const uint8_t *row, size_t n, enum embmon_dtype dtype)
{
    size_t size = dtype_size((int)dtype);

    for (size_t i = 0; i < n * size; i++)
        if (row[i] & (i % size == size - 1 ? 0x7f : 0xff))
            return true;
    return false;
}

static inline void plain_busy(struct busy *busy, int64_t id, uint64_t n)
{
    struct busy_place *place = &busy->places[(uint64_t)id * 0x9e3779b97f4a7c15u >> 53];

    if (place->id == id) {
        place->count += n;
    } else if (place->count >= n) {
        place->count -= n;
    } else {
        place->id = id;
        place->count = n - place->count;
    }
}

static inline void plain_count(struct row_counts *counts, const struct row_set *set, int64_t id,
                               uint64_t length, const double *sum)
{
    if (!set->has_padding || id != set->padding_id) {
        counts->looked_up++;
        counts->ids += length;
        counts->busiest = length > counts->busiest ? length : counts->busiest;
        plain_busy(set->busy, id, length);
        return;
    }
    counts->padding_squares = 0;
    for (size_t i = 0; i < set->columns; i++)
        counts->padding_squares += isfinite(sum[i]) ? sum[i] * sum[i] : 0;
    if (!isfinite(counts->padding_squares))
        counts->padding_squares = DBL_MAX;
}

__attribute__((noinline)) static void plain_add(struct tally *t, const struct row_set *set,
                                                struct row_counts *counts, double *sum,
                                                double *values)
{
    static struct gather gather;
    const uint8_t *data = set->values;
    size_t row_bytes = set->columns * dtype_size((int)set->dtype), first = 0, length = 0;

    gather_start(&gather, t, set->dtype);
    for (size_t row = 0; row <= set->rows; row++) {
        uint64_t rows = 0;
        size_t before = 0;
        bool touched;

        while (before < row && row < set->rows && plain_id(set, before) != plain_id(set, row))
            before++;
        if (row < set->rows && before < row)
            continue;
        memset(sum, 0, set->columns * sizeof *sum);
        for (size_t other = row; other < set->rows; other++) {
            if (plain_id(set, other) != plain_id(set, row))
                continue;
            dtype_load(values, data + other * row_bytes, set->columns, set->dtype);
            for (size_t i = 0; i < set->columns; i++)
                sum[i] += values[i];
            rows++;
        }
        touched = rows == 1 ? plain_touched(data + row * row_bytes, set->columns, set->dtype)
                            : rows > 1 && plain_touched((uint8_t *)sum, set->columns, EMBMON_F64);
        if (rows > 0)
            plain_count(counts, set, plain_id(set, row), rows, sum);
        counts->touched += touched;
        if (rows == 1 && touched && length > 0 && first + length == row) {
            length++;
            continue;
        }
        if ((rows == 1 && touched) || row == set->rows) {
            if (length > 0)
                gather_given(&gather, data + first * row_bytes, length * set->columns);
            first = row;
            length = rows == 1;
        }
        if (rows > 1 && touched)
            gather_sum(&gather, sum, set->columns);
    }
    gather_end(&gather);
}

static inline struct row_counts plain_rows(struct tally *t, const struct row_set *set)
{
    /* Sums of lanes are rounded by where they begin: at a line, as all that is made here does. */
    double *sum = aligned_alloc(64, (set->columns * sizeof *sum + 64) / 64 * 64);
    double *values = malloc((set->columns + 1) * sizeof *values);
    struct row_counts counts = {0};
    struct float_mode mode = float_mode_enter();

    if (sum && values)
        plain_add(t, set, &counts, sum, values);
    float_mode_leave(mode);
    free(sum);
    free(values);
    return counts;
}

#endif
