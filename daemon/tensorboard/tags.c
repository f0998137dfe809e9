#include "daemon/tensorboard/tags.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "embmon/embmon.h"
#include "proto/name.h"

static const char *const PREFIX[STEP_PHASES] = {"", "validation/", "inference/"};

const char *tag_make(char tag[TAG_MAX], uint32_t phase, const char *format, ...)
{
    size_t n = strlen(PREFIX[phase - 1]);
    va_list arguments;

    memcpy(tag, PREFIX[phase - 1], n);
    va_start(arguments, format);
    (void)vsnprintf(tag + n, TAG_MAX - n, format, arguments);
    va_end(arguments);
    return tag;
}

const char *tag_join(char tag[TAG_MAX], uint32_t phase, const char *kind, const char *name)
{
    const char *const parts[] = {PREFIX[phase - 1], kind, name};
    size_t n = 0;

    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        size_t length = strlen(parts[i]), room = TAG_MAX - 1 - n;

        length = length < room ? length : room;
        memcpy(tag + n, parts[i], length);
        n += length;
    }
    tag[n] = '\0';
    return tag;
}

uint32_t tag_phase(const char *tag)
{
    for (uint32_t p = 1; p < STEP_PHASES; p++) {
        if (strncmp(tag, PREFIX[p], strlen(PREFIX[p])) == 0)
            return p + 1;
    }
    return EMBMON_TRAIN;
}

/* ---- writing one value */

/* A START goes before the first event of a trainer's session, at that event's step. */
static void begin(struct tag_writer *w, uint64_t step)
{
    if (!w->start)
        return;
    w->start = false;
    event_file_start(w->file, w->wall, step);
}

const char *tags_scalar_group(const struct model *model, size_t scalar)
{
    static const char *const own[] = {"clipped_fraction", NAME_OVERHEAD, NAME_EVERY};

    if (scalar < SCALARS_KNOWN)
        return "";
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (strcmp(model->scalars[scalar], own[i]) == 0)
            return "";
    return "scalars/";
}

void tag_scalar(struct tag_writer *w, const char *tag, uint64_t step, double value)
{
    begin(w, step);
    (void)event_file_scalar(w->file, w->wall, step, tag, value);
}

void tag_text(struct tag_writer *w, const char *tag, uint64_t step, const char *text)
{
    begin(w, step);
    (void)event_file_text(w->file, w->wall, step, tag, text);
}

void tag_layout(struct tag_writer *w, uint64_t step, const uint8_t *layout, size_t length)
{
    begin(w, step);
    (void)event_file_layout(w->file, w->wall, step, layout, length);
}

void tag_histogram(struct tag_writer *w, const char *tag, uint64_t step,
                   bool (*bin)(const struct summary *, struct histogram *),
                   const struct summary *summary)
{
    struct histogram histogram;

    if (!bin(summary, &histogram))
        return;
    begin(w, step);
    (void)event_file_histogram(w->file, w->wall, step, tag, &histogram);
}

void tag_stair(struct tag_writer *w, const char *tag, uint64_t step, double before, double after)
{
    if (step > 0 && event_file_last_step(w->file, tag) < (int64_t)step - 1)
        tag_scalar(w, tag, step - 1, before);
    tag_scalar(w, tag, step, after);
}

/* ---- windows that are due */

/* A run's own queue may grow faster than all are looked at: windows are to wait before histograms
 * of alerts and texts would be dropped. */
enum { HISTOGRAMS_WAIT = EVENT_FILE_QUEUE / 2, SCALARS_WAIT = EVENT_FILE_QUEUE / 4 * 3 };

static bool waits(const struct tag_writer *w, enum thrift kind)
{
    size_t full = kind == THRIFT_HISTOGRAMS ? HISTOGRAMS_WAIT : SCALARS_WAIT;

    return !w->last && (w->thrift >= kind || event_file_pending(w->file) >= full);
}

void tags_window(struct tag_writer *w, struct scalar_window *window, uint32_t phase,
                 const char *kind, const char *name)
{
    char tag[TAG_MAX];

    if (window->steps == 0 || waits(w, THRIFT_SCALARS))
        return;
    if (!window->tag)
        window->tag = event_file_tag(w->file, tag_join(tag, phase, kind, name));
    begin(w, window->last_step);
    (void)event_file_scalar_of(w->file, w->wall, window->last_step, window->tag,
                               scalar_window_value(window));
    scalar_window_clear(window);
}

const char *tags_norm_name(const char *layer)
{
    return strcmp(layer, "all") == 0 ? "/all" : layer;
}

void tags_norm(struct tag_writer *w, struct scalar_window *window, uint32_t phase,
               const char *layer)
{
    char tag[TAG_MAX];

    if (window->steps == 0 || waits(w, THRIFT_SCALARS))
        return;
    tag_join(tag, phase, "gradient_norm_min/", layer);
    tag_scalar(w, tag, window->last_step, window->min);
    tag_join(tag, phase, "gradient_norm_max/", layer);
    tag_scalar(w, tag, window->last_step, window->max);
    tags_window(w, window, phase, "gradient_norm/", tags_norm_name(layer));
}

void tags_signal(struct tag_writer *w, struct histogram_window *window, uint32_t phase,
                 uint32_t signal, const char *label)
{
    static const char *const names[STEP_SIGNALS] = {"gradients/", "activations/", "weights/",
                                                    "updates/"};
    char tag[TAG_MAX];

    if (window->steps == 0 || waits(w, THRIFT_HISTOGRAMS))
        return;
    tag_join(tag, phase, names[signal - 1], label);
    tag_histogram(w, tag, window->last_step, histogram_linear, window->summary);
    if (signal == EMBMON_GRADIENT) {
        tag_join(tag, phase, "gradients_log10/", label);
        tag_histogram(w, tag, window->last_step, histogram_log10, window->summary);
    }
    histogram_window_clear(window);
}
