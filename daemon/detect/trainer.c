#include <inttypes.h>
#include <math.h>

#include "daemon/detect/families.h"

/* The trainer is connected, it is training's turn, and no sample comes. */
enum verdict trainer_stalled(const struct measures *m, size_t layer,
                             const struct baseline *baseline, const struct limits *limits,
                             struct finding *finding)
{
    (void)layer, (void)baseline;
    if (isnan(m->silence))
        return finding_silent(finding, "it is not known yet how long a step takes");
    finding->value = m->silence;
    finding->baseline = m->step_seconds;
    finding->threshold =
        fmax(limits->stalled_seconds, limits->stalled_steps * fmax(0, m->step_seconds));
    if (m->silence <= finding->threshold)
        return VERDICT_CLEAR;
    finding_summary(finding,
                    "no sample of training came for %.0f s after step %" PRIu64
                    "; a step takes %.2g s",
                    m->silence, m->step->number, m->step_seconds);
    finding_hint(
        finding,
        "The trainer is connected, but it posts no step: it waits for something, or is stopped. "
        "Usually a data loader whose worker has died or whose disk or network is slow, a "
        "collective operation that waits for a rank that is gone, a checkpoint that takes long to "
        "write, or a debugger. Look at where it stands (py-spy dump --pid PID, gdb -p PID, for "
        "each rank), and at whether it uses its processors. To confirm, train on with one "
        "batch that is kept in memory. If its steps are that uneven by intent, raise the "
        "thresholds seconds and steps of trainer_stalled; if it has ended its training, close "
        "the client.");
    return VERDICT_SICK;
}
