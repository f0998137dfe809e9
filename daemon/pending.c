#include "daemon/pending.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    FIRST_CAPACITY = 64 << 10,
    KEPT_CAPACITY = 1 << 20, /* an emptied queue above this gives its memory back */
};

uint8_t *pending_reserve(struct pending *p, size_t n)
{
    size_t capacity = p->capacity ? p->capacity : FIRST_CAPACITY;
    uint8_t *data;

    if (p->data && n <= p->capacity - p->length)
        return p->data + p->length;
    if (n > SIZE_MAX / 4 || p->length > SIZE_MAX / 4)
        return NULL;
    while (n > capacity - p->length)
        capacity *= 2;
    data = realloc(p->data, capacity);
    if (!data)
        return NULL;
    p->data = data;
    p->capacity = capacity;
    return data + p->length;
}

void pending_commit(struct pending *p, size_t n)
{
    p->length += n;
}

static void drop_memory(struct pending *p)
{
    free(p->data);
    p->data = NULL;
    p->length = 0;
    p->capacity = 0;
}

bool pending_flush(struct pending *p)
{
    size_t done = 0;

    p->error = 0;
    while (done < p->length) {
        ssize_t n = write(p->fd, p->data + done, p->length - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            p->error = n < 0 ? errno : ENOSPC;
            break;
        }
        done += (size_t)n;
    }
    if (done > 0)
        memmove(p->data, p->data + done, p->length - done);
    p->length -= done;
    p->written += done;
    if (p->length == 0 && p->capacity > KEPT_CAPACITY)
        drop_memory(p);
    return p->length == 0;
}

void pending_trim(struct pending *p)
{
    if (p->length == 0)
        drop_memory(p);
}

size_t pending_close(struct pending *p)
{
    size_t lost = p->length;

    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
    drop_memory(p);
    return lost;
}

void pending_carry(struct carry *c, struct pending *p)
{
    size_t n = carry_count(c, p->length, SIZE_MAX / 4);
    uint8_t *to = c->loading ? pending_reserve(p, n) : p->data;

    if (n > 0 && !to)
        carry_fail(c, "out of memory");
    else
        carry_bytes(c, to, n);
    if (c->loading && !c->problem)
        pending_commit(p, n);
}

bool pending_read(int fd, uint64_t offset, uint8_t *to, size_t n)
{
    while (n > 0) {
        ssize_t got = pread(fd, to, n, (off_t)offset);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        to += got;
        n -= (size_t)got;
        offset += (uint64_t)got;
    }
    return true;
}

/* What lies in the file from `at` on is the beginning of these bytes. */
static bool is_there(int fd, uint64_t at, const uint8_t *bytes, size_t n)
{
    uint8_t chunk[16 << 10];

    for (size_t done = 0, some; done < n; done += some) {
        some = n - done < sizeof chunk ? n - done : sizeof chunk;
        if (!pending_read(fd, at + done, chunk, some) || memcmp(chunk, bytes + done, some) != 0)
            return false;
    }
    return true;
}

bool pending_found(int fd, uint64_t length, const uint8_t *queued, size_t n, size_t *found)
{
    struct stat status;
    uint64_t size;

    if (fstat(fd, &status) < 0)
        return false;
    size = (uint64_t)status.st_size;
    if (size < length || size - length > n)
        return false;
    *found = (size_t)(size - length);
    return is_there(fd, length, queued, *found);
}

bool pending_passed(int fd, uint64_t length, const uint8_t *queued, size_t n)
{
    struct stat status;

    return fstat(fd, &status) == 0 && (uint64_t)status.st_size > length + n &&
           is_there(fd, length, queued, n);
}
