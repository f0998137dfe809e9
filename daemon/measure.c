#include "daemon/measure.h"

#include <math.h>
#include <stdlib.h>

#include "embmon/embmon.h"

static double squares_per_part(const struct summary *s, bool sharded)
{
    double norm = summary_norm(s, sharded);

    return norm * norm;
}

void measure_weights(struct baseline *baseline, const struct step *step, const struct model *model)
{
    for (size_t v = 0; v < model->variable_count && v < baseline->variable_count; v++) {
        const struct step_cell *cell = step_cell(step, v, EMBMON_WEIGHT);
        bool sharded = model->layers[model->variables[v].layer].sharded;

        if (!cell || cell->summary.parts == 0)
            continue;
        baseline->variables[v] = (struct variable_memory){
            .weighed = true,
            .weight_squares = squares_per_part(&cell->summary, sharded),
            .weight_count = cell->summary.count / (sharded ? 1 : cell->summary.parts),
        };
    }
}

void measure_intake(struct baseline *baseline, const struct step *step, const struct model *model)
{
    for (size_t i = 0; i < model->layer_count && i < baseline->layer_count; i++) {
        const struct step_ids *ids = step_ids_any(step, i);
        struct intake *intake = &baseline->intakes[i];

        if (!ids)
            continue;
        if (step->phase != EMBMON_TRAIN) {
            intake_compare(intake, step->phase, &ids->stats);
            continue;
        }
        intake_train(intake, &ids->stats);
        /* Only where ids reach a table, and its client has room, are its rows marked. */
        ids = step_ids(step, i, IDS_REACHED);
        if (ids && ids->stats.rows_seen > 0) {
            intake->rows_seen = ids->stats.rows_seen;
            intake->rows_known = true;
        }
    }
}

void measure_shapes(struct baseline *baseline, const struct step *step, const struct model *model)
{
    for (size_t i = 0; i < model->layer_count; i++) {
        const struct shape_list *posted = step_shapes(step, i);

        if (posted)
            shapes_learn(&baseline->shapes, i, posted);
    }
}

double measure_update_ratio(const struct measures *m, const struct baseline *baseline,
                            size_t variable)
{
    const struct step_cell *cell = step_cell(m->step, variable, EMBMON_UPDATE);
    const struct variable_memory *memory = &baseline->variables[variable];
    bool sharded = m->model->layers[m->model->variables[variable].layer].sharded;

    if (!cell || !memory->weighed || memory->weight_squares <= 0)
        return NAN;
    return summary_norm(&cell->summary, sharded) / sqrt(memory->weight_squares);
}

/* Shell's way: without a call for each comparison, and not quadratic whatever comes. */
static void sort(double *values, size_t n)
{
    static const size_t gaps[] = {3280, 1093, 364, 121, 40, 13, 4, 1};

    for (size_t g = 0; g < sizeof gaps / sizeof *gaps; g++) {
        for (size_t i = gaps[g]; i < n; i++) {
            double value = values[i];
            size_t at = i;

            for (; at >= gaps[g] && values[at - gaps[g]] > value; at -= gaps[g])
                values[at] = values[at - gaps[g]];
            values[at] = value;
        }
    }
}

static void sort_norms(struct measures *m)
{
    m->norm_count = 0;
    for (size_t i = 0; i < m->layer_count; i++) {
        const struct layer_measure *layer = &m->layers[i];

        if (layer->has_gradient && layer->nonfinite_gradient == 0 && layer->norm > 0)
            m->norms[m->norm_count++] = layer->norm;
    }
    sort(m->norms, m->norm_count);
}

double measure_others_norm(const struct measures *m, size_t layer)
{
    size_t own = 0, n = m->norm_count;
    double pair[2];

    while (own < n && m->norms[own] < m->layers[layer].norm)
        own++;
    if (own < n && m->norms[own] <= m->layers[layer].norm)
        n--;
    else
        own = n; /* it is none of them */
    if (n < 2)
        return NAN;
    for (size_t i = 0; i < 2; i++) {
        size_t at = (n - 1 + i) / 2;

        pair[i] = m->norms[at + (at >= own)];
    }
    return 0.5 * (pair[0] + pair[1]);
}

double measure_variation(const struct measures *m, size_t layer)
{
    const struct step_cell *cell =
        step_cell(m->step, m->model->layers[layer].table, EMBMON_ACTIVATION);
    double variance, scale;

    if (!cell || summary_finite(&cell->summary) == 0 || cell->summary.square_sum <= 0)
        return NAN;
    variance = summary_extra(&cell->summary, EXTRA_VARIANCE, NAN) / (double)cell->summary.parts;
    scale = cell->summary.square_sum / (double)summary_finite(&cell->summary);
    return variance / scale;
}

struct pool {
    double gradient, elements, all_squares; /* sums over the layer's variables */
    double update, weight;
    double finite, zeros; /* of its gradients */
    double moving;        /* elements of its updates that are not 0 */
};

static uint64_t nonfinite_of(const struct measures *m, const struct step_cell *cell)
{
    if (m->only_rank >= 0 && !rank_list_has(&cell->nonfinite, (uint32_t)m->only_rank))
        return 0;
    return summary_nonfinite(&cell->summary);
}

/* *sum += value, where one is known; NaN + a value is that value. */
static void add_known(double *sum, double value)
{
    if (!isnan(value))
        *sum = value + (isnan(*sum) ? 0 : *sum);
}

static void add_gradient(struct layer_measure *layer, struct pool *pool, const struct summary *s,
                         bool sharded)
{
    double looked_up = summary_extra(s, EXTRA_ROWS_LOOKED_UP, NAN);
    double touched = summary_extra(s, EXTRA_ROWS_TOUCHED, NAN);

    /* A batch that looked no row up, and a tensor without elements, say nothing; rows that were
     * looked up and not touched say that the gradient has vanished. */
    if (looked_up == 0 || (s->count == 0 && isnan(touched)))
        return;
    layer->has_gradient = true;
    pool->gradient += squares_per_part(s, sharded);
    pool->all_squares += s->square_sum;
    pool->elements += (double)summary_finite(s);
    layer->elements += (double)s->count;
    pool->finite += (double)summary_finite(s);
    pool->zeros += (double)s->zeros;
    add_known(&layer->looked_up, looked_up);
    add_known(&layer->touched, touched);
    add_known(&layer->ids, summary_extra(s, EXTRA_IDS, NAN));
    add_known(&layer->busiest, summary_extra(s, EXTRA_BUSIEST, NAN));
    add_known(&layer->padding, summary_extra(s, EXTRA_PADDING_SQUARES, NAN));
}

/* A batch that looked no row up moves nothing, and says nothing. */
static void add_update(struct layer_measure *layer, struct pool *pool, const struct summary *s)
{
    if (s->count == 0 || summary_extra(s, EXTRA_ROWS_LOOKED_UP, NAN) == 0)
        return;
    layer->has_update = true;
    pool->moving += (double)(s->count - s->zeros);
    add_known(&layer->moved, summary_extra(s, EXTRA_ROWS_TOUCHED, NAN));
    layer->moved_of_all = isnan(summary_extra(s, EXTRA_ROWS_LOOKED_UP, NAN));
}

static void measure_variable(const struct measures *m, const struct baseline *baseline, size_t v,
                             struct layer_measure *layer, struct pool *pool)
{
    bool sharded = m->model->layers[m->model->variables[v].layer].sharded;
    const struct step_cell *gradient = step_cell(m->step, v, EMBMON_GRADIENT);
    const struct step_cell *update = step_cell(m->step, v, EMBMON_UPDATE);
    const struct step_cell *activation = step_cell(m->step, v, EMBMON_ACTIVATION);

    if (gradient) {
        add_gradient(layer, pool, &gradient->summary, sharded);
        layer->nonfinite_gradient += nonfinite_of(m, gradient);
    }
    if (activation) {
        layer->has_activation = true;
        layer->nonfinite_activation += nonfinite_of(m, activation);
    }
    if (update)
        add_update(layer, pool, &update->summary);
    if (update && baseline->variables[v].weighed) {
        pool->update += squares_per_part(&update->summary, sharded);
        pool->weight += baseline->variables[v].weight_squares;
        layer->weights += (double)baseline->variables[v].weight_count;
    }
}

static bool reserve_layers(struct measures *m, size_t count)
{
    struct layer_measure *more;
    double *norms;

    if (count > m->layer_capacity) {
        more = reallocarray(m->layers, count, sizeof *more);
        if (!more)
            return false;
        m->layers = more;
        norms = reallocarray(m->norms, count, sizeof *norms);
        if (!norms)
            return false;
        m->norms = norms;
        m->layer_capacity = count;
    }
    m->layer_count = count;
    return true;
}

/* hypot(), which is for what this cannot square. */
static double length_of(double a, double b)
{
    double squares = a * a + b * b;

    return squares > 1e-280 && squares < 1e280 ? sqrt(squares) : hypot(a, b);
}

static void finish_layer(struct measures *m, size_t index, const struct pool *pool)
{
    struct layer_measure *layer = &m->layers[index];

    layer->norm = sqrt(pool->gradient);
    layer->rms = pool->elements > 0 ? sqrt(pool->all_squares / pool->elements) : 0;
    layer->update_ratio = pool->weight > 0 ? sqrt(pool->update / pool->weight) : NAN;
    layer->unmoved = layer->has_update && pool->moving <= 0;
    layer->zeros = pool->finite > 0 ? pool->zeros / pool->finite : NAN;
    layer->padding = sqrt(layer->padding); /* was the sum of squares */
    if (!layer->has_gradient)
        return;
    m->nonfinite = m->nonfinite || layer->nonfinite_gradient > 0;
    m->model_norm = isnan(m->model_norm) ? layer->norm : length_of(m->model_norm, layer->norm);
    if (m->model->layers[index].trainable && layer->nonfinite_gradient == 0 && layer->norm > 0) {
        m->last_norm = layer->norm;
        m->last_layer = index;
    }
}

bool measure_step(struct measures *m, const struct step *step, const struct model *model,
                  struct baseline *baseline, int64_t only_rank)
{
    struct pool *pools;

    if (!reserve_layers(m, model->layer_count))
        return false;
    pools = calloc(model->layer_count + 1, sizeof *pools);
    if (!pools)
        return false;
    m->step = step;
    m->silence = 0; /* it has just ended */
    m->step_seconds = NAN;
    m->only_rank = only_rank;
    m->model = model;
    m->model_norm = m->last_norm = NAN;
    m->last_layer = 0;
    m->nonfinite = false;
    m->loss = step_scalar(step, SCALAR_LOSS);
    m->rate = step_scalar(step, SCALAR_LEARNING_RATE);
    m->batch = step_scalar(step, SCALAR_BATCH_SIZE);
    m->short_batch = step->phase == EMBMON_TRAIN && baseline_short_batch(baseline, m->batch);
    for (size_t i = 0; i < model->layer_count; i++)
        m->layers[i] = (struct layer_measure){.looked_up = NAN,
                                              .touched = NAN,
                                              .ids = NAN,
                                              .busiest = NAN,
                                              .padding = NAN,
                                              .moved = NAN};
    for (size_t v = 0; v < model->variable_count; v++) {
        size_t layer = model->variables[v].layer;

        measure_variable(m, baseline, v, &m->layers[layer], &pools[layer]);
    }
    for (size_t i = 0; i < model->layer_count; i++)
        finish_layer(m, i, &pools[i]);
    sort_norms(m);
    free(pools);
    return true;
}

void measures_free(struct measures *m)
{
    free(m->layers);
    free(m->norms);
    *m = (struct measures){0};
}
