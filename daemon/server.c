#include "daemon/server.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <uv.h>

#include "daemon/connection.h"
#include "daemon/log.h"
#include "daemon/memory.h"
#include "daemon/reserve.h"

enum {
    TICK_MS = 100,
    SECOND_MS = 1000,
    TRIM_MS = 10000,         /* between two attempts to give memory back */
    STOP_MS = 3000,          /* after SIGTERM: to take in what was received */
    COMMAND_DRAIN_MS = 5000, /* after COMMAND ended: until its sessions are gone */
    SINKS_DRAIN_MS = 2000,   /* of these, for the sinks, where there are any */
    SIGNALS_MAX = 8,
    BACKLOG = 512,
};

struct server {
    const struct server_options *options; /* borrowed */
    uv_loop_t loop;
    union stream listeners[SERVER_LISTENERS_MAX];
    size_t listener_count;
    uv_timer_t tick;
    uv_prepare_t turn; /* once a turn of the loop */
    uv_idle_t again;   /* runs while the next turn must not wait */
    uv_signal_t signals[SIGNALS_MAX];
    size_t signal_count;
    struct connections connections;
    struct registry *registry;
    struct sinks *sinks;     /* owned */
    struct command *command; /* NULL: none */
    struct supervisor *supervisor;
    uint64_t next_second_ms, next_trim_ms;
    uint64_t deadline_ms; /* when sessions end at the latest; 0: not ending */
    uint64_t sinks_ms;    /* when to end even if sinks are owed something; 0: sessions go on */
    bool starved;         /* a peer waits until there is memory */
    bool finished;
    int status;
    struct log_seldom refused;
};

/* libuv has a file descriptor in reserve to turn peers away with when there are no more. */
static void on_connection(uv_stream_t *listener, int status)
{
    struct server *server = listener->data;

    if (status < 0)
        log_seldom(&server->refused, moment_now().ms, uv_strerror(status));
    else if (!connections_accept(&server->connections, listener))
        server->starved = true;
}

static void retry_starved(struct server *server)
{
    if (!server->starved)
        return;
    server->starved = false;
    for (size_t i = 0; i < server->listener_count; i++)
        on_connection(&server->listeners[i].stream, 0);
}

/* ---- ending */

static void close_listeners(struct server *server)
{
    for (size_t i = 0; i < server->listener_count; i++)
        uv_close(&server->listeners[i].handle, NULL);
    server->listener_count = 0;
}

/* Runs whose trainers are still connected are left as they are, for the next embmond; a command's
 * trainers have nobody to come back to. */
static void close_connections(struct server *server)
{
    if (!server->command)
        registry_suspend(server->registry);
    close_listeners(server);
    connections_close(&server->connections);
}

/* Closes everything; the loop then ends by itself. */
static void finish(struct server *server)
{
    server->finished = true;
    close_connections(server);
    registry_set_sinks(server->registry, NULL);
    sinks_close(server->sinks);
    for (size_t i = 0; i < server->signal_count; i++)
        uv_close((uv_handle_t *)&server->signals[i], NULL);
    uv_close((uv_handle_t *)&server->tick, NULL);
    uv_close((uv_handle_t *)&server->turn, NULL);
    uv_close((uv_handle_t *)&server->again, NULL);
}

/* True while a peer has connected that was not accepted yet. */
static bool peers_waiting(const struct server *server)
{
    for (size_t i = 0; i < server->listener_count; i++) {
        struct pollfd listener = {.events = POLLIN};
        if (uv_fileno(&server->listeners[i].handle, &listener.fd) == 0 && poll(&listener, 1, 0) > 0)
            return true;
    }
    return false;
}

static void finish_if_told(struct server *server)
{
    if (sinks_idle(server->sinks) || moment_now().ms >= server->sinks_ms)
        finish(server);
}

/* All sessions end, and runs with them; what that says of alerts is sent to the sinks at last. */
static void end_runs(struct server *server)
{
    struct moment now = moment_now();

    registry_keep(server->registry, now); /* what trainers need not send again */
    connections_send(&server->connections);
    close_connections(server);
    registry_end(server->registry, now);
    sinks_hurry(server->sinks);
    server->sinks_ms = now.ms + SINKS_DRAIN_MS;
    finish_if_told(server);
}

static void finish_if_drained(struct server *server)
{
    if (!server->deadline_ms || server->finished)
        return;
    if (server->sinks_ms) {
        finish_if_told(server);
        return;
    }
    bool drained = server->command ? server->connections.count == 0 && !peers_waiting(server)
                                   : connections_settled(&server->connections);
    if (drained || moment_now().ms >= server->deadline_ms)
        end_runs(server);
}

/* Nobody new; what peers have sent so far is taken in. A trainer goes on sending, so "so far" is
 * what lies in the sockets now. */
static void begin_stop(struct server *server)
{
    server->deadline_ms = moment_now().ms + STOP_MS;
    supervisor_stopping(server->supervisor);
    close_listeners(server);
    connections_settle(&server->connections);
    finish_if_drained(server);
}

/* ---- signals and time */

static void on_command_signal(struct server *server, int number)
{
    if (number != SIGCHLD)
        command_forward(server->command, number);
    else if (command_reap(server->command) && !server->deadline_ms)
        server->deadline_ms =
            moment_now().ms + COMMAND_DRAIN_MS - (sinks_count(server->sinks) ? SINKS_DRAIN_MS : 0);
}

static void on_signal(uv_signal_t *signal, int number)
{
    struct server *server = signal->data;

    if (server->finished)
        return;
    if (server->command) {
        on_command_signal(server, number);
    } else if (number == SIGHUP) {
        server->options->reload(server->options->context);
    } else if (server->deadline_ms == 0) {
        log_info("%s: taking in what was received, then ending", strsignal(number));
        begin_stop(server);
    } else {
        server->status = 128 + number;
        finish(server);
    }
}

/* Before anybody is refused what the allocator keeps for itself is given back, and then what is
 * kept of runs that have ended. */
static void weigh(struct server *server, struct moment now)
{
    struct space space = {0};

    if (registry_left(server->registry) == 0 && now.ms >= server->next_trim_ms) {
        server->next_trim_ms = now.ms + TRIM_MS;
        registry_relieve(server->registry, now);
        (void)memory_trimmed();
    }
    while (registry_left(server->registry) == 0 && registry_unload_ended(server->registry, now))
        (void)memory_trimmed();
    thrift_look(registry_logdir(server->registry), &space);
    registry_save_space(server->registry, space);
}

static void on_tick(uv_timer_t *timer)
{
    struct server *server = timer->data;
    struct moment now = moment_now();
    bool second = now.ms >= server->next_second_ms;

    if (second) {
        server->next_second_ms = now.ms + SECOND_MS;
        weigh(server, now);
    }
    registry_tick(server->registry, now);
    registry_flush(server->registry);
    connections_tick(&server->connections, now, second);
    sinks_tick(server->sinks, now);
    supervisor_turns(server->supervisor, now.ms);
    retry_starved(server);
    finish_if_drained(server);
}

static void on_again(uv_idle_t *idle)
{
    struct server *server = idle->data;

    server->connections.again = false;
    registry_scratch(server->registry)->heavy_left = HEAVY_A_TURN;
    connections_tick(&server->connections, moment_now(), false);
}

static void on_turn(uv_prepare_t *turn)
{
    struct server *server = turn->data;

    registry_scratch(server->registry)->heavy_left = HEAVY_A_TURN;
    if (server->connections.again)
        uv_idle_start(&server->again, on_again);
    else
        uv_idle_stop(&server->again);
}

/* ---- starting */

static int listen_on(struct server *server, struct listener *listener)
{
    union stream *stream = &server->listeners[server->listener_count];
    bool tcp = address_is_tcp(&listener->address);

    stream_init(stream, &server->loop, tcp);
    stream->handle.data = server;
    server->listener_count++;
    int error =
        tcp ? uv_tcp_open(&stream->tcp, listener->fd) : uv_pipe_open(&stream->pipe, listener->fd);
    if (error)
        return error;
    listener->fd = -1; /* the handle's from here on */
    return uv_listen(&stream->stream, BACKLOG, on_connection);
}

static int hear(struct server *server, int number)
{
    uv_signal_t *signal = &server->signals[server->signal_count++];

    uv_signal_init(&server->loop, signal);
    signal->data = server;
    return uv_signal_start(signal, on_signal, number);
}

static int hear_signals(struct server *server, bool hangup_ignored)
{
    static const int for_command[] = {SIGQUIT, SIGUSR1, SIGUSR2, SIGCONT, SIGCHLD};
    int error = hear(server, SIGTERM);

    if (!error)
        error = hear(server, SIGINT);
    if (!error && !hangup_ignored) /* else nohup stays in force */
        error = hear(server, SIGHUP);
    for (size_t i = 0; server->command && !error && i < sizeof for_command / sizeof(int); i++)
        error = hear(server, for_command[i]);
    return error;
}

static int start(struct server *server, const struct server_options *options)
{
    int error = 0;

    uv_timer_init(&server->loop, &server->tick);
    uv_prepare_init(&server->loop, &server->turn);
    uv_idle_init(&server->loop, &server->again);
    server->tick.data = server->turn.data = server->again.data = server;
    for (size_t i = 0; i < options->listener_count && !error; i++)
        error = listen_on(server, &options->listeners[i]);
    if (!error)
        error = hear_signals(server, options->signals->hangup_ignored);
    if (!error)
        error = uv_timer_start(&server->tick, on_tick, TICK_MS, TICK_MS);
    if (!error)
        error = uv_prepare_start(&server->turn, on_turn);
    return error;
}

/* Returns 0 or an exit status. */
static int open_sinks(struct server *server, const struct server_options *options)
{
    char problem[SINKS_PROBLEM_MAX] = "out of memory";

    server->sinks = sinks_open(&server->loop, moment_now());
    registry_set_sinks(server->registry, server->sinks);
    if (server->sinks &&
        registry_configure_sinks(server->registry, options->sinks, options->sink_count,
                                 options->tensorboard_url, problem))
        return 0;
    log_error("%s", problem);
    return EX_OSERR;
}

int server_run(const struct server_options *options)
{
    struct server *server = calloc(1, sizeof *server);
    int error =
        server ? uv_replace_allocator(reserve_malloc, reserve_realloc, reserve_calloc, reserve_free)
               : UV_ENOMEM;

    if (!error)
        error = uv_loop_init(&server->loop);

    if (error) {
        log_error("cannot start the event loop: %s", uv_strerror(error));
        free(server);
        return EX_OSERR;
    }
    server->options = options;
    server->registry = options->registry;
    registry_set_scale(server->registry, memory_resident);
    server->command = options->command;
    server->supervisor = options->supervisor;
    server->connections.loop = &server->loop;
    server->connections.registry = options->registry;
    server->connections.door.ceilings = options->ceilings;
    server->connections.door.usage = registry_usage(options->registry);
    server->connections.token = options->token;
    error = start(server, options);
    server->status = error ? EX_OSERR : open_sinks(server, options);
    command_signals_release(options->signals);
    if (error)
        log_error("cannot serve: %s", uv_strerror(error));
    if (server->status != 0) {
        finish(server);
    } else {
        supervisor_ready(server->supervisor);
        if (server->command) /* it may have ended before its signal was heard */
            on_command_signal(server, SIGCHLD);
    }
    uv_run(&server->loop, UV_RUN_DEFAULT);
    uv_loop_close(&server->loop);
    int status = server->status;
    free(server);
    return status;
}
