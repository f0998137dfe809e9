/* The connection to the daemon: a socket that never blocks, with bounded buffers both ways and a
 * back-off between attempts. Only looking up the name of a host waits, as long as the system's
 * resolver does: for the thread that calls, which is nobody's but ours. Knows frames, no messages.
 * One thread; time is an argument. */
#ifndef EMBMON_CLIENT_LINK_H
#define EMBMON_CLIENT_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/address.h"
#include "proto/frame.h"

enum {
    LINK_OUT = 256 << 10,        /* bytes waiting for the socket */
    LINK_IN = 64 << 10,          /* bytes of payload of a frame from the daemon */
    LINK_BACKOFF_MS = 100,       /* after the first failure, then doubled */
    LINK_BACKOFF_MAX_MS = 10000, /* before jitter of half of it either way */
    LINK_CONNECT_MS = 5000       /* for a connection over tcp to come about */
};

struct link; /* opaque */

/* seed: of the jitter. shared_fd: where the socket's number is kept for others to see, -1 while
 * there is none; borrowed. NULL: out of memory. */
struct link *link_new(const struct address *addresses, size_t count, uint64_t seed,
                      _Atomic int *shared_fd);
void link_free(struct link *link);

bool link_is_up(const struct link *link);
bool link_is_tcp(const struct link *link);
int link_socket(const struct link *link); /* -1: none; there is one while it is connecting */

/* The address connected to, or last tried, as text; "": there is none. Borrowed until the link
 * moves. */
const char *link_where(const struct link *link);

/* After link_connect() failed: all addresses that were tried, with the reasons of those that had
 * another than the last one. Borrowed likewise. */
const char *link_tried(struct link *link);

/* Milliseconds until link_connect() tries again; 0 when it would now, or while up. */
int64_t link_wait(const struct link *link, int64_t now_ms);

/* Tries all addresses in turn, when it is time. True: connected now. Over tcp that takes some
 * calls. A failed attempt sets the time of the next one; NULL or the reason of the last address is
 * in *problem. */
bool link_connect(struct link *link, int64_t now_ms, const char **problem);

/* Closes, forgets both buffers and backs off. */
void link_drop(struct link *link, int64_t now_ms);

/* The peer has shown to be a daemon that works: the next back-off is the first again. */
void link_settled(struct link *link);

/* The next attempt may be made at once. */
void link_hurry(struct link *link);

/* A place for n bytes to send, NULL while there is none; then how many were written there. */
uint8_t *link_room(struct link *link, size_t n);
void link_wrote(struct link *link, size_t n);

/* Makes the frame that is written there, n bytes, ready for the way: over tcp it is deflated where
 * that is worth it. Returns its length from then on. */
size_t link_pack(struct link *link, uint8_t *frame, size_t n);
size_t link_pending(const struct link *link);

/* Sends what the socket takes. False: the connection is lost. */
bool link_flush(struct link *link);

/* Reads what is there. False: the peer closed, or the connection is lost; frames read before that
 * are still to be had from link_frame(). */
bool link_receive(struct link *link);

/* Bytes that were read and are in no frame that was taken. */
size_t link_unread(const struct link *link);

/* The next whole frame: FRAME_OK, FRAME_MORE, or what is wrong with the bytes. The payload is
 * borrowed until the next call. */
enum frame_result link_frame(struct link *link, struct frame *frame);

#endif
