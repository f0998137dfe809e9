#include "daemon/session.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/bytes.h"
#include "daemon/control.h"
#include "daemon/log.h"
#include "daemon/notice.h"
#include "daemon/registry.h"
#include "daemon/run.h"
#include "proto/frame.h"
#include "proto/message.h"

enum {
    HANDSHAKE_MS = 5000, /* until the first whole frame */
    FRAME_MS = 30000,    /* for a frame to become whole */
    REASONS = NACK_REFUSED + 1,
    ADVICE_MAX = 256 << 10, /* bytes of output beyond which advice is left out */
};

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

/* ---- sending */

static void send_message(struct session *session, const struct message *message)
{
    struct bytes *out = &session->out;
    size_t n = message_size(message);

    n = bytes_reserve(out, n) ? message_encode(message, out->data + out->length) : 0;
    out->length += n;
    if (n == 0)
        session->closing = true; /* out of memory: the client comes back and asks again */
}

static void send_nack(struct session *session, uint64_t sequence, enum nack_reason reason,
                      const char *detail)
{
    struct message message = {.type = FRAME_NACK,
                              .nack = {.sequence = sequence, .reason = reason, .detail = detail}};
    const char *run = session->member ? run_name(run_member_run(session->member)) : "(no run)";

    /* The first of its kind is worth a line; a trainer gone wrong could send millions. What was
     * declared wrongly the run has said. */
    if ((sequence > 0 || reason == NACK_REFUSED) && session->nacks[reason]++ == 0)
        log_warn("%s: a %s was refused: %s; later ones like it are only counted", run,
                 reason == NACK_REFUSED ? "connection" : "post", detail);
    send_message(session, &message);
}

static void send_welcome(struct session *session)
{
    struct run *run = run_member_run(session->member);
    struct message message = {.type = FRAME_WELCOME,
                              .welcome = {.protocol = PROTOCOL_VERSION,
                                          .run = run_name(run),
                                          .next_step = run_next_step(run),
                                          .every = run_every(run),
                                          .sequence = run_member_kept(session->member),
                                          .frame_limit = FRAME_PAYLOAD_MAX}};

    send_message(session, &message);
}

/* Ends the connection with a reason the client can show. */
static void refuse(struct session *session, const char *why)
{
    send_nack(session, 0, NACK_REFUSED, why);
    registry_totals(session->registry)->invalid_frames++;
    session->closing = true;
}

static void wake(struct session *session)
{
    if (session->wake)
        session->wake(session->wake_context);
}

/* Notices and wishes are advice: a step at which a thousand alerts change must not fill the output
 * of a healthy trainer until it is taken for one that does not read. */
static void advise(struct session *session, const struct message *message)
{
    if (session->out.length - session->out.start >= ADVICE_MAX)
        return;
    send_message(session, message);
    wake(session);
}

static void on_notice(void *context, const struct alert_change *change)
{
    struct message message = {.type = FRAME_NOTICE, .notice = notice_of(change)};

    advise(context, &message);
}

static void on_wish(void *context, uint32_t steps, const char *layer)
{
    struct message message = {.type = FRAME_WISH, .wish = {.steps = steps, .layer = layer}};

    advise(context, &message);
}

static void on_sampling(void *context, uint32_t every)
{
    (void)every; /* the run knows it: a Welcome says all that changed */
    send_welcome(context);
    wake(context);
}

/* The session came back on another connection: this one is over. */
static void on_superseded(void *context)
{
    struct session *session = context;

    registry_totals(session->registry)->sessions--;
    session->member = NULL;
    session->closing = true;
}

/* ---- what comes in */

static void take_hello(struct session *session, const struct msg_hello *hello, struct moment now)
{
    struct run_member_events events = {session, on_notice, on_wish, on_sampling, on_superseded};
    const char *problem = "the run cannot be joined";

    if (session->member) {
        refuse(session, "a second Hello on one connection");
        return;
    }
    if (hello->protocol_min > PROTOCOL_VERSION || hello->protocol_max < PROTOCOL_VERSION) {
        refuse(session, "no common protocol version: this daemon speaks version 1");
        return;
    }
    session->member = registry_join(session->registry, hello, now, &problem);
    if (!session->member) {
        refuse(session, problem);
        return;
    }
    run_member_listen(session->member, &events);
    registry_totals(session->registry)->sessions++;
    session->acked = run_member_kept(session->member);
    session->dropped = run_member_dropped(session->member);
    send_welcome(session);
    log_info("run %s: rank %" PRIu32 " of %" PRIu32 " joined",
             run_name(run_member_run(session->member)), hello->rank, hello->world_size);
}

static void take_query(struct session *session, const struct msg_query *query, struct moment now)
{
    struct control_reply reply = {0};
    size_t sent = 0, n;

    if (!control_answer(session->registry, query, now, &reply)) {
        session->closing = true;
        return;
    }
    do {
        struct message message = {.type = FRAME_REPLY};

        n = reply.length - sent > TEXT_MAX ? TEXT_MAX : reply.length - sent;
        message.reply = (struct msg_reply){.status = reply.status,
                                           .last = sent + n == reply.length,
                                           .text = (const uint8_t *)reply.text + sent,
                                           .length = n};
        send_message(session, &message);
        sent += n;
    } while (sent < reply.length);
    control_reply_free(&reply);
    /* One question a connection: answers can be megabytes, and what a peer asks for without reading
     * must not become memory. */
    session->closing = true;
}

static const char *const reason_texts[REASONS] = {
    [NACK_INVALID] = "it is not valid",
    [NACK_LATE] = "its step is already closed",
    [NACK_UNKNOWN] = "its layer or variable was not declared",
    [NACK_LIMIT] = "a limit of the run is reached",
};

static void count(struct session *session, uint64_t sequence, enum nack_reason reason)
{
    struct registry_totals *totals = registry_totals(session->registry);

    if (reason) {
        totals->rejected++;
        send_nack(session, sequence, reason, reason_texts[reason]);
    } else {
        totals->acked++;
    }
}

static void take_layers(struct session *session, const struct msg_layers *layers)
{
    const char *problem = "";
    enum nack_reason reason = run_layers(session->member, layers, &problem);

    if (reason)
        send_nack(session, 0, reason, problem);
}

static void take_post(struct session *session, const struct message *message, struct moment now)
{
    uint64_t sequence = message_sequence(message);
    struct run_member *member = session->member;
    enum nack_reason reason;

    if (sequence <= run_member_kept(member))
        return; /* sent again after a reconnect: it was taken before */
    switch (message->type) {
    case FRAME_SAMPLE:
        reason = run_sample(member, &message->sample, now);
        break;
    case FRAME_IDS:
        reason = run_ids(member, &message->ids, now);
        break;
    case FRAME_SHAPE:
        reason = run_shape(member, &message->shape, now);
        break;
    case FRAME_SCALAR:
        reason = run_scalar(member, &message->scalar, now);
        break;
    case FRAME_STEP_END:
        reason = run_step_end(member, &message->step_end, now);
        break;
    default:
        reason = run_epoch(member, &message->epoch, now);
        break;
    }
    count(session, sequence, reason);
}

static void take_bye(struct session *session, struct moment now)
{
    log_info("run %s: a rank said goodbye", run_name(run_member_run(session->member)));
    run_member_leave(session->member, true, now);
    registry_totals(session->registry)->sessions--;
    session->member = NULL;
    session->closing = true;
}

static void send_ack(struct session *session)
{
    struct message message = {.type = FRAME_ACK};
    uint64_t kept, dropped;

    if (!session->member)
        return;
    kept = run_member_kept(session->member);
    dropped = run_member_dropped(session->member);
    registry_totals(session->registry)->dropped += dropped - session->dropped;
    session->dropped = dropped;
    if (kept == session->acked)
        return;
    session->acked = kept;
    message.ack.kept = kept;
    send_message(session, &message);
}

static void take_message(struct session *session, const struct message *message, struct moment now)
{
    struct message beat = {.type = FRAME_HEARTBEAT};

    if (message->type == FRAME_QUERY && !session->member) {
        take_query(session, &message->query, now);
        return;
    }
    if (message->type == FRAME_HELLO) {
        take_hello(session, &message->hello, now);
        return;
    }
    if (!session->member) {
        refuse(session, "the first frame must be a Hello");
        return;
    }
    switch (message->type) {
    case FRAME_LAYERS:
        take_layers(session, &message->layers);
        break;
    case FRAME_HEARTBEAT:
        run_heartbeat(session->member, &message->heartbeat, now);
        send_message(session, &beat);
        break;
    case FRAME_SAMPLE:
    case FRAME_IDS:
    case FRAME_SHAPE:
    case FRAME_SCALAR:
    case FRAME_STEP_END:
    case FRAME_EPOCH:
        take_post(session, message, now);
        break;
    case FRAME_BYE:
        send_ack(session);
        take_bye(session, now);
        break;
    case FRAME_QUERY:
        refuse(session, "a question belongs on a connection of its own, without a Hello");
        break;
    default:
        refuse(session, "a message that only the daemon sends");
    }
}

/* A message that could not be read: a numbered one is rejected and the connection goes on. */
static void take_invalid(struct session *session, const struct message *message,
                         const char *problem)
{
    uint64_t sequence = message_sequence(message);

    if (!session->member || sequence == 0) {
        refuse(session, problem);
        return;
    }
    if (sequence <= run_member_kept(session->member))
        return;
    run_reject(session->member, sequence);
    registry_totals(session->registry)->rejected++;
    send_nack(session, sequence, NACK_INVALID, problem);
}

static void take_frame(struct session *session, const struct frame *frame, struct moment now)
{
    struct message message = {0};
    const char *problem = "";

    switch (message_decode(session->decoder, frame, &message, &problem)) {
    case MESSAGE_OK:
        session->greeted = true;
        take_message(session, &message, now);
        break;
    case MESSAGE_UNKNOWN:
        registry_totals(session->registry)->unknown_frames++;
        break;
    default:
        take_invalid(session, &message, problem);
    }
}

enum session_result session_feed(struct session *session, const uint8_t *data, size_t n,
                                 struct moment now)
{
    struct bytes *in = &session->in;
    bool paused = false;

    if (n > 0) {
        if (!bytes_reserve(in, n))
            return SESSION_CLOSE;
        memcpy(in->data + in->length, data, n);
        in->length += n;
    }
    while (!session->closing && !(paused = session_paused(session))) {
        struct frame frame;
        size_t used;
        enum frame_result result =
            frame_read(&frame, &used, in->data + in->start, in->length - in->start, &session->codec,
                       FRAME_PAYLOAD_MAX, FRAME_INFLATED_MAX);

        if (result == FRAME_MORE)
            break;
        if (result != FRAME_OK) {
            refuse(session, frame_strerror(result));
            break;
        }
        take_frame(session, &frame, now);
        in->start += used;
        session->frame_since_ms = 0;
    }
    if (in->start == in->length)
        bytes_clear(in);
    else if (session->frame_since_ms == 0)
        session->frame_since_ms = now.ms;
    send_ack(session);
    if (session->closing)
        return SESSION_CLOSE;
    return paused ? SESSION_PAUSE : SESSION_OPEN;
}

/* ---- the connection */

struct session *session_new(struct registry *registry, struct moment now)
{
    struct session *session = calloc(1, sizeof *session);

    if (!session)
        return NULL;
    session->registry = registry;
    session->opened = now;
    session->decoder = message_decoder_new();
    if (!session->decoder) {
        free(session);
        return NULL;
    }
    return session;
}

bool session_paused(const struct session *session)
{
    return session->member && run_member_paused(session->member);
}

const uint8_t *session_output(struct session *session, size_t *n)
{
    struct bytes *out = &session->out;
    const uint8_t *data = out->data ? out->data + out->start : NULL;

    *n = out->length - out->start;
    out->start = out->length = 0; /* the bytes stay until the next message is written */
    return data;
}

bool session_tick(struct session *session, struct moment now)
{
    if (session->closing ||
        (!session->greeted && moment_since(now, session->opened.ms) >= HANDSHAKE_MS))
        return false;
    return session_paused(session) || session->frame_since_ms == 0 ||
           moment_since(now, session->frame_since_ms) < FRAME_MS;
}

void session_on_output(struct session *session, void (*on_output)(void *context), void *context)
{
    session->wake = on_output;
    session->wake_context = context;
}

void session_free(struct session *session, struct moment now)
{
    if (!session)
        return;
    if (session->member) {
        log_info("run %s: a rank's connection is gone", run_name(run_member_run(session->member)));
        run_member_leave(session->member, false, now);
        registry_totals(session->registry)->sessions--;
    }
    message_decoder_free(session->decoder);
    frame_codec_free(&session->codec);
    bytes_free(&session->in);
    bytes_free(&session->out);
    free(session);
}
