#include "daemon/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FOLDER = O_RDONLY | O_DIRECTORY | O_CLOEXEC };

/* Enters one part below the folder, which is closed; makes it first when asked. -1 with errno. */
static int enter(int folder, const char *part, bool make)
{
    int next = -1, saved;

    errno = EXDEV;
    if (strcmp(part, "..") != 0 && (!make || mkdirat(folder, part, 0777) == 0 || errno == EEXIST))
        next = openat(folder, part, FOLDER | O_NOFOLLOW);
    saved = errno;
    (void)close(folder);
    errno = saved;
    return next;
}

static int walk(int folder, const char *path, bool make)
{
    char parts[PATH_MAX], *rest = NULL;
    int n = snprintf(parts, sizeof parts, "%s", path), at;

    if (n < 0 || (size_t)n >= sizeof parts) {
        errno = ENAMETOOLONG;
        return -1;
    }
    at = openat(folder, ".", FOLDER);
    for (char *part = strtok_r(parts, "/", &rest); part && at >= 0;
         part = strtok_r(NULL, "/", &rest))
        at = enter(at, part, make);
    return at;
}

int beneath_walk(int folder, const char *path)
{
    return walk(folder, path, false);
}

int beneath_make(int folder, const char *path)
{
    return walk(folder, path, true);
}

int beneath_open(int folder, const char *path)
{
    struct open_how how = {
        .flags = FOLDER,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    long fd = syscall(SYS_openat2, folder, path, &how, sizeof how);

    /* EAGAIN: something on the way was moved just now. */
    if (fd < 0 && (errno == ENOSYS || errno == EPERM || errno == EAGAIN))
        return beneath_walk(folder, path);
    return (int)fd;
}

int beneath_root(const char *path)
{
    int root = open(*path == '/' ? "/" : ".", FOLDER), fd, saved;

    if (root < 0)
        return -1;
    path += strspn(path, "/");
    fd = beneath_open(root, *path ? path : ".");
    saved = errno;
    (void)close(root);
    errno = saved;
    return fd;
}
