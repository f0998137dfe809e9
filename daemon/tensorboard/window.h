/* Windows: what one tag has collected since its last record. Each has a ladder (daemon/ladder.h)
 * that says when it is to be recorded; the label is the window's last step. */
#ifndef EMBMON_TENSORBOARD_WINDOW_H
#define EMBMON_TENSORBOARD_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/carry.h"
#include "daemon/ladder.h"
#include "proto/summary.h"

struct tag;

/* A zeroed one is unused: it begins with its first value. */
struct scalar_window {
    struct ladder ladder;
    uint64_t steps, last_step;
    uint64_t known;       /* steps whose value is not NaN */
    double sum, min, max; /* over those; NaN where there is none */
    double last;          /* the newest of them */
    bool running_total;   /* what is recorded is the last value, not the mean */
    struct tag *tag;      /* borrowed from the event file it is recorded in; NULL: not looked up */
};

struct histogram_window {
    struct ladder ladder;
    uint64_t steps, last_step;
    struct summary *summary; /* owned; NULL: nothing came since it was made, or rested */
};

/* docs/ARCHITECTURE.md says so, for memory is reserved by it: of a tag, and besides its buckets. */
_Static_assert(sizeof(struct scalar_window) <= 120, "a scalar's window has grown");
_Static_assert(sizeof(struct histogram_window) <= 72, "a histogram's window has grown");
_Static_assert(sizeof(struct summary) <= 400, "a summary has grown");

/* Adds a step's value. True: the window is to be recorded now, and then cleared. */
bool scalar_window_add(struct scalar_window *w, uint64_t step, double value);
/* Mean of the steps that have a value; NaN only when none has, so that one step without does not
 * hide a wide window. */
double scalar_window_mean(const struct scalar_window *w);
/* What the window's record says: the mean, or the running total after the last step. */
double scalar_window_value(const struct scalar_window *w);
void scalar_window_clear(struct scalar_window *w);

/* Out of memory, or a count would wrap: the window lacks this step, and is due as if it had not. */
bool histogram_window_add(struct histogram_window *w, uint64_t step, const struct summary *summary);
void histogram_window_clear(struct histogram_window *w);
/* The same without keeping its memory; its ladder stays. */
void histogram_window_rest(struct histogram_window *w);
void histogram_window_free(struct histogram_window *w);

/* Over a restart. */
void scalar_window_carry(struct carry *c, struct scalar_window *w);
void histogram_window_carry(struct carry *c, struct histogram_window *w);

#endif
