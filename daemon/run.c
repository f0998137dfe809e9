#include "daemon/run.h"

#include <malloc.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/learn.h"
#include "daemon/log.h"
#include "daemon/run_state.h"
#include "embmon/embmon.h"

enum {
    WISH_STEPS = 64,
    WISHES_MAX = 16, /* layers asked for at once when wishes are renewed */
    DESERTED_MS = 60 * 1000,
};

/* ---- what an alert's change sets off */

struct telling {
    struct run *run;
    struct moment now;
};

static void send_wish(struct run *run, const char *layer)
{
    run->wishing = true;
    run->wished_step = run_next_step(run);
    for (size_t i = 0; i < run->member_count; i++) {
        struct run_member *member = run->members[i];

        if (member->live && member->events.wish)
            member->events.wish(member->events.context, WISH_STEPS, layer);
    }
}

void run_on_change(void *context, const struct alert_change *change)
{
    struct run *run = context;
    struct moment now = {.ms = 0, .wall = change->time};

    alert_log_put(run->log, change, jsonl_write(run->jsonl, change), run->now_ms);
    run->changes++;
    run->hurry = true; /* whoever reads the files shall not wait for news */
    record_alert(run->record, change, alerts_fired(run->alerts), now);
    for (size_t i = 0; i < run->member_count; i++) {
        struct run_member *member = run->members[i];

        if (member->live && member->events.notice)
            member->events.notice(member->events.context, change);
    }
    if (run->listener)
        run->listener(run->listener_context, change);
    /* An info is no reason to have a healthy training post more. */
    if (change->state != EMBMON_RESOLVED && change->severity > EMBMON_INFO)
        send_wish(run, change->layer);
}

static void sum_up_alerts(struct run *run, bool force)
{
    alert_log_sum_up(run->log, run->logdir, run->name, run->now_ms, force);
}

void run_destroy(struct run *run)
{
    run_sync_forget(run);
    if (run->log)
        sum_up_alerts(run, true);
    alert_log_free(run->log);
    record_close(run->record);
    alerts_free(run->alerts);
    jsonl_close(run->jsonl);
    measures_free(&run->measures);
    rules_free(&run->rules);
    norms_free(&run->norms);
    baseline_free(&run->baseline);
    steps_free(run->steps);
    model_clear(&run->model);
    run_free_head(run);
    free(run->logdir);
    free(run);
}

/* ---- a step's way */

static void keep_loss(struct run *run, const struct step *step)
{
    if (step->scalar_count <= SCALAR_LOSS || step->scalars[SCALAR_LOSS].count == 0)
        return;
    run->loss = step_scalar(step, SCALAR_LOSS);
    run->loss_posted = true;
}

static bool measure(struct run *run, const struct step *step, int64_t only_rank)
{
    return baseline_resize(&run->baseline, run->model.layer_count, run->model.variable_count) &&
           rules_resolve(&run->rules, &run->model) &&
           measure_step(&run->measures, step, &run->model, &run->baseline, only_rank);
}

/* Asks for every step again while alerts of layers are still pending. A wish makes every step a
 * sampled one, so half of it is over after that many steps. */
static void renew_wishes(struct run *run, uint64_t step)
{
    size_t sent = 0;

    if (!run->wishing || step < run->wished_step + WISH_STEPS / 2)
        return;
    run->wishing = false;
    for (size_t i = 0; i < run->model.layer_count && sent < WISHES_MAX; i++) {
        if (alerts_pending(run->alerts, i)) {
            send_wish(run, run->model.layers[i].path);
            sent++;
        }
    }
}

static struct record_losses losses_of(const struct run *run)
{
    struct record_losses losses = {0, run->rejected};

    for (size_t i = 0; i < run->member_count; i++)
        losses.dropped += member_lost(run->members[i]);
    return losses;
}

static void close_step(struct run *run, const struct step *step, struct moment now)
{
    struct record_losses losses = losses_of(run);
    bool training = step->phase == EMBMON_TRAIN;

    run->changes++;
    run->steps_closed++;
    run->closed_ms = now.ms;
    if (!baseline_resize(&run->baseline, run->model.layer_count, run->model.variable_count))
        return;
    if (training) {
        baseline_loss(&run->baseline, step_scalar(step, SCALAR_LOSS));
        baseline_batch(&run->baseline, step_scalar(step, SCALAR_BATCH_SIZE));
        if (baseline_rate(&run->baseline, step_scalar(step, SCALAR_LEARNING_RATE))) {
            baseline_forget_levels(&run->baseline);
            alerts_new_level(run->alerts, step->number, now);
        }
        measure_weights(&run->baseline, step, &run->model);
    }
    measure_intake(&run->baseline, step, &run->model);
    if (!measure(run, step, -1))
        return;
    (void)alerts_judge(run->alerts, &run->measures, &run->baseline, &run->rules, now);
    learn_step(&run->baseline, &run->measures, run->alerts);
    measure_shapes(&run->baseline, step, &run->model);
    if (training) {
        pace_step(&run->pace, step->number, now);
        norms_add(&run->norms, &run->measures);
        keep_loss(run, step);
    }
    record_step(run->record, &run->measures, &run->baseline, &run->rules, run->alerts, &losses,
                now);
    if (training)
        renew_wishes(run, step->number);
}

void run_process(struct run *run, struct moment now, bool force)
{
    struct step *step;
    uint32_t rank;

    run->now_ms = now.ms;
    /* One rank needs no early look: its end of a step closes it. */
    while (run->world_size > 1 && (step = steps_early(run->steps, &rank))) {
        if (measure(run, step, rank))
            (void)alerts_judge_early(run->alerts, &run->measures, &run->baseline, &run->rules, now);
    }
    while ((step = steps_take(run->steps, now, force))) {
        close_step(run, step, now);
        steps_recycle(run->steps, step);
    }
}

/* ---- time passes */

bool run_is_live(const struct run *run)
{
    for (size_t i = 0; i < run->member_count; i++) {
        if (run->members[i]->live)
            return true;
    }
    return false;
}

/* True when all who are connected post to training, as far as they say. */
static bool is_training(const struct run *run)
{
    for (size_t i = 0; i < run->member_count; i++) {
        const struct run_member *member = run->members[i];

        if (member->live && !member_trains(member))
            return false;
    }
    return run_is_live(run);
}

/* A trainer that is there and posts no step: no step will close to say so. */
static void judge_silence(struct run *run, struct moment now)
{
    enum { SHORT_S = 1 };
    struct step last = {.phase = EMBMON_TRAIN, .number = run_next_step(run) - 1};
    struct measures m = {
        .step = &last,
        .model = &run->model,
        .layer_count = run->model.layer_count,
        .silence = pace_silence(&run->pace, run->every, now),
        .step_seconds = pace_step_seconds(&run->pace),
        .only_rank = -1,
    };

    if (isnan(m.silence) || m.silence < SHORT_S || !is_training(run) ||
        !rules_resolve(&run->rules, &run->model))
        return;
    for (size_t i = 0; i < run->member_count; i++) {
        if (run->members[i]->live && !rank_list_add(&last.posted, run->members[i]->rank))
            break; /* a rank that is not named is better than no alert */
    }
    (void)alerts_judge_time(run->alerts, &m, &run->baseline, &run->rules, now);
    free(last.posted.ranks);
}

void run_tick(struct run *run, struct moment now)
{
    bool deserted = !run->ended && moment_since(now, run->heard_ms) >= DESERTED_MS;

    for (size_t i = 0; i < run->member_count; i++) {
        struct run_member *member = run->members[i];

        /* Who is not read from cannot be heard. */
        if (member->live && run_member_paused(member))
            run_heartbeat(member, NULL, now);
        if (moment_since(now, member->heard_ms) >= DESERTED_MS)
            run_give_up(member);
    }
    run_process(run, now, false);
    judge_silence(run, now);
    sum_up_alerts(run, false);
    /* Trainers that were killed do not say goodbye: what their last steps left is recorded now. */
    if (deserted && !run_is_live(run))
        run_end(run, now);
}

void run_set_thrift(struct run *run, enum thrift thrift)
{
    record_set_thrift(run->record, thrift);
}

bool run_idle(const struct run *run, struct moment now)
{
    return !run_is_live(run) && moment_since(now, run->heard_ms) >= run->idle_ms;
}

/* An ended run stays loaded for an hour, in case somebody goes on with it: small. */
static void trim(struct run *run)
{
    steps_trim(run->steps);
    measures_free(&run->measures);
    record_trim(run->record);
    jsonl_trim(run->jsonl);
    (void)malloc_trim(0); /* what was freed lies between what other runs hold */
}

void run_end(struct run *run, struct moment now)
{
    struct record_losses losses;

    if (run->suspended)
        return;
    run->ended = true;
    for (size_t i = 0; i < run->member_count; i++)
        run_give_up(run->members[i]);
    run_process(run, now, true);
    run->pace = (struct pace){0};
    for (uint32_t phase = 1; phase <= STEP_PHASES; phase++) {
        int64_t last = steps_closed(run->steps, phase);

        alerts_close(run->alerts, phase, last > 0 ? (uint64_t)last : 0, now);
    }
    sum_up_alerts(run, true);
    losses = losses_of(run);
    record_lost(run->record, &losses, now);
    record_finish(run->record, run->alerts, now);
    run->changes++;
    run_write(run, now);
    trim(run);
}

void run_suspend(struct run *run)
{
    run->suspended = run->suspended || run_is_live(run);
}

void run_close(struct run *run, struct moment now)
{
    if (!run)
        return;
    run_end(run, now);
    if (run->suspended) {
        record_windows(run->record, now); /* who looks at the files meanwhile sees all steps */
        run_write(run, now);
    }
    run_destroy(run);
}
