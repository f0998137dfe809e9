/* The Unix sockets to serve: chosen, made so that only their owner can connect, and held so that no
 * other embmond serves them too.
 *
 * Two daemons that start at the same moment on one path are kept apart by a lock on PATH.lock: the
 * check "does somebody answer", the removal of a socket nobody answers and the bind are one step
 * under it. It is held while the socket is served and removed with it.
 */
#ifndef EMBMON_DAEMON_LISTEN_H
#define EMBMON_DAEMON_LISTEN_H

#include <stdbool.h>
#include <sys/types.h>

#include "proto/address.h"

enum { LISTEN_PROBLEM_MAX = 512 };

struct listener {
    int fd;      /* listens; owned until its taker sets it to -1 */
    int lock_fd; /* holds the lock */
    struct address address;
    dev_t device; /* of the socket we made: only that one is removed */
    ino_t inode;
    bool own_folder; /* the folder was made for it and goes with it */
};

#define LISTENER_INIT                                                                              \
    {                                                                                              \
        .fd = -1, .lock_fd = -1                                                                    \
    }

/* Each returns 0, or an exit status of <sysexits.h> and one line in problem: EX_UNAVAILABLE where
 * the address is already served, EX_CANTCREAT where the socket cannot be made. */
int listener_open(struct listener *listener, const struct address *address,
                  char problem[LISTEN_PROBLEM_MAX]);

/* The first usable of the default addresses; EX_UNAVAILABLE when any of them is served. */
int listener_open_default(struct listener *listener, char problem[LISTEN_PROBLEM_MAX]);

/* A socket in a 0700 folder of its own below $XDG_RUNTIME_DIR, $TMPDIR or /tmp. */
int listener_open_private(struct listener *listener, char problem[LISTEN_PROBLEM_MAX]);

/* A socket that somebody else made, listens on and will remove: systemd. fd is taken. EX_USAGE
 * where it is not a Unix stream socket with a path. */
int listener_adopt(struct listener *listener, int fd, char problem[LISTEN_PROBLEM_MAX]);

/* True when the peer of a connection is our own user, or root: nobody else may talk to us, whatever
 * the socket's folder lets through. */
bool listener_admits(int fd);

/* Closes, and removes socket, lock and own folder. Fine for one that was never opened. */
void listener_close(struct listener *listener);

#endif
