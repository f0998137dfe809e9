/* Of the tables themselves: which rows are looked up, which get a gradient, which move. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "daemon/detect/families.h"
#include "embmon/embmon.h"

/* Every row of a table so large has a gradient: no batch looks all of them up. */
enum { TIED_ROWS = 100, HOT_ROWS = 100 };

static const char NO_TABLE[] = "not an embedding";
static const char NO_IDS[] = "no gradient was posted as rows: look-ups are not known";
static const char TOO_FEW[] = "fewer than 10 steps to compare with";

static bool is_table(const struct layer *layer)
{
    return layer->kind == EMBMON_EMBEDDING;
}

/* Why the padding's row is left alone, or NULL. */
static const char *no_padding(const struct layer *info, const struct layer_measure *measure)
{
    if (!is_table(info))
        return NO_TABLE;
    if (!info->has_padding)
        return "no padding id was declared";
    if (info->tied)
        return "the table is the output's matrix, too: each row gets a gradient";
    if (!measure->has_gradient || isnan(measure->padding))
        return "no gradient was posted for this layer, or not one that tells its rows";
    if (info->rows >= TIED_ROWS && measure->touched >= (double)info->rows)
        return "every row has a gradient: the table seems to be the output's matrix, too";
    return NULL;
}

/* The row that stands for nothing is trained. */
enum verdict padding_row_gradient(const struct measures *m, size_t layer,
                                  const struct baseline *baseline, const struct limits *limits,
                                  struct finding *finding)
{
    const struct layer_measure *measure = &m->layers[layer];
    const struct layer *info = &m->model->layers[layer];
    struct short_name name;
    struct word_text word;
    const char *path;

    (void)baseline, (void)limits;
    if (no_padding(info, measure))
        return finding_silent(finding, no_padding(info, measure));
    finding->value = measure->padding;
    finding->threshold = 0;
    if (measure->padding <= 0)
        return VERDICT_CLEAR;
    path = short_name(&name, info->path);
    finding_summary(finding,
                    "row %" PRId64
                    "%s of %s, which holds the padding, got a gradient of norm %.3g at "
                    "step %" PRIu64 " (the whole table's: %.3g)",
                    info->padding_id, word_text(&word, info, (double)info->padding_id), path,
                    measure->padding, m->step->number, measure->norm);
    finding_hint(
        finding,
        "The padding takes part in the model, so that what it says of a sequence depends on how "
        "long the batch around it is. Usually a layer behind %s does not know the mask: an average "
        "over all positions, a convolution, a maximum, Flatten, or an own layer that drops it. "
        "Look "
        "for the first layer behind %s that does not take a mask. To confirm, give the model one "
        "sequence twice, the second time with more padding (id %" PRId64
        "): the outputs must be equal. Then mask that layer (sum(x * mask) / sum(mask)), or keep "
        "the "
        "row at 0 (padding_idx in PyTorch). Where the padding is a token that is meant to be "
        "learnt, declare no padding id.",
        path, path, info->padding_id);
    return VERDICT_SICK;
}

/* `; most often row 4711 ("dress"), 312 times`, or "" where ids were not posted. */
struct busiest_text {
    char text[128 + IDS_WORD_BYTES];
};

static const char *busiest_text(struct busiest_text *to, const struct measures *m, size_t layer)
{
    const struct step_ids *ids = step_ids(m->step, layer, IDS_REACHED);
    const struct ids_busiest *first = ids ? ids->stats.busiest : NULL;
    struct word_text word;

    to->text[0] = '\0';
    if (ids && ids->stats.busiest_count > 0)
        (void)snprintf(to->text, sizeof to->text,
                       "; most often row %" PRId64 "%s, %" PRIu64 " times", first->id,
                       word_text(&word, &m->model->layers[layer], (double)first->id), first->count);
    return to->text;
}

enum { FEW_ROWS = 16 }; /* of 5 of 8 categories 2 are left now and then */

/* The batches have become poorer: as many ids, but half as many different ones. */
enum verdict coverage_drop(const struct measures *m, size_t layer, const struct baseline *baseline,
                           const struct limits *limits, struct finding *finding)
{
    const struct layer_measure *measure = &m->layers[layer];
    const struct layer *info = &m->model->layers[layer];
    const struct layer_memory *memory = &baseline->memories[layer];
    double usual = usual_median(&memory->variety), ids = usual_median(&memory->ids);
    struct short_name name;
    struct busiest_text busiest;
    const char *path;

    if (!is_table(info))
        return finding_silent(finding, NO_TABLE);
    if (!measure->has_gradient || !(measure->ids > 0))
        return finding_silent(finding, NO_IDS);
    if (isnan(usual))
        return finding_silent(finding, TOO_FEW);
    if (measure->ids > 2 * ids || 2 * measure->ids < ids)
        return finding_silent(finding, "a batch of another size: its share of different ids is no "
                                       "measure");
    if (usual * ids < FEW_ROWS)
        return finding_silent(finding, "so few different ids come that chance halves their number");
    finding->value = measure->looked_up / measure->ids;
    finding->baseline = usual;
    finding->threshold = limits->coverage * usual;
    if (finding->value >= finding->threshold)
        return VERDICT_CLEAR;
    path = short_name(&name, info->path);
    finding_summary(finding,
                    "the %.10g ids that came into %s at step %" PRIu64
                    " are %.10g different ones, %.3g of each; usual is %.3g%s",
                    measure->ids, path, m->step->number, measure->looked_up, finding->value, usual,
                    busiest_text(&busiest, m, layer));
    finding_hint(
        finding,
        "As much goes into %s as before, but it is less varied: usually a tokenizer or vocabulary "
        "that broke or was exchanged and maps most words to one id (\"unknown\"), a shard that is "
        "sorted or repeats itself, or a shuffle that is off. Look at the raw ids of the batch of "
        "step %" PRIu64 ": which one comes most often, and what was it before it became an id? "
        "embedding/coverage/%s shows since when. To confirm, count the different ids of a batch "
        "from the start of the training and of this one with the same tokenizer: %.3g against "
        "%.3g of each id says that the data changed, and not the model.",
        path, m->step->number, path, usual, finding->value);
    return VERDICT_SICK;
}

/* One row takes a good part of all look-ups, and did not before. */
enum verdict rows_hot(const struct measures *m, size_t layer, const struct baseline *baseline,
                      const struct limits *limits, struct finding *finding)
{
    const struct layer_measure *measure = &m->layers[layer];
    const struct layer *info = &m->model->layers[layer];
    double usual = usual_median(&baseline->memories[layer].busiest);
    struct short_name name;
    struct busiest_text busiest;
    const char *path;

    if (!is_table(info))
        return finding_silent(finding, NO_TABLE);
    if (info->rows < HOT_ROWS)
        return finding_silent(finding, "not judged for tables of fewer than 100 rows");
    if (!measure->has_gradient || !(measure->ids > 0))
        return finding_silent(finding, NO_IDS);
    if (isnan(usual))
        return finding_silent(finding, TOO_FEW);
    finding->value = measure->busiest / measure->ids;
    finding->baseline = usual;
    finding->threshold = fmax(limits->hot_share, limits->hot_rise * usual);
    if (finding->value <= finding->threshold)
        return VERDICT_CLEAR;
    path = short_name(&name, info->path);
    finding_summary(finding,
                    "one row of %s takes %.3g of the %.10g look-ups of step %" PRIu64
                    "; the busiest one usually takes %.3g%s",
                    path, finding->value, measure->ids, m->step->number, usual,
                    busiest_text(&busiest, m, layer));
    finding_hint(
        finding,
        "One id has become far more frequent: usually a default or \"unknown\" that many inputs "
        "now fall back to, a hash whose inputs became constant, padding that is not declared as "
        "such, or a popular item of the day. Count the ids of the batch of step %" PRIu64
        " and look up what the first one stands for. If it is padding, declare the padding id of "
        "%s; if it is a fall-back, compare the share of fall-backs with the start of the training, "
        "which confirms it: it was %.3g then.",
        m->step->number, path, usual);
    return VERDICT_SICK;
}

/* Rows change that no batch has asked to. */
enum verdict rows_moved_untouched(const struct measures *m, size_t layer,
                                  const struct baseline *baseline, const struct limits *limits,
                                  struct finding *finding)
{
    const struct layer_measure *measure = &m->layers[layer];
    const struct layer *info = &m->model->layers[layer];
    double touched = info->trainable ? measure->touched : 0;
    struct short_name name;
    const char *path;

    (void)baseline, (void)limits;
    if (!is_table(info))
        return finding_silent(finding, NO_TABLE);
    if (isnan(measure->moved) || isnan(touched))
        return finding_silent(finding, "gradient and update were not both posted by rows");
    if (!measure->moved_of_all)
        return finding_silent(finding, "only the update of some rows was posted");
    if (measure->nonfinite_gradient > 0)
        return finding_silent(finding, "the gradient is not finite");
    finding->value = fmax(measure->moved - touched, 0);
    finding->threshold = 0;
    finding->baseline = touched;
    if (measure->moved <= touched)
        return VERDICT_CLEAR;
    path = short_name(&name, info->path);
    finding_summary(finding,
                    "%.10g rows of %s changed at step %" PRIu64
                    " and %.10g had a gradient: %.10g moved without one",
                    measure->moved, path, m->step->number, touched, finding->value);
    finding_hint(
        finding,
        "%s Usually the optimizer is a dense one, whose momentum goes on moving rows of earlier "
        "batches (Adam, SGD with momentum), or weight decay shrinks all rows: rare ones are then "
        "pulled to 0 between the batches that look them up. It costs time, too: %.10g rows are "
        "written for %.10g. Look at updates/%s beside gradients/%s. To confirm, leave the "
        "table out of the weight decay or take a sparse optimizer (SparseAdam, LazyAdam) and see "
        "this number fall to 0. Where the result is good it may stay.",
        info->trainable ? "Known of dense optimizers, and often harmless."
                        : "The table is declared as frozen, and yet it changes.",
        measure->moved, touched, path, path);
    return VERDICT_SICK;
}

/* The table's gradient is far larger than everybody else's. */
enum verdict embedding_dominates(const struct measures *m, size_t layer,
                                 const struct baseline *baseline, const struct limits *limits,
                                 struct finding *finding)
{
    const struct layer_measure *measure = &m->layers[layer];
    const struct layer *info = &m->model->layers[layer];
    struct short_name name;
    const char *path;

    (void)baseline;
    if (!is_table(info))
        return finding_silent(finding, NO_TABLE);
    if (!measure->has_gradient || measure->nonfinite_gradient > 0)
        return finding_silent(finding, "no finite gradient was posted for this layer");
    finding->baseline = measure_others_norm(m, layer);
    if (isnan(finding->baseline))
        return finding_silent(finding, "fewer than two other layers have a gradient");
    finding->value = measure->norm;
    finding->threshold = limits->dominates * finding->baseline;
    if (measure->norm <= finding->threshold)
        return VERDICT_CLEAR;
    path = short_name(&name, info->path);
    finding_summary(finding,
                    "the gradient norm of %s is %.3g at step %" PRIu64
                    ", %.3g times the median of the other layers (%.3g)",
                    path, measure->norm, m->step->number, measure->norm / finding->baseline,
                    finding->baseline);
    finding_hint(
        finding,
        "Clipping by the global norm then scales all layers down for the sake of %s alone, and "
        "with "
        "plain SGD only the table learns. Usually gradients are summed over the batch instead of "
        "averaged, one row is looked up very often, or the layers behind it start too small. "
        "Compare gradient_norm/%s with the others and with embedding/rows_touched/%s. To confirm, "
        "give the table a rate of its own, %.1g of the present one, and see whether the other "
        "layers' norms and the loss move at last.",
        path, path, path, finding->baseline / measure->norm);
    return VERDICT_SICK;
}

/* The rows that are used have become one and the same. */
enum verdict embedding_collapse(const struct measures *m, size_t layer,
                                const struct baseline *baseline, const struct limits *limits,
                                struct finding *finding)
{
    const struct layer *info = &m->model->layers[layer];
    const struct step_cell *cell = step_cell(m->step, info->table, EMBMON_WEIGHT);
    double cosine = cell ? summary_extra(&cell->summary, EXTRA_COSINE, NAN) : NAN;
    double spread = cell ? summary_extra(&cell->summary, EXTRA_SPREAD, NAN) : NAN;
    struct rate_text now;
    struct short_name name;
    const char *path;

    (void)baseline;
    if (!is_table(info))
        return finding_silent(finding, NO_TABLE);
    if ((double)info->columns * limits->spread <= 1)
        return finding_silent(finding, "so narrow a table has no rank below the threshold");
    if (isnan(cosine) || isnan(spread))
        return finding_silent(finding,
                              "looked at once an epoch, where the whole table is posted and "
                              "has twice as many rows in use as columns");
    finding->value = cosine;
    finding->threshold = limits->cosine;
    if (cosine <= limits->cosine || spread >= limits->spread)
        return VERDICT_CLEAR;
    path = short_name(&name, info->path);
    finding_summary(finding,
                    "the busiest rows of %s point the same way at step %" PRIu64
                    ": mean cosine %.3g, effective rank %.2g of the width",
                    path, m->step->number, cosine, spread);
    finding_hint(
        finding,
        "Whatever is looked up, the layers behind %s see nearly the same vector. Usually a loss "
        "that "
        "all rows can meet at once (a contrastive loss without negatives, or with too few), a "
        "regulariser or weight decay that is stronger than the signal, or a rate so high that all "
        "rows followed one batch. Look at weights/%s and at the rate (%s). To confirm, take the "
        "rows of two ids that mean different things: a cosine near %.3g between them settles it. "
        "Add negatives, or subtract the common mean to see what is left.",
        path, path, rate_text(&now, baseline), cosine);
    return VERDICT_SICK;
}
