#include "daemon/tensorboard/record.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/tensorboard/layout.h"
#include "daemon/tensorboard/phase.h"
#include "daemon/tensorboard/record_state.h"
#include "embmon/embmon.h"

enum {
    ANOMALIES_MAX = 50,
    LOG_BYTES_MAX = 128 << 10, /* of one step's changes; TensorBoard shows no novels */
};

/* ---- a step */

struct recording {
    struct record *record;
    struct phase_windows *windows;
    const struct measures *m;
    uint32_t phase;
    uint64_t step;
    const struct rules *rules;
    size_t vanishing, exploding; /* the detectors whose thresholds are shown */
};

/* Adds a value to a window and writes the window when it is due, as <kind><name>. */
static void add(const struct recording *r, struct scalar_window *window, double value,
                const char *kind, const char *name)
{
    if (scalar_window_add(window, r->step, value))
        tags_window(&r->record->writer, window, r->phase, kind, name);
}

/* The same, for values that may not exist (NaN). */
static void add_known(const struct recording *r, struct scalar_window *window, double value,
                      const char *kind, const char *name)
{
    if (!isnan(value))
        add(r, window, value, kind, name);
}

/* The same, for a count that only grows: a mean of it would lag behind what was lost. */
static void add_total(const struct recording *r, struct scalar_window *window, uint64_t total,
                      const char *name)
{
    window->running_total = true;
    add(r, window, (double)total, "embmond/", name);
}

static uint64_t events_lost(const struct record *record)
{
    struct event_file_stats stats;

    event_file_get_stats(record->writer.file, &stats);
    return stats.dropped_histograms + stats.dropped_scalars + stats.dropped_texts;
}

/* The same, behind all steps: those of a tag increase. */
static void add_last_total(struct recording r, struct scalar_window *window, uint64_t total,
                           const char *name)
{
    char tag[TAG_MAX];
    int64_t last;

    if ((double)total <= window->last)
        return;
    last = event_file_last_step(r.record->writer.file, tag_make(tag, r.phase, "embmond/%s", name));
    if (last >= (int64_t)r.step)
        r.step = (uint64_t)last + 1;
    add_total(&r, window, total, name);
}

/* Ids out of range: as fed where more were; the framework may have moved them before the layer. */
static double count_outside(const struct step *step, size_t layer)
{
    double most = 0;

    for (int source = IDS_REACHED; source < IDS_SOURCES; source++) {
        const struct step_ids *ids = step_ids(step, layer, (enum ids_source)source);

        if (ids)
            most = fmax(most, (double)(ids->stats.negative + ids->stats.beyond));
    }
    return most;
}

/* How much of a table a step reached, by the ids that went in, else by its gradient. */
static void add_rows(const struct recording *r, size_t layer)
{
    const struct layer_measure *measure = &r->m->layers[layer];
    const struct layer *table = &r->m->model->layers[layer];
    struct layer_windows *w = &r->windows->layers[layer];
    const struct step_ids *ids = step_ids_any(r->m->step, layer);
    double looked_up = ids ? (double)ids->stats.unique : measure->looked_up;

    if (table->kind != EMBMON_EMBEDDING)
        return;
    if (measure->has_gradient)
        add_known(r, &w->touched, measure->touched, "embedding/rows_touched/", table->path);
    if (table->rows > 0)
        add_known(r, &w->coverage, looked_up / (double)table->rows, "embedding/coverage/",
                  table->path);
    if (!ids)
        return;
    add(r, &w->unique, (double)ids->stats.unique, "embedding/unique_ids/", table->path);
    if (table->rows > 0)
        add(r, &w->outside, count_outside(r->m->step, layer), "embedding/ids_out_of_range/",
            table->path);
    if (table->has_padding && ids->stats.count > 0)
        add(r, &w->padding, (double)ids->stats.padded / (double)ids->stats.count,
            "embedding/padding_fraction/", table->path);
}

/* Shows a threshold that is in force, which an ignored detector's is not. */
static void add_threshold(const struct recording *r, struct scalar_window *window, double value,
                          size_t detector, size_t layer, const char *group)
{
    if (!rules_ignored(r->rules, detector, layer))
        add_known(r, window, value, group, r->m->model->layers[layer].path);
}

static void add_layer(const struct recording *r, size_t layer, const struct baseline *baseline)
{
    const struct limits *limits = rules_limits(r->rules, layer);
    const struct layer_measure *measure = &r->m->layers[layer];
    struct layer_windows *w = &r->windows->layers[layer];
    const char *path = r->m->model->layers[layer].path;

    if (measure->has_gradient) {
        /* The norm of what is finite would look like recovery while everything is NaN. */
        bool finite = measure->nonfinite_gradient == 0;

        if (scalar_window_add(&w->norm, r->step, finite ? measure->norm : NAN))
            tags_norm(&r->record->writer, &w->norm, r->phase, path);
        add(r, &w->rms, finite ? measure->rms : NAN, "gradient_rms/", path);
        add_threshold(r, &w->low, gradient_norm_low(r->m, layer, baseline, limits), r->vanishing,
                      layer, "gradient_norm_low/");
        add_threshold(r, &w->high, gradient_norm_high(layer, baseline, limits), r->exploding, layer,
                      "gradient_norm_high/");
    }
    add_rows(r, layer);
    if (measure->has_gradient || measure->has_activation)
        add(r, &w->nonfinite, (double)(measure->nonfinite_gradient + measure->nonfinite_activation),
            "nonfinite/", path);
}

static void add_variable(const struct recording *r, size_t variable,
                         const struct baseline *baseline)
{
    struct variable_windows *w = &r->windows->variables[variable];
    const char *label = r->m->model->variables[variable].label;

    for (uint32_t signal = 1; signal <= STEP_SIGNALS; signal++) {
        const struct step_cell *cell = step_cell(r->m->step, variable, signal);
        struct histogram_window *h = &w->signals[signal - 1];

        if (cell && histogram_window_add(h, r->step, &cell->summary))
            tags_signal(&r->record->writer, h, r->phase, signal, label);
    }
    add_known(r, &w->update_ratio, measure_update_ratio(r->m, baseline, variable), "update_ratio/",
              label);
}

static void add_model(const struct recording *r, const struct record_losses *losses)
{
    struct phase_windows *w = r->windows;
    const struct step *step = r->m->step;

    for (size_t s = 0; s < r->m->model->scalar_count && s < step->scalar_count; s++) {
        if (step->scalars[s].count > 0)
            add(r, &w->scalars[s], step_scalar(step, s), tags_scalar_group(r->m->model, s),
                r->m->model->scalars[s]);
    }
    if (!isnan(r->m->model_norm))
        add(r, &w->model_norm, r->m->nonfinite ? NAN : r->m->model_norm, "gradient_norm/", "all");
    add_total(r, &w->dropped, losses->dropped, "dropped");
    add_total(r, &w->rejected, losses->rejected, "rejected");
    add_total(r, &w->lost, events_lost(r->record), "events_lost");
    add(r, &w->ranks, (double)step->ended.length, "embmond/", "ranks");
}

/* The gradient at the steps of an alert, in a tag so sparse that TensorBoard shows all of it. */
static void add_anomaly(const struct recording *r, size_t layer, const struct alerts *alerts)
{
    struct layer_windows *w = &r->windows->layers[layer];
    struct summary all = {0};
    char tag[TAG_MAX];

    if (r->phase != EMBMON_TRAIN || w->anomalies >= ANOMALIES_MAX ||
        alerts_layer_state(alerts, layer) == EMBMON_RESOLVED)
        return;
    for (size_t v = 0; v < r->m->model->variable_count; v++) {
        const struct step_cell *cell = step_cell(r->m->step, v, EMBMON_GRADIENT);

        if (r->m->model->variables[v].layer == layer && cell && !summary_add(&all, &cell->summary))
            break;
    }
    if (summary_finite(&all) > 0) {
        tag_make(tag, r->phase, "anomaly/%s", r->m->model->layers[layer].path);
        tag_histogram(&r->record->writer, tag, r->step, histogram_linear, &all);
        w->anomalies++;
    }
    summary_free(&all);
}

/* The table and the log of alerts, after a step at which some changed. */
static void write_texts(struct record *record, uint32_t phase, uint64_t step,
                        const struct alerts *alerts)
{
    struct phase_windows *w = record->phases[phase - 1];
    struct markdown table = {0};
    char tag[TAG_MAX];

    if (w->log.length == 0)
        return;
    markdown_more(&w->log, w->log_left_out);
    w->log_left_out = 0;
    tag_text(&record->writer, tag_make(tag, phase, "alerts/log"), step, w->log.text);
    markdown_clear(&w->log);
    markdown_table(&table, alerts, phase);
    if (table.length > 0)
        tag_text(&record->writer, tag_make(tag, phase, "alerts/summary"), step, table.text);
    markdown_free(&table);
}

/* Written when a step closes, not when an alert changes: a rank's early alert belongs to a later
 * step than the ones that still are to close. */
static void write_total(const struct recording *r)
{
    struct phase_windows *w = r->windows;
    char tag[TAG_MAX];

    tag_make(tag, r->phase, "alerts/total");
    if (w->fired != w->total)
        tag_stair(&r->record->writer, tag, r->step, (double)w->total, (double)w->fired);
    else if (event_file_last_step(r->record->writer.file, tag) < 0)
        tag_scalar(&r->record->writer, tag, r->step, (double)w->total);
    w->total = w->fired;
}

/* The dashboard, again whenever more layers turn out to have gradients. */
static void write_layout(const struct recording *r)
{
    struct layout_layer *layers;
    size_t count = 0, length = 0;
    uint8_t *layout;

    if (r->phase != EMBMON_TRAIN)
        return;
    for (size_t i = 0; i < r->m->layer_count; i++)
        count += r->windows->layers[i].norm.ladder.limit > 0;
    if (count <= r->windows->charted || !(layers = calloc(count, sizeof *layers)))
        return;
    r->windows->charted = count;
    for (size_t i = count = 0; i < r->m->layer_count; i++) {
        const struct layer *layer = &r->m->model->layers[i];

        if (r->windows->layers[i].norm.ladder.limit > 0)
            layers[count++] = (struct layout_layer){layer->path, layer->kind == EMBMON_EMBEDDING};
    }
    layout = layout_make(layers, count, &length);
    if (layout)
        tag_layout(&r->record->writer, r->step, layout, length);
    free(layout);
    free(layers);
}

void record_step(struct record *record, const struct measures *m, const struct baseline *baseline,
                 const struct rules *rules, const struct alerts *alerts,
                 const struct record_losses *losses, struct moment now)
{
    uint32_t phase = m->step->phase;
    struct recording r = {record,
                          phase_windows(&record->phases[phase - 1], record->model),
                          m,
                          phase,
                          m->step->number,
                          rules,
                          detector_find("gradient_vanishing"),
                          detector_find("gradient_exploding")};

    record->writer.wall = now.wall;
    record->last_step[phase - 1] = (int64_t)r.step;
    if (!r.windows)
        return; /* out of memory: this step is not recorded, the next may be */
    for (size_t layer = 0; layer < m->layer_count; layer++)
        add_layer(&r, layer, baseline);
    for (size_t v = 0; v < m->model->variable_count; v++)
        add_variable(&r, v, baseline);
    add_model(&r, losses);
    for (size_t layer = 0; layer < m->layer_count && alerts_any(alerts); layer++)
        add_anomaly(&r, layer, alerts);
    write_layout(&r);
    write_total(&r);
    write_texts(record, phase, r.step, alerts);
}

void record_lost(struct record *record, const struct record_losses *losses, struct moment now)
{
    struct recording r = {.record = record, .phase = EMBMON_TRAIN};
    uint64_t events = events_lost(record);

    if (losses->dropped + losses->rejected + events == 0 ||
        !(r.windows = phase_windows(&record->phases[EMBMON_TRAIN - 1], record->model)))
        return;
    record->writer.wall = now.wall;
    r.step = (uint64_t)(record->last_step[EMBMON_TRAIN - 1] + 1);
    add_last_total(r, &r.windows->dropped, losses->dropped, "dropped");
    add_last_total(r, &r.windows->rejected, losses->rejected, "rejected");
    add_last_total(r, &r.windows->lost, events, "events_lost");
}

/* ---- alerts */

void record_alert(struct record *record, const struct alert_change *change, uint64_t fired,
                  struct moment now)
{
    struct phase_windows *w = phase_windows(&record->phases[change->phase - 1], record->model);
    char tag[TAG_MAX];

    record->writer.wall = now.wall;
    if (!w)
        return;
    if (change->state != EMBMON_RESOLVED)
        phase_burst(&record->writer, w, change->phase, record->model, change->layer);
    tag_make(tag, change->phase, "alerts/%s%s%s", change->detector, *change->layer ? "/" : "",
             change->layer);
    tag_stair(&record->writer, tag, change->step, change->before, change->state);
    w->fired = fired;
    if (w->log.length < LOG_BYTES_MAX)
        markdown_change(&w->log, change);
    else
        w->log_left_out++;
}

/* ---- closing and asking */

/* What changed after the last recorded step, and the stair of alerts drawn to the end. */
static void write_last(struct record *record, uint32_t phase, uint64_t step,
                       const struct alerts *alerts)
{
    char tag[TAG_MAX];

    tag_make(tag, phase, "alerts/total");
    if (event_file_last_step(record->writer.file, tag) < (int64_t)step)
        tag_scalar(&record->writer, tag, step, (double)record->phases[phase - 1]->fired);
    write_texts(record, phase, step, alerts);
}

void record_windows(struct record *record, struct moment now)
{
    record->writer.wall = now.wall;
    for (uint32_t phase = 1; phase <= STEP_PHASES; phase++) {
        if (record->phases[phase - 1])
            phase_finish(&record->writer, record->phases[phase - 1], phase, record->model);
    }
}

void record_set_thrift(struct record *record, enum thrift thrift)
{
    record->writer.thrift = thrift;
}

void record_finish(struct record *record, const struct alerts *alerts, struct moment now)
{
    record->writer.wall = now.wall;
    record->writer.last = true;
    for (uint32_t phase = 1; phase <= STEP_PHASES; phase++) {
        struct phase_windows *w = record->phases[phase - 1];

        if (!w)
            continue;
        phase_finish(&record->writer, w, phase, record->model);
        if (record->last_step[phase - 1] >= 0)
            write_last(record, phase, (uint64_t)record->last_step[phase - 1], alerts);
    }
    record->writer.last = false;
}
