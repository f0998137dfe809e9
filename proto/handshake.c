#include "proto/handshake.h"

#include <string.h>
#include <sys/random.h>

/* Which end proves it. */
static const char client_words[] = "embmon client", server_words[] = "embmon server";

_Static_assert(sizeof client_words == sizeof server_words, "one buffer for both");
_Static_assert(HANDSHAKE_FRAME - FRAME_HEADER <= HANDSHAKE_PAYLOAD_MAX, "a proof is taken");

static void prove(const struct handshake *h, const char *words, uint8_t mac[SHA256_BYTES])
{
    uint8_t said[sizeof client_words - 1 + sizeof h->nonces];

    memcpy(said, words, sizeof client_words - 1);
    memcpy(said + sizeof client_words - 1, h->nonces, sizeof h->nonces);
    hmac_sha256(h->token->bytes, h->token->length, said, sizeof said, mac);
}

static bool make_nonce(uint8_t to[NONCE_BYTES])
{
    return getrandom(to, NONCE_BYTES, 0) == NONCE_BYTES;
}

static void seal(struct handshake_frame *frame, uint16_t type, size_t payload)
{
    frame_seal(frame->bytes, type, 0, payload);
    frame->length = FRAME_HEADER + payload;
}

void handshake_expect(struct handshake *h, const struct token *token)
{
    *h = (struct handshake){.token = token, .awaited = HANDSHAKE_CHALLENGE};
}

enum handshake_result handshake_challenge(struct handshake *h, const struct token *token,
                                          struct handshake_frame *send)
{
    *h = (struct handshake){.token = token, .awaited = HANDSHAKE_CLIENT_PROOF};
    send->length = 0;
    if (!make_nonce(h->nonces))
        return HANDSHAKE_FAILED;
    memcpy(send->bytes + FRAME_HEADER, h->nonces, NONCE_BYTES);
    seal(send, FRAME_CHALLENGE, NONCE_BYTES);
    return HANDSHAKE_MORE;
}

/* The client proves itself to whoever asked: without the token the proof says nothing of it. */
static enum handshake_result answer_challenge(struct handshake *h, const struct frame *frame,
                                              struct handshake_frame *send)
{
    uint8_t *payload = send->bytes + FRAME_HEADER;

    if (frame->type != FRAME_CHALLENGE || frame->length != NONCE_BYTES)
        return HANDSHAKE_FAILED;
    memcpy(h->nonces, frame->payload, NONCE_BYTES);
    if (!make_nonce(h->nonces + NONCE_BYTES))
        return HANDSHAKE_FAILED;
    memcpy(payload, h->nonces + NONCE_BYTES, NONCE_BYTES);
    prove(h, client_words, payload + NONCE_BYTES);
    seal(send, FRAME_PROOF, NONCE_BYTES + SHA256_BYTES);
    h->awaited = HANDSHAKE_SERVER_PROOF;
    return HANDSHAKE_MORE;
}

static enum handshake_result judge_client(struct handshake *h, const struct frame *frame,
                                          struct handshake_frame *send)
{
    uint8_t mac[SHA256_BYTES];

    if (frame->type != FRAME_PROOF || frame->length != NONCE_BYTES + SHA256_BYTES)
        return HANDSHAKE_FAILED;
    memcpy(h->nonces + NONCE_BYTES, frame->payload, NONCE_BYTES);
    prove(h, client_words, mac);
    if (!hmac_equal(mac, frame->payload + NONCE_BYTES))
        return HANDSHAKE_FAILED;
    prove(h, server_words, send->bytes + FRAME_HEADER);
    seal(send, FRAME_PROOF, SHA256_BYTES);
    return HANDSHAKE_DONE;
}

static enum handshake_result judge_server(const struct handshake *h, const struct frame *frame)
{
    uint8_t mac[SHA256_BYTES];

    if (frame->type != FRAME_PROOF || frame->length != SHA256_BYTES)
        return HANDSHAKE_FAILED;
    prove(h, server_words, mac);
    return hmac_equal(mac, frame->payload) ? HANDSHAKE_DONE : HANDSHAKE_FAILED;
}

enum handshake_result handshake_take(struct handshake *h, const struct frame *frame,
                                     struct handshake_frame *send)
{
    enum handshake_result result = HANDSHAKE_FAILED;

    send->length = 0;
    if (h->awaited == HANDSHAKE_CHALLENGE)
        result = answer_challenge(h, frame, send);
    else if (h->awaited == HANDSHAKE_CLIENT_PROOF)
        result = judge_client(h, frame, send);
    else if (h->awaited == HANDSHAKE_SERVER_PROOF)
        result = judge_server(h, frame);
    if (result != HANDSHAKE_MORE)
        h->awaited = HANDSHAKE_NOTHING;
    return result;
}
