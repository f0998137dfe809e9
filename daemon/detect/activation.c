/* Of activations: what a layer puts out. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "daemon/detect/families.h"
#include "embmon/embmon.h"

/* Any NaN or infinity in a layer's output. */
enum verdict activation_nonfinite(const struct measures *m, size_t layer,
                                  const struct baseline *baseline, const struct limits *limits,
                                  struct finding *finding)
{
    const struct layer_measure *measure = &m->layers[layer];
    const struct layer *info = &m->model->layers[layer];
    const struct step_cell *cell = step_cell(m->step, info->table, EMBMON_ACTIVATION);
    struct short_name name;
    const char *path;

    (void)baseline, (void)limits;
    if (!measure->has_activation)
        return finding_silent(finding, "no activation was posted for this layer");
    finding->value = (double)measure->nonfinite_activation;
    finding->threshold = 0;
    if (measure->nonfinite_activation == 0)
        return VERDICT_CLEAR;
    if (cell)
        finding->ranks = &cell->nonfinite;
    path = short_name(&name, info->path);
    finding_summary(finding,
                    "the output of %s is not finite (values: %" PRIu64 ") at step %" PRIu64, path,
                    measure->nonfinite_activation, m->step->number);
    finding_hint(
        finding,
        "In forward order %s is the first layer whose output is not finite. If its weights "
        "are finite (weights/%s, nonfinite/%s), its input or its own arithmetic is at "
        "fault: a division by zero, log or sqrt of 0, exp of a large number, or half "
        "precision above 65,504. If the weights are not finite, an earlier update broke "
        "them: look for gradient_nonfinite or gradient_exploding before step %" PRIu64
        ". To confirm, run the batch of this step once more and check %s's input and weights "
        "for NaN: the first that has one is the cause.",
        path, path, path, m->step->number, path);
    return VERDICT_SICK;
}

static const double ROUNDING = 1e-13; /* of f32, in a variance by the mean square */

static const char NO_ACTIVATION[] = "no activation was posted for this layer";
static const char NO_UNITS[] =
    "units are not known: no shape was declared, or the output came as a summary";

static const struct step_cell *output_of(const struct measures *m, size_t layer)
{
    const struct step_cell *cell =
        step_cell(m->step, m->model->layers[layer].table, EMBMON_ACTIVATION);

    return cell && summary_finite(&cell->summary) > 0 ? cell : NULL;
}

/* Why zeros say nothing of this layer, or NULL. */
static const char *zeros_are_fine(const struct layer *info)
{
    if (info->kind == EMBMON_EMBEDDING)
        return "not judged for embeddings: rows that were not trained yet may be 0";
    if (info->kind == EMBMON_OTHER && !*info->activation)
        return "neither its kind nor its activation function is known: zeros may be meant";
    if (strcmp(info->activation, "softmax") == 0)
        return "not judged for softmax: a sure one is nearly all 0";
    return NULL;
}

static const char DEAD_HINT[] =
    "Units that are 0 for the whole batch get no gradient and stay so: usually a rate that is too "
    "high (now %s) has pushed the biases of a ReLU far below 0, the weights before it started at "
    "0, or all its inputs are negative. Look at activations/%s and at weights/ of its bias: did "
    "they "
    "jump at one step (rate, or a spike), or were they dead from the start (initialisation)? To "
    "confirm, train the first steps again with a tenth of the rate and see whether the share "
    "(%.3g here) stays low; leaky_relu or a normalisation before it keeps units alive.";

/* Nearly all of a layer's output is exactly zero. */
enum verdict activation_dead_zeros(const struct measures *m, size_t layer,
                                   const struct baseline *baseline, const struct limits *limits,
                                   struct finding *finding)
{
    const struct layer *info = &m->model->layers[layer];
    const struct step_cell *cell = output_of(m, layer);
    struct rate_text now;
    struct short_name name;
    const char *path;

    if (zeros_are_fine(info))
        return finding_silent(finding, zeros_are_fine(info));
    if (!cell)
        return finding_silent(finding, NO_ACTIVATION);
    finding->value = (double)cell->summary.zeros / (double)summary_finite(&cell->summary);
    finding->threshold = limits->dead_share;
    if (finding->value < limits->dead_share)
        return VERDICT_CLEAR;
    path = short_name(&name, info->path);
    finding_summary(finding, "%.4g %% of the output of %s is exactly 0 at step %" PRIu64,
                    100 * finding->value, path, m->step->number);
    finding_hint(finding, DEAD_HINT, rate_text(&now, baseline), path, finding->value);
    return VERDICT_SICK;
}

/* Nearly all units are zero, whatever the example. */
enum verdict activation_dead_units(const struct measures *m, size_t layer,
                                   const struct baseline *baseline, const struct limits *limits,
                                   struct finding *finding)
{
    const struct layer *info = &m->model->layers[layer];
    const struct step_cell *cell = output_of(m, layer);
    double units = cell ? summary_extra(&cell->summary, EXTRA_UNITS, NAN) : NAN;
    double dead = cell ? summary_extra(&cell->summary, EXTRA_UNITS_DEAD, NAN) : NAN;
    struct rate_text now;
    struct short_name name;
    const char *path;

    if (zeros_are_fine(info))
        return finding_silent(finding, zeros_are_fine(info));
    if (!cell)
        return finding_silent(finding, NO_ACTIVATION);
    if (!(units > 0) || isnan(dead))
        return finding_silent(finding, NO_UNITS);
    finding->value = dead / units;
    finding->threshold = limits->dead_units;
    if (finding->value < limits->dead_units)
        return VERDICT_CLEAR;
    path = short_name(&name, info->path);
    finding_summary(finding,
                    "%.10g of the %.10g units of %s are 0 in the whole batch of step %" PRIu64,
                    dead / (double)cell->summary.parts, units / (double)cell->summary.parts, path,
                    m->step->number);
    finding_hint(finding, DEAD_HINT, rate_text(&now, baseline), path, finding->value);
    return VERDICT_SICK;
}

/* Over half of an output has reached the limit of tanh or sigmoid. */
enum verdict activation_saturated(const struct measures *m, size_t layer,
                                  const struct baseline *baseline, const struct limits *limits,
                                  struct finding *finding)
{
    const struct layer *info = &m->model->layers[layer];
    const struct step_cell *cell = output_of(m, layer);
    double saturated = cell ? summary_extra(&cell->summary, EXTRA_SATURATED, NAN) : NAN;
    bool bounded =
        strcmp(info->activation, "tanh") == 0 || strcmp(info->activation, "sigmoid") == 0;
    struct rate_text now;
    struct short_name name;
    const char *path;

    if (!bounded)
        return finding_silent(finding, "its activation function is neither tanh nor sigmoid");
    if (model_is_output(m->model, layer))
        return finding_silent(finding, "not judged for an output: a sure one is at its limit");
    if (!cell)
        return finding_silent(finding, NO_ACTIVATION);
    if (isnan(saturated))
        return finding_silent(finding, NO_UNITS);
    finding->value = saturated / (double)summary_finite(&cell->summary);
    finding->threshold = limits->saturated;
    if (finding->value <= limits->saturated)
        return VERDICT_CLEAR;
    path = short_name(&name, info->path);
    finding_summary(finding,
                    "%.3g %% of the output of %s is at the limit of %s (within 1e-4) at step "
                    "%" PRIu64,
                    100 * finding->value, path, info->activation, m->step->number);
    finding_hint(
        finding,
        "At its limit %s is flat: the gradient that comes back through %s is cut to less than a "
        "thousandth there, and the layers before it stop learning (see gradient_vanishing). "
        "Usually "
        "its inputs have become too large: a rate that is too high (now %s), inputs that are not "
        "scaled, or weights that grew. Look at activations/%s for the ridges at the limits and at "
        "weights/ of it: do they widen? To confirm, put a normalisation before it or divide its "
        "inputs by 10: the share (%.3g here) falls and gradient_norm/ of the layers before rises.",
        info->activation, path, rate_text(&now, baseline), path, finding->value);
    return VERDICT_SICK;
}

/* Of each layer that it reads it is known whether it differs within the batch, and all do, or none
 * does. */
static bool inputs_are(const struct measures *m, const struct layer *info, bool varied,
                       double limit)
{
    for (size_t i = 0; i < info->input_count; i++) {
        size_t input = info->inputs[i];
        double variation = input < m->layer_count ? measure_variation(m, input) : NAN;

        if (isnan(variation) || (variation >= limit) != varied)
            return false;
    }
    return info->input_count > 0;
}

/* It may be meant that the output is the same for all examples: positions, types, learnt queries.
 * What differed before was not meant so; nor is what differs by more than rounding, where a layer
 * computes. */
static bool is_to_vary(const struct layer *info, const struct layer_memory *memory,
                       double variation)
{
    bool computes = info->kind == EMBMON_DENSE || info->kind == EMBMON_RECURRENT ||
                    info->kind == EMBMON_CONV || info->kind == EMBMON_ATTENTION;

    return memory->varied || (computes && variation > ROUNDING);
}

static const char *not_to_vary(const struct measures *m, size_t layer,
                               const struct baseline *baseline, const struct limits *limits)
{
    enum { BATCH_MIN = 8 };
    const struct layer *info = &m->model->layers[layer];
    const struct step_cell *cell = output_of(m, layer);
    double examples = cell ? summary_extra(&cell->summary, EXTRA_EXAMPLES, NAN) : NAN;

    if (info->kind == EMBMON_EMBEDDING)
        return "not judged for embeddings: all examples may have the same id";
    if (!cell)
        return NO_ACTIVATION;
    if (isnan(measure_variation(m, layer)))
        return cell->summary.square_sum > 0 ? NO_UNITS : "the output is all 0";
    if (!(examples / (double)cell->summary.parts >= BATCH_MIN) || m->batch < BATCH_MIN)
        return "fewer than 8 examples in the batch";
    if (inputs_are(m, info, false, limits->variation))
        return "what it reads does not differ within the batch";
    if (!inputs_are(m, info, true, limits->variation) &&
        !is_to_vary(info, &baseline->memories[layer], measure_variation(m, layer)))
        return "it never differed within a batch: its input may be the same for all examples";
    return NULL;
}

/* The output does not depend on the example any more. */
enum verdict activation_collapsed(const struct measures *m, size_t layer,
                                  const struct baseline *baseline, const struct limits *limits,
                                  struct finding *finding)
{
    const char *why = not_to_vary(m, layer, baseline, limits);
    struct rate_text now;
    struct short_name name;
    const char *path;

    if (why)
        return finding_silent(finding, why);
    finding->value = measure_variation(m, layer);
    finding->threshold = limits->variation;
    if (finding->value >= limits->variation)
        return VERDICT_CLEAR;
    path = short_name(&name, m->model->layers[layer].path);
    finding_summary(finding,
                    "the output of %s is the same for all examples of step %" PRIu64
                    ": its variance over the batch is %.2g of its mean square",
                    path, m->step->number, finding->value);
    finding_hint(
        finding,
        "Whatever goes in, %s gives the same: nothing behind it can tell two examples apart. "
        "Usually its weights have shrunk or died so that only the bias is left (a rate that is too "
        "high, now %s; dead units before it), the input was normalised or masked away, or a "
        "pipeline repeats one example. Look at activations/ of the layers before it, the first of "
        "them whose histogram is a few thin spikes is where it begins, and at weights/ of %s. To "
        "confirm, feed two examples that differ and compare the outputs layer by layer.",
        path, rate_text(&now, baseline), path);
    return VERDICT_SICK;
}
