/* A client of the test's own: messages in, messages out, through a session in this process. */
#ifndef EMBMON_TESTS_UNIT_PEER_H
#define EMBMON_TESTS_UNIT_PEER_H

#include <string.h>

#include "daemon/log.h"
#include "daemon/moment.h"
#include "daemon/registry.h"
#include "daemon/session.h"
#include "embmon/embmon.h"
#include "proto/message.h"
#include "tests/unit/tensors.h"

static inline struct moment at(uint64_t ms)
{
    return (struct moment){.ms = ms, .wall = 1e9 + (double)ms / 1e3};
}

/* What the daemon said, by type; of each the last one. */
struct heard {
    unsigned count[16]; /* [enum frame_type] */
    char run[600];      /* Welcome */
    uint64_t next_step, sequence, rejected;
    uint32_t every, frame_limit;
    uint64_t kept;          /* Ack */
    uint64_t nack_sequence; /* Nack */
    uint32_t nack_reason;
    char nack_detail[300];
    char detector[64], layer[300]; /* Notice; layer also of a Wish */
    uint32_t state, wish_steps;
    uint64_t notice_step;
    char reply[4096];
    uint32_t reply_status;
};

struct peer {
    struct session *session;
    struct message_decoder *decoder;
    uint8_t id;        /* of the session */
    uint64_t sequence; /* of the last post */
    enum session_result result;
    unsigned wakes;
    struct heard heard;
};

static inline void peer_keep(struct heard *h, const struct message *m)
{
    h->count[m->type]++;
    switch (m->type) {
    case FRAME_WELCOME:
        strncpy(h->run, m->welcome.run, sizeof h->run - 1);
        h->next_step = m->welcome.next_step;
        h->sequence = m->welcome.sequence;
        h->rejected = m->welcome.rejected;
        h->every = m->welcome.every;
        h->frame_limit = m->welcome.frame_limit;
        break;
    case FRAME_ACK:
        h->kept = m->ack.kept;
        break;
    case FRAME_NACK:
        h->nack_sequence = m->nack.sequence;
        h->nack_reason = m->nack.reason;
        strncpy(h->nack_detail, m->nack.detail, sizeof h->nack_detail - 1);
        break;
    case FRAME_NOTICE:
        strncpy(h->detector, m->notice.detector, sizeof h->detector - 1);
        strncpy(h->layer, m->notice.layer, sizeof h->layer - 1);
        h->state = m->notice.state;
        h->notice_step = m->notice.step;
        break;
    case FRAME_WISH:
        strncpy(h->layer, m->wish.layer, sizeof h->layer - 1);
        h->wish_steps = m->wish.steps;
        break;
    case FRAME_REPLY:
        h->reply_status = m->reply.status;
        assert_true(m->reply.length < sizeof h->reply);
        if (m->reply.length)
            memcpy(h->reply, m->reply.text, m->reply.length);
        h->reply[m->reply.length] = '\0';
        break;
    default:
        break;
    }
}

/* Reads what the session wrote. */
static inline void peer_listen(struct peer *peer)
{
    struct frame_codec codec = {0};
    size_t n, used;
    const uint8_t *data = session_output(peer->session, &n);

    while (n > 0) {
        struct frame frame;
        struct message message;
        const char *problem = "";

        assert_int_equal(frame_read(&frame, &used, data, n, &codec, FRAME_PAYLOAD_MAX, 0),
                         FRAME_OK);
        if (message_decode(peer->decoder, &frame, &message, &problem) != MESSAGE_OK)
            fail_msg("the daemon wrote a bad message: %s", problem);
        peer_keep(&peer->heard, &message);
        data += used;
        n -= used;
    }
}

static inline void peer_woken(void *context)
{
    ((struct peer *)context)->wakes++;
}

/* Counts the wakes from now on: the peer does not move any more. */
static inline void peer_stay(struct peer *peer)
{
    session_on_output(peer->session, peer_woken, peer);
}

static inline struct peer peer_open(struct registry *registry, uint8_t id, uint64_t ms)
{
    struct peer peer = {.session = session_new(registry, at(ms)), .id = id};

    log_configure(LOG_LEVEL_ERROR, false);
    peer.decoder = message_decoder_new();
    assert_non_null(peer.session);
    assert_non_null(peer.decoder);
    return peer;
}

static inline void peer_close(struct peer *peer, uint64_t ms)
{
    session_free(peer->session, at(ms));
    message_decoder_free(peer->decoder);
    *peer = (struct peer){0};
}

static inline void peer_feed(struct peer *peer, const uint8_t *data, size_t n, uint64_t ms)
{
    peer->result = session_feed(peer->session, data, n, at(ms));
    peer_listen(peer);
}

static inline void peer_say(struct peer *peer, const struct message *message, uint64_t ms)
{
    static uint8_t buffer[1 << 20];

    assert_true(message_size(message) <= sizeof buffer);
    peer_feed(peer, buffer, message_encode(message, buffer), ms);
}

struct hello {
    const char *name, *given, *key;
    uint32_t rank, world, every;
    bool resume;
};

static inline void peer_hello(struct peer *peer, struct hello with, uint64_t ms)
{
    struct message m = {.type = FRAME_HELLO,
                        .hello = {.protocol_min = 1,
                                  .protocol_max = 1,
                                  .name = with.name ? with.name : "run",
                                  .given = with.given,
                                  .key = with.key,
                                  .rank = with.rank,
                                  .world_size = with.world ? with.world : 1,
                                  .every = with.every,
                                  .resume = with.resume}};

    memset(m.hello.session, peer->id, SESSION_BYTES);
    peer_say(peer, &m, ms);
}

/* Opens, says hello, and declares the layers "table" (embedding, id 0) and "dense" (id 1) with the
 * variable "kernel" (id 2). */
static inline struct peer peer_join(struct registry *registry, uint8_t id, struct hello with,
                                    uint64_t ms)
{
    static const struct msg_layer layers[] = {
        {.id = 0, .path = "table", .kind = EMBMON_EMBEDDING, .trainable = true, .activation = ""},
        {.id = 1, .path = "dense", .kind = EMBMON_DENSE, .trainable = true, .activation = ""}};
    static const struct msg_variable variables[] = {{.id = 2, .layer = 1, .name = "kernel"}};
    struct message m = {.type = FRAME_LAYERS, .layers = {layers, 2, variables, 1}};
    struct peer peer = peer_open(registry, id, ms);

    peer_hello(&peer, with, ms);
    if (peer.heard.count[FRAME_WELCOME] == 1)
        peer_say(&peer, &m, ms);
    return peer;
}

static inline void peer_post(struct peer *peer, uint32_t target, uint64_t step, double value,
                             uint64_t ms)
{
    struct message m = {.type = FRAME_SAMPLE,
                        .sample = {.sequence = ++peer->sequence,
                                   .target = target,
                                   .signal = EMBMON_GRADIENT,
                                   .phase = EMBMON_TRAIN,
                                   .step = step,
                                   .summary = TENSOR(value, -value)}};

    peer_say(peer, &m, ms);
    summary_free(&m.sample.summary);
}

static inline void peer_scalar(struct peer *peer, const char *name, uint64_t step, double value,
                               uint64_t ms)
{
    struct message m = {.type = FRAME_SCALAR,
                        .scalar = {.sequence = ++peer->sequence,
                                   .phase = EMBMON_TRAIN,
                                   .step = step,
                                   .name = name,
                                   .value = value}};

    peer_say(peer, &m, ms);
}

static inline void peer_end(struct peer *peer, uint64_t step, uint64_t ms)
{
    struct message m = {
        .type = FRAME_STEP_END,
        .step_end = {.sequence = ++peer->sequence, .phase = EMBMON_TRAIN, .step = step}};

    peer_say(peer, &m, ms);
}

/* One whole step: both gradients and its end. */
static inline void peer_step(struct peer *peer, uint64_t step, double value, uint64_t ms)
{
    peer_post(peer, 2, step, value, ms);
    peer_post(peer, 0, step, value, ms);
    peer_end(peer, step, ms);
}

static inline void peer_bye(struct peer *peer, uint64_t ms)
{
    struct message m = {.type = FRAME_BYE};

    peer_say(peer, &m, ms);
}

static inline void peer_beat(struct peer *peer, uint64_t dropped, uint64_t ms)
{
    struct message m = {.type = FRAME_HEARTBEAT, .heartbeat = {.dropped = dropped}};

    peer_say(peer, &m, ms);
}

/* A heartbeat of a client that waits for what it has posted to be kept; the last attempt to keep it
 * was at least 100 ms ago. */
static inline void peer_settle(struct peer *peer, uint64_t ms)
{
    struct message m = {.type = FRAME_HEARTBEAT, .heartbeat = {.hurry = true}};

    peer_say(peer, &m, ms);
}

/* A heartbeat of a client that says which phase it posts to. */
static inline void peer_beat_in(struct peer *peer, uint32_t phase, uint64_t ms)
{
    struct message m = {.type = FRAME_HEARTBEAT, .heartbeat = {.phase = phase}};

    peer_say(peer, &m, ms);
}

#endif
