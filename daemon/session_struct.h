/* The inside of a session, for session.c (what it hears), session_say.c (what it
 * says) and session_tcp.c (what differs over tcp) alone. */
#ifndef EMBMON_DAEMON_SESSION_STRUCT_H
#define EMBMON_DAEMON_SESSION_STRUCT_H

#include "daemon/bytes.h"
#include "daemon/run.h"
#include "daemon/session.h"
#include "proto/frame.h"
#include "proto/handshake.h"
#include "proto/message.h"

enum { REASONS = NACK_REFUSED + 1 };

struct session {
    struct registry *registry;
    struct run_member *member; /* NULL until welcomed */
    struct bytes in, out;
    size_t unread; /* of the output that the rim has taken: see session_unread() */
    struct moment opened;
    uint64_t frame_since_ms; /* when the frame that is not whole yet began; 0: none */
    uint64_t acked, durable; /* the last Ack sent */
    bool greeted;            /* a Hello or a Query came */
    bool closing;
    bool heavy;              /* the next message is a long one, and was left for another turn */
    uint32_t nacks[REASONS]; /* by reason, to log each kind once */
    void (*wake)(void *context);
    void *wake_context;

    bool tcp;
    bool proving; /* it has not shown yet that it knows the token */
    struct handshake handshake;
    uint64_t heard_ms;     /* when it sent something last */
    const char *complaint; /* what ended the connection of a stranger, for the log */
};

/* Takes what is to be the proof of a session that is proving. */
void session_judge(struct session *session, const struct frame *frame);

/* Ends the connection over these bytes, which are no frame. */
void session_refuse_bytes(struct session *session, enum frame_result wrong, const uint8_t *data,
                          size_t n);

/* Once a second: true when its peer must be gone. */
bool session_is_silent(struct session *session, struct moment now);

/* Out of memory ends the connection: the client comes back and asks again. */
void session_send(struct session *session, const struct message *message);

/* detail: a static sentence. */
void session_nack(struct session *session, uint64_t sequence, enum nack_reason reason,
                  const char *detail);

/* Ends the connection with a reason the client can show. */
void session_refuse(struct session *session, const char *why);

/* To one that is a member of a run: */
void session_welcome(struct session *session);

/* Hears from now on what the run has to tell, and passes it on. */
void session_listen(struct session *session);

/* How far its posts are kept, where that is news; without a member nothing. */
void session_ack(struct session *session);

#endif
