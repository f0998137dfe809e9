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
    uint64_t linger_ms;   /* when to close even if the last output is not sent; 0: not closing */
    size_t owed;          /* see connections_settle() */
    size_t held;          /* bytes in memory for it, as counted last */
    bool paused, crowded; /* not read from: its session's wish, or all hold too much */
    bool woken;
    struct guest guest;
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

static struct gauge *held_by_all(struct connection *c)
{
    return &c->all->door.usage->buffer_bytes;
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
    held_by_all(c)->used -= c->held;
    door_leave(&c->all->door, &c->guest);
    free(c);
}

/* Keeps the count of what all connections hold. */
static void count_held(struct connection *c)
{
    size_t held = (c->session ? session_held(c->session) : 0) + unsent(c);

    held_by_all(c)->used += held - c->held;
    c->held = held;
    session_unread(c->session, unsent(c));
}

static bool is_stopped(const struct connection *c)
{
    return c->paused || c->crowded;
}

static void on_allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer);
static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer);

static void set_stopped(struct connection *c, bool paused, bool crowded)
{
    bool before = is_stopped(c);

    c->paused = paused;
    c->crowded = crowded;
    if (before == is_stopped(c))
        return;
    if (before) {
        c->all->stopped--;
        uv_read_start(stream_of(c), on_allocate, on_read);
    } else {
        c->all->stopped++;
        uv_read_stop(stream_of(c));
    }
}

static void end_session(struct connection *c)
{
    struct moment now = moment_now();

    c->all->stopped -= is_stopped(c);
    c->paused = c->crowded = false;
    if (c->all->favoured == c)
        c->all->favoured = NULL;
    door_hush(&c->all->door, &c->guest, now.ms);
    if (c->session)
        session_free(c->session, now);
    c->session = NULL;
    count_held(c);
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
    count_held(c);
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

static bool may_wait(struct connection *c, size_t rest)
{
    const char *wrong = door_may_wait(&c->all->door, unsent(c), rest);

    if (wrong)
        log_seldom(&c->all->slow, moment_now().ms, wrong);
    return !wrong;
}

/* Sends what the session wrote. A peer that leaves too much unread is given up. */
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
    if ((taken < 0 && taken != UV_EAGAIN) ||
        (sent < n && (!may_wait(c, n - sent) || !queue_output(c, data + sent, n - sent)))) {
        drop(c);
        return;
    }
    session_sent(c->session);
    count_held(c);
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
    struct address address = tcp_address(&c->guest.name);
    char line[ADDRESS_TEXT_MAX + 160], text[ADDRESS_TEXT_MAX] = "";

    (void)address_text(&address, text);
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

static void feed(struct connection *c, const uint8_t *data, size_t n)
{
    enum session_result result = session_feed(c->session, data, n, moment_now());

    c->owed -= n < c->owed ? n : c->owed;
    send_output(c);
    if (!c->session)
        return;
    if (session_is_proven(c->session))
        door_proven(&c->all->door, &c->guest, moment_now().ms);
    if (result == SESSION_CLOSE) {
        note_invalid(c);
        drop_when_sent(c);
        return;
    }
    count_held(c);
    c->all->again |= result == SESSION_PAUSE && !session_paused(c->session);
    bool holds = session_held(c->session) > 0;
    if (c->all->favoured == c && !holds)
        c->all->favoured = NULL;
    set_stopped(c, result == SESSION_PAUSE,
                holds && door_is_crowded(&c->all->door) && c->all->favoured != c);
    c->all->door.usage->buffer_bytes.refused += c->crowded;
}

/* Of those that wait for each other's room one goes on, the one that is nearest to its end. */
static void favour_one(struct connections *all)
{
    for (struct connection *c = all->stopped ? all->first : NULL; c; c = c->next)
        if (c->crowded && !c->paused && (!all->favoured || c->held > all->favoured->held))
            all->favoured = c;
}

/* Sessions that waited for others and need not any more go on with what they kept. */
static void resume_stopped(struct connections *all)
{
    if (!all->favoured && door_is_crowded(&all->door))
        favour_one(all);
    for (struct connection *c = all->stopped ? all->first : NULL; c; c = c->next) {
        if (c->crowded && (c == all->favoured || !door_is_crowded(&all->door)))
            set_stopped(c, c->paused, false);
        if (c->paused && !session_paused(c->session))
            feed(c, NULL, 0);
    }
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
    resume_stopped(all);
    send_woken(all);
}

/* ---- from outside */

static void turn_away(struct connection *c, enum door_answer answer)
{
    struct connections *all = c->all;
    char what[128];

    switch (answer) {
    case DOOR_OPEN:
        break;
    case DOOR_FULL:
    case DOOR_FULL_TCP:
        (void)snprintf(what, sizeof what, "%llu connections%s are open: another one was refused%s",
                       (unsigned long long)(answer == DOOR_FULL
                                                ? all->door.usage->connections.used
                                                : all->door.usage->tcp_connections.used),
                       answer == DOOR_FULL ? "" : " over tcp",
                       usage_files_left(all->door.usage) ? "" : " for want of files (ulimit -n)");
        log_seldom(&all->full, moment_now().ms, what);
        break;
    case DOOR_FULL_UNPROVEN:
        note_stranger(c, &all->unproven_full, "too many others have not proven the token yet");
        break;
    case DOOR_KNOCKED:
        note_stranger(c, &all->unproven_failed, "too many before it did not prove the token");
        break;
    }
}

/* Over tcp anybody may come, and proves himself later; a Unix socket's peer is known. */
static bool is_welcome(struct connection *c, struct moment now)
{
    struct connections *all = c->all;
    struct guest *guest = &c->guest;
    int length = sizeof guest->name.name;
    uv_os_fd_t fd = -1;

    if (uv_fileno(&c->stream.handle, &fd) != 0)
        return false;
    if (!guest->tcp && !listener_admits(fd)) {
        log_seldom(&all->refused, now.ms, "another user's connection was refused");
        return false;
    }
    if (guest->tcp) {
        tcp_tune(fd);
        (void)uv_tcp_getpeername(&c->stream.tcp, (struct sockaddr *)&guest->name.name, &length);
        guest->name.length = (socklen_t)length;
        guest->guarded = all->token->length > 0;
    }
    enum door_answer answer = door_enter(&all->door, guest, now.ms);
    turn_away(c, answer);
    return answer == DOOR_OPEN;
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
    if (c->guest.tcp) {
        session_over_tcp(c->session, all->token);
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
    c->guest.tcp = listener->type == UV_TCP;
    stream_init(&c->stream, all->loop, c->guest.tcp);
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
    all->door.usage->failed_proofs.used = knocks_worst(&all->door.knocks, now.ms);
    resume_stopped(all);
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
        if (unsent(c) > 0 || (c->owed > 0 && c->session && !is_stopped(c)))
            return false;
    return true;
}
