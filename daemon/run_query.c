/* What is asked about a run: by sessions for their Welcome, by embmonctl, by the summary at the
 * end. */
#include <math.h>
#include <string.h>

#include "daemon/run_state.h"
#include "embmon/embmon.h"

void run_get_status(const struct run *run, struct run_status *status)
{
    struct event_file_stats stats;

    record_stats(run->record, &stats);
    *status = (struct run_status){
        .name = run->name,
        .step = steps_closed(run->steps, EMBMON_TRAIN),
        .steps = run->steps_closed,
        .layers = run->model.layer_count,
        .firing = alerts_firing(run->alerts),
        .acked = run->acked,
        .rejected = run->rejected,
        .bytes = steps_bytes(run->steps) + record_bytes(run->record),
        .bytes_pending = stats.bytes_pending,
        .write_error = stats.error ? strerror(stats.error) : "",
    };
    for (size_t i = 0; i < run->member_count; i++) {
        bool first = true;

        for (size_t k = 0; k < i && first; k++)
            first = run->members[k]->rank != run->members[i]->rank;
        status->ranks += first;
        status->live = status->live || run->members[i]->live;
        status->dropped += run->members[i]->dropped;
    }
}

uint64_t run_next_step(const struct run *run)
{
    return (uint64_t)(steps_closed(run->steps, EMBMON_TRAIN) + 1);
}

uint32_t run_every(const struct run *run)
{
    return run->every;
}

const char *run_name(const struct run *run)
{
    return run->name;
}

const struct model *run_model(const struct run *run)
{
    return &run->model;
}

void run_layer_status(const struct run *run, size_t layer, double *gradient_norm, uint32_t *state)
{
    *gradient_norm = layer < run->norm_count ? run->norms[layer] : NAN;
    *state = alerts_layer_state(run->alerts, layer);
}

void run_layer_silent(const struct run *run, size_t layer,
                      void (*each)(void *context, const char *detector, const char *reason),
                      void *context)
{
    for (size_t d = 0; d < detector_count; d++) {
        const char *reason = detectors[d].of_model ? NULL : alerts_silent(run->alerts, d, layer);

        if (reason)
            each(context, detectors[d].name, reason);
    }
}

void run_alerts(const struct run *run,
                void (*each)(void *context, const struct alert_change *change, bool ever_fired),
                void *context)
{
    alerts_each(run->alerts, each, context);
}
