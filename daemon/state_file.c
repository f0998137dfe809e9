#include "daemon/state_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

const char STATE_FILE[] = "state", STATE_MARKED[] = "state.sync", STATE_DURABLE[] = "state.durable";
static const char new_name[] = "state.new";

static int write_all(int fd, const uint8_t *data, size_t n)
{
    while (n > 0) {
        ssize_t some = write(fd, data, n);

        if (some < 0 && errno == EINTR)
            continue;
        if (some <= 0)
            return some < 0 ? errno : ENOSPC;
        data += some;
        n -= (size_t)some;
    }
    return 0;
}

int state_file_write(int folder, const struct iovec *parts, size_t count)
{
    int fd, error = 0;

    /* What lies there is of a writer that was killed, or somebody's link. */
    if (unlinkat(folder, new_name, 0) < 0 && errno != ENOENT)
        return errno;
    fd = openat(folder, new_name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);
    if (fd < 0)
        return errno;
    for (size_t i = 0; i < count && !error; i++)
        error = write_all(fd, parts[i].iov_base, parts[i].iov_len);
    if (close(fd) < 0 && !error)
        error = errno;
    if (!error && renameat(folder, new_name, folder, STATE_FILE) < 0)
        error = errno;
    if (error) /* a full disk has use for the room */
        (void)unlinkat(folder, new_name, 0);
    return error;
}

int state_file_mark(int folder, bool *linked)
{
    (void)unlinkat(folder, STATE_MARKED, 0);
    *linked = linkat(folder, STATE_FILE, folder, STATE_MARKED, 0) == 0;
    return openat(folder, *linked ? STATE_MARKED : STATE_FILE,
                  O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
}

static int read_all(int fd, uint8_t *data, size_t n)
{
    while (n > 0) {
        ssize_t some = read(fd, data, n);

        if (some < 0 && errno == EINTR)
            continue;
        if (some <= 0)
            return some < 0 ? errno : EIO;
        data += some;
        n -= (size_t)some;
    }
    return 0;
}

/* At most `most` bytes: of a longer file the beginning, or none. */
static int read_some(int folder, const char *name, size_t most, bool beginning, uint8_t **data,
                     size_t *n, struct stat *status)
{
    int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC), error = 0;

    if (fd < 0)
        return errno;
    *data = NULL;
    if (fstat(fd, status) < 0)
        error = errno;
    else if (!S_ISREG(status->st_mode))
        error = EINVAL;
    else if ((uint64_t)status->st_size > most && !beginning)
        error = EFBIG;
    if (!error) {
        *n = (uint64_t)status->st_size > most ? most : (size_t)status->st_size;
        error = (*data = malloc(*n + 1)) ? read_all(fd, *data, *n) : ENOMEM;
    }
    (void)close(fd);
    if (error) {
        free(*data);
        *data = NULL;
    }
    return error;
}

int state_file_read(int folder, const char *name, size_t most, uint8_t **data, size_t *n)
{
    struct stat status;

    return read_some(folder, name, most, false, data, n, &status);
}

int state_file_peek(int folder, const char *name, size_t most, uint8_t **data, size_t *n,
                    double *wall)
{
    struct stat status = {0};
    int error = read_some(folder, name, most, true, data, n, &status);

    *wall = (double)status.st_mtim.tv_sec + (double)status.st_mtim.tv_nsec / 1e9;
    return error;
}

void state_file_touch(int folder, double wall)
{
    time_t seconds = wall >= 0 && wall < (double)UINT32_MAX ? (time_t)wall : 0;
    const struct timespec times[] = {{0, UTIME_OMIT}, {seconds, 0}};

    (void)utimensat(folder, STATE_FILE, times, AT_SYMLINK_NOFOLLOW);
}
