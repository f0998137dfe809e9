/* A run's files where somebody has deleted them: opened again, and said. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "daemon/log.h"
#include "daemon/run_state.h"
#include "daemon/rundir.h"

bool run_files_deleted(const struct run *run)
{
    return record_deleted(run->record) || jsonl_deleted(run->jsonl);
}

static void begin_anew(struct run *run)
{
    run_sync_forget(run);
    run->settled = false;
    run->synced = 0;
    run->kept_changes = run->changes - 1; /* there is no checkpoint */
    run->deleted_acked = run->kept_acked;
    log_error(
        "run %s: its files in %s/%s/embmon were deleted: all that was recorded before is gone "
        "with them, %" PRIu64 " posts that were acknowledged; going on in new files, which "
        "begin with step %" PRIu64,
        run->name, run->logdir, run->name, run->kept_acked, run_next_step(run));
}

int run_open_files_again(struct run *run)
{
    const char *problem = NULL;
    char *directory;
    bool fine = true;
    int error;

    if (!(directory = rundir_make(run->logdir, run->name)))
        return errno;
    errno = 0;
    if (record_deleted(run->record) && (fine = record_again(run->record, directory, &problem)))
        begin_anew(run);
    if (fine && jsonl_deleted(run->jsonl) && (fine = jsonl_again(run->jsonl, directory)))
        log_warn("run %s: its alerts.jsonl was deleted: going on in a new one", run->name);
    error = fine ? 0 : errno ? errno : EIO;
    free(directory);
    return error;
}
