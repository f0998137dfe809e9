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
        intake->rows_seen = ids->stats.rows_seen;
        intake->rows_known = true;
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

struct pool {
    double gradient, elements, all_squares; /* sums over the layer's variables */
    double update, weight;
};

static uint64_t nonfinite_of(const struct measures *m, const struct step_cell *cell)
{
    if (m->only_rank >= 0 && !rank_list_has(&cell->nonfinite, (uint32_t)m->only_rank))
        return 0;
    return summary_nonfinite(&cell->summary);
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
    if (!isnan(looked_up))
        layer->looked_up = looked_up + (isnan(layer->looked_up) ? 0 : layer->looked_up);
    if (!isnan(touched))
        layer->touched = touched + (isnan(layer->touched) ? 0 : layer->touched);
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
    if (update && baseline->variables[v].weighed) {
        pool->update += squares_per_part(&update->summary, sharded);
        pool->weight += baseline->variables[v].weight_squares;
        layer->weights += (double)baseline->variables[v].weight_count;
    }
}

static bool reserve_layers(struct measures *m, size_t count)
{
    struct layer_measure *more;

    if (count > m->layer_capacity) {
        more = reallocarray(m->layers, count, sizeof *more);
        if (!more)
            return false;
        m->layers = more;
        m->layer_capacity = count;
    }
    m->layer_count = count;
    return true;
}

static void finish_layer(struct measures *m, size_t index, const struct pool *pool)
{
    struct layer_measure *layer = &m->layers[index];

    layer->norm = sqrt(pool->gradient);
    layer->rms = pool->elements > 0 ? sqrt(pool->all_squares / pool->elements) : 0;
    layer->update_ratio = pool->weight > 0 ? sqrt(pool->update / pool->weight) : NAN;
    if (!layer->has_gradient)
        return;
    m->nonfinite = m->nonfinite || layer->nonfinite_gradient > 0;
    m->model_norm = hypot(isnan(m->model_norm) ? 0 : m->model_norm, layer->norm);
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
        m->layers[i] = (struct layer_measure){.looked_up = NAN, .touched = NAN};
    for (size_t v = 0; v < model->variable_count; v++) {
        size_t layer = model->variables[v].layer;

        measure_variable(m, baseline, v, &m->layers[layer], &pools[layer]);
    }
    for (size_t i = 0; i < model->layer_count; i++)
        finish_layer(m, i, &pools[i]);
    free(pools);
    return true;
}

void measures_free(struct measures *m)
{
    free(m->layers);
    *m = (struct measures){0};
}
