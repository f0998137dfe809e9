#include "daemon/pending.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/crc32c.h"

enum {
    FIRST_CAPACITY = 64 << 10,
    LARGE_PAGE = 2 << 20,      /* of most processors */
    BURST_CAPACITY = 32 << 20, /* of addresses */
    KEPT_CAPACITY = 1 << 20,   /* an emptied queue above this gives its memory back */
};

/* A burst touches pages that are new to the process: as small ones, each with a fault of its own,
 * they take longer than all that is done with what they hold. Where the system has large ones, a
 * queue of that length asks for them, and for room for the longest burst: what is not touched is
 * not there, and nothing is copied from then on. */
static uint8_t *grown(struct pending *p, size_t *capacity)
{
    uint8_t *data;

    if (*capacity < LARGE_PAGE)
        return realloc(p->data, *capacity);
    if (*capacity < BURST_CAPACITY)
        *capacity = BURST_CAPACITY;
    data = aligned_alloc(LARGE_PAGE, *capacity);
    if (!data)
        return NULL;
    (void)madvise(data, *capacity, MADV_HUGEPAGE);
    if (p->length > 0)
        memcpy(data, p->data, p->length);
    free(p->data);
    return data;
}

uint8_t *pending_reserve(struct pending *p, size_t n)
{
    size_t capacity = p->capacity ? p->capacity : p->expected ? p->expected : FIRST_CAPACITY;
    uint8_t *data;

    if (p->data && n <= p->capacity - p->length)
        return p->data + p->length;
    if (n > SIZE_MAX / 4 || p->length > SIZE_MAX / 4)
        return NULL;
    while (n > capacity - p->length)
        capacity *= 2;
    data = grown(p, &capacity);
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

void pending_put_before(struct pending *p, const struct pending *head)
{
    if (head->length == 0)
        return;
    if (p->length > 0)
        memmove(p->data + head->length, p->data, p->length);
    memcpy(p->data, head->data, head->length);
    p->length += head->length;
    p->summed = (struct pending_part){0};
}

static void drop_memory(struct pending *p)
{
    free(p->data);
    p->data = NULL;
    p->length = 0;
    p->capacity = 0;
    p->summed = (struct pending_part){0};
}

/* The next burst has its room at once; when none came, it is as if there had been none. */
static void give_back(struct pending *p, bool burst)
{
    p->expected = burst ? p->capacity : 0;
    drop_memory(p);
    if (!burst)
        (void)pending_reserve(p, 1);
}

/* Of all that is queued: what has been looked at for the checkpoint is not for the file. */
static uint32_t sum_of_queue(struct pending *p)
{
    struct pending_part *part = &p->summed;

    part->crc = crc32c(part->crc, p->data + part->length, p->length - part->length);
    part->length = p->length;
    return part->crc;
}

static void sum_up(struct pending *p, uint32_t crc, size_t n)
{
    uint32_t before = p->syncing.crc;

    p->syncing.crc = crc32c_join(before, crc, n);
    p->unsynced.crc =
        p->unsynced.crc == before ? p->syncing.crc : crc32c_join(p->unsynced.crc, crc, n);
}

bool pending_flush(struct pending *p)
{
    size_t done = 0;

    p->error = 0;
    while (done < p->length) {
        size_t rest = p->length - done;
        ssize_t n = write(p->fd, p->data + done, rest);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            p->error = n < 0 ? errno : ENOSPC;
            break;
        }
        sum_up(p, (size_t)n == p->length ? sum_of_queue(p) : crc32c(0, p->data + done, (size_t)n),
               (size_t)n);
        done += (size_t)n;
    }
    if (done > 0) {
        memmove(p->data, p->data + done, p->length - done);
        p->length -= done;
        p->written += done;
        p->summed = (struct pending_part){0};
    }
    if (p->length == 0 && p->capacity > KEPT_CAPACITY)
        give_back(p, done > KEPT_CAPACITY);
    return p->length == 0;
}

void pending_trim(struct pending *p)
{
    if (p->length > 0)
        return;
    drop_memory(p);
    p->expected = 0;
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

void pending_sync_begins(struct pending *p)
{
    p->syncing = (struct pending_sum){p->written, 0};
}

void pending_synced(struct pending *p)
{
    p->unsynced = p->syncing;
}

void pending_carry(struct carry *c, struct pending *p)
{
    size_t n = carry_count(c, p->length, SIZE_MAX / 4);
    uint8_t *to = c->loading ? pending_reserve(p, n) : p->data;

    if (n > 0 && !to)
        carry_fail(c, "out of memory");
    else if (c->loading)
        carry_bytes(c, to, n);
    else if (n > 0)
        carry_lend(c, p->data, n, sum_of_queue(p));
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

void pending_carry_place(struct carry *c, const struct pending *p, struct pending_place *place)
{
    if (!c->loading)
        *place = (struct pending_place){p->written, p->unsynced};
    carry_u64(c, &place->length);
    carry_u64(c, &place->unsynced.from);
    carry_u32(c, &place->unsynced.crc, UINT32_MAX);
}

bool pending_is_there(int fd, const struct pending_place *place)
{
    uint8_t chunk[16 << 10];
    uint64_t at = place->unsynced.from;
    uint32_t crc = 0;

    if (at > place->length)
        return false;
    for (size_t some; at < place->length; at += some) {
        some = place->length - at < sizeof chunk ? (size_t)(place->length - at) : sizeof chunk;
        if (!pending_read(fd, at, chunk, some))
            return false;
        crc = crc32c(crc, chunk, some);
    }
    return crc == place->unsynced.crc;
}

static size_t same(const uint8_t *a, const uint8_t *b, size_t n)
{
    size_t i = 0;

    if (memcmp(a, b, n) == 0)
        return n;
    while (a[i] == b[i])
        i++;
    return i;
}

/* How many bytes of the file are, from `at` on, the beginning of these. */
static bool count_same(int fd, uint64_t at, const uint8_t *bytes, size_t n, size_t *found)
{
    uint8_t chunk[16 << 10];

    *found = 0;
    while (*found < n) {
        size_t some = n - *found < sizeof chunk ? n - *found : sizeof chunk, equal;

        if (!pending_read(fd, at + *found, chunk, some))
            return false;
        equal = same(chunk, bytes + *found, some);
        *found += equal;
        if (equal < some)
            break;
    }
    return true;
}

bool pending_found(int fd, uint64_t length, const uint8_t *queued, size_t n, size_t *found)
{
    struct stat status;
    uint64_t behind;

    if (fstat(fd, &status) < 0 || (uint64_t)status.st_size < length)
        return false;
    behind = (uint64_t)status.st_size - length;
    return count_same(fd, length, queued, behind < n ? (size_t)behind : n, found);
}

bool pending_passed(int fd, uint64_t length, const uint8_t *queued, size_t n)
{
    struct stat status;
    size_t found;

    return fstat(fd, &status) == 0 && (uint64_t)status.st_size > length + n &&
           count_same(fd, length, queued, n, &found) && found == n;
}
