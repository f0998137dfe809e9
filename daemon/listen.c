#include "daemon/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include "daemon/log.h"

enum { BACKLOG = 512 };

/* ---- the lock */

static void lock_path(const struct address *address, char path[ADDRESS_PATH_MAX + 8])
{
    snprintf(path, ADDRESS_PATH_MAX + 8, "%s.lock", address->path);
}

/* Returns a file descriptor that holds the lock, or -1: errno EWOULDBLOCK when another has it. The
 * file is removed by who holds it, so one that was opened may be gone from the folder by the time
 * its lock is had: then the lock is worth nothing and is taken again. */
static int lock_take(const struct address *address)
{
    char path[ADDRESS_PATH_MAX + 8];
    struct stat held, named;

    lock_path(address, path);
    for (;;) {
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
            return -1;
        if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
            int saved = errno;
            close(fd);
            errno = saved;
            return -1;
        }
        if (fstat(fd, &held) == 0 && stat(path, &named) == 0 && held.st_ino == named.st_ino &&
            held.st_dev == named.st_dev)
            return fd;
        close(fd);
    }
}

static void lock_release(int fd, const struct address *address)
{
    char path[ADDRESS_PATH_MAX + 8];
    lock_path(address, path);
    unlink(path); /* before the lock goes: see lock_take() */
    close(fd);
}

/* ---- what is at an address */

enum probe {
    PROBE_ABSENT,
    PROBE_STALE,  /* a socket of ours that nobody answers */
    PROBE_SERVED, /* somebody answers */
    PROBE_OTHER,  /* not a socket, or not ours, or not to be reached */
};

static socklen_t socket_name(const struct address *address, struct sockaddr_un *name)
{
    *name = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(name->sun_path, address->path, strlen(address->path) + 1);
    return (socklen_t)sizeof *name;
}

static enum probe probe(const struct address *address)
{
    struct sockaddr_un name;
    struct stat st;

    if (lstat(address->path, &st) != 0)
        return errno == ENOENT ? PROBE_ABSENT : PROBE_OTHER;
    if (!S_ISSOCK(st.st_mode))
        return PROBE_OTHER;

    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return PROBE_OTHER;
    socklen_t length = socket_name(address, &name);
    int result = connect(fd, (struct sockaddr *)&name, length);
    int error = result == 0 ? 0 : errno;
    close(fd);
    if (error == 0 || error == EAGAIN || error == EINPROGRESS) /* EAGAIN: its queue is full */
        return PROBE_SERVED;
    if (error == ENOENT)
        return PROBE_ABSENT;
    return error == ECONNREFUSED && st.st_uid == geteuid() ? PROBE_STALE : PROBE_OTHER;
}

/* ---- opening */

static int fail(char *problem, int status, const struct address *address, const char *what)
{
    snprintf(problem, LISTEN_PROBLEM_MAX, "%.*s: %s", ADDRESS_PATH_MAX, address->path, what);
    return status;
}

static int fail_create(char *problem, const struct address *address, int error)
{
    snprintf(problem, LISTEN_PROBLEM_MAX,
             "cannot make the socket %.*s: %s: give --listen unix:PATH in a folder you may write",
             ADDRESS_PATH_MAX, address->path, strerror(error));
    return EX_CANTCREAT;
}

static const char taken[] =
    "already served by an embmond: use that one, stop it, or give another --listen unix:PATH";

/* Binds and listens; the socket is 0600 from the first moment on. */
static int bind_socket(struct listener *listener, char *problem)
{
    struct sockaddr_un name;
    struct stat st;

    listener->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (listener->fd < 0)
        return fail(problem, EX_OSERR, &listener->address, strerror(errno));
    socklen_t length = socket_name(&listener->address, &name);
    mode_t mask = umask(0177);
    int result = bind(listener->fd, (struct sockaddr *)&name, length);
    int error = errno;
    umask(mask);
    if (result != 0 && error == EADDRINUSE)
        return fail(problem, EX_UNAVAILABLE, &listener->address, taken);
    if (result != 0)
        return fail_create(problem, &listener->address, error);
    if (listen(listener->fd, BACKLOG) != 0 || lstat(listener->address.path, &st) != 0)
        return fail_create(problem, &listener->address, errno);
    listener->device = st.st_dev;
    listener->inode = st.st_ino;
    return 0;
}

/* With the lock held: what is there is looked at, and replaced when nobody answers. */
static int replace_socket(struct listener *listener, char *problem)
{
    const struct address *address = &listener->address;
    switch (probe(address)) {
    case PROBE_SERVED:
        return fail(problem, EX_UNAVAILABLE, address, taken);
    case PROBE_OTHER:
        return fail(problem, EX_CANTCREAT, address,
                    "is there and is not a socket of ours: remove it, or give another --listen");
    case PROBE_STALE:
        if (unlink(address->path) != 0)
            return fail_create(problem, address, errno);
        log_info("replaced the socket %s, which nobody answered", address->path);
        break;
    case PROBE_ABSENT:
        break;
    }
    return bind_socket(listener, problem);
}

int listener_open(struct listener *listener, const struct address *address,
                  char problem[LISTEN_PROBLEM_MAX])
{
    *listener = (struct listener)LISTENER_INIT;
    listener->address = *address;
    listener->lock_fd = lock_take(address);
    if (listener->lock_fd < 0 && errno == EWOULDBLOCK)
        return fail(problem, EX_UNAVAILABLE, address, taken);
    if (listener->lock_fd < 0)
        return fail_create(problem, address, errno);
    int status = replace_socket(listener, problem);
    if (status != 0)
        listener_close(listener);
    return status;
}

/* ---- the default addresses */

/* True when the socket's folder is there and is ours to write; $HOME/.embmond is made. */
static bool usable(const struct address *address)
{
    struct address copy = *address;
    char *folder = copy.path;
    const char *home = getenv("HOME");
    struct stat st;

    char *slash = strrchr(folder, '/');
    if (!slash || slash == folder)
        return false;
    *slash = '\0';
    if (home && *home && strncmp(folder, home, strlen(home)) == 0 &&
        strcmp(folder + strlen(home), "/.embmond") == 0)
        (void)mkdir(folder, 0700); /* what matters is looked at below */
    return stat(folder, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid() &&
           faccessat(AT_FDCWD, folder, W_OK | X_OK, AT_EACCESS) == 0;
}

int listener_open_default(struct listener *listener, char problem[LISTEN_PROBLEM_MAX])
{
    struct address addresses[ADDRESS_DEFAULTS_MAX];
    size_t count = address_defaults(addresses);

    *listener = (struct listener)LISTENER_INIT;
    for (size_t i = 0; i < count; i++)
        if (probe(&addresses[i]) == PROBE_SERVED)
            return fail(problem, EX_UNAVAILABLE, &addresses[i], taken);
    for (size_t i = 0; i < count; i++)
        if (usable(&addresses[i]))
            return listener_open(listener, &addresses[i], problem);
    snprintf(problem, LISTEN_PROBLEM_MAX,
             "no default socket can be made (XDG_RUNTIME_DIR and HOME name no folder of ours): "
             "give --listen unix:PATH");
    return EX_CANTCREAT;
}

/* ---- a private folder */

/* False where the folder cannot be made below base, or the path would be too long. */
static bool private_folder(const char *base, struct address *address)
{
    static const char name[] = "/embmond-XXXXXX", socket_part[] = "/socket";
    if (!base || *base != '/' ||
        strlen(base) > ADDRESS_PATH_MAX - (sizeof name - 1) - (sizeof socket_part - 1))
        return false;
    strcpy(address->path, base);
    strcat(address->path, name);
    if (!mkdtemp(address->path))
        return false;
    strcat(address->path, socket_part);
    return true;
}

int listener_open_private(struct listener *listener, char problem[LISTEN_PROBLEM_MAX])
{
    const char *bases[] = {getenv("XDG_RUNTIME_DIR"), getenv("TMPDIR"), "/tmp"};
    struct address address = {0};

    *listener = (struct listener)LISTENER_INIT;
    for (size_t i = 0; i < sizeof bases / sizeof bases[0]; i++) {
        if (!private_folder(bases[i], &address))
            continue;
        int status = listener_open(listener, &address, problem);
        listener->own_folder = status == 0;
        if (status != 0) {
            *strrchr(address.path, '/') = '\0';
            rmdir(address.path);
        }
        return status;
    }
    snprintf(problem, LISTEN_PROBLEM_MAX,
             "no folder for a private socket can be made below $XDG_RUNTIME_DIR, $TMPDIR or /tmp: "
             "give --listen unix:PATH");
    return EX_CANTCREAT;
}

int listener_adopt(struct listener *listener, int fd, char problem[LISTEN_PROBLEM_MAX])
{
    struct sockaddr_un name = {0};
    socklen_t length = sizeof name;
    int type = 0;
    socklen_t type_length = sizeof type;

    *listener = (struct listener)LISTENER_INIT;
    listener->fd = fd;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_length) == 0 && type == SOCK_STREAM &&
        getsockname(fd, (struct sockaddr *)&name, &length) == 0 && name.sun_family == AF_UNIX &&
        name.sun_path[0] == '/' && strlen(name.sun_path) <= ADDRESS_PATH_MAX &&
        fcntl(fd, F_SETFL, O_NONBLOCK) == 0) {
        strcpy(listener->address.path, name.sun_path);
        return 0;
    }
    snprintf(problem, LISTEN_PROBLEM_MAX,
             "descriptor %d, handed over by the supervisor, is no Unix stream socket with a path: "
             "give ListenStream=/PATH",
             fd);
    listener_close(listener);
    return EX_USAGE;
}

bool listener_admits(int fd)
{
    struct ucred peer;
    socklen_t size = sizeof peer;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
           (peer.uid == geteuid() || peer.uid == 0);
}

void listener_close(struct listener *listener)
{
    struct stat st;
    char *path = listener->address.path;

    if (listener->inode != 0 && lstat(path, &st) == 0 && st.st_ino == listener->inode &&
        st.st_dev == listener->device)
        unlink(path);
    if (listener->lock_fd >= 0)
        lock_release(listener->lock_fd, &listener->address);
    if (listener->fd >= 0)
        close(listener->fd);
    if (listener->own_folder) {
        *strrchr(path, '/') = '\0';
        rmdir(path);
    }
    *listener = (struct listener)LISTENER_INIT;
}
