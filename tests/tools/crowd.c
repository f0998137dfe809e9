/* A thousand trainers in one process, without libembmon's threads: each a connection of its own
 * that posts a step a second and reads its answers.
 *
 *     crowd SOCKET --clients 1000 --runs 250 --layers 20 --seconds 60 --step-ms 1000
 *
 * Client c is rank c / runs of run crowd-<c % runs>. At the end all wait for their last Ack, say
 * goodbye, and one line of JSON says what became of the posts and how long Acks took. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "proto/message.h"

enum {
    CLIENTS_MAX = 4096,
    LAYERS_HIGH = 256,
    IN_MAX = 64 << 10,
    MARKS = 128, /* steps of a client whose Ack is waited for at once */
    LATENCIES = 60001,
    WELCOME_MS = 60000,
    DRAIN_MS = 60000,
    HURRY_MS = 500,
};

struct client {
    int fd; /* -1: lost */
    uint32_t rank;
    unsigned run;
    bool welcomed;
    uint64_t sequence, kept, nacks, step;
    int64_t next_ms, beat_ms;
    struct {
        uint64_t sequence;
        int64_t ms;
    } marks[MARKS];
    size_t mark_first, mark_end;
    uint8_t *out; /* owned */
    size_t out_first, out_end, out_room;
    uint8_t in[IN_MAX];
    size_t in_end;
};

struct crowd {
    const char *path;
    long clients, runs, layers, seconds, step_ms;
    struct client *all;
    struct pollfd *polled;
    struct message_decoder *decoder;
    struct frame_codec codec;
    uint64_t lost, latencies[LATENCIES], answered;
};

_Noreturn static void die(const char *why)
{
    fprintf(stderr, "crowd: %s: %s\n", why, strerror(errno));
    exit(1);
}

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- what a client says */

static void say(struct client *c, const struct message *message)
{
    size_t n = message_size(message);

    if (c->out_first > 0 && c->out_end + n > c->out_room) {
        memmove(c->out, c->out + c->out_first, c->out_end - c->out_first);
        c->out_end -= c->out_first;
        c->out_first = 0;
    }
    if (c->out_end + n > c->out_room) {
        c->out_room = 2 * (c->out_end + n);
        c->out = realloc(c->out, c->out_room);
        if (!c->out)
            die("out of memory");
    }
    c->out_end += message_encode(message, c->out + c->out_end);
}

static void say_hello(const struct crowd *crowd, struct client *c, uint32_t number)
{
    struct message m = {.type = FRAME_HELLO};
    char name[32];

    snprintf(name, sizeof name, "crowd-%u", c->run);
    m.hello.protocol_min = m.hello.protocol_max = PROTOCOL_VERSION;
    memcpy(m.hello.session, "crowd", 5);
    memcpy(m.hello.session + 8, &number, sizeof number);
    m.hello.given = "";
    m.hello.name = name;
    m.hello.key = "";
    m.hello.rank = c->rank;
    m.hello.world_size = (uint32_t)(crowd->clients / crowd->runs);
    say(c, &m);
}

static void say_layers(const struct crowd *crowd, struct client *c)
{
    static struct msg_layer layers[LAYERS_HIGH];
    static char paths[LAYERS_HIGH][32];
    struct message m = {.type = FRAME_LAYERS};

    for (long i = 0; i < crowd->layers; i++) {
        snprintf(paths[i], sizeof paths[i], "tower/layer_%ld", i);
        layers[i] = (struct msg_layer){
            .id = (uint32_t)i, .path = paths[i], .kind = 2, .activation = "", .trainable = true};
    }
    m.layers.layers = layers;
    m.layers.layer_count = (size_t)crowd->layers;
    say(c, &m);
}

static void say_beat(struct client *c, bool hurry, int64_t now)
{
    struct message m = {.type = FRAME_HEARTBEAT};

    m.heartbeat.produced = c->sequence;
    m.heartbeat.phase = 1;
    m.heartbeat.hurry = hurry;
    say(c, &m);
    c->beat_ms = now;
}

static void say_step(const struct crowd *crowd, struct client *c, int64_t now)
{
    static uint64_t counts[40];
    struct message m = {.type = FRAME_SAMPLE};
    struct summary *s = &m.sample.summary;

    for (size_t i = 0; i < 40; i++)
        counts[i] = 1 + i % 5;
    *s = (struct summary){.count = 120,
                          .parts = 1,
                          .min = 0.01,
                          .max = 1,
                          .sum = 6,
                          .absolute_sum = 6,
                          .square_sum = 1.5};
    s->positive =
        (struct summary_span){.first = 970, .length = 40, .counts = counts, .capacity = 40};
    for (long i = 0; i < crowd->layers; i++) {
        m.sample.sequence = ++c->sequence;
        m.sample.target = (uint32_t)i;
        m.sample.signal = m.sample.phase = 1;
        m.sample.step = c->step;
        say(c, &m);
    }
    m = (struct message){.type = FRAME_STEP_END};
    m.step_end.sequence = ++c->sequence;
    m.step_end.phase = 1;
    m.step_end.step = c->step++;
    m.step_end.posted = (uint64_t)crowd->layers;
    say(c, &m);
    c->marks[c->mark_end % MARKS].sequence = c->sequence;
    c->marks[c->mark_end++ % MARKS].ms = now;
    if (c->mark_end - c->mark_first > MARKS)
        c->mark_first++;
}

/* ---- and hears */

static void lose(struct crowd *crowd, struct client *c)
{
    close(c->fd);
    c->fd = -1;
    crowd->lost++;
}

static void hear_ack(struct crowd *crowd, struct client *c, uint64_t kept, int64_t now)
{
    c->kept = kept;
    for (; c->mark_first < c->mark_end; c->mark_first++) {
        int64_t took = now - c->marks[c->mark_first % MARKS].ms;

        if (c->marks[c->mark_first % MARKS].sequence > kept)
            break;
        crowd->latencies[took < LATENCIES ? took : LATENCIES - 1]++;
        crowd->answered++;
    }
}

static void hear(struct crowd *crowd, struct client *c, int64_t now)
{
    size_t first = 0, used;
    struct frame frame;
    struct message m;
    const char *problem;

    while (frame_read(&frame, &used, c->in + first, c->in_end - first, &crowd->codec, IN_MAX,
                      IN_MAX) == FRAME_OK) {
        first += used;
        if (message_decode(crowd->decoder, &frame, &m, &problem) != MESSAGE_OK)
            continue;
        if (m.type == FRAME_WELCOME && !c->welcomed) {
            c->welcomed = true;
            say_layers(crowd, c);
        } else if (m.type == FRAME_ACK) {
            hear_ack(crowd, c, m.ack.kept, now);
        } else if (m.type == FRAME_NACK) {
            c->nacks++;
            fprintf(stderr, "crowd: refused: %s\n", m.nack.detail);
        }
    }
    memmove(c->in, c->in + first, c->in_end - first);
    c->in_end -= first;
}

static void serve(struct crowd *crowd, struct client *c, short events, int64_t now)
{
    ssize_t n;

    if (events & (POLLIN | POLLHUP | POLLERR)) {
        n = recv(c->fd, c->in + c->in_end, sizeof c->in - c->in_end, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN)) {
            lose(crowd, c);
            return;
        }
        c->in_end += n > 0 ? (size_t)n : 0;
        hear(crowd, c, now);
    }
    if (c->out_end > c->out_first) {
        n = send(c->fd, c->out + c->out_first, c->out_end - c->out_first,
                 MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN) {
            lose(crowd, c);
            return;
        }
        c->out_first += n > 0 ? (size_t)n : 0;
        if (c->out_first == c->out_end)
            c->out_first = c->out_end = 0;
    }
}

/* One turn over all of them. */
static void turn(struct crowd *crowd)
{
    int64_t now;

    for (long i = 0; i < crowd->clients; i++) {
        const struct client *c = &crowd->all[i];

        crowd->polled[i] =
            (struct pollfd){c->fd, (short)(POLLIN | (c->out_end > c->out_first ? POLLOUT : 0)), 0};
    }
    if (poll(crowd->polled, (nfds_t)crowd->clients, 10) < 0 && errno != EINTR)
        die("poll");
    now = now_ms();
    for (long i = 0; i < crowd->clients; i++)
        if (crowd->all[i].fd >= 0 && crowd->polled[i].revents)
            serve(crowd, &crowd->all[i], crowd->polled[i].revents, now);
}

/* ---- the whole */

static void connect_one(struct crowd *crowd, long number)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    struct client *c = &crowd->all[number];

    strncpy(name.sun_path, crowd->path, sizeof name.sun_path - 1);
    c->run = (unsigned)(number % crowd->runs);
    c->rank = (uint32_t)(number / crowd->runs);
    c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (const struct sockaddr *)&name, sizeof name) < 0)
        die("cannot connect");
    say_hello(crowd, c, (uint32_t)number);
}

static bool are_welcomed(const struct crowd *crowd)
{
    for (long i = 0; i < crowd->clients; i++)
        if (crowd->all[i].fd >= 0 && !crowd->all[i].welcomed)
            return false;
    return true;
}

static bool are_kept(const struct crowd *crowd)
{
    for (long i = 0; i < crowd->clients; i++)
        if (crowd->all[i].fd >= 0 && crowd->all[i].kept < crowd->all[i].sequence)
            return false;
    return true;
}

/* Steps do not come all at the same moment, as those of a thousand trainings would not. */
static void post_all(struct crowd *crowd)
{
    int64_t began = now_ms(), until = began + crowd->seconds * 1000, now;

    for (long i = 0; i < crowd->clients; i++)
        crowd->all[i].next_ms = began + (i % crowd->runs) * crowd->step_ms / crowd->runs;
    while ((now = now_ms()) < until) {
        for (long i = 0; i < crowd->clients; i++) {
            struct client *c = &crowd->all[i];

            if (c->fd >= 0 && now >= c->next_ms) {
                say_step(crowd, c, now);
                c->next_ms += crowd->step_ms;
            }
            if (c->fd >= 0 && now - c->beat_ms >= 1000)
                say_beat(c, false, now);
        }
        turn(crowd);
    }
}

static void drain(struct crowd *crowd)
{
    int64_t until = now_ms() + DRAIN_MS, now;

    while (!are_kept(crowd) && (now = now_ms()) < until) {
        for (long i = 0; i < crowd->clients; i++)
            if (crowd->all[i].fd >= 0 && now - crowd->all[i].beat_ms >= HURRY_MS)
                say_beat(&crowd->all[i], true, now);
        turn(crowd);
    }
}

static int64_t quantile(const struct crowd *crowd, double q)
{
    uint64_t seen = 0;

    for (int64_t ms = 0; ms < LATENCIES; ms++) {
        seen += crowd->latencies[ms];
        if (seen > 0 && (double)seen >= q * (double)crowd->answered)
            return ms;
    }
    return -1;
}

static void report(const struct crowd *crowd)
{
    uint64_t posted = 0, kept = 0, nacks = 0, steps = 0;

    for (long i = 0; i < crowd->clients; i++) {
        posted += crowd->all[i].sequence;
        kept += crowd->all[i].kept;
        nacks += crowd->all[i].nacks;
        steps += crowd->all[i].step;
    }
    printf("{\"clients\":%ld,\"steps\":%" PRIu64 ",\"posted\":%" PRIu64 ",\"kept\":%" PRIu64
           ",\"refused\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"ack_ms_p50\":%" PRId64
           ",\"ack_ms_p99\":%" PRId64 ",\"ack_ms_max\":%" PRId64 "}\n",
           crowd->clients, steps, posted, kept, nacks, crowd->lost, quantile(crowd, 0.5),
           quantile(crowd, 0.99), quantile(crowd, 1));
}

static void read_options(struct crowd *crowd, int argc, char **argv)
{
    *crowd =
        (struct crowd){.clients = 1000, .runs = 250, .layers = 20, .seconds = 10, .step_ms = 1000};
    if (argc < 2 || argc % 2 != 0)
        die("wrong options; they are in tests/tools/crowd.c");
    crowd->path = argv[1];
    for (int i = 2; i < argc; i += 2) {
        long value = strtol(argv[i + 1], NULL, 10);

        if (strcmp(argv[i], "--clients") == 0)
            crowd->clients = value;
        else if (strcmp(argv[i], "--runs") == 0)
            crowd->runs = value;
        else if (strcmp(argv[i], "--layers") == 0)
            crowd->layers = value;
        else if (strcmp(argv[i], "--seconds") == 0)
            crowd->seconds = value;
        else if (strcmp(argv[i], "--step-ms") == 0)
            crowd->step_ms = value;
        else
            die("an option is unknown");
    }
    if (crowd->clients < 1 || crowd->clients > CLIENTS_MAX || crowd->runs < 1 ||
        crowd->runs > crowd->clients || crowd->clients % crowd->runs != 0 || crowd->layers < 1 ||
        crowd->layers > LAYERS_HIGH || crowd->step_ms < 1)
        die("an option is out of its range");
}

int main(int argc, char **argv)
{
    static struct crowd crowd;
    const struct message bye = {.type = FRAME_BYE};
    int64_t until;

    read_options(&crowd, argc, argv);
    crowd.all = calloc((size_t)crowd.clients, sizeof *crowd.all);
    crowd.polled = calloc((size_t)crowd.clients, sizeof *crowd.polled);
    crowd.decoder = message_decoder_new();
    if (!crowd.all || !crowd.polled || !crowd.decoder)
        die("out of memory");
    for (long i = 0; i < crowd.clients; i++)
        connect_one(&crowd, i);
    for (until = now_ms() + WELCOME_MS; !are_welcomed(&crowd) && now_ms() < until;)
        turn(&crowd);
    post_all(&crowd);
    drain(&crowd);
    report(&crowd);
    for (long i = 0; i < crowd.clients; i++)
        if (crowd.all[i].fd >= 0)
            say(&crowd.all[i], &bye);
    for (until = now_ms() + 1000; now_ms() < until;)
        turn(&crowd);
    return 0;
}
