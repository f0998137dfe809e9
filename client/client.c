#include "embmon/embmon.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "client/client_struct.h"

enum {
    INBOX_BYTES = 8 << 20,
    STACK_BYTES = 1 << 20,
    RESUME_WAIT_MS = 2000,
    CLOSE_GRACE_MS = 50, /* beyond the timeout, for the thread to end */
};

const char *embmon_strerror(int error)
{
    switch (error) {
#define ERROR_TEXT(name, value, text)                                                              \
    case name:                                                                                     \
        return text;
        EMBMON_ERRORS(ERROR_TEXT)
#undef ERROR_TEXT
    default:
        return error >= 0 ? "no error" : "an error of a newer library";
    }
}

const char *embmon_version(void)
{
    return EMBMON_VERSION;
}

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void sleep_ms(long ms)
{
    struct timespec time = {ms / 1000, ms % 1000 * 1000000};

    nanosleep(&time, NULL);
}

/* ---- the private thread
 * --------------------------------------------------------------------------- */

static void *run(void *argument)
{
    struct embmon_client *client = argument;
    bool hurried = false;

    pthread_setname_np(pthread_self(), "embmon");
    for (;;) {
        /* Read before the turn: what was posted before closing is then in the turn. */
        bool closing = atomic_load(&client->state.closing);
        int64_t now = now_ms();
        int wait_ms;

        if (closing && !hurried)
            sender_hurry(client->sender);
        hurried = closing;
        wait_ms = sender_turn(client->sender, now);
        if (closing &&
            (sender_is_done(client->sender) || now >= atomic_load(&client->state.close_by_ms)))
            break;
        sender_wait(client->sender, closing && wait_ms > SENDER_BUSY_MS ? SENDER_BUSY_MS : wait_ms,
                    now);
    }
    sender_bye(client->sender);
    atomic_store(&client->finished, true);
    return NULL;
}

static int start_thread(struct embmon_client *client)
{
    pthread_attr_t attributes;
    sigset_t all;
    bool started;

    if (pthread_attr_init(&attributes) != 0)
        return EMBMON_ETHREAD;
    sigfillset(&all);
    started = pthread_attr_setsigmask_np(&attributes, &all) == 0 &&
              pthread_attr_setstacksize(&attributes, STACK_BYTES) == 0 &&
              pthread_create(&client->thread, &attributes, run, client) == 0;
    pthread_attr_destroy(&attributes);
    return started ? 0 : EMBMON_ETHREAD;
}

/* ---- opening
 * ----------------------------------------------------------------------------------------- */

static void free_client(struct embmon_client *client)
{
    if (!client)
        return;
    /* In a fork the sender is as its thread was interrupted in it: nobody knows what it holds. */
    if (!client_is_inert(client)) {
        forks_forget(client->watch);
        sender_free(client->sender);
        loans_forget(client->state.inbox);
    }
    rows_scratch_close(&client->tools.scratch);
    busy_close(&client->tools.busy);
    pairs_close(&client->tools.pairs);
    sampling_close(&client->state.sampling);
    notices_free(client->state.notices);
    thresholds_free(client->state.thresholds);
    model_free(client->state.model);
    inbox_free(client->state.inbox);
    free(client);
}

/* What is not for the sender. */
struct choices {
    bool sampled;
    double overhead;
};

/* The options this program knows; those of a newer header are not ours to read. */
static int read_options(const struct embmon_options *options, struct sender_options *to,
                        struct choices *choices)
{
    struct embmon_options o = EMBMON_OPTIONS_INIT;
    int count, problem;

    if (options) {
        if (options->size < sizeof options->size)
            return EMBMON_EINVAL;
        memcpy(&o, options, options->size < sizeof o ? options->size : sizeof o);
    }
    to->world_size = o.world_size ? o.world_size : 1;
    to->rank = o.rank;
    if (to->world_size > RANKS_MAX || to->rank >= to->world_size)
        return EMBMON_EINVAL;
    if (o.buckets != EMBMON_BUCKETS_EXACT && o.buckets != EMBMON_BUCKETS_SAMPLED)
        return EMBMON_EINVAL;
    if (!(o.overhead >= 0 && o.overhead <= 1))
        return EMBMON_EINVAL;
    choices->sampled = o.buckets == EMBMON_BUCKETS_SAMPLED;
    choices->overhead = o.overhead;
    to->every = sampling_round(o.every);
    to->resume = o.resume != 0;
    to->outage.log = o.log;
    to->outage.context = o.log_context;
    count = naming_addresses(to->addresses, o.address);
    if (count < 0)
        return count;
    to->address_count = (size_t)count;
    problem =
        count > 0 && address_is_tcp(&to->addresses[0]) ? naming_token(&to->token, o.token_file) : 0;
    if (problem)
        return problem;
    problem = naming_run(to->run, o.run, program_invocation_short_name, time(NULL), getpid());
    if (problem)
        return problem;
    naming_key(to->key);
    if (getrandom(to->session, sizeof to->session, 0) != (ssize_t)sizeof to->session)
        return EMBMON_ENOMEM;
    return 0;
}

static bool make_parts(struct embmon_client *client, const struct sender_options *options)
{
    struct state *state = &client->state;

    atomic_store(&state->socket, -1);
    state->inbox = inbox_new(INBOX_BYTES);
    state->model = model_new();
    state->thresholds = thresholds_new();
    state->notices = notices_new();
    if (!state->inbox || !state->model || !state->thresholds || !state->notices ||
        !sampling_open(&state->sampling, options->every, MODEL_TARGETS))
        return false;
    loans_open(&state->loans, &client->tools);
    rows_scratch_open(&client->tools.scratch); /* without it rows are summarised uncoalesced */
    busy_open(&client->tools.busy);            /* without it nobody asks whether tables collapse */
    pairs_open(&client->tools.pairs);          /* without it large tensors take longer */
    client->sender = sender_new(state, options);
    return client->sender != NULL;
}

/* With resume the first step to come is the daemon's to say. */
static void await_welcome(struct embmon_client *client)
{
    struct state *state = &client->state;
    int64_t until = now_ms() + RESUME_WAIT_MS;

    while (!atomic_load(&state->welcomed) && now_ms() < until)
        sleep_ms(1);
    if (!atomic_load(&state->welcomed))
        return;
    sampling_decide(&state->sampling);
    atomic_store(&state->sampling.current[EMBMON_TRAIN], state->welcome.next_step);
}

int embmon_open(const struct embmon_options *options, struct embmon_client **to)
{
    struct sender_options sender_options = {.world_size = 1};
    struct embmon_client *client = NULL;
    struct choices choices;
    int result = read_options(options, &sender_options, &choices);

    if (result)
        goto fail;
    client = calloc(1, sizeof *client);
    if (!client) {
        result = EMBMON_ENOMEM;
        goto fail;
    }
    client->generation = forks_generation();
    client->tools.sampled = choices.sampled;
    budget_open(&client->budget, choices.overhead, sender_options.every > 0);
    atomic_flag_clear(&client->budgeting);
    atomic_init(&client->overhead, NAN);
    atomic_store(&client->state.phase, EMBMON_TRAIN);
    client->watch = forks_watch(&client->state.socket);
    if (client->watch < 0) {
        result = client->watch;
        goto fail;
    }
    if (!make_parts(client, &sender_options)) {
        result = EMBMON_ENOMEM;
        goto fail;
    }
    result = start_thread(client);
    if (result)
        goto fail;
    token_forget(&sender_options.token); /* the sender has it */
    if (sender_options.resume)
        await_welcome(client);
    *to = client;
    return 0;
fail:
    token_forget(&sender_options.token);
    free_client(client);
    return result;
}

/* No graph posts any more. False: one is still at it at the deadline. */
static bool cut_gates(struct embmon_client *client, int64_t deadline)
{
    struct embmon_gate *gates = atomic_load(&client->gates);
    bool done = gates_cut(gates);

    while (!done && now_ms() < deadline) {
        sleep_ms(1);
        done = gates_are_empty(gates);
    }
    return done;
}

static int clamp(uint64_t count)
{
    return count < INT32_MAX ? (int)count : INT32_MAX;
}

static void await_end(const struct embmon_client *client, int64_t until)
{
    while (!atomic_load(&client->finished) && now_ms() < until)
        sleep_ms(1);
}

/* Waits for the thread to end. What was lent is the trainer's again then, whatever the thread does:
 * it may read to its end what it is just reading, which may be all that keeps it. */
static void await_thread(struct embmon_client *client, int64_t deadline)
{
    struct loans *loans = &client->state.loans;

    await_end(client, deadline + CLOSE_GRACE_MS / 2);
    if (atomic_load(&client->finished))
        return;
    loans_end(loans);
    while (loans_are_read(loans))
        sleep_ms(1);
    await_end(client, now_ms() + CLOSE_GRACE_MS / 2);
}

int embmon_close(struct embmon_client *client, int timeout_ms)
{
    struct tallied counts;
    uint64_t undelivered;
    int64_t deadline;

    if (!client)
        return 0;
    if (client_is_inert(client)) {
        (void)gates_cut(atomic_load(&client->gates)); /* whoever was inside is in the parent */
        free_client(client);
        return 0;
    }
    deadline = now_ms() + (timeout_ms > 0 ? timeout_ms : 0);
    if (!cut_gates(client, deadline + CLOSE_GRACE_MS)) {
        /* An operation hangs in a post (in a debugger?). */
        counts = state_counts(&client->state);
        return clamp(counts.in_flight + counts.dropped);
    }
    atomic_store(&client->state.close_by_ms, deadline);
    atomic_store(&client->state.closing, true);
    await_thread(client, deadline);
    counts = state_counts(&client->state);
    undelivered = counts.in_flight + counts.dropped;
    if (!atomic_load(&client->finished)) {
        /* It hangs in the trainer's log callback, or in looking up a host: what it still holds
         * cannot be freed. */
        pthread_detach(client->thread);
        return clamp(undelivered);
    }
    pthread_join(client->thread, NULL);
    free_client(client);
    return clamp(undelivered);
}

/* ---- declaring
 * --------------------------------------------------------------------------------------- */

int embmon_layer(struct embmon_client *client, const struct embmon_layer_info *info)
{
    struct embmon_layer_info known = EMBMON_LAYER_INFO_INIT;

    if (client_is_inert(client))
        return EMBMON_ECLOSED;
    if (info->size < sizeof info->size)
        return EMBMON_EINVAL;
    memcpy(&known, info, info->size < sizeof known ? info->size : sizeof known);
    return model_add_layer(client->state.model, &known);
}

int embmon_variable(struct embmon_client *client, int layer, const char *name, const int64_t *shape,
                    uint32_t rank, int dtype)
{
    if (client_is_inert(client))
        return EMBMON_ECLOSED;
    return model_add_variable(client->state.model, layer, name, shape, rank, dtype);
}

int embmon_vocabulary(struct embmon_client *client, int layer, const char *const *words,
                      size_t count)
{
    if (client_is_inert(client))
        return EMBMON_ECLOSED;
    return model_set_vocabulary(client->state.model, layer, words, count);
}

/* ---- what is to be flagged
 * ------------------------------------------------------------------------------ */

int embmon_threshold(struct embmon_client *client, const char *detector, const char *layers,
                     const char *key, double value)
{
    if (client_is_inert(client))
        return EMBMON_ECLOSED;
    return thresholds_set(client->state.thresholds, detector, layers, key, value);
}

int embmon_ignore(struct embmon_client *client, const char *detector, const char *layers)
{
    if (client_is_inert(client))
        return EMBMON_ECLOSED;
    return thresholds_ignore(client->state.thresholds, detector, layers);
}

/* ---- what comes back
 * ------------------------------------------------------------------------------------ */

int embmon_run(struct embmon_client *client, char *name, size_t size, int64_t *next_step)
{
    const struct welcome *welcome = &client->state.welcome;

    if (client_is_inert(client))
        return EMBMON_ECLOSED;
    if (!atomic_load(&client->state.welcomed))
        return 0;
    if (name && size > 0) {
        size_t n = strnlen(welcome->run, size - 1);

        memcpy(name, welcome->run, n);
        name[n] = '\0';
    }
    if (next_step)
        *next_step = (int64_t)welcome->next_step;
    return 1;
}

/* Copies what the caller's header knows of it, but its size. */
static void give(void *to, uint32_t size, const void *from, size_t known)
{
    size_t n = size < known ? size : known;

    if (n > sizeof size)
        memcpy((char *)to + sizeof size, (const char *)from + sizeof size, n - sizeof size);
}

int embmon_notice(struct embmon_client *client, struct embmon_notice *notice)
{
    struct embmon_notice taken;

    if (client_is_inert(client))
        return EMBMON_ECLOSED;
    if (notice->size < sizeof notice->size)
        return EMBMON_EINVAL;
    if (!notices_take(client->state.notices, &taken))
        return 0;
    give(notice, notice->size, &taken, sizeof taken);
    return 1;
}

int embmon_stats(struct embmon_client *client, struct embmon_client_stats *stats)
{
    const struct counters *counters = &client->state.counters;
    struct embmon_client_stats now = EMBMON_CLIENT_STATS_INIT;
    struct tallied counts;
    double overhead;

    if (client_is_inert(client))
        return EMBMON_ECLOSED;
    if (stats->size < sizeof stats->size)
        return EMBMON_EINVAL;
    counts = state_counts(&client->state);
    now.connected = atomic_load(&client->state.connected);
    now.produced = counts.produced;
    now.acked = counts.acked;
    now.rejected = counts.rejected;
    now.dropped = counts.dropped;
    now.in_flight = counts.in_flight;
    now.skipped = atomic_load(&counters->skipped);
    now.reconnects = atomic_load(&counters->reconnects);
    now.post_ns = atomic_load(&counters->post_ns);
    overhead = atomic_load(&client->overhead);
    now.overhead = isnan(overhead) ? -1 : overhead;
    now.every = atomic_load(&client->state.sampling.every);
    give(stats, stats->size, &now, sizeof now);
    return 0;
}
