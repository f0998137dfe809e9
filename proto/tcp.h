/* What both ends do alike about tcp: hosts to socket addresses and back, and how a connection is
 * set up. */
#ifndef EMBMON_PROTO_TCP_H
#define EMBMON_PROTO_TCP_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "proto/address.h"

enum { TCP_NAMES_MAX = 8 };

struct tcp_name {
    struct sockaddr_storage name;
    socklen_t length;
};

/* The socket addresses of a tcp address, in the order in which they are to be tried: returns how
 * many, or 0 and *problem, a static sentence. Numbers are read; a name is looked up, which waits as
 * long as the system's resolver does (resolv.conf(5): mostly 5 s for each server and attempt). */
size_t tcp_resolve(const struct address *address, struct tcp_name names[TCP_NAMES_MAX],
                   const char **problem);

/* True where only this machine can reach it. */
bool tcp_is_loopback(const struct tcp_name *name);

/* In numbers; an empty address where it is not of tcp. */
struct address tcp_address(const struct tcp_name *name);

/* A connected socket sends at once, and notices in about 11 s that the other machine is gone. */
void tcp_tune(int fd);

#endif
