#include "daemon/alert/jsonl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/beneath.h"
#include "daemon/json.h"
#include "daemon/log.h"
#include "daemon/pending.h"
#include "proto/crc32c.h"

enum { WAITING_MAX = 8 << 20 };

static const char name[] = "alerts.jsonl";

struct jsonl {
    struct pending out;
    int folder; /* owned */
    uint64_t lost;
    bool lenient; /* a file that is not as it was left is taken as it is */
    bool told;    /* that it is full */
};

const char jsonl_changed[] = "alerts.jsonl is not as it was left";

static int open_to_read(const struct jsonl *jsonl)
{
    return openat(jsonl->folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
}

/* Where the last whole line ends: what follows was torn when its writer was killed. A power failure
 * leaves zeros, too, behind which nothing was known to be on the disk. */
static uint64_t whole_lines(int fd)
{
    uint64_t at = 0, whole = 0;
    char chunk[16 << 10];
    ssize_t n;

    while ((n = pread(fd, chunk, sizeof chunk, (off_t)at)) > 0) {
        for (ssize_t i = 0; i < n; i++) {
            if (chunk[i] == '\0')
                return whole;
            if (chunk[i] == '\n')
                whole = at + (uint64_t)i + 1;
        }
        at += (uint64_t)n;
    }
    return n < 0 ? at : whole;
}

/* Cuts the file there, and goes on behind it; what was before is known to be on the disk, or given
 * up, from `unsynced` on. */
static void go_on_at(struct jsonl *jsonl, uint64_t end, struct pending_sum unsynced)
{
    struct stat status;

    if (fstat(jsonl->out.fd, &status) == 0 && (uint64_t)status.st_size > end)
        (void)!ftruncate(jsonl->out.fd, (off_t)end);
    jsonl->out.written = end;
    jsonl->out.unsynced = jsonl->out.syncing = unsynced;
}

static bool append(struct jsonl *jsonl, const char *bytes, size_t n)
{
    uint8_t *to;

    if (jsonl->out.length > WAITING_MAX || !(to = pending_reserve(&jsonl->out, n)))
        return false;
    memcpy(to, bytes, n);
    pending_commit(&jsonl->out, n);
    return true;
}

struct jsonl *jsonl_begin(const char *directory)
{
    struct jsonl *jsonl = NULL;
    int folder = beneath_root(directory), fd = -1;
    struct stat status;

    if (folder < 0)
        return NULL;
    /* Not blocking: no reader is waited for where somebody left a FIFO of this name. */
    fd = openat(folder, name, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC,
                0640);
    if (fd < 0 || fstat(fd, &status) < 0)
        goto fail;
    jsonl = calloc(1, sizeof *jsonl);
    if (!jsonl)
        goto fail;
    jsonl->out = (struct pending)PENDING_INIT;
    jsonl->out.fd = fd;
    jsonl->folder = folder;
    jsonl->out.written = (uint64_t)status.st_size;
    jsonl->out.unsynced.from = jsonl->out.syncing.from = jsonl->out.written;
    return jsonl;

fail:
    if (fd >= 0)
        (void)close(fd);
    (void)close(folder);
    return NULL;
}

void jsonl_mend(struct jsonl *jsonl)
{
    int fd = open_to_read(jsonl);
    uint64_t whole = fd >= 0 ? whole_lines(fd) : jsonl->out.written;

    if (fd >= 0)
        (void)close(fd);
    go_on_at(jsonl, whole, (struct pending_sum){whole, 0});
}

void jsonl_forgive(struct jsonl *jsonl)
{
    jsonl->lenient = true;
}

struct jsonl *jsonl_open(const char *directory)
{
    struct jsonl *jsonl = jsonl_begin(directory);

    if (jsonl)
        jsonl_mend(jsonl);
    return jsonl;
}

/* Cuts off what the checkpoint does not know, and queues what the file lacks of what it does: a
 * line that was torn is continued. */
static void take_up(struct carry *c, struct jsonl *jsonl, const struct pending_place *place,
                    const struct pending *queued)
{
    struct pending_sum unsynced = place->unsynced;
    size_t written = 0;
    int fd = open_to_read(jsonl);

    if (fd >= 0 && pending_is_there(fd, place) &&
        pending_found(fd, place->length, queued->data, queued->length, &written)) {
        unsynced.crc = crc32c(unsynced.crc, queued->data, written);
        go_on_at(jsonl, place->length + written, unsynced);
    } else if (jsonl->lenient) {
        written = 0;
        jsonl_mend(jsonl);
    } else {
        carry_fail(c, jsonl_changed);
    }
    if (fd >= 0)
        (void)close(fd);
    if (!c->problem && queued->length > written &&
        !append(jsonl, (const char *)queued->data + written, queued->length - written))
        carry_fail(c, "out of memory");
}

void jsonl_carry(struct carry *c, struct jsonl *jsonl)
{
    struct pending queued = PENDING_INIT;
    struct pending_place place = {0};

    pending_carry_place(c, &jsonl->out, &place);
    pending_carry(c, c->loading ? &queued : &jsonl->out);
    carry_u64(c, &jsonl->lost);
    if (c->loading && !c->problem)
        take_up(c, jsonl, &place, &queued);
    (void)pending_close(&queued);
}

void jsonl_close(struct jsonl *jsonl)
{
    if (!jsonl)
        return;
    (void)pending_flush(&jsonl->out);
    (void)pending_close(&jsonl->out);
    (void)close(jsonl->folder);
    free(jsonl);
}

/* The file takes no line of n bytes any more: said once. */
static bool is_full(struct jsonl *jsonl, size_t n, const char *run)
{
    if (jsonl->out.written + jsonl->out.length + n <= JSONL_FILE_MAX)
        return false;
    if (!jsonl->told)
        log_warn(
            "run %s: its alerts.jsonl is 64 MiB long, and is not continued; delete it for a new "
            "one",
            run);
    jsonl->told = true;
    return true;
}

bool jsonl_write(struct jsonl *jsonl, const struct alert_change *change)
{
    json_t *object = json_alert(change);
    char *line = object ? json_line(object) : NULL;
    size_t n = line ? strlen(line) : 0;

    bool queued;

    if (line)
        line[n++] = '\n'; /* in place of its NUL: append() takes the length */
    queued = line && !is_full(jsonl, n, change->run) && append(jsonl, line, n);
    jsonl->lost += !queued;
    free(line);
    json_decref(object);
    return queued;
}

bool jsonl_deleted(const struct jsonl *jsonl)
{
    struct stat status;

    return fstat(jsonl->out.fd, &status) == 0 && status.st_nlink == 0;
}

bool jsonl_again(struct jsonl *jsonl, const char *directory)
{
    struct jsonl *next = jsonl_deleted(jsonl) ? jsonl_begin(directory) : NULL;

    if (!next)
        return !jsonl_deleted(jsonl);
    (void)close(jsonl->out.fd);
    (void)close(jsonl->folder);
    jsonl->out.fd = next->out.fd;
    jsonl->out.written = next->out.written;
    jsonl->out.unsynced = jsonl->out.syncing = next->out.unsynced;
    jsonl->folder = next->folder;
    jsonl->told = false;
    free(next);
    return true;
}

size_t jsonl_waiting(const struct jsonl *jsonl)
{
    return jsonl->out.length;
}

void jsonl_sync_begins(struct jsonl *jsonl)
{
    pending_sync_begins(&jsonl->out);
}

void jsonl_synced(struct jsonl *jsonl)
{
    pending_synced(&jsonl->out);
}

int jsonl_file(const struct jsonl *jsonl)
{
    return jsonl->out.fd;
}

int jsonl_error(const struct jsonl *jsonl)
{
    return jsonl->out.error;
}

bool jsonl_flush(struct jsonl *jsonl)
{
    return pending_flush(&jsonl->out);
}

void jsonl_trim(struct jsonl *jsonl)
{
    pending_trim(&jsonl->out);
}

uint64_t jsonl_lost(const struct jsonl *jsonl)
{
    return jsonl->lost;
}
