/* The recovery scanner: any bytes may lie in the run's folder. What it says is whole is whole, and
 * is all that is: the record behind it is cut short or wrong. */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/tensorboard/resume.h"
#include "daemon/tensorboard/tfrecord.h"
#include "tests/fuzz/target.h"

enum { FILE_MAX = 64 << 10 };

/* The input as a file: pieces, each after two bytes. The first bit says whether it is a record with
 * the checksums it needs, which mutations alone never find, or bytes as they are. */
static size_t write_file(uint8_t *file, const uint8_t *data, size_t size)
{
    size_t at = 0, n = 0;

    while (size - at >= 2) {
        size_t length = data[at] >> 1 | (size_t)data[at + 1] << 7;
        int sealed = data[at] & 1;

        at += 2;
        length = length < size - at ? length : size - at;
        if (length > FILE_MAX - TFRECORD_HEADER - TFRECORD_FOOTER - n)
            break;
        memcpy(file + n + (sealed ? TFRECORD_HEADER : 0), data + at, length);
        if (sealed)
            tfrecord_seal(file + n, length);
        n += length + (sealed ? TFRECORD_HEADER + TFRECORD_FOOTER : 0);
        at += length;
    }
    return n;
}

static uint64_t whole_records(const uint8_t *file, size_t n)
{
    const uint8_t *payload;
    size_t length, used, at = 0;

    while (tfrecord_read(file + at, n - at, &payload, &length, &used) == TFRECORD_OK) {
        PROMISE(payload == file + at + TFRECORD_HEADER && length <= TFRECORD_MAX);
        PROMISE(used == length + TFRECORD_HEADER + TFRECORD_FOOTER && used <= n - at);
        at += used;
    }
    return at;
}

static void check_tag(void *context, const char *tag, int64_t last_step)
{
    (void)context;
    PROMISE(*tag && strlen(tag) <= TAG_BYTES_MAX && last_step >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *file = malloc(FILE_MAX);
    struct tag_table *tags = tag_table_new();
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    uint64_t whole = 0;
    size_t n;

    PROMISE(file && tags && fd >= 0);
    n = write_file(file, data, size);
    PROMISE(write(fd, file, n) == (ssize_t)n && lseek(fd, 0, SEEK_SET) == 0);
    PROMISE(resume_file(tags, fd, &whole));
    PROMISE(whole == whole_records(file, n));
    tag_table_each(tags, check_tag, NULL);
    tag_table_free(tags);
    close(fd);
    free(file);
    return 0;
}
