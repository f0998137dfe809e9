#include "client/answers.h"

#include <string.h>

#include "client/sender_struct.h"

/* What is taken in one turn: beyond it the rest waits for the next, so that no daemon keeps the
 * thread busy. One that works says an Ack a second, a Notice now and then, and a Nack for a post.
 */
enum {
    TURN_FRAMES = 128,
    TURN_BYTES = 128 << 10, /* of them, unpacked */
    TURN_PASSED = 32 << 10  /* frames in the queue, looked at for the refused ones */
};

/* Samples are never longer than this; a daemon that takes less takes nothing. */
enum { FRAME_LIMIT_MIN = 64 << 10 };

/* Takes away all up to this number. */
static void acknowledge(struct sender *s, uint64_t sequence)
{
    struct counters *counters = &s->state->counters;
    uint64_t taken = queue_ack(s->queue, sequence);
    uint64_t refused = taken < s->nacks_lost ? taken : s->nacks_lost;

    s->nacks_lost = sequence < s->nacks_lost_to ? s->nacks_lost - refused : 0;
    atomic_fetch_add(&counters->rejected, refused);
    atomic_fetch_add(&counters->acked, taken - refused);
}

/* Nacks may have been lost with the connection before. What came of them was the beginning of what
 * was sent, so that the difference is exact; a daemon that does not know of as many as came has
 * started anew, and then what it refused before went with it. */
static void count_lost_nacks(struct sender *s, uint64_t rejected)
{
    if (rejected > s->nacks) {
        s->nacks_lost += rejected - s->nacks;
        s->nacks_lost_to = s->sent;
    }
    s->nacks = rejected;
}

/* The first Welcome is kept for embmon_run(); later ones give the same run. */
static const char *keep_welcome(struct state *state, const struct msg_welcome *welcome)
{
    if (atomic_load(&state->welcomed))
        return strcmp(state->welcome.run, welcome->run) == 0 ? NULL : "it gives another run";
    strncpy(state->welcome.run, welcome->run, NAME_RUN_MAX);
    state->welcome.next_step = welcome->next_step;
    atomic_store(&state->welcomed, true);
    return NULL;
}

static const char *on_welcome(struct sender *s, const struct msg_welcome *welcome, int64_t now_ms)
{
    const char *problem;
    bool again = atomic_load(&s->state->welcomed);

    if (welcome->protocol != PROTOCOL_VERSION)
        return "it speaks another version of the protocol";
    if (welcome->sequence > s->sent)
        return "it acknowledges what was never sent";
    if (welcome->frame_limit < FRAME_LIMIT_MIN)
        return "it takes frames below 64 KiB only";
    problem = keep_welcome(s->state, welcome);
    if (problem)
        return problem;
    count_lost_nacks(s, welcome->rejected);
    acknowledge(s, welcome->sequence);
    /* It is the largest that any rank asks for: less than we do would cost the trainer more than it
     * has allowed. */
    sampling_ask(&s->state->sampling,
                 welcome->every > s->options.every ? welcome->every : s->options.every);
    if (atomic_load(&s->state->connected))
        return NULL; /* a rank that joined asks for another sampling: all else is as it was */
    atomic_fetch_add(&s->state->counters.dropped, queue_forget_gone(s->queue));
    s->frame_limit = welcome->frame_limit;
    s->heartbeat_ms = now_ms;
    if (again)
        atomic_fetch_add(&s->state->counters.reconnects, 1);
    atomic_store(&s->state->connected, true);
    outage_ends(&s->options.outage, now_ms, link_where(s->link), welcome->run,
                state_counts(s->state).dropped);
    return NULL;
}

static const char *on_ack(struct sender *s, const struct msg_ack *ack, int64_t now_ms)
{
    if (ack->kept > s->sent)
        return "it acknowledges what was never sent";
    acknowledge(s, ack->kept);
    /* One that comes and goes at once is not run after, however well it does meanwhile. */
    if (now_ms - s->hello_ms >= SENDER_SETTLED_MS)
        link_settled(s->link);
    return NULL;
}

static const char *on_nack(struct sender *s, const struct msg_nack *nack, int64_t now_ms)
{
    if (nack->reason == NACK_REFUSED) {
        outage_refused(&s->options.outage, now_ms, link_where(s->link), nack->detail);
        return "it refuses this client";
    }
    if (nack->sequence > s->sent)
        return "it refuses what was never sent";
    s->nacks += nack->sequence > 0;
    if (queue_nack(s->queue, nack->sequence))
        atomic_fetch_add(&s->state->counters.rejected, 1);
    return NULL;
}

static void on_wish(struct sender *s, const struct msg_wish *wish)
{
    int layer = *wish->layer ? model_find_layer(s->state->model, wish->layer) : SAMPLING_NO_LAYER;

    /* One too many at once is forgotten: it asks for more of the same. */
    (void)sampling_wish(&s->state->sampling, wish->steps, layer);
}

static const char *on_message(struct sender *s, const struct message *m, int64_t now_ms)
{
    bool connected = atomic_load(&s->state->connected);

    if (m->type == FRAME_WELCOME)
        return on_welcome(s, &m->welcome, now_ms);
    if (m->type == FRAME_NACK)
        return on_nack(s, &m->nack, now_ms);
    if (!connected)
        return "it does not begin with a Welcome";
    switch (m->type) {
    case FRAME_ACK:
        return on_ack(s, &m->ack, now_ms);
    case FRAME_NOTICE:
        notices_put(s->state->notices, &m->notice);
        return NULL;
    case FRAME_WISH:
        on_wish(s, &m->wish);
        return NULL;
    case FRAME_HEARTBEAT:
        return NULL;
    default:
        return "it says what only a client may say";
    }
}

/* Until the daemon has shown that it knows our token, nothing is told to it; that it refuses us is
 * all that it may say. */
static const char *on_handshake(struct sender *s, const struct frame *frame, int64_t now_ms)
{
    struct handshake_frame send;
    enum handshake_result result = handshake_take(&s->handshake, frame, &send);
    uint8_t *room = send.length > 0 ? link_room(s->link, send.length) : NULL;

    if (result == HANDSHAKE_FAILED)
        return "it does not prove that it knows our token: whoever is there is not our daemon";
    if (room) {
        memcpy(room, send.bytes, send.length);
        link_wrote(s->link, send.length);
    }
    if (result == HANDSHAKE_DONE) {
        s->proving = false;
        sender_greet(s, now_ms);
    }
    return NULL;
}

static const char *on_frame(struct sender *s, const struct frame *frame, int64_t now_ms)
{
    struct message message;
    const char *problem;

    if (s->proving && frame->type != FRAME_NACK)
        return on_handshake(s, frame, now_ms);
    if (frame->type == FRAME_CHALLENGE)
        return "it wants a token: name its file in EMBMON_TOKEN_FILE";
    s->heard_ms = now_ms;
    switch (message_decode(s->decoder, frame, &message, &problem)) {
    case MESSAGE_OK:
        return on_message(s, &message, now_ms);
    case MESSAGE_UNKNOWN:
        return NULL; /* of a newer daemon */
    default:
        return problem;
    }
}

const char *answers_take(struct sender *s, int64_t now_ms)
{
    uint64_t passed = queue_passed(s->queue);
    size_t frames = 0, bytes = 0;
    const char *problem = NULL;

    while (!problem && frames < TURN_FRAMES && bytes < TURN_BYTES &&
           queue_passed(s->queue) - passed < TURN_PASSED) {
        struct frame frame;
        enum frame_result framing = link_frame(s->link, &frame);

        if (framing == FRAME_MORE)
            break;
        if (framing != FRAME_OK)
            return frame_strerror(framing);
        frames++;
        bytes += frame.length;
        problem = on_frame(s, &frame, now_ms);
    }
    return problem;
}
