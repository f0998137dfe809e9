#include "daemon/command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

enum { STATUS_NOT_EXECUTABLE = 126, STATUS_NOT_FOUND = 127 }; /* as a shell gives them */

static const int held_signals[] = {SIGTERM, SIGINT,  SIGQUIT, SIGHUP,
                                   SIGUSR1, SIGUSR2, SIGCONT, SIGCHLD};

void command_signals_hold(struct command_signals *signals)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN}, plain = {.sa_handler = SIG_DFL}, hangup;
    sigset_t held;

    sigaction(SIGHUP, NULL, &hangup);
    signals->hangup_ignored = hangup.sa_handler == SIG_IGN;
    sigaction(SIGPIPE, &ignore, &signals->pipe);
    sigaction(SIGXFSZ, &ignore, &signals->xfsz);
    /* Ignored SIGCHLD, inherited from a careless parent, would make the kernel throw the command's
     * status away. */
    sigaction(SIGCHLD, &plain, &signals->child);
    sigemptyset(&held);
    for (size_t i = 0; i < sizeof held_signals / sizeof held_signals[0]; i++)
        sigaddset(&held, held_signals[i]);
    sigprocmask(SIG_BLOCK, &held, &signals->mask);
}

void command_signals_release(const struct command_signals *signals)
{
    sigprocmask(SIG_SETMASK, &signals->mask, NULL);
}

static void restore_signals(const struct command_signals *signals)
{
    sigaction(SIGPIPE, &signals->pipe, NULL);
    sigaction(SIGXFSZ, &signals->xfsz, NULL);
    sigaction(SIGCHLD, &signals->child, NULL);
    command_signals_release(signals);
}

static bool set_environment(const char *address, const char *run)
{
    const char *present = getenv("EMBMON_RUN");
    return setenv("EMBMON_ADDRESS", address, 1) == 0 &&
           ((present && *present) || setenv("EMBMON_RUN", run, 1) == 0);
}

/* In the child: becomes the command, or says why not over the pipe, which exec closes. */
static void become(char **argv, const char *address, const char *run,
                   const struct command_signals *signals, int report)
{
    if (set_environment(address, run)) {
        restore_signals(signals);
        execvp(argv[0], argv);
    }
    int error = errno;
    ssize_t ignored = write(report, &error, sizeof error);
    (void)ignored;
    _exit(STATUS_NOT_FOUND);
}

/* The child's errno, or 0 once it has become the command. */
static int read_report(int fd)
{
    int error = 0;
    ssize_t n;
    do
        n = read(fd, &error, sizeof error);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof error ? error : 0;
}

static int system_problem(char *problem, const char *what)
{
    snprintf(problem, COMMAND_PROBLEM_MAX, "cannot start a process: %s: %s", what, strerror(errno));
    return EX_OSERR;
}

int command_start(struct command *command, char **argv, const char *address, const char *run,
                  const struct command_signals *signals, char problem[COMMAND_PROBLEM_MAX])
{
    int report[2];

    *command = (struct command){.pid = -1};
    if (pipe2(report, O_CLOEXEC) != 0)
        return system_problem(problem, "pipe");
    pid_t pid = fork();
    if (pid < 0) {
        close(report[0]);
        close(report[1]);
        return system_problem(problem, "fork");
    }
    if (pid == 0)
        become(argv, address, run, signals, report[1]);

    close(report[1]);
    int error = read_report(report[0]);
    close(report[0]);
    command->pid = pid;
    if (error == 0)
        return 0;
    waitpid(pid, NULL, 0);
    command->ended = true;
    snprintf(problem, COMMAND_PROBLEM_MAX, "cannot run %.150s: %s", argv[0], strerror(error));
    return error == ENOENT ? STATUS_NOT_FOUND : STATUS_NOT_EXECUTABLE;
}

void command_run_name(char name[NAME_PART_MAX + 1], const char *command, time_t now)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                  "0123456789_.=+-";
    const char *slash = strrchr(command, '/');
    char stamp[32];
    struct tm local;

    if (!localtime_r(&now, &local) || strftime(stamp, sizeof stamp, "-%Y%m%d-%H%M%S", &local) == 0)
        strcpy(stamp, "-undated");
    snprintf(name, NAME_PART_MAX + 1 - strlen(stamp), "%s", slash ? slash + 1 : command);
    for (char *c = name; *c; c++)
        if (!strchr(allowed, *c) || (c == name && strchr(".=+-", *c)))
            *c = '_';
    if (*name == '\0')
        strcpy(name, "_");
    strcat(name, stamp);
}

bool command_reap(struct command *command)
{
    if (!command->ended)
        command->ended = waitpid(command->pid, &command->wait_status, WNOHANG) == command->pid;
    return command->ended;
}

int command_exit_status(const struct command *command)
{
    if (WIFSIGNALED(command->wait_status))
        return 128 + WTERMSIG(command->wait_status);
    return WEXITSTATUS(command->wait_status);
}

static bool in_foreground(void)
{
    int terminal = open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    if (terminal < 0)
        return false;
    bool foreground = tcgetpgrp(terminal) == getpgrp();
    close(terminal);
    return foreground;
}

void command_forward(const struct command *command, int signal)
{
    if (command->ended)
        return; /* the number may be another process by now */
    if ((signal == SIGINT || signal == SIGQUIT) && in_foreground())
        return;
    kill(command->pid, signal);
}
