#include <inttypes.h>

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
    const char *path = short_name(&name, info->path);

    (void)baseline, (void)limits;
    if (!measure->has_activation)
        return finding_silent(finding, "no activation was posted for this layer");
    finding->value = (double)measure->nonfinite_activation;
    finding->threshold = 0;
    if (measure->nonfinite_activation == 0)
        return VERDICT_CLEAR;
    if (cell)
        finding->ranks = &cell->nonfinite;
    finding_summary(finding,
                    "the output of %s is not finite (values: %" PRIu64 ") at step %" PRIu64, path,
                    measure->nonfinite_activation, m->step->number);
    finding_hint(
        finding,
        "In forward order %s is the first layer whose output is not finite. If its weights "
        "are finite (weights/%s, nonfinite/%s), its input or its own arithmetic is at "
        "fault: a division by zero, log or sqrt of 0, exp of a large number, or half "
        "precision above 65,504. If the weights are not finite, an earlier update broke "
        "them: look for gradient_nonfinite or gradient_exploding before step %" PRIu64 ".",
        path, path, path, m->step->number);
    return VERDICT_SICK;
}
