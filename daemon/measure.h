/* The numbers of one step that detectors and records share: norms, ratios, counts, per layer and of
 * the whole model. Computed once from the step's cells; nothing is remembered here. */
#ifndef EMBMON_DAEMON_MEASURE_H
#define EMBMON_DAEMON_MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/baseline.h"
#include "daemon/model.h"
#include "daemon/step.h"

struct layer_measure {
    bool has_gradient; /* a gradient of the layer was posted, and it says something (see touched) */
    bool has_activation;
    double norm;      /* root of the sum of its variables' squared norms, finite elements */
    double rms;       /* of all elements of its gradients */
    double looked_up; /* rows whose ids came in, NaN: not posted as rows */
    double touched;   /* rows with a non-zero gradient, NaN: not an embedding's gradient */
    double ids;       /* ids that came in, NaN: not posted as rows */
    double busiest;   /* of these those of the row with the most, NaN: as above */
    double padding;   /* norm of the padding row's gradient, NaN: none was declared, or not known */
    double zeros;     /* share of zeros in its gradients, NaN: no finite element */
    bool has_update;
    bool unmoved;      /* every element of its updates is exactly 0 */
    double moved;      /* rows of a table that the update changed, NaN: not a table's update */
    bool moved_of_all; /* of the whole table, not of the rows that were posted */

    double elements; /* of its gradients */
    uint64_t nonfinite_gradient, nonfinite_activation;
    double
        update_ratio; /* pooled over its variables, NaN: updates or weights missing or all zero */
    double weights;   /* elements of the weights the ratio divides by */
};

struct measures {
    const struct step *step;
    const struct model *model;
    struct layer_measure *layers; /* owned, [model->layer_count] */
    size_t layer_count, layer_capacity;
    double model_norm; /* of finite elements; NaN: no gradient at all */
    bool nonfinite;    /* some gradient holds a NaN or an infinity */
    double *norms;     /* owned: of the layers that have a finite, non-zero one, ascending */
    size_t norm_count;
    double last_norm;  /* of the last declared trainable layer with a finite, non-zero gradient */
    size_t last_layer; /* meaningless while last_norm is NaN */
    double loss, rate, batch; /* NaN: not posted */
    bool short_batch;
    bool several_ranks;  /* the run has more than one: for AT_EPOCH alone */
    bool some_steps;     /* trainers post some steps only: the same */
    bool first_sight;    /* a post has just come: more of its step may follow */
    double silence;      /* seconds in which a sample was due and none came; NaN: cannot be said */
    double step_seconds; /* a step takes; NaN: not known */
    int64_t only_rank;   /* count only this rank's non-finite values; -1: all ranks' */
};

/* Fills m from a step, keeping its memory. baseline: holds the latest weights (the step's own are
 * taken in by measure_weights() before) and the usual batch. False: out of memory. */
bool measure_step(struct measures *m, const struct step *step, const struct model *model,
                  struct baseline *baseline, int64_t only_rank);
void measures_free(struct measures *m);

/* Remembers what this step, about to be judged, put into embeddings. */
void measure_intake(struct baseline *baseline, const struct step *step, const struct model *model);

/* Remembers the shapes of a step that has been judged: they are usual from now on. */
void measure_shapes(struct baseline *baseline, const struct step *step, const struct model *model);

/* Remembers the weights posted in this step. */
void measure_weights(struct baseline *baseline, const struct step *step, const struct model *model);

/* Median norm of the layers but this one, NaN when fewer than two have one. */
double measure_others_norm(const struct measures *m, size_t layer);

/* Variance over the batch by the mean square of a layer's output, NaN when it is not known, or all
 * of it is 0. */
double measure_variation(const struct measures *m, size_t layer);

/* Norm of the update by the norm of the latest weights of one variable, NaN when one is missing or
 * the weights are all zero. */
double measure_update_ratio(const struct measures *m, const struct baseline *baseline,
                            size_t variable);

#endif
