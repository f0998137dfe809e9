#include "daemon/session.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/control.h"
#include "daemon/log.h"
#include "daemon/registry.h"
#include "daemon/session_struct.h"
#include "daemon/shapes.h"

/* What is done for one peer at a time, as effort_of() counts it, for the others wait meanwhile:
 * some 10 ms. */
enum { EFFORT_MAX = 2 * LAYERS_MAX };

/* Bytes that are read, inflated and unpacked while one layer is looked at. */
enum { EFFORT_BYTES = 1 << 10 };

static size_t least(uint64_t a, size_t b)
{
    return a < b ? (size_t)a : b;
}

/* So many bytes were inflated or unpacked at once: where they are many, others have to wait. */
static void take_turn(struct registry_scratch *scratch, size_t bytes)
{
    if (bytes > LIGHT_MESSAGE_MAX && scratch->heavy_left != SIZE_MAX)
        scratch->heavy_left -= least(bytes / EFFORT_BYTES, scratch->heavy_left);
}

/* ---- what comes in */

static void take_hello(struct session *session, const struct msg_hello *hello, struct moment now)
{
    const char *problem = "the run cannot be joined";

    if (session->member) {
        session_refuse(session, "a second Hello on one connection");
        return;
    }
    if (hello->protocol_min > PROTOCOL_VERSION || hello->protocol_max < PROTOCOL_VERSION) {
        session_refuse(session, "no common protocol version: this daemon speaks version 1");
        return;
    }
    session->member = registry_join(session->registry, hello, now, &problem);
    if (!session->member) {
        session_refuse(session, problem);
        return;
    }
    session_listen(session);
    registry_totals(session->registry)->sessions++;
    session->acked = run_member_kept(session->member);
    session->durable = run_member_durable(session->member);
    session_welcome(session);
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
        session_send(session, &message);
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

static void answer(struct session *session, uint64_t sequence, enum nack_reason reason)
{
    if (reason)
        session_nack(session, sequence, reason, reason_texts[reason]);
}

static void take_layers(struct session *session, const struct msg_layers *layers)
{
    const char *problem = "";
    enum nack_reason reason = run_layers(session->member, layers, &problem);

    if (reason)
        session_nack(session, 0, reason, problem);
}

static void take_post(struct session *session, const struct message *message, struct moment now)
{
    uint64_t sequence = message_sequence(message);
    struct run_member *member = session->member;
    enum nack_reason reason;

    if (sequence <= run_member_taken(member))
        return; /* sent once more after a reconnect */
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
    answer(session, sequence, reason);
}

/* Most have waited for their last Ack before: a thousand ranks that leave need no thousand
 * checkpoints. */
static void take_bye(struct session *session, struct moment now)
{
    struct run_member *member = session->member;

    log_info("run %s: a rank said goodbye", run_name(run_member_run(member)));
    run_member_leave(member, true, now);
    if (run_member_kept(member) != run_member_taken(member))
        run_keep(run_member_run(member), now);
    session_ack(session);
    registry_totals(session->registry)->sessions--;
    session->member = NULL;
    session->closing = true;
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
        session_refuse(session, "the first frame must be a Hello");
        return;
    }
    switch (message->type) {
    case FRAME_LAYERS:
        take_layers(session, &message->layers);
        break;
    case FRAME_HEARTBEAT:
        run_heartbeat(session->member, &message->heartbeat, now);
        session_send(session, &beat);
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
        take_bye(session, now);
        break;
    case FRAME_QUERY:
        session_refuse(session, "a question belongs on a connection of its own, without a Hello");
        break;
    default:
        session_refuse(session, "a message that only the daemon sends");
    }
}

/* A message that could not be read: a numbered one is rejected and the connection goes on. */
static void take_invalid(struct session *session, const struct message *message,
                         const char *problem)
{
    uint64_t sequence = message_sequence(message);

    if (!session->member || sequence == 0) {
        session_refuse(session, problem);
        return;
    }
    if (sequence <= run_member_taken(session->member))
        return;
    run_reject(session->member, sequence);
    session_nack(session, sequence, NACK_INVALID, problem);
}

static void note_spent(struct session *session)
{
    struct gauge *gauge = &registry_usage(session->registry)->message_bytes;
    struct registry_scratch *scratch = registry_scratch(session->registry);
    bool full;
    size_t spent = message_decoder_spent(scratch->decoder, &full);

    gauge_most(gauge, spent);
    gauge->refused += full;
    take_turn(scratch, spent);
}

static void take_frame(struct session *session, const struct frame *frame, struct moment now)
{
    struct message message; /* all of it is set */
    const char *problem = "";

    enum message_result result =
        message_decode(registry_scratch(session->registry)->decoder, frame, &message, &problem);
    note_spent(session);
    switch (result) {
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

/* The first frame of what is there. Who has not said who he is has little to say. */
static enum frame_result next_frame(struct session *session, struct frame *frame, size_t *used)
{
    const struct ceilings *ceilings = registry_ceilings(session->registry);
    struct registry_scratch *scratch = registry_scratch(session->registry);
    struct usage *usage = registry_usage(session->registry);
    size_t payload_max = least(ceilings->frame_bytes, SIZE_MAX),
           inflated_max = least(ceilings->inflated_bytes, SIZE_MAX);
    struct bytes *in = &session->in;
    enum frame_result result;

    if (session->proving) {
        payload_max = HANDSHAKE_PAYLOAD_MAX;
        inflated_max = 0;
    } else if (!session->member) {
        payload_max = least(payload_max, FIRST_MESSAGE_MAX);
        inflated_max = least(inflated_max, FIRST_MESSAGE_MAX);
    } else if (scratch->heavy_left == 0) {
        inflated_max = least(inflated_max, LIGHT_MESSAGE_MAX);
    }
    result = frame_read(frame, used, in->data + in->start, in->length - in->start,
                        &scratch->inflater, payload_max, inflated_max);
    session->heavy =
        session->member && scratch->heavy_left == 0 &&
        (result == FRAME_BOMB ? inflated_max < ceilings->inflated_bytes
                              : result == FRAME_OK && frame->length > LIGHT_MESSAGE_MAX);
    if (session->heavy)
        return FRAME_MORE;
    if (result == FRAME_BOMB)
        take_turn(scratch, inflated_max);
    usage->frame_bytes.refused += result == FRAME_TOO_LONG && !session->proving;
    usage->inflated_bytes.refused += result == FRAME_BOMB;
    if (result != FRAME_OK)
        return result;
    gauge_most(&usage->frame_bytes, *used - FRAME_HEADER);
    if (frame->length > *used - FRAME_HEADER)
        gauge_most(&usage->inflated_bytes, frame->length);
    return FRAME_OK;
}

/* How much a message costs, in layers that are looked at: the end of a step judges all of them. */
static size_t effort_of(const struct session *session, const struct frame *frame)
{
    size_t layers = session->member ? run_model(run_member_run(session->member))->layer_count : 0,
           bytes = frame->length / EFFORT_BYTES;

    take_turn(registry_scratch(session->registry), frame->length);
    switch (frame->type) {
    case FRAME_STEP_END:
    case FRAME_EPOCH:
        return 1 + bytes + layers;
    case FRAME_IDS:
        return 1 + bytes + layers / 4;
    case FRAME_SHAPE: /* compared with the others of its layer */
        return 1 + bytes + layers / 4 + SHAPES_OF_LAYER_MAX / 16;
    default:
        return 1 + bytes;
    }
}

enum session_result session_feed(struct session *session, const uint8_t *data, size_t n,
                                 struct moment now)
{
    struct bytes *in = &session->in;
    bool paused = false;
    size_t effort = 0;

    if (n > 0) {
        if (!bytes_reserve(in, n))
            return SESSION_CLOSE;
        memcpy(in->data + in->length, data, n);
        in->length += n;
        session->heard_ms = now.ms;
        registry_fed(session->registry, n);
    }
    while (!session->closing && !(paused = session_paused(session) || effort >= EFFORT_MAX)) {
        struct frame frame;
        size_t used;
        enum frame_result result = next_frame(session, &frame, &used);

        if (result == FRAME_MORE)
            break;
        if (result != FRAME_OK) {
            session_refuse_bytes(session, result, in->data + in->start, in->length - in->start);
            break;
        }
        if (session->proving)
            session_judge(session, &frame);
        else
            take_frame(session, &frame, now);
        if (session->member)
            run_relieve_files(run_member_run(session->member), now);
        effort += effort_of(session, &frame);
        session->heard_ms = now.ms; /* it may be long ago that this came */
        in->start += used;
        session->frame_since_ms = 0;
    }
    paused = session->heavy || (paused && (session_paused(session) || in->start < in->length));
    if (in->start == in->length)
        bytes_clear(in);
    else if (session->frame_since_ms == 0)
        session->frame_since_ms = now.ms;
    bytes_shrink(in);
    session_ack(session);
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
    return session;
}

bool session_paused(const struct session *session)
{
    return session->member &&
           (run_member_paused(session->member) ||
            (session->heavy && registry_scratch(session->registry)->heavy_left == 0));
}

const uint8_t *session_output(struct session *session, size_t *n)
{
    struct bytes *out = &session->out;
    const uint8_t *data = out->data ? out->data + out->start : NULL;

    *n = out->length - out->start;
    out->start = out->length = 0; /* the bytes stay until the next message is written */
    return data;
}

void session_sent(struct session *session)
{
    if (session->out.length == 0)
        bytes_clear(&session->out);
}

void session_unread(struct session *session, size_t bytes)
{
    if (session)
        session->unread = bytes;
}

size_t session_held(const struct session *session)
{
    return bytes_held(&session->in) + bytes_held(&session->out);
}

/* True, and counted, when so many seconds have passed since then. */
static bool is_over(struct gauge *gauge, uint64_t seconds, uint64_t since_ms, struct moment now)
{
    bool over = moment_since(now, since_ms) >= seconds * 1000;

    gauge->refused += over;
    return over;
}

bool session_tick(struct session *session, struct moment now)
{
    const struct ceilings *ceilings = registry_ceilings(session->registry);
    struct usage *usage = registry_usage(session->registry);

    if (session->closing || session_is_silent(session, now))
        return false;
    if (!session->greeted &&
        is_over(&usage->handshake_seconds, ceilings->handshake_seconds, session->opened.ms, now))
        return false;
    return session_paused(session) || session->heavy || session->frame_since_ms == 0 ||
           !is_over(&usage->frame_seconds, ceilings->frame_seconds, session->frame_since_ms, now);
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
    bytes_free(&session->in);
    bytes_free(&session->out);
    free(session);
}
