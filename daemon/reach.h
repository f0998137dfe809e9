/* Where an address lies, for those who must not be led everywhere. Pure. */
#ifndef EMBMON_DAEMON_REACH_H
#define EMBMON_DAEMON_REACH_H

#include <stdbool.h>
#include <sys/socket.h>

enum { REACH_HOST_MAX = 253 }; /* bytes of a host's name: more is none, and resolvers cut it off */

enum reach {
    REACH_NONE,    /* no receiver is there: link-local, where clouds serve credentials to whoever
                      asks, multicast, unspecified, reserved; also within an IPv6 address */
    REACH_MACHINE, /* this one */
    REACH_PRIVATE, /* a network of one's own */
    REACH_PUBLIC,
};

enum reach reach_of(const struct sockaddr *address);

/* The host of an http or https URL, without brackets and port; false where it is none, or a user
 * stands before it. */
bool reach_host(const char *url, char host[REACH_HOST_MAX + 1]);

/* What the URL itself says: an address in the usual form, or localhost. REACH_NONE: a name, or a
 * form that only some take for an address. */
enum reach reach_said(const char *url);

#endif
