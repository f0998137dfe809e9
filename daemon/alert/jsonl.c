#include "daemon/alert/jsonl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/beneath.h"
#include "daemon/json.h"
#include "daemon/pending.h"

enum { WAITING_MAX = 8 << 20 };

struct jsonl {
    struct pending out;
    uint64_t lost;
};

/* True when the file is not empty and does not end in a newline: its writer was killed. */
static bool is_torn(int directory, const char *name)
{
    int fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
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

struct jsonl *jsonl_open(const char *directory)
{
    static const char name[] = "alerts.jsonl";
    struct jsonl *jsonl = NULL;
    int folder = beneath_root(directory), fd = -1;
    bool torn;

    if (folder < 0)
        return NULL;
    torn = is_torn(folder, name);
    /* Not blocking: no reader is waited for where somebody left a FIFO of this name. */
    fd = openat(folder, name, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC,
                0640);
    if (fd < 0)
        goto fail;
    jsonl = calloc(1, sizeof *jsonl);
    if (!jsonl)
        goto fail;
    jsonl->out = (struct pending)PENDING_INIT;
    jsonl->out.fd = fd;
    if (torn && append(jsonl, "\n", 1))
        (void)pending_flush(&jsonl->out);
    (void)close(folder);
    return jsonl;

fail:
    if (fd >= 0)
        (void)close(fd);
    (void)close(folder);
    return NULL;
}

void jsonl_close(struct jsonl *jsonl)
{
    if (!jsonl)
        return;
    (void)pending_flush(&jsonl->out);
    (void)pending_close(&jsonl->out);
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
    (void)pending_flush(&jsonl->out);
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
