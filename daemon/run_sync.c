/* From kept to durable: the checkpoint and the files it speaks of are synced to the disk by a
 * thread of their own, every half second. The checkpoint that was synced stays under a name of its
 * own: the next one is renamed over `state` before it is on the disk, and might never come to be
 * there. The first time all else is synced, too, that it stands on: the files of embmonds that were
 * killed before they had synced them, and the folders. */
#include <errno.h>
#include <unistd.h>

#include "daemon/log.h"
#include "daemon/run_state.h"
#include "daemon/state_file.h"

/* Between two. What is kept right behind one waits so long, for a tick, for the disk and for the
 * tick that sees its end, and shall be durable within a second. */
enum { SYNC_MS = 500 };

/* What was written may be lost, and so nothing more is acknowledged until it is on the disk. Where
 * syncing is not possible at all, or could not be begun, there is no more than no `durable`. */
bool run_sync_refused(const struct run *run)
{
    static const int refusals[] = {EIO, ENOSPC, EDQUOT, EROFS, ESTALE};

    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
        if (run->sync_error == refusals[i])
            return true;
    return false;
}

/* The file system knows no such thing. */
static bool cannot_sync(int error)
{
    return error == EINVAL || error == ENOSYS || error == EOPNOTSUPP;
}

static void note_error(struct run *run, int error)
{
    run->write_failures += error != 0;
    if (error && error != run->sync_error)
        run_trouble(run, "sync", "*", error, "twice a second");
    else if (!error && run->sync_error)
        log_info("run %s: syncing again", run->name);
    run->sync_error = error;
}

/* Folders above a run's: one for each part of its name, the logdir, and where that lies. */
static size_t folders_above(const struct run *run)
{
    size_t count = 3;

    for (const char *c = run->name; *c; c++)
        count += *c == '/';
    return count;
}

/* What was taken up comes first: what is written from now on must not outlive in a power failure
 * what it follows. The durable checkpoint stays as it is meanwhile. */
static void settle(struct run *run, struct moment now)
{
    run->synced_ms = now.ms;
    run->sync = syncer_start(run->syncer, NULL, 0, record_folder(run->record), folders_above(run),
                             NULL, NULL);
    if (!run->sync)
        note_error(run, errno);
    run->settling = run->sync != NULL;
}

/* Once the disk has refused to sync a file it takes what it has lost for written: all that is not
 * durable is written to it again, and the checkpoint is made anew. */
static void begin(struct run *run, struct moment now)
{
    int folder = record_folder(run->record);
    bool again = run_sync_refused(run), linked = false;
    struct sync_file files[3] = {{record_file(run->record), SYNC_NOTHING_AGAIN},
                                 {jsonl_file(run->jsonl), SYNC_NOTHING_AGAIN},
                                 {-1, SYNC_NOTHING_AGAIN}};
    int error = again ? run_write_checkpoint(run, now) : 0;

    run->synced_ms = now.ms;
    if (error) {
        note_error(run, error);
        return;
    }
    if (again) {
        files[0].again = record_durable(run->record);
        files[1].again = 0;
    }
    run->syncing_mark = record_mark(run->record);
    jsonl_sync_begins(run->jsonl);
    files[2].fd = state_file_mark(folder, &linked);
    if (files[2].fd >= 0)
        run->sync =
            syncer_start(run->syncer, files, 3, folder, run->settled ? 0 : folders_above(run),
                         linked ? STATE_MARKED : NULL, STATE_DURABLE);
    if (!run->sync)
        note_error(run, errno);
    if (files[2].fd >= 0)
        (void)close(files[2].fd);
    for (size_t i = 0; run->sync && i < run->member_count; i++)
        run->members[i]->syncing = run->members[i]->kept;
    if (run->sync) {
        run->synced = run->kept_changes;
        run->syncing_acked = run->kept_acked;
    }
}

/* Where syncing is not possible at all there is nothing to wait for. */
static void end_settling(struct run *run, int error)
{
    run->settling = run_sync_refused(run);
    run->settled = !error;
}

static void end(struct run *run, int error)
{
    run->sync = NULL;
    note_error(run, error);
    if (run->settling) {
        end_settling(run, error);
        return;
    }
    if (cannot_sync(error))
        record_synced(run->record, run->syncing_mark); /* nothing waits for what never comes */
    if (error) {
        run->synced = 0; /* it comes again */
        return;
    }
    run->settled = true;
    record_synced(run->record, run->syncing_mark);
    jsonl_synced(run->jsonl);
    run->durable_acked = run->syncing_acked;
    for (size_t i = 0; i < run->member_count; i++) {
        struct run_member *member = run->members[i];

        if (member->durable == member->syncing)
            continue;
        member->durable = member->syncing;
        if (member->live && member->events.kept)
            member->events.kept(member->events.context);
    }
}

void run_sync(struct run *run, struct syncer *syncer, struct moment now)
{
    int error;

    run->syncer = syncer;
    if (run->sync) {
        if (!syncer_done(syncer, run->sync, &error))
            return;
        end(run, error);
    }
    if (run->settling) {
        if (run->synced_ms == 0 || moment_since(now, run->synced_ms) >= SYNC_MS)
            settle(run, now);
        return;
    }
    if (!run->write_error && (run->synced != run->kept_changes || record_unsealed(run->record)) &&
        moment_since(now, run->synced_ms) >= SYNC_MS)
        begin(run, now);
}

void run_sync_forget(struct run *run)
{
    if (run->sync)
        syncer_forget(run->syncer, run->sync);
    run->sync = NULL;
}
