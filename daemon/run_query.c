/* What is asked about a run: by sessions for their Welcome, by embmonctl, by the summary at the
 * end. */
#include <math.h>
#include <string.h>

#include "daemon/advice.h"
#include "daemon/run_state.h"
#include "embmon/embmon.h"

static size_t count_ranks(const struct run *run)
{
    bool seen[RANKS_MAX] = {false};
    size_t count = 0;

    for (size_t i = 0; i < run->member_count; i++) {
        bool *rank = &seen[run->members[i]->rank];

        count += !*rank;
        *rank = true;
    }
    return count;
}

static void add_posts(struct run_posts *posts, const struct run_member *member)
{
    posts->produced += member_produced(member);
    posts->acked += member->acked;
    posts->rejected += member->rejected;
    posts->dropped += member_lost(member);
    posts->in_flight += member_in_flight(member);
}

static void subtract_before(struct run_posts *posts, const struct run_member *member)
{
    posts->produced -= member->before.acked + member->before.rejected + member->before.dropped;
    posts->acked -= member->before.acked;
    posts->rejected -= member->before.rejected;
    posts->dropped -= member->before.dropped;
}

void run_get_status(const struct run *run, struct run_status *status)
{
    int error = run->write_error ? run->write_error : run->sync_error;
    struct event_file_stats stats;

    record_stats(run->record, &stats);
    *status = (struct run_status){
        .name = run->name,
        .ended = run->ended,
        .step = steps_closed(run->steps, EMBMON_TRAIN),
        .steps = run->steps_closed,
        .ranks = count_ranks(run),
        .every = run->every,
        .layers = run->model.layer_count,
        .firing = alerts_firing(run->alerts),
        .alerts = alerts_kept(run->alerts),
        .loss_posted = run->loss_posted,
        .loss = run->loss,
        .closed_ms = run->closed_ms,
        .kept = run->kept_acked,
        .durable = run->durable_acked,
        .bytes = steps_bytes(run->steps) + record_bytes(run->record),
        .bytes_pending = stats.bytes_pending,
        .bytes_written = stats.bytes_written,
        .write_error = error ? strerror(error) : "",
        .trouble = error ? run->trouble : "",
        .advice = error ? advice_for(error) : "",
        .deleted = run->deleted_acked,
        .file_bytes = stats.file_bytes,
        .files = stats.files,
        .write_failures = run->write_failures,
    };
    for (uint32_t s = EMBMON_INFO; s <= EMBMON_CRITICAL; s++)
        status->fired[s] = alerts_ever_fired(run->alerts, s);
    for (size_t i = 0; i < run->member_count; i++) {
        status->live = status->live || run->members[i]->live;
        add_posts(&status->posts, run->members[i]);
    }
    status->here = status->posts;
    for (size_t i = 0; i < run->member_count; i++)
        subtract_before(&status->here, run->members[i]);
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
    *gradient_norm = norms_last(&run->norms, layer);
    *state = alerts_layer_state(run->alerts, layer);
}

const char *run_layer_detector(const struct run *run, size_t layer)
{
    return alerts_layer_detector(run->alerts, layer);
}

size_t run_layer_norms(const struct run *run, size_t layer, size_t most, float to[NORMS_KEPT])
{
    return norms_recent(&run->norms, layer, most, to);
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

void run_alerts_firing(const struct run *run,
                       void (*each)(void *context, const struct alert_change *change,
                                    bool ever_fired),
                       void *context)
{
    alerts_each_firing(run->alerts, each, context);
}

void run_alerts_more(const struct run *run,
                     void (*each)(void *context, const struct alert_change *change, size_t count),
                     void *context)
{
    alerts_more(run->alerts, each, context);
}
