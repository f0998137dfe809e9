/* The tcp ports to serve. A host's name is looked up once, at the start; the first of its addresses
 * that can be had is served. */
#ifndef EMBMON_DAEMON_LISTEN_TCP_H
#define EMBMON_DAEMON_LISTEN_TCP_H

#include "daemon/listen.h"

/* May it be served? Without a token only what other machines cannot reach. Nothing is bound. As
 * listener_open(), with EX_USAGE where it may not be, EX_UNAVAILABLE where the host is unknown. */
int listener_check_tcp(const struct address *address, bool token, char problem[LISTEN_PROBLEM_MAX]);

/* As listener_open(): EX_UNAVAILABLE where the port is taken. The listener's address has the number
 * and the port that were taken. */
int listener_open_tcp(struct listener *listener, const struct address *address, bool token,
                      char problem[LISTEN_PROBLEM_MAX]);

#endif
