#include "daemon/tensorboard/leftover.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/tensorboard/resume.h"
#include "daemon/tensorboard/tfrecord.h"

static bool queue(struct pending *to, const uint8_t *bytes, size_t n)
{
    uint8_t *room = pending_reserve(to, n);

    if (!room)
        return false;
    memcpy(room, bytes, n);
    pending_commit(to, n);
    return true;
}

/* Queues the part of the file from one offset to another. */
static bool queue_from(struct pending *to, int fd, uint64_t from, uint64_t until)
{
    size_t n = (size_t)(until - from);
    uint8_t *room =
        n <= TFRECORD_MAX + TFRECORD_HEADER + TFRECORD_FOOTER ? pending_reserve(to, n) : NULL;

    if (!room || !pending_read(fd, from, room, n))
        return false;
    pending_commit(to, n);
    return true;
}

/* Bytes of whole records from the file's beginning on, and the last steps in them. */
static bool whole_records(int fd, struct tag_table *tags, uint64_t *whole)
{
    return lseek(fd, 0, SEEK_SET) == 0 && resume_file(tags, fd, whole);
}

/* A full disk had torn a record before the checkpoint was made: only its rest is queued. */
static bool leftover_torn(int fd, uint64_t length, const uint8_t *queued, size_t n,
                          struct pending *to, struct tag_table *tags)
{
    uint64_t whole;

    if (!whole_records(fd, tags, &whole))
        return false;
    if (whole >= length && whole - length <= n)
        return queue(to, queued + (whole - length), n - (size_t)(whole - length));
    return whole < length && queue_from(to, fd, whole, length) && queue(to, queued, n);
}

/* True when another whole record lies where this one should: that is not what a power failure
 * leaves. Without memory to look it is not. */
static bool is_another(int fd, uint64_t at, const uint8_t *record, size_t n)
{
    uint8_t header[TFRECORD_HEADER], *all;
    const uint8_t *payload;
    size_t length, used;
    bool another;

    if (!pending_read(fd, at, header, sizeof header))
        return false;
    if (memcmp(header, record, sizeof header) != 0)
        return tfrecord_read(header, sizeof header, &payload, &length, &used) != TFRECORD_BAD;
    all = malloc(n);
    another = all && pending_read(fd, at, all, n) &&
              tfrecord_read(all, n, &payload, &length, &used) == TFRECORD_OK;
    free(all);
    return another;
}

const char *leftover_records(int fd, uint64_t length, const uint8_t *queued, size_t n,
                             struct pending *to, struct tag_table *tags)
{
    size_t written, at = 0, used, payload_length;
    const uint8_t *payload;
    uint64_t whole;

    if (pending_passed(fd, length, queued, n))
        return whole_records(fd, tags, &whole) ? NULL : "out of memory";
    if (!pending_found(fd, length, queued, n, &written))
        return "the event file is not as it was left";
    if (n == 0)
        return NULL;
    if (tfrecord_read(queued, n, &payload, &payload_length, &used) != TFRECORD_OK)
        return leftover_torn(fd, length, queued, n, to, tags)
                   ? NULL
                   : "the event file cannot be read again";
    while (tfrecord_read(queued + at, n - at, &payload, &payload_length, &used) == TFRECORD_OK &&
           at + used <= written)
        at += used;
    if (tfrecord_read(queued + at, n - at, &payload, &payload_length, &used) == TFRECORD_OK &&
        is_another(fd, length + at, queued + at, used))
        return "the event file is not as it was left";
    return queue(to, queued + at, n - at) ? NULL : "out of memory";
}
