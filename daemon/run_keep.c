/* What a run keeps: the checkpoint first, then what was queued for its files. A post counts as kept
 * once it is in a checkpoint; whatever the files still lack when embmond is killed is in there,
 * too, and is written by the next one. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/advice.h"
#include "daemon/checkpoint.h"
#include "daemon/log.h"
#include "daemon/run_state.h"
#include "daemon/state_file.h"

enum {
    KEEP_MS = 1000,        /* between two checkpoints */
    KEEP_SOON_MS = 100,    /* where somebody waits for the next */
    WRITE_RETRY_MS = 1000, /* after a failure */
    QUEUE_MAX = 16 << 20,  /* bytes queued that cannot wait at all: more would soon be dropped */
    SHOW_MS = 10 * 1000,   /* that somebody is connected, where nothing else is to be kept */
};

static size_t waiting(const struct run *run)
{
    return record_waiting(run->record) + jsonl_waiting(run->jsonl);
}

static uint64_t events(const struct run *run)
{
    struct event_file_stats stats;

    record_stats(run->record, &stats);
    return stats.events;
}

static bool is_news(const struct run *run)
{
    return run->changes != run->kept_changes || events(run) != run->kept_events;
}

static bool is_soon(const struct run *run)
{
    return run->hurry || waiting(run) >= EVENT_FILE_FULL;
}

static bool is_due(const struct run *run, struct moment now)
{
    if (run->write_error)
        return now.ms >= run->retry_ms;
    return run->kept_ms == 0 || waiting(run) >= QUEUE_MAX ||
           moment_since(now, run->kept_ms) >= (is_soon(run) ? KEEP_SOON_MS : KEEP_MS);
}

/* How old the checkpoint is says to the next process how long its trainers were not heard. */
static void show_life(struct run *run, struct moment now)
{
    run->shown_ms = now.ms;
    state_file_touch(record_folder(run->record), now.wall);
}

/* Returns 0 or an errno. */
int run_write_checkpoint(struct run *run, struct moment now)
{
    struct iovec parts[CARRY_PARTS_MAX];
    struct carry c;
    int error = ENOMEM; /* or it is too large: what the ceilings of a run do not allow */

    checkpoint_begin(&c);
    carry_borrow(&c); /* what is queued for the files is most of it */
    run_carry(&c, run, now);
    checkpoint_seal(&c);
    if (!c.problem)
        error = state_file_write(record_folder(run->record), parts, carry_parts(&c, parts));
    carry_free(&c);
    if (!error)
        show_life(run, now);
    return error;
}

static void tell_members(struct run *run)
{
    for (size_t i = 0; i < run->member_count; i++) {
        struct run_member *member = run->members[i];

        if (member->kept == member->taken)
            continue;
        member->kept = member->taken;
        if (member->live && member->events.kept)
            member->events.kept(member->events.context);
    }
}

static int keep(struct run *run, struct moment now)
{
    int error = is_news(run) ? run_write_checkpoint(run, now) : 0;

    if (error)
        return error;
    run->kept_changes = run->changes;
    run->kept_events = events(run);
    run->kept_acked = run->acked;
    tell_members(run);
    return 0;
}

static int write_files(struct run *run, const char **name)
{
    struct event_file_stats stats;

    (void)record_flush(run->record);
    (void)jsonl_flush(run->jsonl);
    record_stats(run->record, &stats);
    *name = stats.error ? stats.name : "alerts.jsonl";
    return stats.error ? stats.error : jsonl_error(run->jsonl);
}

static void note_error(struct run *run, int error, const char *name)
{
    run->write_failures += error != 0;
    if (error == run->write_error)
        return;
    run->write_error = error;
    if (error)
        run_trouble(run, "write", name, error, "every second");
    else
        log_info("run %s: writing again", run->name);
}

void run_trouble(struct run *run, const char *what, const char *name, int error, const char *often)
{
    (void)snprintf(run->trouble, sizeof run->trouble, "cannot %s %s/%s/embmon/%s: %s", what,
                   run->logdir, run->name, name, strerror(error));
    log_error("run %s: %s; trying again %s: %s", run->name, run->trouble, often, advice_for(error));
}

void run_write(struct run *run, struct moment now)
{
    const char *name = "state";
    int error;

    run->retry_ms = now.ms + WRITE_RETRY_MS;
    run->kept_ms = now.ms ? now.ms : 1;
    run->hurry = false;
    error = run_files_deleted(run) ? run_open_files_again(run) : 0;
    if (!error)
        error = keep(run, now);
    if (!error)
        error = write_files(run, &name);
    note_error(run, error, name);
}

void run_flush(struct run *run, struct moment now)
{
    if (!run->settling && !run_sync_refused(run) && is_due(run, now) &&
        (is_news(run) || waiting(run) > 0))
        run_write(run, now);
    if (moment_since(now, run->shown_ms) >= SHOW_MS && run_is_live(run))
        show_life(run, now);
}

void run_keep(struct run *run, struct moment now)
{
    if (!run_sync_refused(run) && is_news(run) && (!run->write_error || now.ms >= run->retry_ms))
        run_write(run, now);
}

void run_keep_begun(struct run *run, struct moment now)
{
    if (run->begun)
        return;
    run->begun = true;
    run_write(run, now);
    run->kept_ms = 0; /* what its first member declares now is kept with the next tick */
    run->changes++;
}

void run_relieve_files(struct run *run, struct moment now)
{
    if (is_soon(run))
        run_flush(run, now);
}

/* ---- taking it up again */

const char run_no_memory[] = "out of memory";

/* NULL, or a sentence on what is wrong with it. */
static const char *load(struct run *run, const uint8_t *data, size_t n, struct moment now)
{
    struct carry c;

    if (checkpoint_open(&c, data, n)) {
        run_carry(&c, run, now);
        checkpoint_end(&c);
    }
    return c.problem;
}

const char *run_take_up(struct run *run, const char *name, struct moment now, bool *found)
{
    const char *problem;
    uint8_t *data;
    size_t n;
    int error = state_file_read(record_folder(run->record), name, CHECKPOINT_BYTES_MAX, &data, &n);

    *found = error != ENOENT;
    if (error)
        return error == ENOMEM ? run_no_memory : *found ? strerror(error) : NULL;
    problem = load(run, data, n, now);
    free(data);
    return problem && strcmp(problem, run_no_memory) == 0 ? run_no_memory : problem;
}
