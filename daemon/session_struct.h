/* The inside of a session, for session.c (what it hears) and session_say.c (what it says) alone. */
#ifndef EMBMON_DAEMON_SESSION_STRUCT_H
#define EMBMON_DAEMON_SESSION_STRUCT_H

#include "daemon/bytes.h"
#include "daemon/run.h"
#include "daemon/session.h"
#include "proto/frame.h"
#include "proto/message.h"

enum { REASONS = NACK_REFUSED + 1 };

struct session {
    struct registry *registry;
    struct run_member *member; /* NULL until welcomed */
    struct message_decoder *decoder;
    struct frame_codec codec;
    struct bytes in, out;
    struct moment opened;
    uint64_t frame_since_ms; /* when the frame that is not whole yet began; 0: none */
    uint64_t acked;          /* the last Ack sent */
    uint64_t dropped;        /* of the member's, already in the totals */
    bool greeted;            /* a Hello or a Query came */
    bool closing;
    uint32_t nacks[REASONS]; /* by reason, to log each kind once */
    void (*wake)(void *context);
    void *wake_context;
};

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
