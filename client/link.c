#include "client/link.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/tcp.h"

struct link {
    struct address addresses[ADDRESS_DEFAULTS_MAX];
    size_t count, which;
    char where[ADDRESS_TEXT_MAX], tried[ADDRESS_LIST_MAX];
    const char *reasons[ADDRESS_DEFAULTS_MAX]; /* why each was in vain; static */
    struct tcp_name names[TCP_NAMES_MAX];      /* of the present address */
    size_t name_count, name;
    bool connecting;
    int64_t connect_by_ms;
    _Atomic int *fd; /* borrowed */
    int64_t next_ms, backoff_ms;
    uint64_t random;
    struct frame_codec codec, packer;
    size_t out_first, out_end;
    size_t in_first, in_end;
    uint8_t out[LINK_OUT];
    uint8_t in[LINK_IN + FRAME_HEADER];
};

struct link *link_new(const struct address *addresses, size_t count, uint64_t seed,
                      _Atomic int *shared_fd)
{
    struct link *link = calloc(1, sizeof *link);

    if (!link)
        return NULL;
    link->count = count < ADDRESS_DEFAULTS_MAX ? count : ADDRESS_DEFAULTS_MAX;
    if (link->count > 0)
        memcpy(link->addresses, addresses, link->count * sizeof *addresses);
    if (link->count > 0)
        address_text(&link->addresses[0], link->where);
    link->fd = shared_fd;
    link->random = seed | 1;
    link->backoff_ms = LINK_BACKOFF_MS;
    atomic_store(link->fd, -1);
    return link;
}

static void close_socket(struct link *link)
{
    int fd = atomic_exchange(link->fd, -1);

    if (fd >= 0)
        close(fd);
    link->connecting = false;
    link->out_first = link->out_end = link->in_first = link->in_end = 0;
}

void link_free(struct link *link)
{
    if (!link)
        return;
    close_socket(link);
    frame_codec_free(&link->codec);
    frame_codec_free(&link->packer);
    free(link);
}

bool link_is_up(const struct link *link)
{
    return link_socket(link) >= 0 && !link->connecting;
}

bool link_is_tcp(const struct link *link)
{
    return address_is_tcp(&link->addresses[link->which]);
}

int link_socket(const struct link *link)
{
    return atomic_load(link->fd);
}

const char *link_where(const struct link *link)
{
    return link->where;
}

const char *link_tried(struct link *link)
{
    return address_list(link->addresses, link->reasons, link->count, link->tried,
                        sizeof link->tried);
}

int64_t link_wait(const struct link *link, int64_t now_ms)
{
    return link_is_up(link) || link->next_ms <= now_ms ? 0 : link->next_ms - now_ms;
}

/* xorshift64: good enough to keep a thousand ranks from knocking at once. */
static uint64_t next_random(struct link *link)
{
    link->random ^= link->random << 13;
    link->random ^= link->random >> 7;
    link->random ^= link->random << 17;
    return link->random;
}

static void back_off(struct link *link, int64_t now_ms)
{
    int64_t half = link->backoff_ms / 2;

    link->next_ms = now_ms + half + (int64_t)(next_random(link) % (uint64_t)(2 * half + 1));
    link->backoff_ms *= 2;
    if (link->backoff_ms > LINK_BACKOFF_MAX_MS)
        link->backoff_ms = LINK_BACKOFF_MAX_MS;
}

/* Anybody may listen in a folder we do not own: only ourselves and root are believed. */
static bool is_ours(int fd)
{
    struct ucred peer;
    socklen_t length = sizeof peer;

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 &&
           (peer.uid == geteuid() || peer.uid == 0);
}

/* The outcome of an attempt: at an address NULL is success. */
static const char *fail(struct link *link, const char *problem)
{
    close_socket(link);
    return problem;
}

static const char *explain(int error)
{
    switch (error) {
    case EAGAIN:
        return "the daemon is busy";
    case EACCES:
    case EPERM:
        return "it may not be connected to";
    case EHOSTUNREACH:
    case ENETUNREACH:
        return "there is no way to that machine";
    case ETIMEDOUT:
        return "that machine does not answer";
    default:
        return "nobody listens there";
    }
}

static int open_socket(struct link *link, int family)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd >= 0)
        atomic_store(link->fd, fd);
    return fd;
}

static const char *connect_unix(struct link *link)
{
    const struct address *address = &link->addresses[link->which];
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int fd = open_socket(link, AF_UNIX);

    if (fd < 0)
        return "no socket can be made";
    memcpy(name.sun_path, address->path, strnlen(address->path, sizeof name.sun_path));
    if (connect(fd, (const struct sockaddr *)&name, sizeof name) != 0)
        return fail(link, errno == EACCES ? "its socket is not ours to use" : explain(errno));
    return is_ours(fd) ? NULL : fail(link, "it belongs to another user");
}

/* Begins to connect to the next socket address that has not failed yet. */
static const char *begin_tcp(struct link *link, int64_t now_ms)
{
    const char *problem = "the host has no address";

    for (; link->name < link->name_count; link->name++) {
        const struct tcp_name *name = &link->names[link->name];
        int fd = open_socket(link, name->name.ss_family);

        if (fd < 0) {
            problem = "no socket can be made";
            continue;
        }
        if (connect(fd, (const struct sockaddr *)&name->name, name->length) == 0 ||
            errno == EINPROGRESS) {
            link->connecting = true;
            link->connect_by_ms = now_ms + LINK_CONNECT_MS;
            return NULL;
        }
        problem = fail(link, explain(errno));
    }
    return problem;
}

/* How the connection that was begun goes on: NULL while it does, or when it is there. */
static const char *await_tcp(struct link *link, int64_t now_ms)
{
    struct pollfd poll_for = {link_socket(link), POLLOUT, 0};
    const char *problem;
    int error = 0;
    socklen_t length = sizeof error;

    if (poll(&poll_for, 1, 0) <= 0) {
        if (now_ms < link->connect_by_ms)
            return NULL;
        error = ETIMEDOUT;
    } else if (getsockopt(poll_for.fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0) {
        error = errno;
    }
    if (error == 0) {
        tcp_tune(poll_for.fd);
        link->connecting = false;
        return NULL;
    }
    problem = fail(link, explain(error));
    link->name++;
    return link->name < link->name_count ? begin_tcp(link, now_ms) : problem;
}

static const char *connect_to(struct link *link, size_t which, int64_t now_ms)
{
    const char *problem = NULL;

    link->which = which;
    address_text(&link->addresses[which], link->where);
    if (!link_is_tcp(link))
        return connect_unix(link);
    link->name = 0;
    link->name_count = tcp_resolve(&link->addresses[which], link->names, &problem);
    return link->name_count > 0 ? begin_tcp(link, now_ms) : problem;
}

bool link_connect(struct link *link, int64_t now_ms, const char **problem)
{
    size_t next = 0;

    *problem = NULL;
    if (link_is_up(link) || link_wait(link, now_ms) > 0)
        return false;
    *problem = "there is no address to try: neither XDG_RUNTIME_DIR nor HOME is set";
    if (link->connecting) {
        next = link->which + 1;
        *problem = await_tcp(link, now_ms);
        if (!*problem)
            return link_is_up(link);
        link->reasons[link->which] = *problem;
    }
    for (; next < link->count; next++) {
        *problem = connect_to(link, next, now_ms);
        if (!*problem)
            return link_is_up(link);
        link->reasons[next] = *problem;
    }
    back_off(link, now_ms);
    return false;
}

void link_drop(struct link *link, int64_t now_ms)
{
    close_socket(link);
    back_off(link, now_ms);
}

void link_settled(struct link *link)
{
    link->backoff_ms = LINK_BACKOFF_MS;
}

void link_hurry(struct link *link)
{
    link->next_ms = 0;
    link->backoff_ms = LINK_BACKOFF_MS;
}

uint8_t *link_room(struct link *link, size_t n)
{
    if (n > LINK_OUT - link->out_end && link->out_first > 0) {
        memmove(link->out, link->out + link->out_first, link_pending(link));
        link->out_end -= link->out_first;
        link->out_first = 0;
    }
    return n > LINK_OUT - link->out_end ? NULL : link->out + link->out_end;
}

void link_wrote(struct link *link, size_t n)
{
    link->out_end += n;
}

size_t link_pack(struct link *link, uint8_t *frame, size_t n)
{
    return link_is_tcp(link) ? frame_deflate(frame, n, &link->packer) : n;
}

size_t link_pending(const struct link *link)
{
    return link->out_end - link->out_first;
}

bool link_flush(struct link *link)
{
    while (link_pending(link) > 0) {
        ssize_t sent = send(link_socket(link), link->out + link->out_first, link_pending(link),
                            MSG_NOSIGNAL | MSG_DONTWAIT);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK;
        link->out_first += (size_t)sent;
    }
    link->out_first = link->out_end = 0;
    return true;
}

bool link_receive(struct link *link)
{
    if (link->in_first > 0) {
        memmove(link->in, link->in + link->in_first, link->in_end - link->in_first);
        link->in_end -= link->in_first;
        link->in_first = 0;
    }
    while (link->in_end < sizeof link->in) {
        ssize_t got = recv(link_socket(link), link->in + link->in_end,
                           sizeof link->in - link->in_end, MSG_DONTWAIT);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK;
        if (got == 0)
            return false;
        link->in_end += (size_t)got;
    }
    return true;
}

size_t link_unread(const struct link *link)
{
    return link->in_end - link->in_first;
}

enum frame_result link_frame(struct link *link, struct frame *frame)
{
    size_t used;
    enum frame_result result =
        frame_read(frame, &used, link->in + link->in_first, link->in_end - link->in_first,
                   &link->codec, LINK_IN, LINK_IN);

    if (result == FRAME_OK)
        link->in_first += used;
    return result;
}
