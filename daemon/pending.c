#include "daemon/pending.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
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
