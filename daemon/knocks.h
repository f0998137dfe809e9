/* Machines that fail to prove the token: after some failures in a row one is heard once a second,
 * so that nobody tries tokens, or fills the log, as fast as the network carries it. One that has
 * proven it lately is heard always: who shares its address shall not keep a trainer out. Pure: no
 * clock, no socket. */
#ifndef EMBMON_DAEMON_KNOCKS_H
#define EMBMON_DAEMON_KNOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum {
    KNOCKS_MACHINES = 256,                 /* remembered; the least guilty is forgotten first */
    KNOCKS_PERIOD_MS = 1000,               /* makes up for one failure */
    KNOCKS_TRUST_MS = 24 * 60 * 60 * 1000, /* after a proof */
};

struct knock {
    uint8_t machine[16]; /* an IPv6 address, the network of 64 bits of one, or an IPv4 one */
    uint64_t even_ms;    /* when all failures are made up for */
    uint64_t trusted_ms; /* until when it is heard always */
};

struct knocks {
    struct knock machines[KNOCKS_MACHINES];
    size_t count;
};

/* False: this machine has failed `most` times lately, and is to be turned away. */
bool knocks_admit(const struct knocks *knocks, const struct sockaddr *peer, uint64_t most,
                  uint64_t now_ms);

/* A connection of this machine has ended without a proof. */
void knocks_failed(struct knocks *knocks, const struct sockaddr *peer, uint64_t most,
                   uint64_t now_ms);

/* It has proven the token. */
void knocks_proven(struct knocks *knocks, const struct sockaddr *peer, uint64_t now_ms);

/* The failures that are not made up for of the machine that has most of them. */
uint64_t knocks_worst(const struct knocks *knocks, uint64_t now_ms);

#endif
