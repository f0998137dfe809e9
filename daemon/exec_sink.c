#include "daemon/exec_sink.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>
#include <uv.h>

#include "daemon/log.h"

enum { READ_MAX = 4096, ERROR_MAX = EXEC_SHOWN_MAX + 128 };

struct exec_sinks {
    uv_loop_t *loop; /* borrowed */
    uv_signal_t child;
    struct run *first;
    bool closing, signal_closed;
};

struct exec_sink {
    struct exec_sinks *all;
    const struct sink_options *options;
    delivery_done *done;
    void *context;
};

/* One started program. */
struct run {
    uv_pipe_t output; /* its stdout and stderr */
    uv_timer_t timer;
    struct exec_sinks *all;
    struct exec_sink *sink; /* NULL: nobody asks how it ends */
    struct run *next, **link;
    pid_t pid; /* 0: it has ended */
    uint32_t ticket;
    bool timed_out;
    int handles; /* that are not closed yet */
    size_t written;
    size_t shown_length;
    char shown[EXEC_SHOWN_MAX + 1];
    char buffer[READ_MAX];
};

/* ---- memory */

static void free_if_closed(struct exec_sinks *all)
{
    if (all->closing && all->signal_closed && !all->first)
        free(all);
}

static void on_run_closed(uv_handle_t *handle)
{
    struct run *run = handle->data;

    if (--run->handles > 0)
        return;
    struct exec_sinks *all = run->all;
    *run->link = run->next;
    if (run->next)
        run->next->link = run->link;
    free(run);
    free_if_closed(all);
}

static void close_run(struct run *run)
{
    uv_close((uv_handle_t *)&run->timer, on_run_closed);
    if (!uv_is_closing((uv_handle_t *)&run->output))
        uv_close((uv_handle_t *)&run->output, on_run_closed);
}

static struct run *run_new(struct exec_sink *sink, uint32_t ticket)
{
    struct run *run = calloc(1, sizeof *run);

    if (!run)
        return NULL;
    run->all = sink->all;
    run->sink = sink;
    run->ticket = ticket;
    run->handles = 2;
    uv_pipe_init(sink->all->loop, &run->output, 0);
    uv_timer_init(sink->all->loop, &run->timer);
    run->output.data = run->timer.data = run;
    run->next = sink->all->first;
    run->link = &sink->all->first;
    if (run->next)
        run->next->link = &run->next;
    sink->all->first = run;
    return run;
}

/* ---- its output */

static void keep(struct run *run, const char *data, size_t n)
{
    size_t room = EXEC_SHOWN_MAX - run->shown_length;

    run->written += n;
    n = n < room ? n : room;
    memcpy(run->shown + run->shown_length, data, n);
    run->shown_length += n;
}

static void on_buffer_wanted(uv_handle_t *handle, size_t size, uv_buf_t *buffer)
{
    struct run *run = handle->data;

    (void)size;
    *buffer = uv_buf_init(run->buffer, sizeof run->buffer);
}

/* Who writes without end finds his pipe closed. */
static void on_output(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer)
{
    struct run *run = stream->data;

    if (n > 0)
        keep(run, buffer->base, (size_t)n);
    if ((n < 0 || run->written > EXEC_OUTPUT_MAX) && !uv_is_closing((uv_handle_t *)stream))
        uv_close((uv_handle_t *)stream, on_run_closed);
}

/* What it wrote last, before it ended. */
static void read_rest(struct run *run)
{
    int fd;

    if (uv_is_closing((uv_handle_t *)&run->output) ||
        uv_fileno((uv_handle_t *)&run->output, &fd) != 0)
        return;
    ssize_t n = read(fd, run->buffer, sizeof run->buffer); /* the pipe does not block */
    if (n > 0)
        keep(run, run->buffer, (size_t)n);
}

/* ---- its end */

/* How it ended, in words. */
static void judge(const struct run *run, int status, struct delivery *delivery,
                  char error[ERROR_MAX])
{
    const char *said = run->shown_length ? ": " : "";

    *delivery = (struct delivery){.ticket = run->ticket, .outcome = OUTBOX_REFUSED};
    if (run->timed_out) {
        delivery->kind = EXEC_TIMEOUT;
        snprintf(error, ERROR_MAX, "it did not end in time%s%s", said, run->shown);
    } else if (WIFSIGNALED(status)) {
        delivery->kind = EXEC_SIGNAL;
        snprintf(error, ERROR_MAX, "signal %d ended it%s%s", WTERMSIG(status), said, run->shown);
    } else if (WEXITSTATUS(status) != 0) {
        delivery->kind = EXEC_STATUS;
        if (WEXITSTATUS(status) == EX_TEMPFAIL)
            delivery->outcome = OUTBOX_FAILED;
        snprintf(error, ERROR_MAX, "exit status %d%s%s", WEXITSTATUS(status), said, run->shown);
    } else {
        delivery->outcome = OUTBOX_DELIVERED;
    }
}

static void finish(struct run *run, int status)
{
    struct delivery delivery;
    char error[ERROR_MAX] = "";

    read_rest(run);
    while (run->shown_length > 0 && run->shown[run->shown_length - 1] == '\n')
        run->shown_length--;
    run->shown[run->shown_length] = '\0';
    judge(run, status, &delivery, error);
    delivery.error = error;
    close_run(run);
    if (!run->sink)
        return;
    if (delivery.outcome == OUTBOX_DELIVERED && run->shown_length > 0)
        log_debug("sink %s: %s", run->sink->options->name, run->shown);
    run->sink->done(run->sink->context, &delivery);
}

/* The number of an ended program's group stays taken until it is reaped. So what is left of a group
 * whose time is over is killed before. */
static void reap(struct run *run)
{
    siginfo_t info = {0};
    int status;

    if (run->pid == 0 || waitid(P_PID, (id_t)run->pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
        info.si_pid == 0)
        return;
    if (run->timed_out)
        (void)kill(-run->pid, SIGKILL);
    if (waitpid(run->pid, &status, 0) != run->pid)
        return;
    run->pid = 0;
    finish(run, status);
}

static void on_child(uv_signal_t *signal, int number)
{
    struct exec_sinks *all = signal->data;

    (void)number;
    for (struct run *run = all->first, *next; run; run = next) {
        next = run->next;
        reap(run);
    }
}

static void on_time_over(uv_timer_t *timer)
{
    struct run *run = timer->data;

    if (run->pid == 0)
        return;
    (void)kill(-run->pid, run->timed_out ? SIGKILL : SIGTERM);
    run->timed_out = true;
    uv_timer_start(timer, on_time_over, EXEC_KILL_MS, 0);
}

/* ---- its beginning */

/* The text as a file that nobody else has: a program that does not read it blocks nobody. */
static int make_input(const char *text)
{
    size_t n = strlen(text);
    int fd = memfd_create("embmond-alert", MFD_CLOEXEC);

    if (fd >= 0 && (write(fd, text, n) != (ssize_t)n || lseek(fd, 0, SEEK_SET) != 0)) {
        (void)close(fd);
        fd = -1;
    }
    return fd;
}

/* Returns 0 or an errno. */
static int set_up(posix_spawnattr_t *attributes, posix_spawn_file_actions_t *actions, int input,
                  int output)
{
    sigset_t none, all;
    int error;

    sigemptyset(&none);
    sigfillset(&all);
    error = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK |
                                                     POSIX_SPAWN_SETSIGDEF);
    if (!error)
        error = posix_spawnattr_setsigmask(attributes, &none);
    if (!error)
        error = posix_spawnattr_setsigdefault(attributes, &all);
    if (!error)
        error = posix_spawn_file_actions_adddup2(actions, input, STDIN_FILENO);
    if (!error)
        error = posix_spawn_file_actions_adddup2(actions, output, STDOUT_FILENO);
    if (!error)
        error = posix_spawn_file_actions_adddup2(actions, output, STDERR_FILENO);
    if (!error)
        error = posix_spawn_file_actions_addclosefrom_np(actions, STDERR_FILENO + 1);
    if (!error)
        error = posix_spawn_file_actions_addchdir_np(actions, "/");
    return error;
}

static int spawn(pid_t *pid, char **argv, size_t waiting, int input, int output)
{
    static char path[] = "PATH=/usr/local/bin:/usr/bin:/bin", language[] = "LANG=C.UTF-8";
    const char *home = getenv("HOME");
    char home_is[4096], waiting_is[48];
    char *environment[] = {path, language, NULL, NULL, NULL};
    size_t n = 2;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int error;

    if (home && snprintf(home_is, sizeof home_is, "HOME=%s", home) < (int)sizeof home_is)
        environment[n++] = home_is;
    if (waiting > 0) {
        snprintf(waiting_is, sizeof waiting_is, "EMBMON_WAITING=%zu", waiting);
        environment[n] = waiting_is;
    }
    if ((error = posix_spawn_file_actions_init(&actions)) != 0)
        return error;
    if ((error = posix_spawnattr_init(&attributes)) == 0) {
        error = set_up(&attributes, &actions, input, output);
        if (!error)
            error = posix_spawn(pid, argv[0], &actions, &attributes, argv, environment);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

/* Starts it and listens to it. Returns 0 or an errno. */
static int start(struct run *run, const char *text, size_t waiting)
{
    const struct sink_options *options = run->sink->options;
    int output[2] = {-1, -1}, input = make_input(text), error;

    if (input >= 0 && pipe2(output, O_CLOEXEC) == 0)
        error = spawn(&run->pid, options->argv, waiting, input, output[1]);
    else
        error = errno ? errno : EIO;
    if (error == 0) {
        uv_timer_start(&run->timer, on_time_over, options->timeout_ms, 0);
        if (uv_pipe_open(&run->output, output[0]) == 0)
            output[0] = -1; /* the handle's from here on */
        (void)uv_read_start((uv_stream_t *)&run->output, on_buffer_wanted, on_output);
    } else {
        run->pid = 0;
    }
    for (int i = 0; i < 2; i++) {
        if (output[i] >= 0)
            (void)close(output[i]);
    }
    if (input >= 0)
        (void)close(input);
    return error;
}

void exec_sink_run(struct exec_sink *sink, const char *text, size_t waiting, uint32_t ticket)
{
    struct delivery delivery = {
        .ticket = ticket, .outcome = OUTBOX_FAILED, .kind = EXEC_START, .error = "out of memory"};
    struct run *run = run_new(sink, ticket);
    char error[EXEC_PROBLEM_MAX];
    int why = run ? start(run, text, waiting) : ENOMEM;

    if (why == 0)
        return;
    snprintf(error, sizeof error, "cannot start %.150s: %s", sink->options->argv[0], strerror(why));
    delivery.error = error;
    if (run)
        close_run(run);
    sink->done(sink->context, &delivery);
}

/* ---- sinks */

bool exec_check(const struct sink_options *options, char problem[EXEC_PROBLEM_MAX])
{
    if (access(options->argv[0], X_OK) == 0)
        return true;
    snprintf(problem, EXEC_PROBLEM_MAX, "cannot run %.150s: %s", options->argv[0], strerror(errno));
    return false;
}

struct exec_sinks *exec_sinks_open(struct uv_loop_s *loop)
{
    struct exec_sinks *all = calloc(1, sizeof *all);

    if (!all)
        return NULL;
    all->loop = loop;
    uv_signal_init(loop, &all->child);
    all->child.data = all;
    uv_signal_start(&all->child, on_child, SIGCHLD);
    return all;
}

static void on_signal_closed(uv_handle_t *handle)
{
    struct exec_sinks *all = handle->data;

    all->signal_closed = true;
    free_if_closed(all);
}

void exec_sinks_close(struct exec_sinks *all)
{
    if (!all)
        return;
    all->closing = true;
    for (struct run *run = all->first; run; run = run->next) {
        if (run->pid == 0)
            continue;
        (void)kill(-run->pid, SIGKILL);
        run->pid = 0;
        close_run(run);
    }
    uv_close((uv_handle_t *)&all->child, on_signal_closed);
}

struct exec_sink *exec_sink_new(struct exec_sinks *all, const struct sink_options *options,
                                delivery_done *done, void *context)
{
    struct exec_sink *sink = calloc(1, sizeof *sink);

    if (sink)
        *sink = (struct exec_sink){all, options, done, context};
    return sink;
}

void exec_sink_free(struct exec_sink *sink)
{
    if (!sink)
        return;
    for (struct run *run = sink->all->first; run; run = run->next) {
        if (run->sink == sink)
            run->sink = NULL;
    }
    free(sink);
}
