#include "daemon/alert/jsonl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/beneath.h"
#include "daemon/json.h"
#include "daemon/pending.h"

enum { WAITING_MAX = 8 << 20 };

static const char name[] = "alerts.jsonl";

struct jsonl {
    struct pending out;
    int folder;    /* owned */
    uint64_t base; /* length of the file when it was opened */
    uint64_t lost;
};

/* True when the file is not empty and does not end in a newline: its writer was killed. */
static bool is_torn(int folder)
{
    int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    char last = '\n';

    if (fd < 0)
        return false;
    if (lseek(fd, -1, SEEK_END) >= 0 && read(fd, &last, 1) != 1)
        last = '\n';
    (void)close(fd);
    return last != '\n';
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
    jsonl->base = (uint64_t)status.st_size;
    return jsonl;

fail:
    if (fd >= 0)
        (void)close(fd);
    (void)close(folder);
    return NULL;
}

void jsonl_mend(struct jsonl *jsonl)
{
    if (is_torn(jsonl->folder) && append(jsonl, "\n", 1))
        (void)pending_flush(&jsonl->out);
}

struct jsonl *jsonl_open(const char *directory)
{
    struct jsonl *jsonl = jsonl_begin(directory);

    if (jsonl)
        jsonl_mend(jsonl);
    return jsonl;
}

/* Queues what the file lacks of what was queued: a line that was torn is continued. */
static void take_up(struct carry *c, struct jsonl *jsonl, uint64_t length,
                    const struct pending *queued)
{
    int fd = openat(jsonl->folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    size_t written = 0;

    if (fd >= 0 && pending_passed(fd, length, queued->data, queued->length)) {
        written = queued->length;
        jsonl_mend(jsonl);
    } else if (fd < 0 || !pending_found(fd, length, queued->data, queued->length, &written)) {
        /* Somebody has cut or changed the file: all that was queued is news to it. */
        written = 0;
        jsonl_mend(jsonl);
    }
    if (fd >= 0)
        (void)close(fd);
    if (queued->length > written &&
        !append(jsonl, (const char *)queued->data + written, queued->length - written))
        carry_fail(c, "out of memory");
}

void jsonl_carry(struct carry *c, struct jsonl *jsonl)
{
    struct pending queued = PENDING_INIT;
    uint64_t length = jsonl->base + jsonl->out.written;

    carry_u64(c, &length);
    pending_carry(c, c->loading ? &queued : &jsonl->out);
    carry_u64(c, &jsonl->lost);
    if (c->loading && !c->problem)
        take_up(c, jsonl, length, &queued);
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

void jsonl_write(struct jsonl *jsonl, const struct alert_change *change)
{
    json_t *object = json_alert(change);
    char *line = object ? json_line(object) : NULL;
    size_t n = line ? strlen(line) : 0;

    if (line)
        line[n++] = '\n'; /* in place of its NUL: append() takes the length */
    if (!line || !append(jsonl, line, n))
        jsonl->lost++;
    free(line);
    json_decref(object);
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
    jsonl->out.written = 0;
    jsonl->folder = next->folder;
    jsonl->base = next->base;
    free(next);
    return true;
}

size_t jsonl_waiting(const struct jsonl *jsonl)
{
    return jsonl->out.length;
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
