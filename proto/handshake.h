/* Before anything else is said over tcp, both ends prove that they know the token, and neither says
 * it:
 *
 *     client                                                    daemon
 *       |   Challenge: 32 random bytes D                          |   on connecting
 *       |<--------------------------------------------------------|
 *       |   Proof: 32 random bytes C, HMAC("embmon client" D C)   |
 *       |-------------------------------------------------------->|
 *       |   Proof: HMAC("embmon server" D C)                      |   or Nack, and closed
 *       |<--------------------------------------------------------|
 *
 * HMAC is HMAC-SHA256 with the token as its key. Random bytes of both ends are in both proofs:
 * neither is worth anything on another connection. The words in front keep the one from being sent
 * back as the other.
 *
 * The payloads are bare bytes of these lengths and no protobuf, so that no parser stands open to
 * strangers. A machine without a socket: frames in, frames out.
 */
#ifndef EMBMON_PROTO_HANDSHAKE_H
#define EMBMON_PROTO_HANDSHAKE_H

#include <stddef.h>
#include <stdint.h>

#include "proto/frame.h"
#include "proto/hmac.h"
#include "proto/token.h"

enum {
    NONCE_BYTES = 32,
    HANDSHAKE_FRAME = FRAME_HEADER + NONCE_BYTES + SHA256_BYTES, /* the longest of the three */
    HANDSHAKE_PAYLOAD_MAX = 4096, /* of a frame from who has proven nothing yet; never deflated */
};

/* What is awaited. */
enum handshake_stage {
    HANDSHAKE_NOTHING,
    HANDSHAKE_CHALLENGE,    /* by the client */
    HANDSHAKE_SERVER_PROOF, /* by the client */
    HANDSHAKE_CLIENT_PROOF, /* by the daemon */
};

struct handshake {
    const struct token *token; /* borrowed */
    enum handshake_stage awaited;
    uint8_t nonces[2 * NONCE_BYTES]; /* the daemon's, the client's */
};

/* A frame to send; length 0: none. */
struct handshake_frame {
    size_t length;
    uint8_t bytes[HANDSHAKE_FRAME];
};

enum handshake_result {
    HANDSHAKE_MORE, /* another frame has to come */
    HANDSHAKE_DONE, /* the peer knows the token */
    HANDSHAKE_FAILED,
};

/* Begins at the client's end: a Challenge is awaited. */
void handshake_expect(struct handshake *h, const struct token *token);

/* Begins at the daemon's end: send the Challenge, a Proof is awaited. HANDSHAKE_FAILED: the system
 * has no random bytes to give. */
enum handshake_result handshake_challenge(struct handshake *h, const struct token *token,
                                          struct handshake_frame *send);

/* Takes the peer's next frame, at either end. *send is to be sent first, whatever the result. After
 * HANDSHAKE_DONE and HANDSHAKE_FAILED nothing is awaited any more. */
enum handshake_result handshake_take(struct handshake *h, const struct frame *frame,
                                     struct handshake_frame *send);

#endif
