/* The supervisor that started us, where there is one: systemd, or what speaks as it does. It is
 * told when embmond is ready, that it still turns, and when it ends (sd_notify(3)'s datagrams), and
 * may hand sockets over that listen already (sd_listen_fds(3)). What it put into the environment is
 * taken out: COMMAND is not what it supervises. */
#ifndef EMBMON_DAEMON_SUPERVISOR_H
#define EMBMON_DAEMON_SUPERVISOR_H

#include <stddef.h>
#include <stdint.h>

enum { SUPERVISOR_FIRST_FD = 3 };

struct supervisor {
    int socket;           /* owned; -1: nobody wants to be told */
    uint64_t watchdog_ms; /* to be told within so long that we turn; 0: need not */
    uint64_t told_ms;     /* when last */
    size_t listeners;     /* sockets handed over: SUPERVISOR_FIRST_FD and the next ones */
};

/* Reads the environment; before any thread is started and any file opened. */
void supervisor_open(struct supervisor *s);
void supervisor_close(struct supervisor *s);

void supervisor_ready(struct supervisor *s);
void supervisor_stopping(struct supervisor *s);

/* Called at every turn: says so when half of the time is over. */
void supervisor_turns(struct supervisor *s, uint64_t now_ms);

#endif
