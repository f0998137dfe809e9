/* The windows of one phase: all that is being collected of its layers, variables and scalars, and
 * what can be done to all of them at once. */
#ifndef EMBMON_TENSORBOARD_PHASE_H
#define EMBMON_TENSORBOARD_PHASE_H

#include "daemon/alert/markdown.h"
#include "daemon/carry.h"
#include "daemon/tensorboard/tags.h"

struct layer_windows {
    struct scalar_window norm, low, high, rms, nonfinite;
    struct scalar_window touched, coverage, outside, padding, unique; /* embeddings only */
    uint32_t anomalies; /* histograms written to its anomaly tag */
};

struct variable_windows {
    struct histogram_window signals[STEP_SIGNALS]; /* [signal - 1] */
    struct scalar_window update_ratio;
};

/* The windows of a phase, as many as its model had at the last step. */
struct phase_windows {
    struct layer_windows *layers;
    size_t layer_count;
    struct variable_windows *variables;
    size_t variable_count;
    struct scalar_window scalars[SCALARS_MAX];
    struct scalar_window model_norm, dropped, rejected, lost, ranks;
    struct markdown log;   /* changes of alerts since the last recorded step */
    uint64_t log_left_out; /* changes that it has no room for */
    size_t charted;        /* layers with a gradient when the dashboard was last written */
    uint64_t fired, total; /* alerts fired; the same, as last written to alerts/total */
};

/* The windows, made when *w is NULL, with room for all that is declared; NULL when out of memory.
 */
struct phase_windows *phase_windows(struct phase_windows **w, const struct model *model);
void phase_windows_free(struct phase_windows *w);
size_t phase_windows_bytes(const struct phase_windows *w);

/* Begins the burst of a layer's windows and its variables', or of the model's (layer NULL), and
 * writes what they have collected before it. */
void phase_burst(struct tag_writer *writer, struct phase_windows *w, uint32_t phase,
                 const struct model *model, const char *layer);

/* Writes what is in all windows, and gives back the memory of their histograms: they may go on, at
 * the width they have, and mostly do not. Those that are to wait for space stay as they are. */
void phase_finish(struct tag_writer *writer, struct phase_windows *w, uint32_t phase,
                  const struct model *model);

/* Over a restart; loading: with room for all that is declared. */
void phase_windows_carry(struct carry *c, struct phase_windows **w, const struct model *model);

#endif
