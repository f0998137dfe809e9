/* Detectors: each looks at one layer (or the whole model) at one step and says whether it is sick.
 *
 * A detector is one function of the type below and one row in the table of detect.c. It keeps no
 * state: what it needs of the past is in the baseline; how often it must be sick before an alert
 * fires (its hold) is the alert's business. docs/ARCHITECTURE.md says how to add one.
 */
#ifndef EMBMON_DETECT_DETECT_H
#define EMBMON_DETECT_DETECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/baseline.h"
#include "daemon/measure.h"

/* Thresholds; the defaults are those of limits_default. */
struct limits {
    double vanishing_ratio;  /* layer's norm by the last trainable layer's */
    double vanishing_norm;   /* layer's norm by max(1, abs(first loss)) */
    double exploding_layer;  /* layer's norm by its baseline */
    double exploding_model;  /* model's norm by its baseline */
    double exploding_update; /* update ratio */
    double update_elements;  /* fewest weights an update ratio is judged on */
    double spike_layer;      /* layer's norm by the maximum of its last 10 */
    double spike_model;
    double diverged_loss;     /* loss by abs(first loss) */
    double update_high;       /* update ratio */
    double update_low;        /* the same, of the rows that moved */
    double underflow;         /* share of zeros above the usual one */
    double dead_share;        /* share of zeros in an output */
    double dead_units;        /* share of units that are 0 in the whole batch */
    double saturated;         /* share of an output that has reached its function's limit */
    double variation;         /* variance over the batch by the mean square */
    double dominates;         /* table's norm by the median of the other layers' */
    double coverage;          /* rows looked up by ids, by what is usual */
    double hot_share;         /* share of the look-ups that one row takes */
    double hot_rise;          /* that share by the usual one */
    double cosine;            /* mean, of two of the busiest rows */
    double spread;            /* effective rank of the busiest rows by the width */
    double padding_moved;     /* padding's share, from the mean of training */
    double padding_sigmas;    /* the same in standard deviations of training's steps */
    double padding_sequences; /* fewest sequences of a phase that are judged */
    double side_sequences;    /* sequences padded on the wrong side, or not at all */
    double drift_sequences;   /* sequences from which a drift of lengths is a warning */
    double dead_rows;         /* of the rows were not looked up in an epoch */
    double stalled_seconds;   /* without a sample */
    double stalled_steps;     /* and so many times as long as a step takes */
};
extern const struct limits limits_default;

/* What trainers call those they may set. */
struct limit_key {
    const char *detector, *key;
    size_t offset; /* in struct limits, of a double */
};
extern const struct limit_key limit_keys[];
extern const size_t limit_key_count;

enum verdict {
    VERDICT_SILENT, /* cannot tell; the finding says why */
    VERDICT_CLEAR,
    VERDICT_SICK,
};

enum { FINDING_SUMMARY = 512, FINDING_HINT = 1024 };

struct finding {
    double value, threshold, baseline; /* NaN: none */
    const struct rank_list *ranks;     /* NULL: all that posted */
    uint32_t severity;                 /* enum embmon_severity; 0: the detector's */
    const char *variable;              /* which one, a string of the model; "": the layer as such */
    bool hold_back;                    /* stay pending: not the time to fire */
    const char *silent;                /* static; why it cannot tell */
    char summary[FINDING_SUMMARY];
    char hint[FINDING_HINT];
};

/* Adds how it ended to what a summary says; the beginning is cut where both have no room. */
__attribute__((format(printf, 2, 3))) void summary_end(char summary[FINDING_SUMMARY],
                                                       const char *format, ...);

#define DETECT_MODEL SIZE_MAX /* the layer of detectors that judge the whole model */

/* Judges one layer; the finding comes cleared. */
typedef enum verdict detect_fn(const struct measures *m, size_t layer,
                               const struct baseline *baseline, const struct limits *limits,
                               struct finding *finding);

enum { CLAUSES_MAX = 4, HOLD_MAX = 256 };

/* What a layer has in a step for detectors to look at. */
enum trait {
    TRAIT_TABLE = 1 << 0, /* it is an embedding */
    TRAIT_HALF = 1 << 1,  /* its output or a variable is f16 */
    TRAIT_GRADIENT = 1 << 2,
    TRAIT_LOOKUPS = 1 << 3, /* its gradient says how many ids came in */
    TRAIT_PADDING = 1 << 4, /* its gradient tells the padding's row */
    TRAIT_UPDATE = 1 << 5,
    TRAIT_RATIO = 1 << 6,  /* its update by its weights is known */
    TRAIT_MOVED = 1 << 7,  /* its update says how many rows moved */
    TRAIT_OUTPUT = 1 << 8, /* an activation of the layer itself, not of a variable */
    TRAIT_WEIGHT = 1 << 9, /* the same, of weights */
    TRAIT_IDS = 1 << 10,
    TRAIT_SHAPES = 1 << 11, /* of this step or known before */
    TRAIT_ACTIVATION = 1 << 12,
    TRAITS_ALL = (1 << 13) - 1,
};

/* Each clause keeps its own hold; the alert is their union, as severe as the worst that fires. */
struct clause {
    detect_fn *judge;
    uint32_t hold;        /* sick steps of the last 2 x hold until it fires; 1: at once */
    uint32_t hold_others; /* of layers that are not embeddings; 0: the same */
    bool
        of_level; /* compares with the baseline: is over as "new level" when the norm stays there */
    uint32_t looks_at; /* enum trait: without one of these it is silent, and why follows from what
                          the layer has and how it is declared; 0: it has to be asked */
};

/* When a detector looks at a layer. At first sight: when a post of its kind comes, in all phases,
 * for the forward pass may raise and the step never end; at the step's end it only counts the
 * layers that were clear. Ids are judged again then, all ranks' together; what was sick counts
 * once. */
enum occasion {
    AT_STEP,  /* when a step has closed */
    AT_IDS,   /* at first sight of what goes into the layer */
    AT_SHAPE, /* at first sight of a shape of it */
    AT_EPOCH, /* when a rank says that an epoch has ended */
    AT_TIME,  /* as time passes; what is clear at the end of a step is over at once */
};

struct detector {
    const char *name; /* a contract: never changes its meaning */
    const char *signal;
    uint32_t severity; /* enum embmon_severity, where a finding says no other */
    enum occasion at;
    bool of_model;        /* judges the whole model, not each layer */
    bool first_only;      /* only the first layer in forward order is named */
    bool is_nonfinite;    /* while it fires, consequences are muted */
    bool is_consequence;  /* muted by non-finite values of the same run */
    const char *muted_by; /* one of first sight that mutes it while it is up for the layer */
    enum {
        FREEZES_NOTHING,
        FREEZES_LAYER,
        FREEZES_MODEL,  /* and the layer */
    } freezes;          /* whose baseline does not learn while this is pending or firing */
    bool training_only; /* not judged in validation and inference */
    struct clause clauses[CLAUSES_MAX]; /* judge NULL: unused */
};

extern const struct detector detectors[];
extern const size_t detector_count;

/* The thresholds in force for a layer's gradient norm: below the first it vanishes, above the
 * second it explodes. NaN where there is none, or none yet. */
double gradient_norm_low(const struct measures *m, size_t layer, const struct baseline *baseline,
                         const struct limits *limits);
double gradient_norm_high(size_t layer, const struct baseline *baseline,
                          const struct limits *limits);

/* The index of a detector, or detector_count. */
size_t detector_find(const char *name);

#endif
