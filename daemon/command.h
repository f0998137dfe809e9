/* `embmond -- COMMAND`: the child. It is started as if embmond were not there: signal dispositions,
 * mask and process group are those embmond itself was started with, no file descriptor is added. */
#ifndef EMBMON_DAEMON_COMMAND_H
#define EMBMON_DAEMON_COMMAND_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>
#include <time.h>

#include "proto/name.h"

enum { COMMAND_PROBLEM_MAX = 256 };

/* What embmond changes about signals at its start, and what it was before. */
struct command_signals {
    struct sigaction pipe, xfsz, child;
    sigset_t mask;
    bool hangup_ignored; /* started under nohup */
};

/* Ignores SIGPIPE and SIGXFSZ, and holds back the signals embmond handles until
 * command_signals_release(), so that none is lost or kills it while it starts. */
void command_signals_hold(struct command_signals *signals);
void command_signals_release(const struct command_signals *signals);

struct command {
    pid_t pid;
    bool ended;
    int wait_status; /* as of waitpid(), once ended */
};

/* Starts argv with EMBMON_ADDRESS=address, and EMBMON_RUN=run unless the environment has one.
 * Returns 0, or the exit status for embmond (126, 127, EX_OSERR) and one line in problem. */
int command_start(struct command *command, char **argv, const char *address, const char *run,
                  const struct command_signals *signals, char problem[COMMAND_PROBLEM_MAX]);

/* The name of the run of a command: <its base name>-<YYYYmmdd>-<HHMMSS>, local time; what a name
 * may not hold becomes '_'. */
void command_run_name(char name[NAME_PART_MAX + 1], const char *command, time_t now);

/* True once the command has ended. Never waits. */
bool command_reap(struct command *command);

/* Its exit status, 128 + n when signal n killed it. */
int command_exit_status(const struct command *command);

/* Passes a signal on, except SIGINT and SIGQUIT while embmond is in the foreground group of its
 * terminal: the command has them from there already. */
void command_forward(const struct command *command, int signal);

#endif
