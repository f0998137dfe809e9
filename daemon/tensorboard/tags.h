/* What the tags are called, and writing values and windows under them to an event file. With
 * phase.c and record.c the only files that know TensorBoard's names for our values;
 * docs/ARCHITECTURE.md has the table. */
#ifndef EMBMON_TENSORBOARD_TAGS_H
#define EMBMON_TENSORBOARD_TAGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/model.h"
#include "daemon/step.h"
#include "daemon/tensorboard/event_file.h"
#include "daemon/tensorboard/window.h"
#include "daemon/thrift.h"

enum { TAG_MAX = 1024 };

/* Where values go, and when: the wall time is the daemon's own. */
struct tag_writer {
    struct event_file *file;
    double wall;
    bool start;         /* SessionLog START before the next value, at its step */
    enum thrift thrift; /* windows that are to wait are left as they are, and go on */
    bool last;          /* none is to wait: the run has ended */
};

/* "<phase's prefix><text>". */
__attribute__((format(printf, 3, 4))) const char *tag_make(char tag[TAG_MAX], uint32_t phase,
                                                           const char *format, ...);
/* "<phase's prefix><kind><name>", for what is said for every layer. */
const char *tag_join(char tag[TAG_MAX], uint32_t phase, const char *kind, const char *name);
/* The phase a tag belongs to, by its prefix. */
uint32_t tag_phase(const char *tag);

void tag_scalar(struct tag_writer *w, const char *tag, uint64_t step, double value);
void tag_text(struct tag_writer *w, const char *tag, uint64_t step, const char *text);
void tag_histogram(struct tag_writer *w, const char *tag, uint64_t step,
                   bool (*bin)(const struct summary *, struct histogram *),
                   const struct summary *summary);

/* The layout of the CUSTOM SCALARS page, serialized. */
void tag_layout(struct tag_writer *w, uint64_t step, const uint8_t *layout, size_t length);

/* The group of a posted scalar's tag: "" for those with a name of their own ("loss"), else
 * "scalars/". */
const char *tags_scalar_group(const struct model *model, size_t scalar);

/* A line of steps: the value before the change stands at the step before it, so that charts show a
 * stair and not a slope. */
void tag_stair(struct tag_writer *w, const char *tag, uint64_t step, double before, double after);

/* What stands behind "gradient_norm/" of a layer: its path, but for one that is called "all", which
 * is what the norm of the whole model is called: "/all", the path of no layer. */
const char *tags_norm_name(const char *layer);

/* Write and clear one window, whose tag is that of tag_join(): always the same, for it is looked up
 * once. An empty one is left alone, and one that is to wait. */
void tags_window(struct tag_writer *w, struct scalar_window *window, uint32_t phase,
                 const char *kind, const char *name);
void tags_norm(struct tag_writer *w, struct scalar_window *window, uint32_t phase,
               const char *layer);
void tags_signal(struct tag_writer *w, struct histogram_window *window, uint32_t phase,
                 uint32_t signal, const char *label);

#endif
