/* What a fork of the trainer must not inherit: the sender's socket, and clients that look alive
 * though their thread is not there. A handler in the child, which takes no lock, closes the copies
 * of the sockets and starts a new generation; a client of an older one is inert. */
#ifndef EMBMON_CLIENT_FORKS_H
#define EMBMON_CLIENT_FORKS_H

#include <stdint.h>

enum { FORKS_WATCHED_MAX = 256 }; /* clients open at the same time in a process */

/* Watches this place of a socket's number (-1: none). Returns a token >= 0, or EMBMON_ELIMIT,
 * EMBMON_ENOMEM. */
int forks_watch(_Atomic int *socket);
void forks_forget(int token);

/* How many forks lie between this process and the one that loaded the library. */
uint32_t forks_generation(void);

#endif
