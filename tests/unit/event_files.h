/* Event files in a folder of their own, on a disk that may be full. */
#ifndef EMBMON_TESTS_UNIT_EVENT_FILES_H
#define EMBMON_TESTS_UNIT_EVENT_FILES_H

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "daemon/tensorboard/event_file.h"
#include "daemon/tensorboard/tfrecord.h"
#include "tests/unit/folder.h"

static inline struct event_file *opened(double wall)
{
    const char *problem = "";
    struct event_file *file = event_file_open(folder_path, wall, &problem);

    if (!file)
        fail_msg("%s", problem);
    return file;
}

static inline struct event_file_stats stats_of(const struct event_file *file)
{
    struct event_file_stats stats;

    event_file_get_stats(file, &stats);
    return stats;
}

/* Whole records in the file of this name; all its bytes must belong to one. */
static inline size_t records_in(const char *name)
{
    FILE *stream = fopen(folder_file(name), "rb");
    size_t n, at = 0, count = 0;
    struct stat status;
    uint8_t *data;

    assert_non_null(stream);
    assert_int_equal(fstat(fileno(stream), &status), 0);
    n = (size_t)status.st_size;
    data = malloc(n + 1);
    assert_non_null(data);
    assert_int_equal(fread(data, 1, n, stream), n);
    for (size_t length, used; at < n; at += used, count++) {
        const uint8_t *payload;

        assert_int_equal(tfrecord_read(data + at, n - at, &payload, &length, &used), TFRECORD_OK);
    }
    free(data);
    fclose(stream);
    return count;
}

/* A limit on the size of files stands in for a full disk. */
static struct rlimit unlimited;

static inline void disk_is_full_at(rlim_t bytes)
{
    struct rlimit limit;

    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &unlimited), 0);
    limit = (struct rlimit){bytes, unlimited.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static inline void disk_has_room(void)
{
    setrlimit(RLIMIT_FSIZE, &unlimited);
}

static inline int make_room(void **state)
{
    signal(SIGXFSZ, SIG_DFL);
    return folder_remove(state);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, folder_make, make_room)

#endif
