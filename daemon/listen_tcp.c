#include "daemon/listen_tcp.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>

#include "proto/tcp.h"

enum { BACKLOG = 512 };

static int fail(char *problem, int status, const struct address *address, const char *what,
                const char *advice)
{
    char text[ADDRESS_TEXT_MAX];

    snprintf(problem, LISTEN_PROBLEM_MAX, "%s: %s%s", address_text(address, text), what, advice);
    return status;
}

/* *count > 0, or an exit status. */
static int look_up(const struct address *address, bool token, struct tcp_name *names, size_t *count,
                   char *problem)
{
    const char *why = "";

    *count = tcp_resolve(address, names, &why);
    if (*count == 0)
        return fail(problem, EX_UNAVAILABLE, address, why, ": give --listen an address of ours");
    for (size_t i = 0; i < *count && !token; i++)
        if (!tcp_is_loopback(&names[i]))
            return fail(problem, EX_USAGE, address,
                        "other machines can reach it, and there is no token: ",
                        "give --token-file FILE, or --listen tcp:127.0.0.1:PORT");
    return 0;
}

int listener_check_tcp(const struct address *address, bool token, char problem[LISTEN_PROBLEM_MAX])
{
    struct tcp_name names[TCP_NAMES_MAX];
    size_t count;

    return look_up(address, token, names, &count, problem);
}

/* 0, or errno. */
static int listen_at(int fd, const struct tcp_name *at, struct address *taken)
{
    struct tcp_name own = {.length = sizeof own.name};
    int on = 1;

    /* Else a restart waits a minute for the connections of before. */
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(fd, (const struct sockaddr *)&at->name, at->length) != 0 || listen(fd, BACKLOG) != 0 ||
        getsockname(fd, (struct sockaddr *)&own.name, &own.length) != 0)
        return errno;
    *taken = tcp_address(&own);
    return 0;
}

int listener_open_tcp(struct listener *listener, const struct address *address, bool token,
                      char problem[LISTEN_PROBLEM_MAX])
{
    struct tcp_name names[TCP_NAMES_MAX];
    size_t count;
    int status = look_up(address, token, names, &count, problem), error = 0;

    *listener = (struct listener)LISTENER_INIT;
    for (size_t i = 0; i < count && status == 0; i++) {
        listener->fd =
            socket(names[i].name.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        error = listener->fd < 0 ? errno : listen_at(listener->fd, &names[i], &listener->address);
        if (error == 0)
            return 0;
        listener_close(listener);
    }
    if (status != 0)
        return status;
    if (error == EADDRINUSE)
        return fail(problem, EX_UNAVAILABLE, address, "the port is taken",
                    ": stop what serves it, or give another --listen");
    return fail(problem, EX_CANTCREAT, address, strerror(error),
                ": give --listen a host of this machine and a port that may be taken");
}
