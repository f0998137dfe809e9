#include <string.h>

#include "daemon/registry.h"
#include "daemon/session_struct.h"
#include "daemon/stranger.h"

static void send_raw(struct session *session, const struct handshake_frame *frame)
{
    struct bytes *out = &session->out;

    if (!bytes_reserve(out, frame->length)) {
        session->closing = true;
        return;
    }
    memcpy(out->data + out->length, frame->bytes, frame->length);
    out->length += frame->length;
}

void session_over_tcp(struct session *session, const struct token *token)
{
    struct handshake_frame challenge;

    session->tcp = true;
    session->heard_ms = session->opened.ms;
    if (!token || token->length == 0)
        return;
    if (handshake_challenge(&session->handshake, token, &challenge) == HANDSHAKE_FAILED) {
        session->closing = true;
        return;
    }
    session->proving = true;
    send_raw(session, &challenge);
}

void session_judge(struct session *session, const struct frame *frame)
{
    struct handshake_frame answer;
    bool tried = frame->type == FRAME_PROOF;

    if (handshake_take(&session->handshake, frame, &answer) == HANDSHAKE_DONE) {
        session->proving = false;
        send_raw(session, &answer);
        return;
    }
    registry_totals(session->registry)->failed_proofs++;
    session_nack(session, 0, NACK_REFUSED,
                 tried ? "its token is not the one of this daemon"
                       : "this daemon wants a token: name its file in EMBMON_TOKEN_FILE");
    session->complaint = tried ? "its proof of the token is wrong" : "it gives no proof of a token";
    session->closing = true;
}

void session_refuse_bytes(struct session *session, enum frame_result wrong, const uint8_t *data,
                          size_t n)
{
    if (!session->tcp || wrong != FRAME_BAD_MAGIC) {
        session_refuse(session, frame_strerror(wrong));
        return;
    }
    /* A browser or a scanner could not read what we would answer. */
    registry_totals(session->registry)->invalid_frames++;
    session->complaint = stranger_speaks(data, n);
    session->closing = true;
}

bool session_is_proven(const struct session *session)
{
    return !session->proving;
}

const char *session_complaint(const struct session *session)
{
    return session->complaint;
}

bool session_is_silent(struct session *session, struct moment now)
{
    struct message beat = {.type = FRAME_HEARTBEAT};

    if (!session->tcp || !session->member)
        return false;
    if (!session_paused(session)) { /* a client says something every second */
        bool silent = moment_since(now, session->heard_ms) >=
                      registry_ceilings(session->registry)->silence_seconds * 1000;

        registry_usage(session->registry)->silence_seconds.refused += silent;
        return silent;
    }
    /* Its own heartbeats are not read now: without ours it would take us for gone. */
    session->heard_ms = now.ms;
    session_send(session, &beat);
    if (session->wake)
        session->wake(session->wake_context);
    return false;
}
