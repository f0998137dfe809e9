/* The rim: listens, ticks, hears signals. Reads the clocks and hands the time on; with
 * connection.c, webhook.c and exec_sink.c the only module that knows libuv. */
#ifndef EMBMON_DAEMON_SERVER_H
#define EMBMON_DAEMON_SERVER_H

#include <stddef.h>

#include "daemon/ceilings.h"
#include "daemon/command.h"
#include "daemon/listen.h"
#include "daemon/registry.h"
#include "daemon/sinks.h"
#include "daemon/supervisor.h"
#include "proto/token.h"

enum { SERVER_LISTENERS_MAX = 16 };

struct server_options {
    struct listener *listeners;      /* their sockets are taken; the rest stays the caller's */
    size_t listener_count;           /* <= SERVER_LISTENERS_MAX */
    struct registry *registry;       /* borrowed */
    const struct ceilings *ceilings; /* borrowed; reload() may change them */
    const struct token *token;       /* of tcp; borrowed, may change; empty: none */
    void (*reload)(void *context);   /* SIGHUP: reads the configuration again */
    void *context;
    const struct sink_options *sinks; /* borrowed for the call */
    size_t sink_count;
    const char *tensorboard_url;           /* NULL: none */
    struct command *command;               /* borrowed; NULL: none */
    const struct command_signals *signals; /* held until the server hears them itself */
    struct supervisor *supervisor;         /* borrowed: told when we serve, turn, and end */
};

/* Serves until a signal ends it or, with a command, until that has ended and its posts are in. All
 * sessions and runs are ended then, and the sinks were told. Returns 0; EX_OSERR; 128 + n when a
 * second signal n asked not to wait: then leave without another write. */
int server_run(const struct server_options *options);

#endif
