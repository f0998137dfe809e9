/* One connection: bytes in, bytes out. Cuts frames, decodes messages, keeps the order Hello -
 * Welcome
 * - Layers - posts - Bye, answers with acks and nacks, and hands the posts to its run. Knows no
 * sockets: the rim feeds it and sends what it writes. */
#ifndef EMBMON_DAEMON_SESSION_H
#define EMBMON_DAEMON_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/moment.h"

struct session;
struct registry;
struct token;

/* registry: borrowed, outlives the session. NULL when out of memory. */
struct session *session_new(struct registry *registry, struct moment now);

/* Its peer came over tcp and may be anybody: with a token (borrowed; empty or NULL: none) nothing
 * it says is looked at before it has proven that it knows it. To be called before anything is fed.
 */
void session_over_tcp(struct session *session, const struct token *token);

/* False until then. */
bool session_is_proven(const struct session *session);

/* After SESSION_CLOSE: what a stranger did, as the rest of a sentence for the log (static); NULL:
 * nothing, or it is in the log already. */
const char *session_complaint(const struct session *session);

/* Bytes: of the first message of a peer, a Hello or a Query, as sent and inflated. */
enum { FIRST_MESSAGE_MAX = 64 << 10 };

enum session_result {
    SESSION_OPEN,  /* go on */
    SESSION_PAUSE, /* do not read from this peer until session_paused() is false; it may be already,
                      where enough was done for this peer at once: let others have a turn */
    SESSION_CLOSE, /* send what is in the output, then close */
};

/* Takes n bytes as they come, in any cut; what is not a whole frame yet is kept. After
 * SESSION_PAUSE bytes already fed are kept and handled by the next session_feed() (n may be 0). */
enum session_result session_feed(struct session *session, const uint8_t *data, size_t n,
                                 struct moment now);

/* True while this peer is too far ahead of the other ranks to be read from, or has sent a long
 * message and enough of those have been read in this turn. */
bool session_paused(const struct session *session);

/* What is to be sent: *n bytes, borrowed until the next call; they count as sent (the rim copies
 * them). */
const uint8_t *session_output(struct session *session, size_t *n);

/* It is sent, or copied: gives back its memory where it was much. */
void session_sent(struct session *session);

/* So many bytes that count as sent have not been read by the peer yet: where they are many, advice
 * is left out. NULL is fine. */
void session_unread(struct session *session, size_t bytes);

/* Bytes it holds for its peer beyond what every session may keep. */
size_t session_held(const struct session *session);

/* Once a second: false when the peer kept the handshake or a frame waiting too long (close it). */
bool session_tick(struct session *session, struct moment now);

/* Asks for attention of the rim: set when output was written outside session_feed(). */
void session_on_output(struct session *session, void (*wake)(void *context), void *context);

/* The connection is gone: ends the session's open steps and frees it. */
void session_free(struct session *session, struct moment now);

#endif
