/* What the tags are called: the windows of a phase, and writing them to an event file. The only
 * file besides record.c's alerts that knows TensorBoard's names for our values;
 * docs/ARCHITECTURE.md has the table. */
#ifndef EMBMON_TENSORBOARD_TAGS_H
#define EMBMON_TENSORBOARD_TAGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/alert/markdown.h"
#include "daemon/model.h"
#include "daemon/step.h"
#include "daemon/tensorboard/event_file.h"
#include "daemon/tensorboard/window.h"

enum { TAG_MAX = 1024 };

struct layer_windows {
    struct scalar_window norm, low, high, rms, nonfinite;
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
    uint64_t fired, total; /* alerts fired; the same, as last written to alerts/total */
};

/* Where values go, and when: the wall time is the daemon's own. */
struct tag_writer {
    struct event_file *file;
    double wall;
    bool start; /* SessionLog START before the next value, at its step */
};

/* "<phase's prefix><text>". */
__attribute__((format(printf, 3, 4))) const char *tag_make(char tag[TAG_MAX], uint32_t phase,
                                                           const char *format, ...);
/* The phase a tag belongs to, by its prefix. */
uint32_t tag_phase(const char *tag);

void tag_scalar(struct tag_writer *w, const char *tag, uint64_t step, double value);
void tag_text(struct tag_writer *w, const char *tag, uint64_t step, const char *text);
void tag_histogram(struct tag_writer *w, const char *tag, uint64_t step,
                   bool (*bin)(const struct summary *, struct histogram *),
                   const struct summary *summary);

/* The group of a posted scalar's tag: "" for those with a name of their own ("loss"), else
 * "scalars/". */
const char *tags_scalar_group(const struct model *model, size_t scalar);

/* A line of steps: the value before the change stands at the step before it, so that charts show a
 * stair and not a slope. */
void tag_stair(struct tag_writer *w, const char *tag, uint64_t step, double before, double after);

/* Write and clear one window; an empty one is left alone. */
void tags_window(struct tag_writer *w, struct scalar_window *window, const char *tag);
void tags_norm(struct tag_writer *w, struct scalar_window *window, uint32_t phase,
               const char *layer);
void tags_signal(struct tag_writer *w, struct histogram_window *window, uint32_t phase,
                 uint32_t signal, const char *label);

#endif
