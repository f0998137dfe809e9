#include "client/sender.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "client/answers.h"
#include "client/link.h"
#include "client/queue.h"
#include "client/sender_struct.h"

enum {
    TAKE_MAX = 4096,     /* posts taken from the inbox in one turn: the socket is looked after in
                            between */
    NUMBERS_MAX = 3 * 11 /* bytes that sequence, posted and dropped add to the end of a step */
};

struct sender *sender_new(struct state *state, const struct sender_options *options)
{
    struct sender *s = calloc(1, sizeof *s);
    uint64_t seed = 0;

    if (!s)
        return NULL;
    memcpy(&seed, options->session, sizeof seed);
    s->state = state;
    s->options = *options;
    s->link = link_new(options->addresses, options->address_count, seed, &state->socket);
    s->queue = queue_new(options->queue_bytes ? options->queue_bytes : SENDER_QUEUE);
    s->decoder = message_decoder_new();
    if (s->link && s->queue && s->decoder)
        return s;
    sender_free(s);
    return NULL;
}

void sender_free(struct sender *s)
{
    if (!s)
        return;
    link_free(s->link);
    queue_free(s->queue);
    message_decoder_free(s->decoder);
    token_forget(&s->options.token);
    free(s);
}

/* ---- from the inbox to the queue
 * ----------------------------------------------------------------- */

/* The place that counts the posts of this step; the oldest one is used again. */
static struct open_step *open_step(struct sender *s, uint32_t phase, uint64_t step)
{
    struct open_step *oldest = &s->steps[0];

    for (size_t i = 0; i < OPEN_STEPS; i++) {
        struct open_step *open = &s->steps[i];

        if (open->phase == phase && open->step == step)
            return open;
        if (open->used < oldest->used)
            oldest = open;
    }
    *oldest = (struct open_step){phase, step, 0, 0};
    return oldest;
}

static void count_post(struct sender *s, uint32_t phase, uint64_t step)
{
    struct open_step *open = open_step(s, phase, step);

    open->posted++;
    open->used = s->sequence;
}

/* Numbers the message, counts it for its step, and says whether it is to be dropped last. */
static bool number(struct sender *s, struct message *m)
{
    uint64_t sequence = ++s->sequence;

    switch (m->type) {
    case FRAME_SAMPLE:
        m->sample.sequence = sequence;
        count_post(s, m->sample.phase, m->sample.step);
        return summary_nonfinite(&m->sample.summary) > 0;
    case FRAME_IDS:
        m->ids.sequence = sequence;
        count_post(s, m->ids.phase, m->ids.step);
        return m->ids.stats.negative + m->ids.stats.beyond + m->ids.stats.fractional > 0;
    case FRAME_SHAPE: /* posted once, when it is new */
        m->shape.sequence = sequence;
        count_post(s, m->shape.phase, m->shape.step);
        return true;
    case FRAME_SCALAR:
        m->scalar.sequence = sequence;
        count_post(s, m->scalar.phase, m->scalar.step);
        return !__builtin_isfinite(m->scalar.value);
    case FRAME_STEP_END: {
        struct open_step *open = open_step(s, m->step_end.phase, m->step_end.step);

        m->step_end.sequence = sequence;
        m->step_end.posted = open->posted;
        m->step_end.dropped = state_counts(s->state).dropped;
        *open = (struct open_step){0};
        return true;
    }
    default:
        m->epoch.sequence = sequence;
        return false;
    }
}

/* The end of a step says how many posts were dropped: those that it displaces itself are among
 * them, since nothing may come behind it that could say so. */
static void make_room_for_end(struct sender *s, const struct message *m)
{
    atomic_fetch_add(&s->state->counters.dropped,
                     queue_make_room(s->queue, message_size(m) + NUMBERS_MAX));
}

static void keep(struct sender *s, struct message *m)
{
    uint64_t dropped = 0;
    uint8_t *place;
    bool precious;

    if (m->type == FRAME_STEP_END)
        make_room_for_end(s, m);
    precious = number(s, m);
    place = queue_push(s->queue, s->sequence, message_size(m), precious, &dropped);
    if (place)
        message_encode(m, place);
    else
        dropped++;
    atomic_fetch_add(&s->state->counters.dropped, dropped);
}

/* Of what was lent, too. *more: there is more than one turn takes. */
static size_t take_posts(struct sender *s, bool *more)
{
    size_t taken = 0, lent = 0;
    struct record *record;

    *more = true;
    while (taken < TAKE_MAX) {
        size_t bytes;

        record = inbox_peek(s->state->inbox);
        if (!record) {
            *more = false;
            break;
        }
        bytes = loans_bytes(record);
        if (bytes > 0 && lent > 0 && lent + bytes > LOANS_TURN)
            break;
        lent += bytes;
        if (loans_settle(&s->state->loans, record, s->loan_counts))
            keep(s, &record->message);
        else
            atomic_fetch_add(&s->state->counters.dropped, 1);
        inbox_pop(s->state->inbox);
        taken++;
    }
    return taken;
}

/* ---- from the queue to the socket
 * ------------------------------------------------------------------ */

/* False: the socket's buffer has no place for it now. */
static bool put(struct sender *s, const struct message *m)
{
    uint8_t *room = link_room(s->link, message_size(m));

    if (!room)
        return false;
    link_wrote(s->link, link_pack(s->link, room, message_encode(m, room)));
    return true;
}

void sender_greet(struct sender *s, int64_t now_ms)
{
    struct message m = {.type = FRAME_HELLO};

    m.hello.protocol_min = m.hello.protocol_max = PROTOCOL_VERSION;
    memcpy(m.hello.session, s->options.session, SESSION_BYTES);
    m.hello.given = s->state->welcome.run; /* empty before the first Welcome */
    m.hello.name = s->options.run;
    m.hello.key = s->options.key;
    m.hello.rank = s->options.rank;
    m.hello.world_size = s->options.world_size;
    m.hello.resume = s->options.resume;
    m.hello.every = s->options.every;
    put(s, &m);
    s->hello_ms = now_ms;
}

/* False: no place in the buffer. */
static bool send_thresholds(struct sender *s)
{
    struct message m = {.type = FRAME_LAYERS};

    while (thresholds_batch(s->state->thresholds, &s->told, &s->thresholds, &m.layers)) {
        if (!put(s, &m))
            return false;
        s->told = s->thresholds.told;
    }
    return true;
}

/* What was declared goes out before the first post that refers to it: a post is read from the inbox
 * after its layer was published, and sent after this. False: no place in the buffer, or another
 * thread is just declaring a layer, and those behind it have to wait for it. */
static bool send_layers(struct sender *s)
{
    struct message m = {.type = FRAME_LAYERS};
    uint32_t cursor = s->declared;

    while (model_batch(s->state->model, &cursor, &s->batch, &m.layers)) {
        if (!put(s, &m))
            return false;
        s->declared = cursor;
    }
    s->declared = cursor; /* past names that were declared twice */
    return s->declared >= model_begun(s->state->model) && send_thresholds(s);
}

static void send_posts(struct sender *s)
{
    struct queued frame;

    while (queue_next(s->queue, &frame)) {
        uint8_t *room;

        if (frame.length - FRAME_HEADER > s->frame_limit) {
            queue_discard_next(s->queue);
            atomic_fetch_add(&s->state->counters.dropped, 1);
            continue;
        }
        room = link_room(s->link, frame.length);
        if (!room)
            return;
        memcpy(room, frame.bytes, frame.length);
        link_wrote(s->link, link_pack(s->link, room, frame.length));
        queue_sent(s->queue);
        if (frame.sequence > s->sent)
            s->sent = frame.sequence;
    }
}

/* Posts that no connection has yet: in the inbox, and behind what was sent. */
static uint64_t unsent(const struct sender *s, uint64_t in_flight)
{
    uint64_t sent = queue_count(s->queue) - queue_unsent(s->queue) + queue_gone(s->queue);

    return in_flight > sent ? in_flight - sent : 0;
}

static bool put_heartbeat(struct sender *s, bool hurry)
{
    struct message m = {.type = FRAME_HEARTBEAT};
    struct tallied counts = state_counts(s->state);

    m.heartbeat.produced = counts.produced;
    m.heartbeat.dropped = counts.dropped;
    m.heartbeat.phase = (uint32_t)atomic_load(&s->state->phase);
    m.heartbeat.hurry = hurry;
    m.heartbeat.unsent = unsent(s, counts.in_flight);
    return put(s, &m);
}

static void send_heartbeat(struct sender *s, int64_t now_ms)
{
    if (now_ms - s->heartbeat_ms >= SENDER_HEARTBEAT_MS && put_heartbeat(s, false))
        s->heartbeat_ms = now_ms;
}

/* The daemon keeps what it has once a second. Who cannot wait so long says it, behind what is to be
 * kept: a queue that fills up now and then, a trainer that waits for the end once for all. */
static void send_hurry(struct sender *s, int64_t now_ms)
{
    bool soon = now_ms - s->hurry_ms < SENDER_HURRY_MS;
    bool news = s->hurried != s->sent;

    if (queue_count(s->queue) + queue_gone(s->queue) == 0 ||
        !(s->closing ? news || !soon : queue_is_half(s->queue) && !soon))
        return;
    if (put_heartbeat(s, true)) {
        s->hurry_ms = now_ms;
        s->hurried = s->sent;
    }
}

/* Fills the buffer and empties it into the socket until one of them has had enough. */
static bool send_all(struct sender *s, int64_t now_ms)
{
    for (;;) {
        size_t before;

        if (atomic_load(&s->state->connected)) {
            send_heartbeat(s, now_ms);
            if (send_layers(s))
                send_posts(s);
            send_hurry(s, now_ms);
        }
        before = link_pending(s->link);
        if (!link_flush(s->link))
            return false;
        if (before == 0 || link_pending(s->link) > 0)
            return true;
    }
}

/* ---- the connection
 * ---------------------------------------------------------------------------------- */

static void lose(struct sender *s, int64_t now_ms, const char *reason)
{
    outage_begins(&s->options.outage, now_ms, link_where(s->link), reason);
    atomic_store(&s->state->connected, false);
    link_drop(s->link, now_ms);
    queue_rewind(s->queue);
    s->declared = 0;
    s->told = (struct thresholds_told){0};
}

static void try_connect(struct sender *s, int64_t now_ms)
{
    const char *problem;

    if (link_connect(s->link, now_ms, &problem)) {
        s->heard_ms = s->hello_ms = s->listen_ms = now_ms;
        s->proving = link_is_tcp(s->link) && s->options.token.length > 0;
        if (s->proving)
            handshake_expect(&s->handshake, &s->options.token);
        else
            sender_greet(s, now_ms);
    } else if (problem) {
        outage_begins(&s->options.outage, now_ms, link_tried(s->link), problem);
        s->failed = true;
    }
}

/* Why the daemon is not waited for any longer; NULL: it is. */
static const char *overdue(const struct sender *s, int64_t now_ms)
{
    if (s->proving)
        return now_ms - s->hello_ms > SENDER_PROOF_MS
                   ? "it does not ask for the token: was it started with --token-file?"
                   : NULL;
    if (!atomic_load(&s->state->connected))
        return now_ms - s->hello_ms > SENDER_WELCOME_MS ? "it does not answer" : NULL;
    /* Of this machine's the kernel knows when it ends. */
    return link_is_tcp(s->link) && now_ms - s->heard_ms > SENDER_SILENCE_MS
               ? "nothing was heard from it for 10 s"
               : NULL;
}

/* Hears some of what the daemon says, and then not for a while: reading it is work that the trainer
 * pays for. Returns what is wrong with it. */
static const char *listen_to_it(struct sender *s, int64_t now_ms)
{
    size_t before = link_unread(s->link);
    bool there = link_receive(s->link);
    bool news = link_unread(s->link) > before;
    const char *problem = answers_take(s, now_ms);

    if (news || link_unread(s->link) > 0)
        s->listen_ms = now_ms + SENDER_BUSY_MS;
    if (there || problem)
        return problem;
    for (size_t left = SIZE_MAX; !problem && link_unread(s->link) < left;) { /* its last words */
        left = link_unread(s->link);
        problem = answers_take(s, now_ms);
    }
    return problem ? problem : "it closed the connection";
}

static void serve(struct sender *s, int64_t now_ms)
{
    const char *problem = now_ms >= s->listen_ms ? listen_to_it(s, now_ms) : NULL;

    if (!problem)
        problem = overdue(s, now_ms);
    if (!problem && !send_all(s, now_ms))
        problem = "the connection broke";
    if (problem)
        lose(s, now_ms, problem);
}

int sender_turn(struct sender *s, int64_t now_ms)
{
    bool more;

    if (take_posts(s, &more) > 0 || s->busy_ms == 0)
        s->busy_ms = now_ms;
    if (!link_is_up(s->link))
        try_connect(s, now_ms);
    if (link_is_up(s->link))
        serve(s, now_ms);
    if (more)
        return 0;
    return now_ms - s->busy_ms < SENDER_IDLE_AFTER_MS ? SENDER_BUSY_MS : SENDER_IDLE_MS;
}

void sender_wait(const struct sender *s, int wait_ms, int64_t now_ms)
{
    struct pollfd poll_for = {link_socket(s->link), 0, 0};
    bool listens = now_ms >= s->listen_ms;
    int most_ms = listens || wait_ms < SENDER_BUSY_MS ? wait_ms : SENDER_BUSY_MS;
    struct timespec time = {most_ms / 1000, most_ms % 1000 * 1000000L};

    if (listens)
        poll_for.events |= POLLIN;
    if (link_pending(s->link) > 0)
        poll_for.events |= POLLOUT;
    if (poll_for.events == 0)
        poll_for.fd = -1; /* that it hung up is not asked for either */
    ppoll(&poll_for, 1, &time, NULL);
}

void sender_hurry(struct sender *s)
{
    s->failed = false;
    s->closing = true;
    link_hurry(s->link);
}

bool sender_is_done(const struct sender *s)
{
    bool hopeless = s->failed && !atomic_load(&s->state->welcomed);

    return hopeless || state_counts(s->state).in_flight == 0;
}

void sender_bye(struct sender *s)
{
    struct message m = {.type = FRAME_BYE};
    struct tallied counts = state_counts(s->state);

    m.bye.undelivered = counts.in_flight + counts.dropped;
    if (link_is_up(s->link) && atomic_load(&s->state->connected)) {
        send_heartbeat(s, s->heartbeat_ms + SENDER_HEARTBEAT_MS); /* the last counts */
        if (put(s, &m))
            link_flush(s->link);
    }
    atomic_store(&s->state->connected, false);
}
