#include "daemon/run.h"

#include <errno.h>
#include <malloc.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/learn.h"
#include "daemon/log.h"
#include "daemon/run_state.h"
#include "daemon/rundir.h"
#include "daemon/state_file.h"
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

static void on_change(void *context, const struct alert_change *change)
{
    struct run *run = context;
    struct moment now = {.ms = 0, .wall = change->time};

    log_alert(change);
    run->changes++;
    run->hurry = true; /* whoever reads the files shall not wait for news */
    jsonl_write(run->jsonl, change);
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

/* ---- opening and closing */

static void run_destroy(struct run *run)
{
    run_sync_forget(run);
    for (size_t i = 0; i < run->member_count; i++)
        member_free(run->members[i]);
    free(run->members);
    record_close(run->record);
    alerts_free(run->alerts);
    jsonl_close(run->jsonl);
    measures_free(&run->measures);
    rules_free(&run->rules);
    norms_free(&run->norms);
    baseline_free(&run->baseline);
    steps_free(run->steps);
    model_clear(&run->model);
    free(run->name);
    free(run->wanted);
    free(run->key);
    free(run);
}

static const char *folder_problem(int error)
{
    switch (error) {
    case EACCES:
    case EPERM:
        return "the run's folder cannot be written: permission denied";
    case ENOSPC:
    case EDQUOT:
        return "the run's folder cannot be made: the disk is full";
    case ENOTDIR:
    case ELOOP:
        return "a part of the run's name is not a folder below the logdir";
    default:
        return "the run's folder cannot be made";
    }
}

/* Opens the files, without a look at what is in them. */
static bool open_files(struct run *run, const char *logdir, struct moment now, const char **problem)
{
    char *directory = rundir_make(logdir, run->name);

    if (!directory) {
        *problem = folder_problem(errno);
        return false;
    }
    run->record = record_begin(directory, &run->model, now, problem);
    if (run->record && !(run->jsonl = jsonl_begin(directory)))
        *problem = "alerts.jsonl cannot be opened in the run's folder";
    free(directory);
    if (!run->record || !run->jsonl)
        return false;
    record_hold(run->record);
    return true;
}

/* A run of which nothing is known yet. */
static struct run *begin(const struct run_options *options, struct moment now, const char **problem)
{
    struct run *run = calloc(1, sizeof *run);

    *problem = "out of memory";
    if (!run)
        return NULL;
    run->name = strdup(options->name);
    run->wanted = strdup(options->wanted);
    run->key = strdup(options->key);
    run->world_size = options->world_size;
    run->every = 1;
    run->heard_ms = now.ms;
    run->listener = options->listener;
    run->listener_context = options->context;
    run->room = options->room;
    baseline_init(&run->baseline);
    run->steps = steps_new(options->world_size, RUN_BYTES_DEFAULT / 2, now);
    if (!run->name || !run->wanted || !run->key || !run->steps || !model_init(&run->model))
        goto fail;
    run_configure(run, &(struct ceilings)CEILINGS_DEFAULT, NULL);
    run->alerts = alerts_new(run->name, on_change, run);
    if (run->alerts && open_files(run, options->logdir, now, problem))
        return run;

fail:
    run_destroy(run);
    return NULL;
}

/* Without a checkpoint a run that goes on begins behind its last recorded step. */
static bool learn(struct run *run, const char **problem)
{
    if (!record_learn(run->record, problem))
        return false;
    jsonl_mend(run->jsonl);
    for (uint32_t phase = 1; phase <= STEP_PHASES; phase++)
        steps_set_closed(run->steps, phase, record_last_step(run->record, phase));
    return true;
}

/* What such a checkpoint holds is still wanted: once there is memory, or when its trainers come. */
static const char *why_not_now(const struct run_options *options, const char *why)
{
    bool others = !options->resume && strcmp(why, step_other_world) == 0;

    return others                 ? "the run of this name has another world size"
           : why == run_no_memory ? why
                                  : NULL;
}

/* The run as an earlier process left it, or of which nothing is known yet. */
static struct run *begin_or_go_on(const struct run_options *options, struct moment now,
                                  const char **problem)
{
    const char *const names[] = {STATE_FILE, STATE_DURABLE};
    struct run *run = begin(options, now, problem);
    bool there;

    for (size_t i = 0; i < sizeof names / sizeof names[0] && run; i++) {
        const char *why = run_take_up(run, names[i], now, &there);

        if (there && !why)
            return run;
        if (!there)
            continue;
        run_destroy(run);
        if ((*problem = why_not_now(options, why)))
            return NULL;
        log_warn("run %s: its checkpoint, the file %s, is of no use: %s", options->name, names[i],
                 why);
        run = begin(options, now, problem);
    }
    if (run && !learn(run, problem)) {
        run_destroy(run);
        return NULL;
    }
    if (run && run_next_step(run) > 0)
        log_warn("run %s: without a checkpoint it goes on behind its last recorded step; what was "
                 "open is lost",
                 run->name);
    return run;
}

struct run *run_open(const struct run_options *options, struct moment now, const char **problem)
{
    struct run *run = begin_or_go_on(options, now, problem);

    if (!run)
        return NULL;
    if (options->resume && run->member_count == 0)
        record_start(run->record);
    log_info("run %s: recording into %s/%s/embmon", run->name, options->logdir, run->name);
    return run;
}

void run_configure(struct run *run, const struct ceilings *ceilings, const struct rules *rules)
{
    run->byte_budget = ceilings->run_bytes;
    run->idle_ms = ceilings->idle_seconds * 1000;
    steps_set_budget(run->steps, (size_t)(ceilings->run_bytes / 2));
    rules_set_base(&run->rules, rules);
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

static bool is_live(const struct run *run)
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
    return is_live(run);
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
    /* Trainers that were killed do not say goodbye: what their last steps left is recorded now. */
    if (deserted && !is_live(run))
        run_end(run, now);
}

void run_set_thrift(struct run *run, enum thrift thrift)
{
    record_set_thrift(run->record, thrift);
}

bool run_idle(const struct run *run, struct moment now)
{
    return !is_live(run) && moment_since(now, run->heard_ms) >= run->idle_ms;
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
    losses = losses_of(run);
    record_lost(run->record, &losses, now);
    record_finish(run->record, run->alerts, now);
    run->changes++;
    run_write(run, now);
    trim(run);
}

void run_suspend(struct run *run)
{
    run->suspended = run->suspended || is_live(run);
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
