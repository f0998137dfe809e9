#include "daemon/learn.h"

#include "embmon/embmon.h"

static const double VARIES = 1e-9; /* variance over the batch by the mean square */

/* What a look-up is usually like, and how many zeros a gradient usually has. */
static void learn_shares(struct layer_memory *memory, const struct layer_measure *layer,
                         const struct alerts *alerts, size_t index)
{
    if (!alerts_up(alerts, "gradient_underflow", index))
        usual_add(&memory->zeros, layer->zeros);
    if (!(layer->ids > 0) || alerts_up(alerts, "ids_out_of_range", index))
        return;
    if (!alerts_up(alerts, "coverage_drop", index)) {
        usual_add(&memory->ids, layer->ids);
        usual_add(&memory->variety, layer->looked_up / layer->ids);
    }
    if (!alerts_up(alerts, "rows_hot", index))
        usual_add(&memory->busiest, layer->busiest / layer->ids);
}

void learn_step(struct baseline *baseline, const struct measures *m, const struct alerts *alerts)
{
    if (m->step->phase != EMBMON_TRAIN)
        return;
    baseline->steps++;
    for (size_t i = 0; i < m->layer_count; i++)
        baseline->memories[i].varied =
            baseline->memories[i].varied || measure_variation(m, i) > VARIES;
    for (size_t i = 0; i < m->layer_count && !m->short_batch; i++) {
        const struct layer_measure *layer = &m->layers[i];

        if (!layer->has_gradient || layer->nonfinite_gradient > 0)
            continue;
        if (!alerts_freeze(alerts, i))
            norm_baseline_add(&baseline->layers[i], layer->norm);
        learn_shares(&baseline->memories[i], layer, alerts, i);
    }
    if (!m->short_batch && !alerts_freeze(alerts, DETECT_MODEL))
        norm_baseline_add(&baseline->model, m->model_norm);
}
