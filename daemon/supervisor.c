#include "daemon/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { LISTENERS_MAX = 64 };

/* A whole number in a variable, 0 where there is none or something else. */
static uint64_t number_in(const char *variable)
{
    const char *text = getenv(variable);
    char *end;
    unsigned long long value;

    if (!text || *text < '0' || *text > '9')
        return 0;
    errno = 0;
    value = strtoull(text, &end, 10);
    return *end || errno ? 0 : value;
}

/* Connected once, so that the path need not be there later. */
static int connect_to(const char *path)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    size_t length = path ? strlen(path) : 0;
    int fd;

    if (length < 2 || length >= sizeof name.sun_path || (*path != '/' && *path != '@'))
        return -1;
    memcpy(name.sun_path, path, length);
    if (*path == '@')
        name.sun_path[0] = '\0'; /* an abstract socket: its name is not ended by a NUL */
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&name,
                           (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static bool is_listening(int fd)
{
    int listens = 0;
    socklen_t length = sizeof listens;

    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length) == 0 && listens;
}

static size_t take_listeners(void)
{
    uint64_t wanted = number_in("LISTEN_FDS");
    size_t count = 0;

    if (number_in("LISTEN_PID") != (uint64_t)getpid())
        return 0;
    while (count < wanted && count < LISTENERS_MAX) {
        int fd = SUPERVISOR_FIRST_FD + (int)count;

        if (!is_listening(fd) || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
            break;
        count++;
    }
    return count;
}

void supervisor_open(struct supervisor *s)
{
    static const char *const variables[] = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID",
                                            "LISTEN_PID",    "LISTEN_FDS",    "LISTEN_FDNAMES"};
    uint64_t watched = number_in("WATCHDOG_PID");

    *s = (struct supervisor){.socket = connect_to(getenv("NOTIFY_SOCKET"))};
    if (watched == 0 || watched == (uint64_t)getpid())
        s->watchdog_ms = number_in("WATCHDOG_USEC") / 1000;
    s->listeners = take_listeners();
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
        unsetenv(variables[i]);
}

void supervisor_close(struct supervisor *s)
{
    if (s->socket >= 0)
        close(s->socket);
    s->socket = -1;
}

/* It may have gone, or be slow to read: nothing of ours depends on it. */
static void say(const struct supervisor *s, const char *text)
{
    if (s->socket >= 0)
        (void)!send(s->socket, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
}

void supervisor_ready(struct supervisor *s)
{
    say(s, "READY=1");
}

void supervisor_stopping(struct supervisor *s)
{
    say(s, "STOPPING=1");
}

void supervisor_turns(struct supervisor *s, uint64_t now_ms)
{
    if (s->watchdog_ms == 0 || now_ms - s->told_ms < s->watchdog_ms / 2)
        return;
    s->told_ms = now_ms;
    say(s, "WATCHDOG=1");
}
