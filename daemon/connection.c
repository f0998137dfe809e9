#include "daemon/connection.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "daemon/listen.h"
#include "daemon/session.h"
#include "proto/tcp.h"

enum { LINGER_MS = 2000 }; /* how long a closed peer may take to read what it was sent last */

struct connection {
    union stream stream; /* first: its handle is the connection */
    struct connections *all;
    struct session *session; /* NULL once it has ended */
    struct connection *next, *previous;
    uint64_t linger_ms; /* when to close even if the last output is not sent; 0: not closing */
    size_t owed;        /* see connections_settle() */
    bool paused, woken;
    bool tcp, unproven;
};

struct output {
    uv_write_t request; /* first */
    char *data;         /* owned */
};

void stream_init(union stream *stream, uv_loop_t *loop, bool tcp)
{
    if (tcp)
        uv_tcp_init(loop, &stream->tcp);
    else
        uv_pipe_init(loop, &stream->pipe, 0);
}

static uv_stream_t *stream_of(struct connection *c)
{
    return &c->stream.stream;
}

static size_t unsent(const struct connection *c)
{
    return uv_stream_get_write_queue_size(&c->stream.stream);
}

/* ---- ending */

static void on_closed(uv_handle_t *handle)
{
    struct connection *c = (struct connection *)handle;

    if (c->previous)
        c->previous->next = c->next;
    else
        c->all->first = c->next;
    if (c->next)
        c->next->previous = c->previous;
    c->all->count--;
    free(c);
}

static void set_proven(struct connection *c)
{
    c->all->unproven -= c->unproven;
    c->unproven = false;
}

static void end_session(struct connection *c)
{
    if (c->paused)
        c->all->paused--;
    c->paused = false;
    set_proven(c);
    if (c->session)
        session_free(c->session, moment_now());
    c->session = NULL;
}

/* Ends the session, and the connection at once. */
static void drop(struct connection *c)
{
    end_session(c);
    if (!uv_is_closing(&c->stream.handle))
        uv_close(&c->stream.handle, on_closed);
}

/* Ends the session, and the connection once what was written to it is sent. */
static void drop_when_sent(struct connection *c)
{
    end_session(c);
    uv_read_stop(stream_of(c));
    c->linger_ms = moment_now().ms + LINGER_MS;
    if (unsent(c) == 0)
        drop(c);
}

/* ---- output */

static void on_written(uv_write_t *request, int status)
{
    struct output *output = (struct output *)request;
    struct connection *c = (struct connection *)request->handle;

    free(output->data);
    free(output);
    if (status < 0 || (c->linger_ms && unsent(c) == 0))
        drop(c);
}

/* Queues a copy of what the socket did not take at once. */
static bool queue_output(struct connection *c, const uint8_t *data, size_t n)
{
    struct output *output = malloc(sizeof *output);
    char *copy = malloc(n);

    if (output && copy) {
        memcpy(copy, data, n);
        output->data = copy;
        uv_buf_t buffer = uv_buf_init(copy, (unsigned)n);
        if (uv_write(&output->request, stream_of(c), &buffer, 1, on_written) == 0)
            return true;
    }
    free(output);
    free(copy);
    return false;
}

/* Sends what the session wrote. A peer that leaves too much unread is given up: what waits for it
 * must not become the daemon's memory. */
static void send_output(struct connection *c)
{
    size_t n = 0;

    c->woken = false;
    const uint8_t *data = c->session ? session_output(c->session, &n) : NULL;
    if (n == 0)
        return;
    uv_buf_t buffer = uv_buf_init((char *)(uintptr_t)data, (unsigned)n); /* is only read */
    int taken = uv_try_write(stream_of(c), &buffer, 1);
    size_t sent = taken > 0 ? (size_t)taken : 0;
    if (taken < 0 && taken != UV_EAGAIN) {
        drop(c);
    } else if (sent < n && unsent(c) > CONNECTION_OUTPUT_MAX) {
        log_seldom(&c->all->slow, moment_now().ms,
                   "a peer does not read what it is sent: connection closed");
        drop(c);
    } else if (sent < n && !queue_output(c, data + sent, n - sent)) {
        drop(c);
    }
}

static void send_woken(struct connections *all)
{
    while (all->woken) {
        all->woken = false;
        for (struct connection *c = all->first; c; c = c->next)
            if (c->woken)
                send_output(c);
    }
}

static void on_wake(void *context)
{
    struct connection *c = context;
    c->woken = true;
    c->all->woken = true;
}

/* ---- input */

static void on_allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    (void)suggested;
    *buffer = uv_buf_init(((struct connection *)handle)->all->buffer, CONNECTION_READ_MAX);
}

/* "a connection from tcp:10.0.0.7:51234 was closed: ...", now and then. */
static void note_stranger(struct connection *c, struct log_seldom *seldom, const char *complaint)
{
    struct tcp_name peer = {.length = sizeof peer.name};
    char line[ADDRESS_TEXT_MAX + 160], text[ADDRESS_TEXT_MAX] = "";
    int length = sizeof peer.name;

    if (uv_tcp_getpeername(&c->stream.tcp, (struct sockaddr *)&peer.name, &length) == 0) {
        struct address address;

        peer.length = (socklen_t)length;
        address = tcp_address(&peer);
        (void)address_text(&address, text);
    }
    (void)snprintf(line, sizeof line, "a connection from %s was closed: %.140s",
                   *text ? text : "another machine", complaint);
    log_seldom(seldom, moment_now().ms, line);
}

/* To be called while the session that ended the connection is still there. */
static void note_invalid(struct connection *c)
{
    struct connections *all = c->all;
    uint64_t count = registry_totals(all->registry)->invalid_frames;
    const char *complaint = session_complaint(c->session);
    bool failed = count == all->invalid_frames;

    all->invalid_frames = count;
    if (complaint)
        note_stranger(c, failed ? &all->unproven_failed : &all->invalid, complaint);
    else if (!failed)
        log_seldom(&all->invalid, moment_now().ms,
                   "a peer sent what is not an embmon frame: connection closed");
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer);

static void set_paused(struct connection *c, bool paused)
{
    if (paused == c->paused)
        return;
    c->paused = paused;
    if (paused) {
        c->all->paused++;
        uv_read_stop(stream_of(c));
    } else {
        c->all->paused--;
        uv_read_start(stream_of(c), on_allocate, on_read);
    }
}

static void feed(struct connection *c, const uint8_t *data, size_t n)
{
    enum session_result result = session_feed(c->session, data, n, moment_now());

    c->owed -= n < c->owed ? n : c->owed;
    send_output(c);
    if (!c->session)
        return;
    if (session_is_proven(c->session))
        set_proven(c);
    if (result == SESSION_CLOSE) {
        note_invalid(c);
        drop_when_sent(c);
    } else {
        set_paused(c, result == SESSION_PAUSE);
    }
}

/* Sessions that waited for others and need not any more go on with what they kept. */
static void resume_paused(struct connections *all)
{
    for (struct connection *c = all->paused ? all->first : NULL; c; c = c->next)
        if (c->paused && !session_paused(c->session))
            feed(c, NULL, 0);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer)
{
    struct connection *c = (struct connection *)stream;
    struct connections *all = c->all;

    if (n == 0 || !c->session)
        return;
    if (n < 0)
        drop(c);
    else
        feed(c, (const uint8_t *)buffer->base, (size_t)n);
    resume_paused(all);
    send_woken(all);
}

/* ---- from outside */

/* Over tcp anybody may come, and proves himself later; a Unix socket's peer is known. */
static bool is_welcome(struct connection *c, struct moment now)
{
    struct connections *all = c->all;
    uv_os_fd_t fd = -1;

    if (uv_fileno(&c->stream.handle, &fd) != 0)
        return false;
    if (!c->tcp && !listener_admits(fd)) {
        log_seldom(&all->refused, now.ms, "another user's connection was refused");
        return false;
    }
    if (all->count > all->ceilings->connections) {
        char what[80];
        (void)snprintf(what, sizeof what, "%zu connections are open: another one was refused",
                       all->count - 1);
        log_seldom(&all->full, now.ms, what);
        return false;
    }
    if (c->tcp && all->token->length > 0 && all->unproven >= CONNECTION_UNPROVEN_MAX) {
        note_stranger(c, &all->unproven_full, "too many others have not proven the token yet");
        return false;
    }
    if (c->tcp)
        tcp_tune(fd);
    return true;
}

static void admit(struct connection *c)
{
    struct connections *all = c->all;
    struct moment now = moment_now();

    if (!is_welcome(c, now) || !(c->session = session_new(all->registry, now))) {
        drop(c);
        return;
    }
    session_on_output(c->session, on_wake, c);
    if (c->tcp) {
        session_over_tcp(c->session, all->token);
        c->unproven = !session_is_proven(c->session);
        all->unproven += c->unproven;
        send_output(c);
    }
    if (c->session)
        uv_read_start(stream_of(c), on_allocate, on_read);
}

bool connections_accept(struct connections *all, uv_stream_t *listener)
{
    struct connection *c = calloc(1, sizeof *c);

    if (!c)
        return false;
    c->tcp = listener->type == UV_TCP;
    stream_init(&c->stream, all->loop, c->tcp);
    c->all = all;
    c->next = all->first;
    if (c->next)
        c->next->previous = c;
    all->first = c;
    all->count++;
    if (uv_accept(listener, stream_of(c)) == 0)
        admit(c);
    else
        drop(c);
    return true;
}

void connections_tick(struct connections *all, struct moment now, bool second)
{
    for (struct connection *c = all->first; c; c = c->next) {
        if (second && c->session && !session_tick(c->session, now))
            drop_when_sent(c);
        if (c->linger_ms && now.ms >= c->linger_ms)
            drop(c);
    }
    resume_paused(all);
    send_woken(all);
}

void connections_send(struct connections *all)
{
    send_woken(all);
}

void connections_close(struct connections *all)
{
    for (struct connection *c = all->first; c; c = c->next)
        drop(c);
}

void connections_settle(struct connections *all)
{
    for (struct connection *c = all->first; c; c = c->next) {
        uv_os_fd_t fd;
        int waiting = 0;
        if (uv_fileno(&c->stream.handle, &fd) == 0 && ioctl(fd, FIONREAD, &waiting) == 0)
            c->owed = (size_t)waiting;
    }
}

bool connections_settled(const struct connections *all)
{
    for (const struct connection *c = all->first; c; c = c->next)
        if (unsent(c) > 0 || (c->owed > 0 && c->session && !c->paused))
            return false;
    return true;
}
