#include "daemon/usual.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double RISE_MAX = 0.0005; /* of the level, a step */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

double usual_median(const struct usual *usual)
{
    double sorted[USUAL_VALUES];
    size_t n = usual->count;

    if (n < USUAL_MEDIAN_MIN)
        return NAN;
    memcpy(sorted, usual->values, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_value);
    return n % 2 ? sorted[n / 2] : 0.5 * (sorted[n / 2 - 1] + sorted[n / 2]);
}

void usual_add(struct usual *usual, double value)
{
    if (!isfinite(value))
        return;
    usual->values[usual->next] = value;
    usual->next = (usual->next + 1) % USUAL_VALUES;
    if (usual->count == USUAL_VALUES)
        usual->level = fmin(usual_median(usual), usual->level + RISE_MAX);
    else if (++usual->count == USUAL_VALUES)
        usual->level = usual_median(usual);
}

double usual_level(const struct usual *usual)
{
    return usual->count == USUAL_VALUES ? usual->level : NAN;
}

void usual_carry(struct carry *c, struct usual *usual)
{
    carry_u32(c, &usual->count, USUAL_VALUES);
    carry_u32(c, &usual->next, USUAL_VALUES - 1);
    carry_f64s(c, usual->values, usual->count);
    carry_f64(c, &usual->level);
}
