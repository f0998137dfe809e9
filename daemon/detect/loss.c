#include <inttypes.h>
#include <math.h>

#include "daemon/detect/families.h"

static const char NO_LOSS[] = "no loss was posted";

/* The loss is NaN or infinite. */
enum verdict loss_nonfinite(const struct measures *m, size_t layer, const struct baseline *baseline,
                            const struct limits *limits, struct finding *finding)
{
    const struct step *step = m->step;
    struct rate_text now;

    (void)layer, (void)limits;
    if (step->scalar_count <= SCALAR_LOSS || step->scalars[SCALAR_LOSS].count == 0)
        return finding_silent(finding, NO_LOSS);
    finding->value = m->loss;
    finding->baseline = baseline_first_loss(baseline);
    if (isfinite(m->loss))
        return VERDICT_CLEAR;
    finding_summary(finding, "the loss is %s at step %" PRIu64, isnan(m->loss) ? "NaN" : "infinite",
                    step->number);
    finding_hint(
        finding,
        "Usually log(0) of a probability that reached 0, a division by an empty count or "
        "mask, or weights that an exploding step has broken. If a layer was named for "
        "non-finite values or an explosion at or before step %" PRIu64
        ", that is the cause; if not, the loss function itself is: compute it from logits, "
        "or clip probabilities away from 0 and 1 (the first loss was %.4g, the rate is %s). To "
        "confirm, run the batch of this step alone and look for the first value that is not "
        "finite. Weights updated with this loss are lost: go back to a checkpoint.",
        step->number, finding->baseline, rate_text(&now, baseline));
    return VERDICT_SICK;
}

/* The loss is several times what it was at the start. */
enum verdict loss_diverged(const struct measures *m, size_t layer, const struct baseline *baseline,
                           const struct limits *limits, struct finding *finding)
{
    double first = fabs(baseline_first_loss(baseline));
    struct rate_text now;

    (void)layer;
    if (isnan(first))
        return finding_silent(finding, NO_LOSS);
    if (!isfinite(m->loss))
        return finding_silent(finding, "no finite loss at this step");
    finding->value = m->loss;
    finding->baseline = first;
    finding->threshold = limits->diverged_loss * first;
    if (m->loss <= finding->threshold)
        return VERDICT_CLEAR;
    finding_summary(finding,
                    "the loss is %.4g at step %" PRIu64 ", %.3g times the first loss (%.4g)",
                    m->loss, m->step->number, m->loss / first, first);
    finding_hint(
        finding,
        "The training makes things worse than no training: usually a learning rate that is "
        "far too high (Adam above 0.1 shows here first, its gradients stay moderate), labels "
        "on another scale than the output, or a sign error in the loss. Compare loss with "
        "learning_rate (now %s) and gradient_norm/all around step %" PRIu64
        ". To confirm, repeat the first steps with a tenth of the rate.",
        rate_text(&now, baseline), m->step->number);
    return VERDICT_SICK;
}
