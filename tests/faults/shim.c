/* LD_PRELOAD=shim.so: makes the nth call of a function fail, or kills the process at it, counts all
 * of them, and writes down what is done to files.
 *
 *     SHIM_FAULT=write:17:ENOSPC     the 17th write(2) fails; also EIO, ENOMEM, EMFILE, SHORT, KILL
 *     SHIM_FAULT=write:17+:ENOSPC    that one and all that follow
 *     SHIM_FAULT=changes:1+:EROFS    all that would change a file or a folder
 *     SHIM_WHILE=FILE                while this file is there, counted from when it came
 *     SHIM_COUNTS=FILE               at the end: a line `function calls` for each
 *     SHIM_RECORD=FILE               what is done to files and said to peers, in order: see record()
 *     SHIM_ONLY=embmond              in processes of this name alone (default: all)
 *
 * SHORT writes one byte less than was asked for. Memory fails with ENOMEM, whatever is asked for.
 * Nothing here allocates: the allocator is among what fails. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern char *program_invocation_short_name;

#define CALLS(X)                                                                                   \
    X(malloc) X(calloc) X(realloc) X(write) X(fdatasync) X(fsync) X(open) X(openat) X(mkdirat)     \
    X(renameat) X(linkat) X(unlinkat) X(close) X(read) X(accept4) X(socket) X(fcntl)

#define AS_ENUM(name) CALL_##name,
enum call { CALLS(AS_ENUM) CALL_COUNT };
#define AS_TEXT(name) #name,
static const char *const names[] = {CALLS(AS_TEXT)};

static _Atomic unsigned long counts[CALL_COUNT];
static unsigned long fault_at;
static int fault_call = -1, fault_error;
static bool fault_on, fault_short, fault_kill, fault_changes;
static const char *fault_while;
static _Atomic unsigned long since_then; /* calls of that kind */

static const struct {
    const char *name;
    int error;
} errors[] = {{"ENOSPC", ENOSPC}, {"EIO", EIO},       {"ENOMEM", ENOMEM},
              {"EMFILE", EMFILE}, {"EACCES", EACCES}, {"EROFS", EROFS}};

static void parse_fault(const char *text)
{
    const char *colon = strchr(text, ':'), *second = colon ? strchr(colon + 1, ':') : NULL;
    char *end;

    if (!second)
        return;
    for (int i = 0; i < CALL_COUNT; i++)
        if (strlen(names[i]) == (size_t)(colon - text) &&
            memcmp(names[i], text, (size_t)(colon - text)) == 0)
            fault_call = i;
    fault_changes = strncmp(text, "changes:", strlen("changes:")) == 0;
    fault_at = strtoul(colon + 1, &end, 10);
    fault_on = *end == '+';
    fault_short = strcmp(second + 1, "SHORT") == 0;
    fault_kill = strcmp(second + 1, "KILL") == 0;
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (strcmp(second + 1, errors[i].name) == 0)
            fault_error = errors[i].error;
}

#define REAL(name) ((__typeof__(&name))(dlsym(RTLD_NEXT, #name)))

static __typeof__(&write) real_write;
static int record_fd = -1;

__attribute__((constructor)) static void begin(void)
{
    const char *fault = getenv("SHIM_FAULT"), *only = getenv("SHIM_ONLY");
    const char *path = getenv("SHIM_RECORD");

    if (only && strcmp(only, program_invocation_short_name) != 0)
        return;
    if (fault)
        parse_fault(fault);
    fault_while = getenv("SHIM_WHILE");
    real_write = REAL(write);
    if (path)
        record_fd = REAL(open)(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

__attribute__((destructor)) static void finish(void)
{
    const char *path = getenv("SHIM_COUNTS"), *only = getenv("SHIM_ONLY");
    char line[64];
    int fd;

    fault_call = -1;
    if (!path || (only && strcmp(only, program_invocation_short_name) != 0))
        return;
    fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    for (int i = 0; fd >= 0 && i < CALL_COUNT; i++) {
        int n = snprintf(line, sizeof line, "%s %lu\n", names[i], atomic_load(&counts[i]));
        (void)!write(fd, line, (size_t)n);
    }
    if (fd >= 0)
        close(fd);
}

static bool is_time(void)
{
    return !fault_while || access(fault_while, F_OK) == 0;
}

/* True while no file may be changed; errno is set. */
static bool changes_fail(void)
{
    if (!fault_changes || !is_time())
        return false;
    errno = fault_error;
    return true;
}

/* True when this call is to fail; errno is set. */
static bool fails(enum call call)
{
    unsigned long n = atomic_fetch_add(&counts[call], 1) + 1;

    if ((int)call != fault_call || !is_time())
        return false;
    if (fault_while)
        n = atomic_fetch_add(&since_then, 1) + 1;
    if (fault_on ? n < fault_at : n != fault_at)
        return false;
    if (fault_kill)
        kill(getpid(), SIGKILL);
    if (fault_short)
        return false;
    errno = call <= CALL_realloc ? ENOMEM : fault_error;
    return true;
}

/* A pipe within the process, an eventfd: libuv's own signals and wake-ups, which no disk fails. */
static bool is_inner(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && (S_ISFIFO(st.st_mode) || (st.st_mode & S_IFMT) == 0);
}

static bool is_regular(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

static size_t shortened(enum call call, size_t n)
{
    unsigned long now = atomic_load(&counts[call]);

    return fault_short && (int)call == fault_call && n > 1 &&
                   (fault_on ? now >= fault_at : now == fault_at)
               ? n - 1
               : n;
}

/* ---- what is done to files
 *
 * A line of words, then n bytes: "OP INODE OFFSET N PATH\tPATH\n". An operation is done and written
 * down under one lock, so that the order is that of the disk; a sync is written down twice, at its
 * beginning and at its end: what came before the beginning is on the disk at the end. Descriptors
 * are told by their inode and the path they were opened by. */
static pthread_mutex_t recording = PTHREAD_MUTEX_INITIALIZER;

static void path_of(int fd, const char *name, char path[PATH_MAX])
{
    char link[64];
    ssize_t n = 0;

    if (fd != AT_FDCWD && !(name && *name == '/')) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        n = readlink(link, path, PATH_MAX / 2);
        n = n > 0 ? n : 0;
    }
    path[n] = '\0';
    if (name)
        snprintf(path + n, (size_t)(PATH_MAX - n), "%s%s", n > 0 ? "/" : "", name);
}

static void record(const char *what, uint64_t inode, int64_t offset, const char *path,
                   const char *other, const void *data, size_t n)
{
    char line[2 * PATH_MAX + 128];
    int length = snprintf(line, sizeof line, "%s %" PRIu64 " %" PRId64 " %zu %s\t%s\n", what,
                          inode, offset, n, path, other);
    struct iovec parts[] = {{line, (size_t)length}, {(void *)(uintptr_t)data, n}};
    int saved = errno;

    (void)!writev(record_fd, parts, n > 0 ? 2 : 1);
    errno = saved;
}

static void record_fd_as(const char *what, int fd)
{
    char path[PATH_MAX];
    struct stat st;

    if (record_fd < 0 || fstat(fd, &st) < 0)
        return;
    path_of(fd, NULL, path);
    record(what, st.st_ino, 0, path, "", NULL, 0);
}

/* Takes the lock, where anything is written down at all. */
static void record_begin(void)
{
    if (record_fd >= 0)
        pthread_mutex_lock(&recording);
}

static void record_end(void)
{
    if (record_fd >= 0)
        pthread_mutex_unlock(&recording);
}

static void record_names(const char *what, int fd, const char *from, int other, const char *to)
{
    char paths[2][PATH_MAX];

    if (record_fd < 0)
        return;
    path_of(fd, from, paths[0]);
    path_of(other, to, paths[1]);
    record(what, 0, 0, paths[0], to ? paths[1] : "", NULL, 0);
}

/* Writes, and then writes down what came of it; offset: the file's end, all are append-only. To a
 * socket it is written down before: what is said counts as promised from then on. */
static ssize_t recorded_write(int fd, const void *bytes, size_t n)
{
    char path[PATH_MAX];
    struct stat st;
    ssize_t done;

    if (record_fd < 0 || fd == record_fd || fstat(fd, &st) < 0 ||
        !(S_ISREG(st.st_mode) || S_ISSOCK(st.st_mode)))
        return real_write(fd, bytes, n);
    path_of(fd, NULL, path);
    record_begin();
    if (S_ISSOCK(st.st_mode))
        record("say", (uint64_t)fd, 0, "", "", bytes, n);
    (void)fstat(fd, &st);
    done = real_write(fd, bytes, n);
    if (done > 0 && S_ISREG(st.st_mode))
        record("write", st.st_ino, st.st_size, path, "", bytes, (size_t)done);
    record_end();
    return done;
}

void *malloc(size_t n)
{
    return fails(CALL_malloc) ? NULL : __libc_malloc(n);
}

void *aligned_alloc(size_t alignment, size_t n)
{
    return fails(CALL_malloc) ? NULL : __libc_memalign(alignment, n);
}

void *calloc(size_t count, size_t n)
{
    return fails(CALL_calloc) ? NULL : __libc_calloc(count, n);
}

void *realloc(void *memory, size_t n)
{
    return fails(CALL_realloc) ? NULL : __libc_realloc(memory, n);
}

#define FAILS_OR(name, type, arguments, ...)                                                       \
    type name arguments                                                                            \
    {                                                                                              \
        static __typeof__(&name) real;                                                             \
        if (!real)                                                                                 \
            real = REAL(name);                                                                     \
        if (fails(CALL_##name))                                                                    \
            return -1;                                                                             \
        return real(__VA_ARGS__);                                                                  \
    }

#define FAILS_OUTSIDE_OR(name, type, arguments, ...)                                               \
    type name arguments                                                                            \
    {                                                                                              \
        static __typeof__(&name) real;                                                             \
        if (!real)                                                                                 \
            real = REAL(name);                                                                     \
        if (!is_inner(fd) && fails(CALL_##name))                                                   \
            return -1;                                                                             \
        return real(__VA_ARGS__);                                                                  \
    }

ssize_t write(int fd, const void *data, size_t n)
{
    bool inner = is_inner(fd);

    if (!real_write)
        real_write = REAL(write);
    if (inner)
        return real_write(fd, data, n);
    if (fails(CALL_write) || (is_regular(fd) && changes_fail()))
        return -1;
    return recorded_write(fd, data, shortened(CALL_write, n));
}

/* What was written before, once more: see write_again() in daemon/syncer.c. */
ssize_t pwrite(int fd, const void *data, size_t n, off_t offset)
{
    static __typeof__(&pwrite) real;
    char path[PATH_MAX];
    struct stat st;
    ssize_t done;

    if (!real)
        real = REAL(pwrite);
    if (record_fd < 0 || fstat(fd, &st) < 0)
        return real(fd, data, n, offset);
    path_of(fd, NULL, path);
    record_begin();
    done = real(fd, data, n, offset);
    if (done > 0)
        record("again", st.st_ino, offset, path, "", data, (size_t)done);
    record_end();
    return done;
}

FAILS_OUTSIDE_OR(read, ssize_t, (int fd, void *data, size_t n), fd, data, n)
#define SYNCS(name)                                                                                \
    int name(int fd)                                                                               \
    {                                                                                              \
        static __typeof__(&name) real;                                                             \
        bool failing = fails(CALL_##name);                                                         \
        int result, error = errno;                                                                 \
        if (!real)                                                                                 \
            real = REAL(name);                                                                     \
        record_begin();                                                                            \
        record_fd_as("sync", fd);                                                                  \
        record_end();                                                                              \
        result = failing ? -1 : real(fd);                                                          \
        error = failing ? error : errno;                                                           \
        record_begin();                                                                            \
        record_fd_as(result < 0 ? "failed" : "synced", fd);                                        \
        record_end();                                                                              \
        errno = error;                                                                             \
        return result;                                                                             \
    }
SYNCS(fdatasync)
SYNCS(fsync)

/* A change of names: done, and written down where it was. */
#define RENAMES(name, parameters, call, fd, from, other, to)                                       \
    int name parameters                                                                            \
    {                                                                                              \
        static __typeof__(&name) real;                                                             \
        int result;                                                                                \
        if (!real)                                                                                 \
            real = REAL(name);                                                                     \
        if (fails(CALL_##name) || changes_fail())                                                  \
            return -1;                                                                             \
        record_begin();                                                                            \
        result = real call;                                                                        \
        if (result == 0)                                                                           \
            record_names(#name, fd, from, other, to);                                              \
        record_end();                                                                              \
        return result;                                                                             \
    }
RENAMES(mkdirat, (int fd, const char *path, mode_t mode), (fd, path, mode), fd, path, fd, NULL)
RENAMES(renameat, (int fd, const char *from, int other, const char *to), (fd, from, other, to), fd,
        from, other, to)
RENAMES(linkat, (int fd, const char *from, int other, const char *to, int flags),
        (fd, from, other, to, flags), fd, from, other, to)
RENAMES(unlinkat, (int fd, const char *path, int flags), (fd, path, flags), fd, path, fd, NULL)
FAILS_OR(accept4, int, (int fd, struct sockaddr *name, socklen_t *length, int flags), fd, name,
         length, flags)
FAILS_OR(socket, int, (int family, int type, int protocol), family, type, protocol)

/* The descriptor is closed all the same, as Linux does it. */
int close(int fd)
{
    static __typeof__(&close) real;
    int result;

    if (!real)
        real = REAL(close);
    result = real(fd);
    return fails(CALL_close) ? -1 : result;
}

#define OPENS(name, parameters, ...)                                                               \
    int name parameters                                                                            \
    {                                                                                              \
        static __typeof__(&name) real;                                                             \
        mode_t mode = 0;                                                                           \
        int result;                                                                                \
        va_list rest;                                                                              \
                                                                                                   \
        va_start(rest, flags);                                                                     \
        if (flags & (O_CREAT | __O_TMPFILE))                                                       \
            mode = va_arg(rest, mode_t);                                                           \
        va_end(rest);                                                                              \
        if (!real)                                                                                 \
            real = REAL(name);                                                                     \
        if (fails(CALL_##name) || ((flags & O_CREAT) && changes_fail()))                           \
            return -1;                                                                             \
        record_begin();                                                                            \
        result = real(__VA_ARGS__, mode);                                                          \
        if (result >= 0 && (flags & O_CREAT))                                                      \
            record_fd_as("create", result);                                                        \
        record_end();                                                                              \
        return result;                                                                             \
    }
OPENS(open, (const char *path, int flags, ...), path, flags)
OPENS(openat, (int folder, const char *path, int flags, ...), folder, path, flags)

int fcntl(int fd, int command, ...)
{
    static __typeof__(&fcntl) real;
    va_list rest;
    long argument;

    va_start(rest, command);
    argument = va_arg(rest, long);
    va_end(rest);
    if (!real)
        real = REAL(fcntl);
    return fails(CALL_fcntl) ? -1 : real(fd, command, argument);
}
