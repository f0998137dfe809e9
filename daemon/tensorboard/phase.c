#include "daemon/tensorboard/phase.h"

#include <stdlib.h>
#include <string.h>

/* Room for all layers and variables declared so far, new windows zeroed. */
static bool grow(struct phase_windows *w, const struct model *model)
{
    if (model->layer_count > w->layer_count) {
        struct layer_windows *more = reallocarray(w->layers, model->layer_count, sizeof *more);

        if (!more)
            return false;
        memset(more + w->layer_count, 0, (model->layer_count - w->layer_count) * sizeof *more);
        w->layers = more;
        w->layer_count = model->layer_count;
    }
    if (model->variable_count > w->variable_count) {
        struct variable_windows *more =
            reallocarray(w->variables, model->variable_count, sizeof *more);

        if (!more)
            return false;
        memset(more + w->variable_count, 0,
               (model->variable_count - w->variable_count) * sizeof *more);
        w->variables = more;
        w->variable_count = model->variable_count;
    }
    return true;
}

struct phase_windows *phase_windows(struct phase_windows **w, const struct model *model)
{
    if (!*w)
        *w = calloc(1, sizeof **w);
    return *w && grow(*w, model) ? *w : NULL;
}

void phase_windows_free(struct phase_windows *w)
{
    if (!w)
        return;
    for (size_t v = 0; v < w->variable_count; v++) {
        for (size_t s = 0; s < STEP_SIGNALS; s++)
            histogram_window_free(&w->variables[v].signals[s]);
    }
    markdown_free(&w->log);
    free(w->layers);
    free(w->variables);
    free(w);
}

size_t phase_windows_bytes(const struct phase_windows *w)
{
    size_t bytes = sizeof *w + w->layer_count * sizeof *w->layers + w->log.capacity;

    for (size_t v = 0; v < w->variable_count; v++) {
        bytes += sizeof w->variables[v];
        for (size_t s = 0; s < STEP_SIGNALS; s++) {
            const struct summary *summary = w->variables[v].signals[s].summary;

            bytes += summary ? summary_bytes(summary) : 0;
        }
    }
    return bytes;
}

/* ---- all windows of something: written at the end, or before a burst */

struct visit {
    struct tag_writer *writer;
    struct phase_windows *windows;
    const struct model *model;
    uint32_t phase;
    bool burst;
};

static void scalar(const struct visit *v, struct scalar_window *w, const char *kind,
                   const char *name)
{
    if (!v->burst || ladder_burst(&w->ladder, w->steps > 0))
        tags_window(v->writer, w, v->phase, kind, name);
}

static void visit_layer(const struct visit *v, size_t layer)
{
    struct layer_windows *w = &v->windows->layers[layer];
    const char *path = v->model->layers[layer].path;

    if (!v->burst || ladder_burst(&w->norm.ladder, w->norm.steps > 0))
        tags_norm(v->writer, &w->norm, v->phase, path);
    scalar(v, &w->low, "gradient_norm_low/", path);
    scalar(v, &w->high, "gradient_norm_high/", path);
    scalar(v, &w->rms, "gradient_rms/", path);
    scalar(v, &w->nonfinite, "nonfinite/", path);
    scalar(v, &w->touched, "embedding/rows_touched/", path);
    scalar(v, &w->coverage, "embedding/coverage/", path);
    scalar(v, &w->outside, "embedding/ids_out_of_range/", path);
    scalar(v, &w->padding, "embedding/padding_fraction/", path);
    scalar(v, &w->unique, "embedding/unique_ids/", path);
}

static void visit_variable(const struct visit *v, size_t variable)
{
    struct variable_windows *w = &v->windows->variables[variable];
    const char *label = v->model->variables[variable].label;

    for (uint32_t signal = 1; signal <= STEP_SIGNALS; signal++) {
        struct histogram_window *h = &w->signals[signal - 1];

        if (!v->burst || ladder_burst(&h->ladder, h->steps > 0))
            tags_signal(v->writer, h, v->phase, signal, label);
        if (!v->burst && h->steps == 0) /* else it waits for space, and goes on collecting */
            histogram_window_rest(h);
    }
    scalar(v, &w->update_ratio, "update_ratio/", label);
}

static void visit_model(const struct visit *v)
{
    struct phase_windows *w = v->windows;

    for (size_t s = 0; s < v->model->scalar_count; s++)
        scalar(v, &w->scalars[s], tags_scalar_group(v->model, s), v->model->scalars[s]);
    scalar(v, &w->model_norm, "gradient_norm/", "all");
    scalar(v, &w->dropped, "embmond/", "dropped");
    scalar(v, &w->rejected, "embmond/", "rejected");
    scalar(v, &w->lost, "embmond/", "events_lost");
    scalar(v, &w->ranks, "embmond/", "ranks");
}

void phase_burst(struct tag_writer *writer, struct phase_windows *w, uint32_t phase,
                 const struct model *model, const char *layer_path)
{
    struct visit v = {writer, w, model, phase, true};
    int layer = *layer_path ? model_find(model, layer_path) : -1;

    if (layer < 0) {
        visit_model(&v);
        return;
    }
    visit_layer(&v, (size_t)layer);
    for (size_t i = 0; i < w->variable_count; i++) {
        if (model->variables[i].layer == (size_t)layer)
            visit_variable(&v, i);
    }
}

void phase_finish(struct tag_writer *writer, struct phase_windows *w, uint32_t phase,
                  const struct model *model)
{
    struct visit v = {writer, w, model, phase, false};

    for (size_t i = 0; i < w->layer_count; i++)
        visit_layer(&v, i);
    for (size_t i = 0; i < w->variable_count; i++)
        visit_variable(&v, i);
    visit_model(&v);
}

/* ---- over a restart */

static void carry_layer(struct carry *c, struct layer_windows *w)
{
    scalar_window_carry(c, &w->norm);
    scalar_window_carry(c, &w->low);
    scalar_window_carry(c, &w->high);
    scalar_window_carry(c, &w->rms);
    scalar_window_carry(c, &w->nonfinite);
    scalar_window_carry(c, &w->touched);
    scalar_window_carry(c, &w->coverage);
    scalar_window_carry(c, &w->outside);
    scalar_window_carry(c, &w->padding);
    scalar_window_carry(c, &w->unique);
    carry_u32(c, &w->anomalies, UINT32_MAX);
}

static void carry_model(struct carry *c, struct phase_windows *w)
{
    for (size_t i = 0; i < SCALARS_MAX; i++)
        scalar_window_carry(c, &w->scalars[i]);
    scalar_window_carry(c, &w->model_norm);
    scalar_window_carry(c, &w->dropped);
    scalar_window_carry(c, &w->rejected);
    scalar_window_carry(c, &w->lost);
    scalar_window_carry(c, &w->ranks);
    markdown_carry(c, &w->log);
    carry_u64(c, &w->log_left_out);
    carry_size(c, &w->charted, LAYERS_MAX);
    carry_u64(c, &w->fired);
    carry_u64(c, &w->total);
}

void phase_windows_carry(struct carry *c, struct phase_windows **windows, const struct model *model)
{
    size_t layers, variables;
    bool used = *windows != NULL;

    carry_bool(c, &used);
    if (!used)
        return;
    layers = carry_count(c, *windows ? (*windows)->layer_count : 0, model->layer_count);
    variables = carry_count(c, *windows ? (*windows)->variable_count : 0, model->variable_count);
    if (c->loading && !phase_windows(windows, model)) {
        carry_fail(c, "out of memory");
        return;
    }
    for (size_t i = 0; i < layers && !c->problem; i++)
        carry_layer(c, &(*windows)->layers[i]);
    for (size_t i = 0; i < variables && !c->problem; i++) {
        struct variable_windows *v = &(*windows)->variables[i];

        for (size_t s = 0; s < STEP_SIGNALS; s++)
            histogram_window_carry(c, &v->signals[s]);
        scalar_window_carry(c, &v->update_ratio);
    }
    carry_model(c, *windows);
}
