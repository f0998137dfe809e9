/* Of updates: how far a step moves the weights. */
#include <inttypes.h>
#include <math.h>

#include "daemon/detect/families.h"
#include "embmon/embmon.h"

enum { SETTLED_STEPS = 25 };

/* Why the ratio says nothing of this layer, or NULL. */
static const char *no_ratio(const struct layer_measure *measure, const struct limits *limits)
{
    if (isnan(measure->update_ratio))
        return "updates or weights were not posted, or the weights are 0";
    return measure->weights < limits->update_elements ? "too few weights for an update ratio"
                                                      : NULL;
}

/* Steps that move the layer by more than its own size, long after the start. */
enum verdict update_ratio_high(const struct measures *m, size_t layer,
                               const struct baseline *baseline, const struct limits *limits,
                               struct finding *finding)
{
    const struct layer_measure *measure = &m->layers[layer];
    struct rate_text now;
    struct short_name name;
    const char *path;

    if (no_ratio(measure, limits))
        return finding_silent(finding, no_ratio(measure, limits));
    if (baseline->steps < SETTLED_STEPS)
        return finding_silent(finding, "the first 25 steps may move a layer by its own size");
    finding->hold_back = baseline_warming_up(baseline);
    finding->value = measure->update_ratio;
    finding->threshold = limits->update_high;
    if (measure->update_ratio <= limits->update_high)
        return VERDICT_CLEAR;
    path = short_name(&name, m->model->layers[layer].path);
    finding_summary(finding,
                    "the update of %s at step %" PRIu64
                    " is %.3g times as large as its weights: the step rewrites the layer",
                    path, m->step->number, measure->update_ratio);
    finding_hint(
        finding,
        "A step usually changes a layer by about a thousandth of its size; this one changed %s by "
        "%.3g times its size, so that nothing it has learnt survives. Usually the learning rate is "
        "too high for it, or its weights have shrunk to next to nothing (weight decay, a start at "
        "0) while the optimizer takes steps of a fixed size, as Adam does. Compare "
        "update_ratio/ of all layers and look at weights/ of %s: if all ratios are high it is "
        "the rate (%s), if only this one is, its scale. To confirm, train on with a tenth of "
        "the rate: the ratio falls to about %.2g and the loss falls with it.",
        path, measure->update_ratio, path, rate_text(&now, baseline), measure->update_ratio / 10);
    return VERDICT_SICK;
}

/* Of a table only the rows that moved are compared with their own weights: most of a large one is
 * not looked up. */
static double ratio_of_moved(const struct layer_measure *measure, const struct layer *info)
{
    bool in_part = info->rows > 0 && measure->moved > 0 && measure->moved < (double)info->rows;

    return measure->update_ratio * (in_part ? sqrt((double)info->rows / measure->moved) : 1);
}

/* Steps that move the layer by next to nothing, though the rate is not low. */
enum verdict update_ratio_low(const struct measures *m, size_t layer,
                              const struct baseline *baseline, const struct limits *limits,
                              struct finding *finding)
{
    const struct layer_measure *measure = &m->layers[layer];
    const struct layer *info = &m->model->layers[layer];
    struct short_name name;
    const char *path;

    if (no_ratio(measure, limits))
        return finding_silent(finding, no_ratio(measure, limits));
    if (measure->unmoved)
        return finding_silent(finding, "the update is exactly 0: see layer_frozen");
    if (!baseline_rate_counts(baseline) || baseline_warming_up(baseline))
        return finding_silent(finding, "no learning rate was posted, or it is low or rising");
    finding->severity = EMBMON_INFO;
    finding->value = ratio_of_moved(measure, info);
    finding->threshold = limits->update_low;
    if (finding->value >= limits->update_low)
        return VERDICT_CLEAR;
    path = short_name(&name, info->path);
    finding_summary(finding,
                    "the update of %s at step %" PRIu64 " is %.3g of its weights: it hardly learns",
                    path, m->step->number, finding->value);
    finding_hint(
        finding,
        "At this pace %s needs more than %.0e steps to change by its own size, with a learning "
        "rate "
        "of %.3g. Usually its gradient has nearly vanished (compare gradient_norm/%s with that of "
        "other layers), its own rate is far below theirs (parameter groups, layer-wise decay), or "
        "its weights are very large (look at weights/). Slow fine-tuning of a trained layer looks "
        "the same and is fine. To confirm, multiply the rate of this layer by 10 and see whether "
        "the loss falls faster.",
        path, 1 / finding->value, baseline->rate, path);
    return VERDICT_SICK;
}

static void explain_frozen(const struct layer_measure *measure, const char *path, double rate,
                           struct finding *finding)
{
    if (measure->has_gradient && measure->norm <= 0)
        finding_hint(
            finding,
            "Its gradient is exactly 0, so there is nothing to learn from: the error does not "
            "reach %s (see gradient_vanishing, which looks at this for longer). Usually every "
            "unit behind it is dead, two layers in a row started at 0, or the output does not "
            "depend on it. Look at activations/ of the layers behind it: one spike at 0 names the "
            "one that blocks. To confirm, feed one batch by hand with that layer left out, or "
            "start it from small random values.",
            path);
    else if (measure->has_gradient)
        finding_hint(
            finding,
            "Its gradient is not 0 (norm %.3g) and the rate is %.3g, yet nothing moves: usually "
            "its variables are missing in the optimizer (made after it was built, or left out of "
            "its parameter groups), or the weights are kept in half precision and the step is "
            "below one unit in their last place (0.4 %% of a weight in bfloat16, 0.05 %% in "
            "float16). Look at the optimizer's list of variables, then at the dtype of weights/ "
            "of %s. To confirm, print one weight before and after a step; keep a float32 master "
            "copy, or add the variables to the optimizer.",
            measure->norm, rate, path);
    else
        finding_hint(
            finding,
            "The rate is %.3g and no gradient was posted for %s. Usually it has none: the loss "
            "does "
            "not depend on it, or it is left out of the optimizer. If it is meant to be frozen, "
            "declare it as not trainable. To confirm, ask the framework for the gradient of one of "
            "its variables: None or 0 says that the loss never sees it.",
            rate, path);
}

/* A layer that is to learn does not move at all. */
enum verdict layer_frozen(const struct measures *m, size_t layer, const struct baseline *baseline,
                          const struct limits *limits, struct finding *finding)
{
    const struct layer_measure *measure = &m->layers[layer];
    struct short_name name;
    const char *path;

    (void)limits;
    if (!m->model->layers[layer].trainable)
        return finding_silent(finding, "the layer is declared not trainable");
    if (!measure->has_update)
        return finding_silent(finding, "no update was posted for this layer");
    if (!baseline_rate_counts(baseline))
        return finding_silent(finding, "no learning rate was posted, or it is low or 0");
    if (measure->nonfinite_gradient > 0)
        return finding_silent(finding, "the gradient is not finite: such a step may be skipped");
    if (measure->unmoved && baseline_loss_spent(baseline, m->loss))
        return finding_silent(finding, "the loss is 0: there is no error to learn from");
    finding->hold_back = baseline_warming_up(baseline);
    finding->value = measure->unmoved ? 0 : measure->update_ratio;
    finding->threshold = 0;
    if (!measure->unmoved)
        return VERDICT_CLEAR;
    path = short_name(&name, m->model->layers[layer].path);
    finding_summary(finding,
                    "the weights of %s did not change at step %" PRIu64
                    ", not by a bit, with a learning rate of %.3g",
                    path, m->step->number, baseline->rate);
    explain_frozen(measure, path, baseline->rate, finding);
    return VERDICT_SICK;
}
