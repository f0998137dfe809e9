#include "daemon/tensorboard/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/beneath.h"

#define PREFIX "events.out.tfevents."

enum {
    SECONDS_DIGITS = 10,
    HOST_BYTES = 64,
    ATTEMPTS = 100,
    VERSION_MAX = 64, /* bytes of the record that a file begins with; no event fits behind it */
};
#define SECONDS_MAX 9999999999u

__attribute__((format(printf, 1, 2))) static const char *problem_text(const char *format, ...)
{
    static _Thread_local char text[512];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return text;
}

int folder_open(const char *directory, const char **problem)
{
    int fd = beneath_root(directory);

    if (fd < 0) {
        *problem = problem_text("cannot open %s: %s", directory, strerror(errno));
        return -1;
    }
    /* Some network file systems cannot lock a folder at all; a daemon there is better than none,
     * and O_EXCL still keeps two writers out of one file. */
    if (flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK) {
        *problem = problem_text("%s is being written by another process: stop it, or give this "
                                "run another name",
                                directory);
        close(fd);
        return -1;
    }
    return fd;
}

/* ---- what is there */

static bool files_add(struct folder_files *files, const char *name)
{
    char *copy;

    if ((files->count & (files->count - 1)) == 0) { /* full at every power of two */
        size_t capacity = files->count ? files->count * 2 : 1;
        char **names = realloc(files->names, capacity * sizeof *names);

        if (!names)
            return false;
        files->names = names;
    }
    copy = strdup(name);
    if (!copy)
        return false;
    files->names[files->count++] = copy;
    return true;
}

static int by_name(const void *a, const void *b)
{
    const char *const *left = a, *const *right = b;

    return strcmp(*left, *right);
}

/* 0, or an errno. */
static int files_read(struct folder_files *files, DIR *stream)
{
    struct dirent *entry;

    while (errno = 0, (entry = readdir(stream))) {
        if (!strstr(entry->d_name, "tfevents"))
            continue;
        if (files->count >= FOLDER_FILES_MAX)
            return EMFILE;
        if (!files_add(files, entry->d_name))
            return ENOMEM;
    }
    return errno;
}

bool folder_list(int folder, struct folder_files *files, const char **problem)
{
    int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    int error;

    *files = (struct folder_files){0};
    if (!stream) {
        error = errno;
        if (fd >= 0)
            close(fd);
    } else {
        error = files_read(files, stream);
        closedir(stream);
    }
    if (error) {
        *problem = problem_text("cannot list the event files: %s", strerror(error));
        folder_files_free(files);
        return false;
    }
    if (files->count > 0)
        qsort(files->names, files->count, sizeof *files->names, by_name);
    return true;
}

void folder_files_free(struct folder_files *files)
{
    for (size_t i = 0; i < files->count; i++)
        free(files->names[i]);
    free(files->names);
    *files = (struct folder_files){0};
}

bool folder_vacant(int folder)
{
    struct folder_files files;
    const char *problem;
    struct stat status;
    bool vacant = folder_list(folder, &files, &problem);

    for (size_t i = 0; i < files.count && vacant; i++)
        vacant = fstatat(folder, files.names[i], &status, AT_SYMLINK_NOFOLLOW) == 0 &&
                 S_ISREG(status.st_mode) && status.st_size <= VERSION_MAX;
    folder_files_free(&files);
    return vacant;
}

int folder_read(int folder, const char *name)
{
    int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat status;

    if (fd < 0)
        return -1;
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
        close(fd);
        errno = EINVAL;
        return -1;
    }
    return fd;
}

/* ---- the next name */

/* The seconds in an event file's name, missing digits read as 0; 0 for another kind of name. */
static uint64_t name_seconds(const char *name)
{
    uint64_t seconds = 0;
    bool digits = strncmp(name, PREFIX, strlen(PREFIX)) == 0;

    if (!digits)
        return 0;
    name += strlen(PREFIX);
    for (int i = 0; i < SECONDS_DIGITS; i++) {
        digits = digits && name[i] >= '0' && name[i] <= '9';
        seconds = seconds * 10 + (digits ? (uint64_t)(name[i] - '0') : 0);
    }
    return seconds;
}

static uint64_t next_seconds(const struct folder_files *files, double wall)
{
    uint64_t seconds = wall >= 1 ? SECONDS_MAX : 0;

    if (wall >= 0 && wall < (double)SECONDS_MAX)
        seconds = (uint64_t)wall;
    if (files->count > 0) {
        uint64_t after = name_seconds(files->names[files->count - 1]) + 1;

        if (after > seconds)
            seconds = after;
    }
    return seconds < SECONDS_MAX ? seconds : SECONDS_MAX;
}

/* What of the host's name may stand in a file's name; the rest becomes '-'. */
static void host_name(char host[HOST_BYTES])
{
    if (gethostname(host, HOST_BYTES) < 0 || host[0] == '\0')
        snprintf(host, HOST_BYTES, "localhost");
    host[HOST_BYTES - 1] = '\0';
    for (char *c = host; *c; c++) {
        bool fine = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
                    (*c >= '0' && *c <= '9') || *c == '.' || *c == '_' || *c == '-';

        if (!fine)
            *c = '-';
    }
}

int folder_create(int folder, const struct folder_files *files, double wall, char *name,
                  const char **problem)
{
    const char *newest = files->count > 0 ? files->names[files->count - 1] : "";
    uint64_t seconds = next_seconds(files, wall);
    char host[HOST_BYTES];
    int fd = -1;

    host_name(host);
    for (int n = 0; fd < 0 && n < ATTEMPTS; n++) {
        snprintf(name, FOLDER_NAME_MAX, PREFIX "%010llu.%s.%ld.%d", (unsigned long long)seconds,
                 host, (long)getpid(), n);
        if (strcmp(name, newest) <= 0) {
            *problem = problem_text("the event file %.200s sorts after any new one, so TensorBoard "
                                    "would not show what follows: move it away",
                                    newest);
            return -1;
        }
        fd = openat(folder, name, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                    0640);
        if (fd < 0 && errno != EEXIST)
            break;
    }
    if (fd < 0)
        *problem = problem_text("cannot create %.200s: %s", name, strerror(errno));
    return fd;
}
