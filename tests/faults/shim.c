/* LD_PRELOAD=shim.so: makes the nth call of a function fail, or kills the process at it, and counts
 * all of them.
 *
 *     SHIM_FAULT=write:17:ENOSPC     the 17th write(2) fails; also EIO, ENOMEM, EMFILE, SHORT, KILL
 *     SHIM_FAULT=write:17+:ENOSPC    that one and all that follow
 *     SHIM_COUNTS=FILE               at the end: a line `function calls` for each
 *     SHIM_ONLY=embmond              in processes of this name alone (default: all)
 *
 * SHORT writes one byte less than was asked for. Memory fails with ENOMEM, whatever is asked for.
 * Nothing here allocates: the allocator is among what fails. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern char *program_invocation_short_name;

#define CALLS(X)                                                                                   \
    X(malloc) X(calloc) X(realloc) X(write) X(writev) X(send) X(fdatasync) X(fsync) X(open)        \
    X(openat) X(mkdirat) X(mkdir) X(rename) X(renameat) X(close) X(read) X(accept4) X(epoll_ctl)   \
    X(socket) X(fcntl) X(dup)

#define AS_ENUM(name) CALL_##name,
enum call { CALLS(AS_ENUM) CALL_COUNT };
#define AS_TEXT(name) #name,
static const char *const names[] = {CALLS(AS_TEXT)};

static _Atomic unsigned long counts[CALL_COUNT];
static unsigned long fault_at;
static int fault_call = -1, fault_error;
static bool fault_on, fault_short, fault_kill;

static const struct {
    const char *name;
    int error;
} errors[] = {{"ENOSPC", ENOSPC}, {"EIO", EIO},       {"ENOMEM", ENOMEM},
              {"EMFILE", EMFILE}, {"EACCES", EACCES}, {"EINTR", EINTR}};

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
    fault_at = strtoul(colon + 1, &end, 10);
    fault_on = *end == '+';
    fault_short = strcmp(second + 1, "SHORT") == 0;
    fault_kill = strcmp(second + 1, "KILL") == 0;
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (strcmp(second + 1, errors[i].name) == 0)
            fault_error = errors[i].error;
}

__attribute__((constructor)) static void begin(void)
{
    const char *fault = getenv("SHIM_FAULT"), *only = getenv("SHIM_ONLY");

    if (fault && (!only || strcmp(only, program_invocation_short_name) == 0))
        parse_fault(fault);
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

/* True when this call is to fail; errno is set. */
static bool fails(enum call call)
{
    unsigned long n = atomic_fetch_add(&counts[call], 1) + 1;

    if ((int)call != fault_call || (fault_on ? n < fault_at : n != fault_at))
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

static size_t shortened(enum call call, size_t n)
{
    unsigned long now = atomic_load(&counts[call]);

    return fault_short && (int)call == fault_call && n > 1 &&
                   (fault_on ? now >= fault_at : now == fault_at)
               ? n - 1
               : n;
}

void *malloc(size_t n)
{
    return fails(CALL_malloc) ? NULL : __libc_malloc(n);
}

void *calloc(size_t count, size_t n)
{
    return fails(CALL_calloc) ? NULL : __libc_calloc(count, n);
}

void *realloc(void *memory, size_t n)
{
    return fails(CALL_realloc) ? NULL : __libc_realloc(memory, n);
}

#define REAL(name) ((__typeof__(&name))(dlsym(RTLD_NEXT, #name)))
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

FAILS_OUTSIDE_OR(write, ssize_t, (int fd, const void *data, size_t n), fd, data,
                 is_inner(fd) ? n : shortened(CALL_write, n))
FAILS_OR(writev, ssize_t, (int fd, const struct iovec *parts, int n), fd, parts, n)
FAILS_OR(send, ssize_t, (int fd, const void *data, size_t n, int flags), fd, data,
         shortened(CALL_send, n), flags)
FAILS_OUTSIDE_OR(read, ssize_t, (int fd, void *data, size_t n), fd, data, n)
FAILS_OR(fdatasync, int, (int fd), fd)
FAILS_OR(fsync, int, (int fd), fd)
FAILS_OR(mkdirat, int, (int fd, const char *path, mode_t mode), fd, path, mode)
FAILS_OR(mkdir, int, (const char *path, mode_t mode), path, mode)
FAILS_OR(rename, int, (const char *from, const char *to), from, to)
FAILS_OR(renameat, int, (int fd, const char *from, int other, const char *to), fd, from, other, to)
FAILS_OR(accept4, int, (int fd, struct sockaddr *name, socklen_t *length, int flags), fd, name,
         length, flags)
FAILS_OR(epoll_ctl, int, (int fd, int what, int other, struct epoll_event *event), fd, what, other,
         event)
FAILS_OR(socket, int, (int family, int type, int protocol), family, type, protocol)
FAILS_OR(dup, int, (int fd), fd)

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
        va_list rest;                                                                              \
                                                                                                   \
        va_start(rest, flags);                                                                     \
        if (flags & (O_CREAT | __O_TMPFILE))                                                       \
            mode = va_arg(rest, mode_t);                                                           \
        va_end(rest);                                                                              \
        if (!real)                                                                                 \
            real = REAL(name);                                                                     \
        return fails(CALL_##name) ? -1 : real(__VA_ARGS__, mode);                                  \
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
