#include <inttypes.h>
#include <stdio.h>

#include "daemon/log.h"
#include "daemon/notice.h"
#include "daemon/registry.h"
#include "daemon/session_struct.h"

enum {
    ADVICE_MAX = 256 << 10
}; /* bytes that the peer has not read beyond which advice is left out */

void session_send(struct session *session, const struct message *message)
{
    struct bytes *out = &session->out;
    size_t n = message_size(message);

    n = bytes_reserve(out, n) ? message_encode(message, out->data + out->length) : 0;
    if (n > 0 && session->tcp)
        n = frame_deflate(out->data + out->length, n,
                          &registry_scratch(session->registry)->deflater);
    out->length += n;
    if (n == 0)
        session->closing = true; /* out of memory: the client comes back and asks again */
}

/* Of one that is no member yet; reason: a static sentence. */
static void note_refusal(const struct session *session, const char *reason)
{
    struct registry_refusals *refusals = registry_refusals(session->registry);
    char line[256];
    size_t i = 0;

    while (i < REFUSALS_KEPT - 1 && refusals->reasons[i] && refusals->reasons[i] != reason)
        i++;
    refusals->reasons[i] = reason;
    (void)snprintf(line, sizeof line, "a connection was refused: %.200s", reason);
    log_seldom(&refusals->seldom[i], session->opened.ms, line);
}

void session_nack(struct session *session, uint64_t sequence, enum nack_reason reason,
                  const char *detail)
{
    struct message message = {.type = FRAME_NACK,
                              .nack = {.sequence = sequence, .reason = reason, .detail = detail}};

    /* The first of its kind is worth a line; a trainer gone wrong could send millions. What was
     * declared wrongly the run has said. Over tcp the rim says who it was. */
    if (!session->member && session->tcp)
        session->complaint = detail;
    else if (!session->member)
        note_refusal(session, detail);
    else if ((sequence > 0 || reason == NACK_REFUSED) && session->nacks[reason]++ == 0)
        log_warn("run %s: a %s was refused: %s; later ones like it are only counted",
                 run_name(run_member_run(session->member)),
                 reason == NACK_REFUSED ? "connection" : "post", detail);
    session_send(session, &message);
}

void session_welcome(struct session *session)
{
    const struct ceilings *ceilings = registry_ceilings(session->registry);
    struct run *run = run_member_run(session->member);
    struct message message = {.type = FRAME_WELCOME,
                              .welcome = {.protocol = PROTOCOL_VERSION,
                                          .run = run_name(run),
                                          .next_step = run_next_step(run),
                                          .every = run_every(run),
                                          .sequence = run_member_kept(session->member),
                                          .frame_limit = (uint32_t)ceilings->frame_bytes,
                                          .rejected = run_member_rejected(session->member)}};

    session_send(session, &message);
}

/* Ends the connection with a reason the client can show. */
void session_refuse(struct session *session, const char *why)
{
    session_nack(session, 0, NACK_REFUSED, why);
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
    const struct gauge *all = &registry_usage(session->registry)->buffer_bytes;

    if (session->unread + session->out.length - session->out.start >= ADVICE_MAX ||
        all->used > registry_ceilings(session->registry)->buffer_bytes / 2)
        return;
    session_send(session, message);
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
    session_welcome(context);
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

static void on_kept(void *context)
{
    session_ack(context);
    wake(context);
}

void session_listen(struct session *session)
{
    struct run_member_events events = {session,     on_notice,     on_wish,
                                       on_sampling, on_superseded, on_kept};

    run_member_listen(session->member, &events);
}

void session_ack(struct session *session)
{
    struct message message = {.type = FRAME_ACK};
    uint64_t kept, durable;

    if (!session->member)
        return;
    kept = run_member_kept(session->member);
    durable = run_member_durable(session->member);
    if (kept == session->acked && durable == session->durable)
        return;
    session->acked = kept;
    session->durable = durable;
    message.ack.kept = kept;
    message.ack.durable = durable;
    session_send(session, &message);
}
