#include <inttypes.h>
#include <math.h>

#include "daemon/detect/families.h"
#include "embmon/embmon.h"

static const double NOTHING_LEARNT = 0.9;   /* of the first loss */
static const double NOTHING_ARRIVES = 1e-6; /* the model's norm by the first loss */

static const char ON_PLATEAU[] = "nothing is learnt yet and the loss does not rise: what is usual "
                                 "will change";
static const char NO_GRADIENT[] = "no gradient was posted for this layer";

static const struct step_cell *first_nonfinite_cell(const struct measures *m, size_t layer,
                                                    const struct variable **variable)
{
    for (size_t v = 0; v < m->model->variable_count; v++) {
        const struct step_cell *cell;

        if (m->model->variables[v].layer != layer)
            continue;
        cell = step_cell(m->step, v, EMBMON_GRADIENT);
        if (cell && summary_nonfinite(&cell->summary) > 0 &&
            (m->only_rank < 0 || rank_list_has(&cell->nonfinite, (uint32_t)m->only_rank))) {
            *variable = &m->model->variables[v];
            return cell;
        }
    }
    return NULL;
}

/* Any NaN or infinity in the layer's gradient. */
enum verdict gradient_nonfinite(const struct measures *m, size_t layer,
                                const struct baseline *baseline, const struct limits *limits,
                                struct finding *finding)
{
    const struct layer_measure *measure = &m->layers[layer];
    const struct variable *variable = NULL;
    const struct step_cell *cell;
    const struct summary *s;
    struct short_name label, path;

    (void)baseline, (void)limits;
    if (!measure->has_gradient)
        return finding_silent(finding, NO_GRADIENT);
    finding->value = (double)measure->nonfinite_gradient;
    finding->threshold = 0;
    if (measure->nonfinite_gradient == 0)
        return VERDICT_CLEAR;
    cell = first_nonfinite_cell(m, layer, &variable);
    if (!cell) /* counted in a cell, so it is there; a detector must not trust that */
        return VERDICT_CLEAR;
    s = &cell->summary;
    finding->ranks = &cell->nonfinite;
    finding->variable = variable->name;
    finding_summary(finding,
                    "the gradient of %s is not finite in %" PRIu64 " of %" PRIu64
                    " values (%" PRIu64 " NaN, %" PRIu64 " infinite) at step %" PRIu64,
                    short_name(&label, variable->label), summary_nonfinite(s), s->count, s->nans,
                    s->positive_infinities + s->negative_infinities, m->step->number);
    finding_hint(
        finding,
        "In forward order %s is the first layer whose gradient is not finite; the layers that "
        "follow it in the same step are its consequences. If an explosion was named before, that "
        "is "
        "the cause. Else usually a division by zero "
        "(an average over no token, a count of 0), log(0) or sqrt(0) in the loss, or an "
        "overflow in half precision. Look at the batch of step %" PRIu64
        ": empty sequences, zero weights or counts, probabilities of exactly 0 or 1. To "
        "confirm, run that batch alone and check the loss and each layer's output for NaN; "
        "guard the division (max(count, 1)) or the logarithm (log(p + eps)). Weights "
        "updated with this gradient are lost: go back to a checkpoint before this step.",
        short_name(&path, m->model->layers[layer].path), m->step->number);
    return VERDICT_SICK;
}

static enum verdict vanished_wholly(const struct measures *m, size_t layer, struct finding *finding)
{
    const struct layer_measure *measure = &m->layers[layer];
    struct short_name name;
    const char *path = short_name(&name, m->model->layers[layer].path);

    if (isnan(measure->looked_up))
        finding_summary(finding,
                        "every element of the gradient of %s is exactly 0 at step %" PRIu64, path,
                        m->step->number);
    else
        finding_summary(finding,
                        "%.10g rows of %s were looked up at step %" PRIu64
                        " and not one got a gradient: the gradient is exactly 0",
                        measure->looked_up, path, m->step->number);
    finding_hint(
        finding,
        "A gradient of exactly 0 means that no path carries the error back to %s, not that "
        "it is small (the model's gradient as a whole has norm %.3g): tables or a layer behind it "
        "started at all zeros (each then cancels "
        "the other's gradient for ever), every unit behind it is dead (ReLU below 0 for the "
        "whole batch, saturated sigmoids in float32), the output does not use it, or it is "
        "cut off (stop_gradient, detach). Check how it and the layers behind it are "
        "initialised, then their activations/ histograms: one spike at 0 names the layer "
        "that blocks. To confirm, start %s from small random values and look at "
        "gradient_norm/%s again.",
        path, m->model_norm, path, path);
    return VERDICT_SICK;
}

/* Why a layer's gradient may vanish unjudged, or NULL. */
static const char *not_judged(const struct layer *layer)
{
    if (!layer->trainable)
        return "the layer is declared not trainable";
    return layer->kind == EMBMON_NORM ? "not judged for normalisation layers" : NULL;
}

double gradient_norm_low(const struct measures *m, size_t layer, const struct baseline *baseline,
                         const struct limits *limits)
{
    double first_loss = fabs(baseline_first_loss(baseline));
    double by_loss = limits->vanishing_norm * (first_loss > 1 ? first_loss : 1);

    if (isnan(m->last_norm) || not_judged(&m->model->layers[layer]))
        return NAN;
    return fmin(limits->vanishing_ratio * m->last_norm, by_loss);
}

double gradient_norm_high(size_t layer, const struct baseline *baseline,
                          const struct limits *limits)
{
    return limits->exploding_layer * norm_baseline_level(&baseline->layers[layer]);
}

/* The model's norm below which no layer gets a gradient to speak of: then there is none that the
 * others could be compared with. NAN where the loss has fallen: a model that has come to rest has
 * learnt before. */
static double model_norm_low(const struct measures *m, const struct baseline *baseline)
{
    double first = baseline_first_loss(baseline);

    return m->loss >= first - (1 - NOTHING_LEARNT) * fabs(first) ? NOTHING_ARRIVES * fabs(first)
                                                                 : NAN;
}

static enum verdict arrives_nowhere(const struct measures *m, size_t layer, struct finding *finding)
{
    struct short_name name;
    const char *path;

    path = short_name(&name, m->model->layers[layer].path);
    finding_summary(finding,
                    "the gradient norm of %s is %.3g at step %" PRIu64
                    " and that of the whole model %.3g: it vanishes before any layer, and the loss "
                    "stays at %.4g",
                    path, m->layers[layer].norm, m->step->number, m->model_norm, m->loss);
    finding_hint(
        finding,
        "No layer gets a gradient to speak of, %s as little as the last one: usually vectors or an "
        "output that are scaled down too far, a loss weight or a division of the loss that is "
        "there twice, or factors that all start next to zero. Look at activations/ from the "
        "look-up to the output: where values become tiny is where the error is lost. To confirm, "
        "take that scale away and look at gradient_norm/%s and the loss again.",
        path, path);
    return VERDICT_SICK;
}

/* The gradient does not arrive: next to nothing compared with the last trainable layer and with the
 * loss, or exactly nothing. */
enum verdict gradient_vanishing(const struct measures *m, size_t layer,
                                const struct baseline *baseline, const struct limits *limits,
                                struct finding *finding)
{
    const struct layer_measure *measure = &m->layers[layer];
    const struct layer *info = &m->model->layers[layer];
    struct short_name names[2];
    const char *path, *last;

    if (not_judged(info))
        return finding_silent(finding, not_judged(info));
    if (!measure->has_gradient)
        return finding_silent(finding, NO_GRADIENT);
    if (measure->nonfinite_gradient > 0)
        return finding_silent(finding, "the gradient is not finite");
    finding->hold_back = baseline_warming_up(baseline);
    finding->value = measure->norm;
    finding->threshold = gradient_norm_low(m, layer, baseline, limits);
    finding->baseline = norm_baseline_level(&baseline->layers[layer]);
    if (measure->norm <= 0 && baseline_loss_spent(baseline, m->loss))
        return finding_silent(finding, "the loss is 0: there is no error to carry back");
    if (measure->norm <= 0)
        return vanished_wholly(m, layer, finding);
    if (m->model_norm < model_norm_low(m, baseline)) {
        finding->threshold = model_norm_low(m, baseline);
        return arrives_nowhere(m, layer, finding);
    }
    if (isnan(finding->threshold))
        return finding_silent(finding, "no other layer has a gradient to compare with");
    if (measure->norm >= finding->threshold)
        return VERDICT_CLEAR;
    path = short_name(&names[0], info->path);
    last = short_name(&names[1], m->model->layers[m->last_layer].path);
    finding_summary(finding,
                    "the gradient norm of %s is %.3g at step %" PRIu64
                    ", %.2g of that of %s (%.3g): it vanishes on the way back",
                    path, measure->norm, m->step->number, measure->norm / m->last_norm, last,
                    m->last_norm);
    finding_hint(
        finding,
        "The error reaches %s and is lost before %s, which gets less than %.2g, the least that "
        "counts "
        "here: usually a deep stack of sigmoid or "
        "tanh layers that saturate, weights that start too small, or an embedding scaled "
        "down behind its look-up. Look at gradients_log10/ of the layers between the two: "
        "the one where the ridge jumps left loses it; and at its activations/. To confirm, "
        "replace that activation by relu or put a normalisation before it, and compare "
        "gradient_norm/%s.",
        last, path, finding->threshold, path);
    return VERDICT_SICK;
}

static const char EXPLODING_HINT[] =
    "Usually the learning rate (%s) is too high for this optimizer and batch (plain SGD on summed "
    "losses above all), or one batch with extreme inputs or labels. Look at gradient_norm/%s "
    "beside loss and learning_rate: did the norm grow over several steps (rate), or jump in one "
    "(data)? To confirm, repeat from a checkpoint before step %" PRIu64 " with a tenth of the "
    "rate; if that is stable, lower the rate, warm it up, or clip gradients by their global norm.";

/* The norm has left its usual level by two decades, and the whole model's norm with it. */
enum verdict gradient_exploding_norm(const struct measures *m, size_t layer,
                                     const struct baseline *baseline, const struct limits *limits,
                                     struct finding *finding)
{
    const struct layer_measure *measure = &m->layers[layer];
    double usual = norm_baseline_level(&baseline->layers[layer]);
    double usual_model = norm_baseline_level(&baseline->model);
    struct rate_text now;
    struct short_name name;
    const char *path;

    if (!measure->has_gradient)
        return finding_silent(finding, NO_GRADIENT);
    if (measure->nonfinite_gradient > 0)
        return finding_silent(finding, "the gradient is not finite");
    if (isnan(usual) || isnan(usual_model))
        return finding_silent(finding, "the usual norm is still being learnt (25 steps)");
    finding->value = measure->norm;
    finding->baseline = usual;
    finding->threshold = gradient_norm_high(layer, baseline, limits);
    if (measure->norm <= finding->threshold ||
        m->model_norm <= limits->exploding_model * usual_model)
        return VERDICT_CLEAR;
    if (baseline_on_plateau(baseline, m->loss))
        return finding_silent(finding, ON_PLATEAU);
    path = short_name(&name, m->model->layers[layer].path);
    finding_summary(finding,
                    "the gradient norm of %s is %.3g at step %" PRIu64
                    ", %.3g times its usual %.3g, and the whole model's is %.3g times its own",
                    path, measure->norm, m->step->number, measure->norm / usual, usual,
                    m->model_norm / usual_model);
    finding_hint(finding, EXPLODING_HINT, rate_text(&now, baseline), path, m->step->number);
    return VERDICT_SICK;
}

enum { FIRST_STEPS = 25 };

/* Of a linear model the tables have one column, and start from as little as a bias does: its first
 * steps give them their size. */
static bool gets_its_size(const struct layer *info, const struct baseline *baseline)
{
    return info->kind == EMBMON_EMBEDDING && info->columns == 1 && baseline->steps < FIRST_STEPS;
}

/* One step moved the layer by several times its own size. */
enum verdict gradient_exploding_update(const struct measures *m, size_t layer,
                                       const struct baseline *baseline, const struct limits *limits,
                                       struct finding *finding)
{
    const struct layer_measure *measure = &m->layers[layer];
    struct rate_text now;
    struct short_name name;
    const char *path;

    /* From next to nothing a warm-up's first steps multiply a layer, and are meant to. */
    finding->hold_back = baseline_warming_up(baseline);
    if (isnan(measure->update_ratio))
        return finding_silent(finding, "updates or weights were not posted, or the weights are 0");
    if (measure->weights < limits->update_elements)
        return finding_silent(finding, "too few weights for an update ratio");
    if (gets_its_size(&m->model->layers[layer], baseline))
        return finding_silent(finding, "the first 25 steps give a table of one column its size");
    finding->value = measure->update_ratio;
    finding->threshold = limits->exploding_update;
    if (measure->update_ratio <= limits->exploding_update)
        return VERDICT_CLEAR;
    path = short_name(&name, m->model->layers[layer].path);
    finding_summary(finding,
                    "the update of %s at step %" PRIu64
                    " is %.3g times as large as its weights: one step overwrote the layer",
                    path, m->step->number, measure->update_ratio);
    finding_hint(finding, EXPLODING_HINT, rate_text(&now, baseline), path, m->step->number);
    return VERDICT_SICK;
}

/* A single norm far above the last ten. */
enum verdict gradient_spike(const struct measures *m, size_t layer, const struct baseline *baseline,
                            const struct limits *limits, struct finding *finding)
{
    const struct layer_measure *measure = &m->layers[layer];
    double recent = norm_baseline_recent_max(&baseline->layers[layer]);
    double recent_model = norm_baseline_recent_max(&baseline->model);
    struct rate_text now;
    struct short_name name;
    const char *path;

    if (!measure->has_gradient)
        return finding_silent(finding, NO_GRADIENT);
    if (measure->nonfinite_gradient > 0)
        return finding_silent(finding, "the gradient is not finite");
    if (isnan(recent) || isnan(recent_model))
        return finding_silent(finding, "fewer than 10 steps to compare with");
    if (m->short_batch)
        return finding_silent(finding, "a short batch: its norm is no measure");
    finding->value = measure->norm;
    finding->baseline = recent;
    finding->threshold = limits->spike_layer * recent;
    if (measure->norm <= finding->threshold || m->model_norm <= limits->spike_model * recent_model)
        return VERDICT_CLEAR;
    if (baseline_on_plateau(baseline, m->loss))
        return finding_silent(finding, ON_PLATEAU);
    path = short_name(&name, m->model->layers[layer].path);
    finding_summary(finding,
                    "the gradient norm of %s jumped to %.3g at step %" PRIu64
                    ", %.3g times the largest of its last 10 steps (%.3g)",
                    path, measure->norm, m->step->number, measure->norm / recent, recent);
    finding_hint(
        finding,
        "One step stands out: usually one batch with extreme inputs or labels, a bad shard, "
        "or a learning rate that just rose. Look at anomaly/%s, which holds the gradient of "
        "this step, and at the batch of step %" PRIu64
        " (rate %s). If the norm comes back to about %.3g by itself the training survives it; if "
        "spikes "
        "repeat, clip gradients by their global norm and lower the rate. To confirm, run that "
        "batch "
        "again with the weights of a checkpoint: a spike again says that it is the batch.",
        path, m->step->number, rate_text(&now, baseline), recent);
    return VERDICT_SICK;
}

/* Where gradients are f16: ever more of them are rounded to 0. */
enum verdict gradient_underflow(const struct measures *m, size_t layer,
                                const struct baseline *baseline, const struct limits *limits,
                                struct finding *finding)
{
    const struct layer_measure *measure = &m->layers[layer];
    const struct layer *info = &m->model->layers[layer];
    double usual = usual_level(&baseline->memories[layer].zeros);
    struct short_name name;
    const char *path;

    if (!info->half)
        return finding_silent(finding, "neither the layer nor a variable of it is declared f16");
    if (!measure->has_gradient || isnan(measure->zeros))
        return finding_silent(finding, NO_GRADIENT);
    if (measure->nonfinite_gradient > 0)
        return finding_silent(finding, "the gradient is not finite");
    if (baseline_loss_spent(baseline, m->loss))
        return finding_silent(finding, "the loss is 0: there is no error to carry back");
    if (isnan(usual))
        return finding_silent(finding, "the usual share of zeros is still being learnt (25 steps)");
    finding->value = measure->zeros;
    finding->baseline = usual;
    finding->threshold = usual + limits->underflow;
    if (measure->zeros < finding->threshold)
        return VERDICT_CLEAR;
    path = short_name(&name, info->path);
    finding_summary(finding,
                    "%.3g %% of the gradient of %s is exactly 0 at step %" PRIu64
                    ", usual is %.3g %%: float16 rounds the rest away",
                    100 * measure->zeros, path, m->step->number, 100 * usual);
    finding_hint(
        finding,
        "float16 has nothing below 6e-8, and gradients of %s (norm %.3g) fall below it. Usually "
        "the "
        "loss scale is too small or was halved by overflows elsewhere, the loss is divided by a "
        "large count, or the gradients have simply become small as the training converged. Look at "
        "gradients_log10/%s: a ridge that is cut off at -7 confirms it, a ridge that only thins "
        "out is dead units instead. Raise the loss scale (dynamic scaling does it by itself), or "
        "use bfloat16, which has the range of float32.",
        path, measure->norm, path);
    return VERDICT_SICK;
}
