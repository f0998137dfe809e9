#include "daemon/tensorboard/window.h"

#include <math.h>

bool scalar_window_add(struct scalar_window *w, uint64_t step, double value)
{
    if (w->ladder.limit == 0)
        ladder_init(&w->ladder, LADDER_SCALARS);
    w->min = w->steps ? fmin(w->min, value) : value; /* a NaN gives way to a number */
    w->max = w->steps ? fmax(w->max, value) : value;
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

bool histogram_window_add(struct histogram_window *w, uint64_t step, const struct summary *summary)
{
    if (w->ladder.limit == 0)
        ladder_init(&w->ladder, LADDER_HISTOGRAMS);
    if (summary_add(&w->summary, summary)) {
        w->steps++;
        w->last_step = step;
    }
    return ladder_step(&w->ladder);
}

void histogram_window_clear(struct histogram_window *w)
{
    w->steps = 0;
    summary_clear(&w->summary);
}

void histogram_window_rest(struct histogram_window *w)
{
    w->steps = 0;
    summary_free(&w->summary);
}

void histogram_window_free(struct histogram_window *w)
{
    summary_free(&w->summary);
    *w = (struct histogram_window){0};
}
