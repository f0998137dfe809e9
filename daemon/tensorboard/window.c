#include "daemon/tensorboard/window.h"

#include <math.h>
#include <stdlib.h>

#include "daemon/carried.h"

bool scalar_window_add(struct scalar_window *w, uint64_t step, double value)
{
    if (w->ladder.limit == 0)
        ladder_init(&w->ladder, LADDER_SCALARS);
    if (!w->steps || isnan(w->min)) { /* a NaN gives way to a number */
        w->min = w->max = value;
    } else if (!isnan(value)) {
        w->min = value < w->min ? value : w->min;
        w->max = value > w->max ? value : w->max;
    }
    w->steps++;
    if (!isnan(value)) {
        w->sum += value;
        w->last = value;
        w->known++;
    }
    w->last_step = step;
    return ladder_step(&w->ladder);
}

double scalar_window_mean(const struct scalar_window *w)
{
    return w->known ? w->sum / (double)w->known : NAN;
}

double scalar_window_value(const struct scalar_window *w)
{
    return w->running_total && w->known ? w->last : scalar_window_mean(w);
}

void scalar_window_clear(struct scalar_window *w)
{
    w->steps = w->known = 0;
    w->sum = w->min = w->max = 0;
}

/* Most windows never get one: of a variable there may be four, and mostly one or two are posted. */
static struct summary *need_summary(struct histogram_window *w)
{
    if (!w->summary)
        w->summary = calloc(1, sizeof *w->summary);
    return w->summary;
}

bool histogram_window_add(struct histogram_window *w, uint64_t step, const struct summary *summary)
{
    if (w->ladder.limit == 0)
        ladder_init(&w->ladder, LADDER_HISTOGRAMS);
    if (need_summary(w) && summary_add(w->summary, summary)) {
        w->steps++;
        w->last_step = step;
    }
    return ladder_step(&w->ladder);
}

void histogram_window_clear(struct histogram_window *w)
{
    w->steps = 0;
    if (w->summary)
        summary_clear(w->summary);
}

void histogram_window_rest(struct histogram_window *w)
{
    w->steps = 0;
    if (w->summary)
        summary_free(w->summary);
    free(w->summary);
    w->summary = NULL;
}

void histogram_window_free(struct histogram_window *w)
{
    histogram_window_rest(w);
    *w = (struct histogram_window){0};
}

/* ---- over a restart; most windows are not used, and those that are mostly hold nothing */

void scalar_window_carry(struct carry *c, struct scalar_window *w)
{
    bool used = w->ladder.limit > 0;

    carry_bool(c, &used);
    if (!used)
        return;
    ladder_carry(c, &w->ladder);
    carry_u64(c, &w->last_step);
    carry_bool(c, &w->running_total);
    carry_f64(c, &w->last);
    carry_u64(c, &w->steps);
    if (w->steps == 0)
        return;
    carry_u64(c, &w->known);
    carry_f64(c, &w->sum);
    carry_f64(c, &w->min);
    carry_f64(c, &w->max);
}

void histogram_window_carry(struct carry *c, struct histogram_window *w)
{
    bool used = w->ladder.limit > 0;

    carry_bool(c, &used);
    if (!used)
        return;
    ladder_carry(c, &w->ladder);
    carry_u64(c, &w->last_step);
    carry_u64(c, &w->steps);
    if (w->steps == 0)
        return;
    if (need_summary(w))
        summary_carry(c, w->summary);
    else
        carry_fail(c, "out of memory");
}
