/* What the detectors remember of the past: the usual level of each norm, the first loss, the
 * learning rate's course, the usual batch, the latest weights, what went into embeddings, the
 * latest shapes. (docs/ARCHITECTURE.md, "Detectors")
 *
 * Baseline of a norm, in the log domain: the median of its first 25 values, then an exponential
 * average (0.97) that moves up by at most 0.01 a step, so that it cannot follow an explosion.
 * Recent: its last 10 values. Only finite, non-zero norms of full batches enter. */
#ifndef EMBMON_DAEMON_BASELINE_H
#define EMBMON_DAEMON_BASELINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/carry.h"
#include "daemon/intake.h"
#include "daemon/shapes.h"
#include "daemon/usual.h"

enum { BASELINE_LEARN = 25, BASELINE_RECENT = 10, BASELINE_BATCHES = 25, FIRST_LOSSES = 5 };

struct norm_baseline {
    double first[BASELINE_LEARN]; /* logs, while learning */
    uint32_t learnt;
    double level; /* log of the usual norm, once learnt == BASELINE_LEARN */
    double top;   /* the highest level so far: see norm_baseline_level() */
    double usual; /* exp(top): asked for several times a step */
    double recent[BASELINE_RECENT];
    double recent_max; /* of these; 0: there is none */
    uint32_t recent_count, recent_next;
};

void norm_baseline_add(struct norm_baseline *b, double norm);
void norm_baseline_reset(struct norm_baseline *b);
/* The usual norm that others are compared with, NaN until it is learnt: the highest level so far.
 * The norms of a model that fits its data fall by decades, and an ordinary hard batch would then
 * look like an explosion; a real one passes what was usual at the beginning, too. */
double norm_baseline_level(const struct norm_baseline *b);

/* The largest of the last 10, NaN until there are 10; not below the usual norm, for the same
 * reason. */
double norm_baseline_recent_max(const struct norm_baseline *b);

struct variable_memory {
    bool weighed;
    double weight_squares; /* of the latest posted weights, per part */
    uint64_t weight_count; /* elements, per part */
};

/* Shares of a layer, as they are; a zeroed one knows nothing. */
struct layer_memory {
    struct usual zeros;   /* share of zeros in its gradient */
    struct usual ids;     /* ids that came in */
    struct usual variety; /* rows looked up by ids */
    struct usual busiest; /* share of the look-ups that the busiest row takes */
    bool varied;          /* its output differed within a batch */
};

/* Forgets the shares. */
void layer_memory_reset(struct layer_memory *memory);

struct baseline {
    struct norm_baseline model; /* the norm of all gradients together */
    struct norm_baseline *layers;
    struct intake *intakes;        /* [layer_count] too */
    struct layer_memory *memories; /* [layer_count], as layers */
    size_t layer_count;
    struct shapes shapes;
    struct variable_memory *variables;
    size_t variable_count;
    double losses[FIRST_LOSSES];
    uint32_t loss_count;
    double first_loss;                /* what follows from these; NaN: there is none */
    double loss_level;                /* exponential average (0.9); NaN as long as that is */
    bool has_learnt;                  /* that one fell below 0.9 of the first loss */
    uint64_t steps;                   /* sampled training steps that were judged */
    double rate;                      /* of the last sampled step, NaN: none posted */
    double rate_max;                  /* the highest so far; 0: none posted */
    uint32_t steps_since_rise;        /* sampled steps since the rate last rose */
    double batches[BASELINE_BATCHES]; /* the last ones */
    uint32_t batch_count, batch_next;
};

void baseline_init(struct baseline *b);
void baseline_free(struct baseline *b);

/* The training was resumed: forgets all but the first losses. */
void baseline_restart(struct baseline *b);

/* Makes room for so many layers and variables. False: out of memory. */
bool baseline_resize(struct baseline *b, size_t layers, size_t variables);

/* An epoch has ended for a layer: which rows it looks up is counted anew. */
void baseline_epoch(struct baseline *b, size_t layer);

/* Forgets the levels of all norms: the training goes on at a new level by intent. */
void baseline_forget_levels(struct baseline *b);

/* Of a training step, before it is judged. A model that stood still at its first loss and begins to
 * learn has other norms from then on: what is usual is lifted to them. */
void baseline_loss(struct baseline *b, double loss);

/* Median of the first 5 finite losses, without those above 10 x the ones before (or 1); in abs at
 * least 0.1, with its sign. NaN: no loss posted. */
double baseline_first_loss(const struct baseline *b);

/* A hinge or triplet loss reaches exactly 0 in a batch that is all right already: there is no error
 * to carry back. */
bool baseline_loss_spent(const struct baseline *b, double loss);

/* True while nothing has been learnt and this step's loss is not above the first by more than a
 * tenth: gradients may then grow a hundredfold when the model leaves its plateau, and that is no
 * explosion. False where no loss is posted. */
bool baseline_on_plateau(const struct baseline *b, double loss);

/* Takes the step's rate (NaN: not posted). True: it jumped by more than 3 times. */
bool baseline_rate(struct baseline *b, double rate);

/* True while the rate is at least a tenth of its highest: at the end of a schedule little moves,
 * and is meant to. False where none was posted. */
bool baseline_rate_counts(const struct baseline *b);

/* True when the rate rose within the last 3 sampled steps. */
bool baseline_warming_up(const struct baseline *b);

/* Takes the size of a training step's batch (NaN: not posted). */
void baseline_batch(struct baseline *b, double batch);

/* True when a batch of this size (NaN: not posted) is smaller than 0.9 of the usual one: the median
 * of the last 25, so that one huge batch does not make all others short. */
bool baseline_short_batch(const struct baseline *b, double batch);

/* Over a restart, of a model with at most so many layers and variables. */
void baseline_carry(struct carry *c, struct baseline *b, size_t layers, size_t variables);

#endif
