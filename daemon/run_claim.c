#include "daemon/run_claim.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/checkpoint.h"
#include "daemon/run_state.h"
#include "daemon/rundir.h"
#include "daemon/state_file.h"
#include "daemon/tensorboard/folder.h"

enum {
    HEAD_BYTES = 512 << 10, /* more than the names and all members take */
    QUIET_S = 60,           /* a run is joined while it was heard so lately */
    RESTART_S = 600,        /* or while its trainers may not have found the next embmond yet */
};

/* What the beginning of a checkpoint says; age: seconds since its run was heard. */
static enum run_claim claim_of(const char *name, const uint8_t *data, size_t n, double age,
                               const struct msg_hello *hello, struct moment now)
{
    struct run run = {.name = strdup(name)};
    struct msg_hello other = *hello;
    enum run_claim claim = CLAIM_OTHERS;
    struct carry c;

    other.resume = false; /* whoever resumes takes over ranks of the run it names, and no other */
    if (!run.name || !checkpoint_peek(&c, data, n))
        goto done;
    run_carry_head(&c, &run, now);
    if (c.problem)
        goto done;
    if (run_knows(&run, hello))
        claim = CLAIM_SESSION;
    else if (!run.ended && age < (run.awaited ? RESTART_S : QUIET_S) &&
             run_admits(&run, &other, now))
        claim = CLAIM_LAUNCH;

done:
    run_free_head(&run);
    return claim;
}

/* By one of the two checkpoints, where it is new enough to tell. */
static enum run_claim claim_by(int folder, const char *file, const char *name,
                               const struct msg_hello *hello, struct moment now)
{
    enum run_claim claim = CLAIM_OTHERS;
    struct stat status;
    uint8_t *data;
    double wall;
    size_t n;

    if (fstatat(folder, file, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
        fabs(now.wall - (double)status.st_mtime) >= RESTART_S ||
        state_file_peek(folder, file, HEAD_BYTES, &data, &n, &wall) != 0)
        return CLAIM_OTHERS;
    claim = claim_of(name, data, n, fabs(now.wall - wall), hello, now);
    free(data);
    return claim;
}

/* Nothing was recorded: who made it was killed before it could tell anybody. */
static bool is_vacant(int folder)
{
    static const char alerts[] = "alerts.jsonl";
    struct stat status;

    return fstatat(folder, STATE_FILE, &status, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT &&
           fstatat(folder, STATE_DURABLE, &status, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT &&
           (fstatat(folder, alerts, &status, AT_SYMLINK_NOFOLLOW) < 0
                ? errno == ENOENT
                : S_ISREG(status.st_mode) && status.st_size == 0) &&
           folder_vacant(folder);
}

/* Somebody else writes there. */
static bool is_locked(int folder)
{
    return flock(folder, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

enum run_claim run_claim(const char *logdir, const char *name, const struct msg_hello *hello,
                         struct moment now)
{
    enum run_claim claim = CLAIM_OTHERS;
    int folder = rundir_open(logdir, name);

    if (folder < 0)
        return errno == ENOENT ? CLAIM_FREE : CLAIM_OTHERS;
    if (is_locked(folder))
        claim = CLAIM_OTHERS;
    else if (is_vacant(folder))
        claim = CLAIM_FREE;
    else if (!(claim = claim_by(folder, STATE_FILE, name, hello, now)))
        claim = claim_by(folder, STATE_DURABLE, name, hello, now);
    (void)close(folder); /* and the lock goes with it */
    return claim;
}
