/* A run's beginning: its folder, what an earlier process has kept of it, and then its files. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/log.h"
#include "daemon/run_state.h"
#include "daemon/rundir.h"
#include "daemon/state_file.h"
#include "embmon/embmon.h"

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

/* Opens the folder, without a look at what is in it. */
static bool open_folder(struct run *run, struct moment now, const char **problem)
{
    char *directory = rundir_make(run->logdir, run->name);

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
    record_limit(run->record, run->file_bytes);
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
    run->logdir = strdup(options->logdir);
    run->world_size = options->world_size;
    run->every = 1;
    run->heard_ms = run->now_ms = now.ms;
    run->listener = options->listener;
    run->listener_context = options->context;
    run->room = options->room;
    baseline_init(&run->baseline);
    run->steps = steps_new(options->world_size, RUN_BYTES_DEFAULT / 2, now);
    run->log = alert_log_new();
    if (!run->log || !run->name || !run->wanted || !run->key || !run->logdir || !run->steps ||
        !model_init(&run->model))
        goto fail;
    run_configure(run, &(struct ceilings)CEILINGS_DEFAULT, NULL);
    run->alerts = alerts_new(run->name, run_on_change, run);
    if (run->alerts && options->usage)
        alerts_share(run->alerts, &options->usage->alerts, &options->usage->all_alerts);
    if (run->alerts && open_folder(run, now, problem))
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

/* What may be tried to go on from, in this order. */
static const struct {
    const char *name;
    bool lenient; /* somebody has cut alerts.jsonl, or removed it: better that than all */
} kept[] = {{STATE_FILE, false}, {STATE_DURABLE, false}, {STATE_FILE, true}, {STATE_DURABLE, true}};

enum { FILES = 2, TRIES = sizeof kept / sizeof kept[0] };

static void note_use(const struct run *run, size_t taken, const char *const why[TRIES])
{
    size_t useless = taken == TRIES ? FILES : taken % FILES;

    for (size_t i = 0; i < useless; i++) {
        if (why[i])
            log_warn("run %s: its checkpoint, the file %s, is of no use: %s", run->name,
                     kept[i].name, why[i]);
    }
    if (taken >= FILES && taken < TRIES)
        log_warn("run %s: somebody has changed alerts.jsonl: it goes on behind what is whole in it",
                 run->name);
}

/* The run as an earlier process left it, or of which nothing is known yet. */
static struct run *begin_or_go_on(const struct run_options *options, struct moment now,
                                  const char **problem)
{
    struct run *run = begin(options, now, problem);
    const char *why[TRIES] = {NULL};
    bool there;

    for (size_t i = 0; i < TRIES && run; i++) {
        if (kept[i].lenient && why[i % FILES] != jsonl_changed)
            continue;
        if (kept[i].lenient)
            jsonl_forgive(run->jsonl);
        why[i] = run_take_up(run, kept[i].name, now, &there);
        if (there && !why[i]) {
            note_use(run, i, why);
            run->begun = run->settling = true;
            return run;
        }
        if (!there)
            continue;
        run_destroy(run);
        if ((*problem = why_not_now(options, why[i])))
            return NULL;
        run = begin(options, now, problem);
    }
    if (run)
        note_use(run, TRIES, why);
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
    if (!record_create(run->record, problem)) {
        run_destroy(run);
        return NULL;
    }
    if (options->resume && run->member_count == 0)
        record_start(run->record);
    log_info("run %s: recording into %s/%s/embmon", run->name, options->logdir, run->name);
    return run;
}

void run_configure(struct run *run, const struct ceilings *ceilings, const struct rules *rules)
{
    run->byte_budget = ceilings->run_bytes;
    run->idle_ms = ceilings->idle_seconds * 1000;
    run->file_bytes = ceilings->file_bytes;
    steps_set_budget(run->steps, (size_t)(ceilings->run_bytes / 2));
    rules_set_base(&run->rules, rules);
    if (run->alerts)
        alerts_limit(run->alerts, ceilings->alerts, ceilings->all_alerts);
    if (run->record)
        record_limit(run->record, run->file_bytes);
}
