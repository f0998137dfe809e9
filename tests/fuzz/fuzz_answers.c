/* What a client hears: a daemon that says anything at all neither breaks it nor its sums, and once
 * the client has hung up it counts what was sent as not answered. */
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "client/sender.h"
#include "tests/fuzz/target.h"

static struct sender_options options = {.session = "fifteen letters",
                                        .run = "wanted",
                                        .rank = 0,
                                        .world_size = 1,
                                        .address_count = 1,
                                        .queue_bytes = 4 << 10};
enum { POSTS = 100 };
static int listener = -1;
static uint64_t lines;

static void on_line(void *context, const char *line)
{
    (void)context;
    PROMISE(*line);
    lines++;
}

static void remove_socket(void)
{
    unlink(options.addresses[0].path);
}

static void listen_once(void)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};

    if (listener >= 0)
        return;
    snprintf(options.addresses[0].path, sizeof options.addresses[0].path, "/tmp/embmon-fuzz-%ld",
             (long)getpid());
    memcpy(name.sun_path, options.addresses[0].path, strlen(options.addresses[0].path));
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    unlink(name.sun_path);
    PROMISE(bind(listener, (struct sockaddr *)&name, sizeof name) == 0 && listen(listener, 4) == 0);
    options.outage.log = on_line;
    atexit(remove_socket);
}

static void post(struct state *state)
{
    struct record *record = inbox_reserve(state->inbox, sizeof *record);

    atomic_fetch_add(&state->counters.produced, 1);
    PROMISE(record);
    record->message.type = FRAME_STEP_END;
    record->message.step_end = (struct msg_step_end){.phase = 1, .step = 7};
    inbox_commit(record);
}

/* Headers that look like ours get the checksum they need. */
static void seal_frames(uint8_t *data, size_t n)
{
    size_t at = 0;

    while (n - at >= FRAME_HEADER && memcmp(data + at, "EMBM", 4) == 0) {
        size_t length = data[at + 8] | (size_t)data[at + 9] << 8;

        if (data[at + 10] || data[at + 11] || length > n - at - FRAME_HEADER)
            return;
        frame_seal(data + at, (uint16_t)(data[at + 6] | data[at + 7] << 8), data[at + 5], length);
        at += FRAME_HEADER + length;
    }
}

static void sums_hold(const struct state *state)
{
    struct tallied t = state_counts(state);

    PROMISE(t.acked <= t.produced && t.rejected <= t.produced && t.dropped <= t.produced);
    PROMISE(t.acked + t.rejected + t.dropped + t.in_flight == t.produced);
}

static void talk(struct state *state, struct sender *sender, const uint8_t *data, size_t size)
{
    uint8_t *bytes = exactly(data, size);
    int64_t now = 1000;
    int peer;

    seal_frames(bytes, size);
    post(state);
    (void)sender_turn(sender, now);
    peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    PROMISE(peer >= 0);
    /* In two pieces: the second answers what the first made it send. */
    for (size_t at = 0, piece; at < size; at += piece) {
        piece = at == 0 && size > 1 ? size / 2 : size - at;
        if (send(peer, bytes + at, piece, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
            break;
        (void)sender_turn(sender, now += SENDER_BUSY_MS);
        sums_hold(state);
        for (int i = 0; i < POSTS; i++) /* more than its queue holds */
            post(state);
        (void)sender_turn(sender, ++now);
        sums_hold(state);
    }
    close(peer);
    (void)sender_turn(sender, now += SENDER_BUSY_MS);
    sums_hold(state);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct state state = {0};
    struct sender *sender;

    if (size > 32 << 10)
        return 0;
    listen_once();
    atomic_store(&state.socket, -1);
    state.inbox = inbox_new(64 << 10);
    state.model = model_new();
    state.thresholds = thresholds_new();
    state.notices = notices_new();
    PROMISE(state.inbox && state.model && state.thresholds && state.notices);
    PROMISE(sampling_open(&state.sampling, 1, MODEL_TARGETS));
    sender = sender_new(&state, &options);
    PROMISE(sender);
    talk(&state, sender, data, size);
    sender_free(sender);
    sampling_close(&state.sampling);
    notices_free(state.notices);
    thresholds_free(state.thresholds);
    model_free(state.model);
    inbox_free(state.inbox);
    return 0;
}
