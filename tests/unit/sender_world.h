/* A sender without a thread, its state, and a daemon made by the test: time moves when told to. */
#ifndef EMBMON_TESTS_SENDER_WORLD_H
#define EMBMON_TESTS_SENDER_WORLD_H

#include "client/sender.h"
#include "tests/unit/fake_daemon.h"

struct sender_world {
    struct fake *fake;
    struct state state;
    struct sender *sender;
    int64_t now_ms;
    int lines;
    char line[1024];
};

static inline void world_log(void *context, const char *line)
{
    struct sender_world *w = context;

    w->lines++;
    snprintf(w->line, sizeof w->line, "%s", line);
}

static inline struct sender_world *world_open_with(size_t queue_bytes)
{
    struct sender_world *w = calloc(1, sizeof *w);
    struct sender_options options = {.session = "fifteen letters",
                                     .run = "wanted",
                                     .key = "key",
                                     .rank = 1,
                                     .world_size = 2,
                                     .every = 4,
                                     .address_count = 1,
                                     .queue_bytes = queue_bytes};

    assert_non_null(w);
    w->fake = fake_new();
    w->now_ms = 1000;
    strcpy(options.addresses[0].path, w->fake->path);
    options.outage.log = world_log;
    options.outage.context = w;
    w->state.inbox = inbox_new(8 << 20);
    w->state.model = model_new();
    w->state.thresholds = thresholds_new();
    w->state.notices = notices_new();
    assert_true(sampling_open(&w->state.sampling, 1, MODEL_TARGETS));
    w->sender = sender_new(&w->state, &options);
    assert_non_null(w->sender);
    return w;
}

/* Its sender connects to a port of ours from now on, with this token (empty: none). */
static inline void world_use_tcp(struct sender_world *w, const struct token *token)
{
    struct sender_options options = {.session = "fifteen letters",
                                     .run = "wanted",
                                     .world_size = 1,
                                     .address_count = 1,
                                     .token = *token};

    fake_listen_tcp(w->fake, &options.addresses[0]);
    options.outage.log = world_log;
    options.outage.context = w;
    sender_free(w->sender);
    w->sender = sender_new(&w->state, &options);
    assert_non_null(w->sender);
}

static inline int world_open(void **to)
{
    *to = world_open_with(0);
    return 0;
}

static inline int world_close(void **to)
{
    struct sender_world *w = *to;

    sender_free(w->sender);
    sampling_close(&w->state.sampling);
    notices_free(w->state.notices);
    thresholds_free(w->state.thresholds);
    model_free(w->state.model);
    inbox_free(w->state.inbox);
    fake_free(w->fake);
    free(w);
    return 0;
}

/* A turn, some milliseconds later. */
static inline int world_turn(struct sender_world *w, int64_t later_ms)
{
    w->now_ms += later_ms;
    return sender_turn(w->sender, w->now_ms);
}

static inline void world_layer(struct sender_world *w, const char *path)
{
    struct embmon_layer_info info = EMBMON_LAYER_INFO_INIT;

    info.path = path;
    assert_true(model_add_layer(w->state.model, &info) >= 0);
}

static inline struct message *world_record(struct sender_world *w, enum frame_type type)
{
    struct record *record = inbox_reserve(w->state.inbox, sizeof *record);

    atomic_fetch_add(&w->state.counters.produced, 1);
    assert_non_null(record);
    record->message.type = type;
    return &record->message;
}

static inline void world_commit(struct message *message)
{
    inbox_commit(message); /* the record's first member */
}

static inline void world_post(struct sender_world *w, uint64_t step, uint64_t nans)
{
    struct message *m = world_record(w, FRAME_SAMPLE);

    m->sample =
        (struct msg_sample){.signal = EMBMON_GRADIENT,
                            .phase = EMBMON_TRAIN,
                            .step = step,
                            .summary = {.count = 1, .parts = 1, .zeros = 1 - nans, .nans = nans}};
    world_commit(m);
}

static inline void world_step_end(struct sender_world *w, uint64_t step)
{
    struct message *m = world_record(w, FRAME_STEP_END);

    m->step_end = (struct msg_step_end){.phase = EMBMON_TRAIN, .step = step};
    world_commit(m);
}

/* Connects and is welcomed: three turns, since nobody waits for anybody. */
static inline void world_greet(struct sender_world *w, uint64_t sequence)
{
    struct message hello;

    if (w->fake->listener < 0)
        fake_listen(w->fake);
    world_turn(w, 20000);
    assert_true(fake_accept(w->fake, 0));
    fake_expect(w->fake, FRAME_HELLO, &hello);
    fake_welcome(w->fake, "run", sequence, 1);
    world_turn(w, 5);
    assert_true(atomic_load(&w->state.connected));
}

/* A frame comes without the sender's help: it was sent in the last turn. */
static inline uint64_t world_sequence(struct sender_world *w, enum frame_type type)
{
    struct message message;

    fake_expect(w->fake, type, &message);
    return message_sequence(&message);
}

static inline void world_counts(struct sender_world *w, uint64_t acked, uint64_t rejected,
                                uint64_t dropped, uint64_t in_flight)
{
    struct tallied t = state_counts(&w->state);

    assert_int_equal(t.acked, acked);
    assert_int_equal(t.rejected, rejected);
    assert_int_equal(t.dropped, dropped);
    assert_int_equal(t.in_flight, in_flight);
}

#endif
