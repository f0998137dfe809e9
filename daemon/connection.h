/* The connections of a server: reads what peers send, hands it to their sessions, sends what those
 * write. Part of the rim that knows libuv; only server.c includes this. */
#ifndef EMBMON_DAEMON_CONNECTION_H
#define EMBMON_DAEMON_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "daemon/door.h"
#include "daemon/log.h"
#include "daemon/moment.h"
#include "daemon/registry.h"
#include "proto/token.h"

enum {
    CONNECTION_READ_MAX = 64 << 10, /* bytes read at once */
};

/* A listener or a connection. */
union stream {
    uv_handle_t handle;
    uv_stream_t stream;
    uv_pipe_t pipe;
    uv_tcp_t tcp;
};

void stream_init(union stream *stream, uv_loop_t *loop, bool tcp);

struct connection;

struct connections {
    uv_loop_t *loop;           /* borrowed */
    struct registry *registry; /* borrowed */
    const struct token *token; /* borrowed; may change */
    struct door door;
    struct connection *first;
    struct connection *favoured; /* may go on where all hold too much, to the end of its frame */
    size_t count, stopped;       /* stopped: not read from */
    bool woken;                  /* a session wrote something while it was not fed */
    bool again; /* somebody has more to be taken in, and others have their turn now: tick soon */
    uint64_t invalid_frames;
    struct log_seldom refused, full, slow, invalid, unproven_full, unproven_failed;
    char buffer[CONNECTION_READ_MAX]; /* one for all: read into and handed on in one callback */
};

/* Takes the peer that waits at a listener. False: no memory; libuv then accepts nobody else there
 * until this is called again. */
bool connections_accept(struct connections *all, uv_stream_t *listener);

/* Every 100 ms; second: a second has passed, too. */
void connections_tick(struct connections *all, struct moment now, bool second);

/* Sends what sessions wrote while nothing came from their peers. */
void connections_send(struct connections *all);

/* Ends all sessions and connections; they are gone once the loop has run. */
void connections_close(struct connections *all);

/* Counts what peers have sent so far and nobody has read. connections_settled() is true when it has
 * been taken in and the answers are sent. */
void connections_settle(struct connections *all);
bool connections_settled(const struct connections *all);

#endif
