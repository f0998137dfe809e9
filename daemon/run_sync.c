/* From kept to durable: the checkpoint and the files it speaks of are synced to the disk by a
 * thread of their own, every half second. The checkpoint that was synced stays under a name of its
 * own: the next one is renamed over `state` before it is on the disk, and might never come to be
 * there. The first time all else is synced, too, that it stands on: the files of embmonds that were
 * killed before they had synced them, and the folders. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "daemon/log.h"
#include "daemon/run_state.h"
#include "daemon/state_file.h"

/* Between two. What is kept right behind one waits so long, for a tick, for the disk and for the
 * tick that sees its end, and shall be durable within a second. */
enum { SYNC_MS = 500 };

static void note_error(struct run *run, int error)
{
    run->write_failures += error != 0;
    if (error && error != run->sync_error)
        log_error("run %s: cannot sync its files: %s; trying again every second", run->name,
                  strerror(error));
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

static void begin(struct run *run, struct moment now)
{
    int folder = record_folder(run->record), fds[3];
    bool linked = false;

    run->synced_ms = now.ms;
    fds[0] = record_file(run->record);
    fds[1] = jsonl_file(run->jsonl);
    fds[2] = state_file_mark(folder, &linked);
    if (fds[2] >= 0)
        run->sync = syncer_start(run->syncer, fds, 3, folder, run->settled ? 0 : folders_above(run),
                                 linked ? STATE_MARKED : NULL, STATE_DURABLE);
    if (!run->sync)
        note_error(run, errno);
    if (fds[2] >= 0)
        (void)close(fds[2]);
    for (size_t i = 0; run->sync && i < run->member_count; i++)
        run->members[i]->syncing = run->members[i]->kept;
    if (run->sync) {
        run->synced = run->kept_changes;
        run->syncing_acked = run->kept_acked;
    }
}

static void end(struct run *run, int error)
{
    run->sync = NULL;
    note_error(run, error);
    if (error) {
        run->synced = 0; /* it comes again */
        return;
    }
    run->settled = true;
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
    if (!run->write_error && run->synced != run->kept_changes &&
        moment_since(now, run->synced_ms) >= SYNC_MS)
        begin(run, now);
}

void run_sync_forget(struct run *run)
{
    if (run->sync)
        syncer_forget(run->syncer, run->sync);
    run->sync = NULL;
}
