#include "daemon/learn.h"

#include "embmon/embmon.h"

static const double VARIES = 1e-9; /* variance over the batch by the mean square */

/* The detectors that compare with what is usual. */
struct watchers {
    size_t zeros, variety, busiest, ids;
};

/* What a look-up is usually like, and how many zeros a gradient usually has. */
static void learn_shares(struct layer_memory *memory, const struct layer_measure *layer,
                         const struct alerts *alerts, const struct watchers *by, size_t index)
{
    if (!alerts_up(alerts, by->zeros, index))
        usual_add(&memory->zeros, layer->zeros);
    if (!(layer->ids > 0) || alerts_up(alerts, by->ids, index))
        return;
    if (!alerts_up(alerts, by->variety, index)) {
        usual_add(&memory->ids, layer->ids);
        usual_add(&memory->variety, layer->looked_up / layer->ids);
    }
    if (!alerts_up(alerts, by->busiest, index))
        usual_add(&memory->busiest, layer->busiest / layer->ids);
}

void learn_step(struct baseline *baseline, const struct measures *m, const struct alerts *alerts)
{
    const struct watchers by = {.zeros = detector_find("gradient_underflow"),
                                .variety = detector_find("coverage_drop"),
                                .busiest = detector_find("rows_hot"),
                                .ids = detector_find("ids_out_of_range")};

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
        learn_shares(&baseline->memories[i], layer, alerts, &by, i);
    }
    if (!m->short_batch && !alerts_freeze(alerts, DETECT_MODEL))
        norm_baseline_add(&baseline->model, m->model_norm);
}
