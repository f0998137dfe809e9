#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

#include "client/client_struct.h"
#include "tests/unit/post_world.h"
#include "tests/unit/sender_world.h"

enum { PIECE = 1 << 20, WAIT_MS = 30000 };

static void nap(void)
{
    struct timespec time = {0, 1000000};

    nanosleep(&time, NULL);
}

static bool is_returned(struct embmon_client *client, uint64_t ticket)
{
    for (int ms = 0; ms < WAIT_MS && embmon_returned(client) < ticket; ms++)
        nap();
    return embmon_returned(client) >= ticket;
}

static struct embmon_client_stats counts(struct embmon_client *client)
{
    struct embmon_client_stats stats = EMBMON_CLIENT_STATS_INIT;

    assert_int_equal(embmon_stats(client, &stats), 0);
    assert_int_equal(stats.produced,
                     stats.acked + stats.rejected + stats.dropped + stats.in_flight);
    return stats;
}

static struct embmon_loan whole(int target, int signal, const void *data, size_t count, int dtype)
{
    struct embmon_loan loan = EMBMON_LOAN_INIT;

    loan.target = target;
    loan.signal = signal;
    loan.data = data;
    loan.count = count;
    loan.dtype = dtype;
    return loan;
}

static struct embmon_loan of_rows(int target, int signal, const void *ids, int id_dtype,
                                  const void *values, size_t rows, size_t columns)
{
    struct embmon_loan loan = whole(target, signal, values, 0, EMBMON_F32);

    loan.ids = ids;
    loan.id_dtype = id_dtype;
    loan.rows = rows;
    loan.columns = columns;
    return loan;
}

/* ---- the same as posts */

struct kept {
    struct msg_sample sample;
    uint64_t counts[2][BUCKETS];
};

static void keep_next(struct fake *fake, struct kept *kept)
{
    struct message m;

    memset(kept, 0, sizeof *kept);
    fake_expect(fake, FRAME_SAMPLE, &m);
    kept->sample = m.sample;
    for (int negative = 0; negative <= 1; negative++) {
        struct summary_span *span =
            negative ? &kept->sample.summary.negative : &kept->sample.summary.positive;

        if (span->length > 0)
            memcpy(kept->counts[negative], span->counts, span->length * sizeof(uint64_t));
        span->counts = NULL; /* the decoder's */
        span->capacity = 0;
    }
}

/* The next two samples differ in nothing but their numbers. */
static void expect_two_alike(struct fake *fake)
{
    static struct kept posted, lent;

    keep_next(fake, &posted);
    keep_next(fake, &lent);
    assert_int_equal(lent.sample.sequence, posted.sample.sequence + 1);
    lent.sample.sequence = posted.sample.sequence;
    assert_memory_equal(&lent, &posted, sizeof lent);
}

static void post_and_lend(struct world *w, int64_t step, const struct embmon_loan *l)
{
    int posted = l->ids || l->id_dtype
                     ? embmon_post_rows(w->client, l->target, (enum embmon_signal)l->signal, step,
                                        l->ids, (enum embmon_dtype)l->id_dtype, l->data, l->rows,
                                        l->columns, (enum embmon_dtype)l->dtype)
                     : embmon_post(w->client, l->target, (enum embmon_signal)l->signal, step,
                                   l->data, l->count, (enum embmon_dtype)l->dtype);
    uint64_t ticket;

    assert_int_equal(posted, 1);
    assert_int_equal(embmon_lend(w->client, step, l, 1, &ticket), 1);
    assert_true(ticket > 0); /* it was lent */
    expect_two_alike(w->fake);
    assert_true(is_returned(w->client, ticket));
}

/* Whatever the bits are: NaNs, infinities, denormals and zeros among them. */
static void every_dtype_and_signal_is_summarised_as_when_it_is_posted(void **to)
{
    static uint64_t bits[5000];
    const size_t lengths[] = {0, 1, 8, 127, 4096, 5000};
    uint64_t random = 1;
    struct world *w = *to;

    for (size_t i = 0; i < 5000; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        bits[i] = i % 7 == 0 ? 0 : random ^ random >> 31;
    }
    for (int dtype = EMBMON_F32; dtype <= EMBMON_I64; dtype++)
        for (int signal = EMBMON_GRADIENT; signal <= EMBMON_UPDATE; signal++)
            for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++)
                for (int target = w->table; target <= w->kernel; target++) {
                    struct embmon_loan loan = whole(target, signal, bits, lengths[i], dtype);

                    post_and_lend(w, dtype, &loan);
                }
}

static void rows_are_coalesced_as_when_they_are_posted(void **to)
{
    const int32_t ids[] = {2, 0, 2, 1, 3, 3};
    const int64_t wide[] = {2, 0, 2, 1, 3, 3};
    const float values[] = {1, 2, 5, 5, -1, 1, 0, 0, NAN, 1, INFINITY, -3};
    struct world *w = *to;

    for (int i = 0; i < 2; i++) {
        int signal = i ? EMBMON_UPDATE : EMBMON_GRADIENT;
        struct embmon_loan loan = of_rows(w->table, signal, ids, EMBMON_I32, values, 6, 2);

        post_and_lend(w, 1, &loan);
        loan = of_rows(w->table, signal, wide, EMBMON_I64, values, 6, 2);
        post_and_lend(w, 2, &loan);
        loan = of_rows(w->table, signal, NULL, EMBMON_I64, NULL, 0, 2);
        post_and_lend(w, 3, &loan);
    }
}

/* The outputs of a layer of training, unit by unit; in another phase they are not looked at. */
static void the_phase_is_that_of_lending(void **to)
{
    const float output[] = {1, 0, 0, 0, 0, 2, 0, 0};
    struct world *w = *to;
    struct embmon_loan loan = whole(w->dense, EMBMON_ACTIVATION, output, 8, EMBMON_F32);
    struct message m;
    uint64_t ticket;

    for (int phase = EMBMON_TRAIN; phase <= EMBMON_INFER; phase++) {
        embmon_phase(w->client, (enum embmon_phase)phase);
        assert_int_equal(embmon_lend(w->client, 0, &loan, 1, &ticket), 1);
        embmon_phase(w->client, EMBMON_TRAIN); /* maybe before it is summarised */
        fake_expect(w->fake, FRAME_SAMPLE, &m);
        assert_int_equal(m.sample.phase, phase);
        embmon_phase(w->client, (enum embmon_phase)phase);
        post_and_lend(w, 1, &loan);
    }
}

static void expect_cosine(struct world *w, bool there)
{
    struct message m;

    fake_expect(w->fake, FRAME_SAMPLE, &m);
    assert_int_equal(m.sample.signal, EMBMON_WEIGHT);
    assert_int_equal(summary_extra(&m.sample.summary, EXTRA_COSINE, -1) >= 0, there);
}

/* Whether a table's rows still differ is looked at once an epoch: in the one it was lent in, also
 * where that is over when the sender comes to it. */
static void the_epoch_is_that_of_lending(void **to)
{
    const float values[] = {1, 2, 3, 4, 5, 6, 7, 8};
    const int64_t ids[] = {0, 1, 2, 3};
    struct world *w = *to;
    struct embmon_layer_info info = EMBMON_LAYER_INFO_INIT;
    struct embmon_loan rows, weight;
    struct message m;
    uint64_t ticket;
    int table;

    info.path = "another";
    info.kind = EMBMON_EMBEDDING;
    info.rows = 4, info.columns = 2;
    table = embmon_layer(w->client, &info);
    fake_expect(w->fake, FRAME_LAYERS, &m);
    rows = of_rows(table, EMBMON_GRADIENT, ids, EMBMON_I64, values, 4, 2);
    weight = whole(table, EMBMON_WEIGHT, values, 8, EMBMON_F32);
    for (int64_t epoch = 0; epoch < 5; epoch++) {
        assert_int_equal(embmon_lend(w->client, epoch, &rows, 1, &ticket), 1);
        fake_expect(w->fake, FRAME_SAMPLE, &m);
        for (int i = 0; i < 2; i++)
            assert_int_equal(embmon_lend(w->client, epoch, &weight, 1, &ticket), 1);
        embmon_epoch(w->client, epoch);
        expect_cosine(w, epoch > 0);
        expect_cosine(w, false);
        fake_expect(w->fake, FRAME_EPOCH, &m);
    }
}

/* ---- what the call says */

static void what_is_posted_later_comes_later(void **to)
{
    struct world *w = *to;
    float *large = calloc(PIECE, sizeof *large);
    const float small[] = {1};
    struct embmon_loan loans[] = {whole(w->kernel, EMBMON_GRADIENT, large, PIECE, EMBMON_F32),
                                  whole(w->dense, EMBMON_ACTIVATION, small, 1, EMBMON_F32)};
    struct message m;
    uint64_t ticket, later;

    assert_non_null(large);
    assert_int_equal(embmon_lend(w->client, 5, loans, 2, &ticket), 2);
    assert_int_equal(embmon_post(w->client, w->table, EMBMON_WEIGHT, 5, small, 1, EMBMON_F32), 1);
    assert_int_equal(embmon_post_scalar(w->client, "loss", 5, 1), 1);
    assert_int_equal(embmon_step(w->client, 5), 1);
    assert_int_equal(embmon_lend(w->client, 6, loans, 1, &later), 1);
    assert_true(later > ticket);
    for (int i = 0; i < 3; i++) {
        const int targets[] = {w->kernel, w->dense, w->table};

        fake_expect(w->fake, FRAME_SAMPLE, &m);
        assert_int_equal(m.sample.sequence, i + 1);
        assert_int_equal(m.sample.target, targets[i]);
    }
    fake_expect(w->fake, FRAME_SCALAR, &m);
    fake_expect(w->fake, FRAME_STEP_END, &m);
    assert_int_equal(m.step_end.posted, 4);
    assert_int_equal(m.step_end.dropped, 0);
    fake_expect(w->fake, FRAME_SAMPLE, &m);
    assert_int_equal(m.sample.step, 6);
    assert_int_equal(m.sample.summary.zeros, PIECE);
    assert_true(is_returned(w->client, later));
    free(large);
}

static void one_that_is_refused_keeps_none_of_the_others_back(void **to)
{
    struct world *w = *to;
    const float one = 1;
    const int64_t id = 1;
    const struct embmon_loan good = whole(w->kernel, EMBMON_GRADIENT, &one, 1, EMBMON_F32);
    const struct {
        int result;
        struct embmon_loan loan;
    } bad[] = {
        {EMBMON_EUNKNOWN, whole(9, EMBMON_GRADIENT, &one, 1, EMBMON_F32)},
        {EMBMON_EUNKNOWN, whole(-1, EMBMON_GRADIENT, &one, 1, EMBMON_F32)},
        {EMBMON_EINVAL, whole(0, EMBMON_IDS, &one, 1, EMBMON_F32)},
        {EMBMON_EINVAL, whole(0, 0, &one, 1, EMBMON_F32)},
        {EMBMON_EINVAL, whole(0, EMBMON_GRADIENT, NULL, 1, EMBMON_F32)},
        {EMBMON_EINVAL, whole(0, EMBMON_GRADIENT, &one, SIZE_MAX / 2, EMBMON_F32)},
        {EMBMON_EDTYPE, whole(0, EMBMON_GRADIENT, &one, 1, 0)},
        {EMBMON_EDTYPE, whole(0, EMBMON_GRADIENT, &one, 1, 9)},
        {EMBMON_EDTYPE, of_rows(0, EMBMON_GRADIENT, &id, 0, &one, 1, 1)},
        {EMBMON_EDTYPE, of_rows(0, EMBMON_GRADIENT, &id, EMBMON_F32, &one, 1, 1)},
        {EMBMON_EINVAL, of_rows(0, EMBMON_WEIGHT, &id, EMBMON_I64, &one, 1, 1)},
        {EMBMON_EINVAL, of_rows(0, EMBMON_GRADIENT, NULL, EMBMON_I64, &one, 1, 1)},
        {EMBMON_EINVAL, of_rows(0, EMBMON_GRADIENT, &id, EMBMON_I64, NULL, 1, 1)},
        {EMBMON_EINVAL, of_rows(0, EMBMON_GRADIENT, &id, EMBMON_I64, &one, SIZE_MAX / 2, 3)},
        {EMBMON_EINVAL, of_rows(0, EMBMON_GRADIENT, &id, EMBMON_I64, &one, SIZE_MAX / 4, 0)},
        {EMBMON_EINVAL, of_rows(0, EMBMON_GRADIENT, &id, EMBMON_I64, &one, SIZE_MAX / 8, 1)},
    };
    const size_t n = sizeof bad / sizeof bad[0];
    struct message m;
    uint64_t ticket;

    for (size_t i = 0; i < n; i++) {
        const struct embmon_loan loans[] = {good, bad[i].loan, bad[(i + 1) % n].loan, good};

        assert_int_equal(embmon_lend(w->client, 1, loans, 4, &ticket), bad[i].result);
        assert_true(is_returned(w->client, ticket) && ticket > 0);
        fake_expect(w->fake, FRAME_SAMPLE, &m);
        fake_expect(w->fake, FRAME_SAMPLE, &m);
    }
    assert_int_equal(embmon_lend(w->client, -1, &good, 1, &ticket), EMBMON_EINVAL);
    assert_int_equal(ticket, 0);
    assert_int_equal(embmon_lend(w->client, (int64_t)STEP_MAX, &good, 1, &ticket), EMBMON_EINVAL);
    assert_int_equal(embmon_lend(w->client, 1, NULL, 0, &ticket), 0);
    assert_int_equal(ticket, 0);
    assert_int_equal(counts(w->client).produced, 2 * n);
}

/* An array of structs of a newer header is longer, one of an older one shorter. */
static void structs_of_other_sizes_are_read(void **to)
{
    struct {
        struct embmon_loan loan;
        uint64_t more;
    } newer[2];
    struct {
        uint32_t size;
        int32_t target, signal, dtype;
    } older[2] = {{sizeof older[0], 1, EMBMON_WEIGHT, EMBMON_F32},
                  {sizeof older[0], 2, EMBMON_WEIGHT, EMBMON_F32}};
    struct world *w = *to;
    const float one = 1;
    struct message m;
    uint64_t ticket;

    for (int i = 0; i < 2; i++) {
        newer[i].loan = whole(i, EMBMON_WEIGHT, &one, 1, EMBMON_F32);
        newer[i].loan.size = sizeof newer[0];
        newer[i].more = UINT64_MAX;
    }
    assert_int_equal(embmon_lend(w->client, 1, &newer[0].loan, 2, &ticket), 2);
    assert_int_equal(embmon_lend(w->client, 1, (const void *)older, 2, &ticket), 2);
    for (uint32_t i = 0; i < 4; i++) {
        fake_expect(w->fake, FRAME_SAMPLE, &m);
        assert_int_equal(m.sample.target, i < 2 ? i : i - 1);
        assert_int_equal(m.sample.summary.count, i < 2);
    }
    newer[1].loan.size--; /* not of one size */
    assert_int_equal(embmon_lend(w->client, 1, &newer[0].loan, 2, &ticket), EMBMON_EINVAL);
    fake_expect(w->fake, FRAME_SAMPLE, &m);
    newer[0].loan.size = 3;
    assert_int_equal(embmon_lend(w->client, 1, &newer[0].loan, 2, &ticket), EMBMON_EINVAL);
    fake_expect_silence(w->fake, 20);
}

static void what_is_not_wanted_is_not_lent(void **to)
{
    struct world *w = *to;
    const float one = 1;
    struct embmon_loan loan = whole(w->kernel, EMBMON_GRADIENT, &one, 1, EMBMON_F32);
    struct message m;
    uint64_t ticket;

    fake_hang_up(w->fake);
    fake_greet(w->fake, 0, 4);
    fake_expect(w->fake, FRAME_LAYERS, &m);
    embmon_step(w->client, 4);
    assert_int_equal(embmon_lend(w->client, 5, &loan, 1, &ticket), 0);
    assert_int_equal(ticket, 0);
    assert_int_equal(counts(w->client).skipped, 1);
    assert_int_equal(embmon_lend(w->client, 8, &loan, 1, &ticket), 1);
    assert_true(is_returned(w->client, ticket));
}

/* ---- who may touch it when */

/* Memory that is used again as soon as it is returned: a sample of a later step, or of two, would
 * be seen. */
static void *lend_the_same_memory(void *argument)
{
    struct world *w = argument;
    static _Atomic int next;
    int target = atomic_fetch_add(&next, 1) % 2 ? w->kernel : w->dense;
    float *values = calloc(4096, sizeof *values);
    uint64_t ticket;

    for (int64_t step = 1; values && step <= 200; step++) {
        struct embmon_loan loan = whole(target, EMBMON_GRADIENT, values, 4096, EMBMON_F32);

        for (int i = 0; i < 4096; i++)
            values[i] = (float)step;
        if (embmon_lend(w->client, step, &loan, 1, &ticket) != 1 ||
            embmon_post_scalar(w->client, "loss", step, 1) != 1 || !is_returned(w->client, ticket))
            break;
    }
    free(values);
    return NULL;
}

static void threads_may_lend_together(void **to)
{
    struct world *w = *to;
    pthread_t threads[2];
    struct embmon_client *client;
    uint64_t highest = 0;
    struct message m;

    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, lend_the_same_memory, w), 0);
    while (highest < 800 && fake_next(w->fake, &m, WAIT_MS)) {
        if (m.type != FRAME_SAMPLE && m.type != FRAME_SCALAR)
            continue;
        highest++;
        if (m.type == FRAME_SAMPLE) {
            assert_int_equal(m.sample.sequence, highest);
            assert_int_equal(m.sample.summary.count, 4096);
            assert_true(m.sample.summary.min == (double)m.sample.step);
            assert_true(m.sample.summary.max == (double)m.sample.step);
        }
        counts(w->client);
    }
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(highest, 800);
    fake_ack(w->fake, highest);
    client = w->client;
    w->client = NULL;
    assert_int_equal(embmon_close(client, WAIT_MS), 0);
}

struct closer {
    pthread_t thread;
    struct embmon_client *client;
    int timeout_ms, undelivered;
};

static void *close_client(void *argument)
{
    struct closer *closer = argument;

    closer->undelivered = embmon_close(closer->client, closer->timeout_ms);
    return NULL;
}

static void start_to_close(struct closer *closer, struct embmon_client *client, int timeout_ms)
{
    closer->client = client;
    closer->timeout_ms = timeout_ms;
    assert_int_equal(pthread_create(&closer->thread, NULL, close_client, closer), 0);
}

static void what_is_lent_before_closing_is_delivered(void **to)
{
    struct world *w = *to;
    float *values = calloc(PIECE, sizeof *values);
    struct embmon_loan loan = whole(w->kernel, EMBMON_GRADIENT, values, PIECE, EMBMON_F32);
    struct closer closer;
    struct message m;
    uint64_t ticket;

    assert_non_null(values);
    for (int i = 0; i < 10; i++) /* more than a turn takes */
        assert_int_equal(embmon_lend(w->client, i, &loan, 1, &ticket), 1);
    start_to_close(&closer, w->client, 10 * WAIT_MS);
    w->client = NULL;
    for (int i = 0; i < 10; i++)
        fake_expect(w->fake, FRAME_SAMPLE, &m);
    fake_ack(w->fake, 10);
    assert_int_equal(pthread_join(closer.thread, NULL), 0);
    assert_int_equal(closer.undelivered, 0);
    free(values);
}

static void a_fork_lends_nothing_and_holds_nothing(void **to)
{
    struct world *w = *to;
    const float one = 1;
    struct embmon_loan loan = whole(w->kernel, EMBMON_GRADIENT, &one, 1, EMBMON_F32);
    struct message m;
    uint64_t ticket;
    pid_t child = fork();
    int status;

    if (child == 0)
        _exit(embmon_lend(w->client, 1, &loan, 1, &ticket) != EMBMON_ECLOSED || ticket != 0 ||
              embmon_returned(w->client) != UINT64_MAX);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(embmon_lend(w->client, 1, &loan, 1, &ticket), 1);
    assert_true(is_returned(w->client, ticket));
    fake_expect(w->fake, FRAME_SAMPLE, &m);
}

/* ---- while the thread does something else */

static _Atomic bool held, inside;

static void hang(void *context, const char *line)
{
    (void)context;
    (void)line;
    atomic_store(&inside, true);
    while (atomic_load(&held))
        nap();
}

/* A client whose thread is in the log callback, and stays there until it is let go. */
static struct embmon_client *open_hung(void)
{
    struct embmon_options options = EMBMON_OPTIONS_INIT;
    struct embmon_layer_info info = EMBMON_LAYER_INFO_INIT;
    struct embmon_client *client;

    atomic_store(&held, true);
    atomic_store(&inside, false);
    options.address = "unix:/nowhere";
    options.log = hang;
    assert_int_equal(embmon_open(&options, &client), 0);
    info.path = "layer";
    assert_int_equal(embmon_layer(client, &info), 0);
    for (int ms = 0; ms < WAIT_MS && !atomic_load(&inside); ms++)
        nap();
    assert_true(atomic_load(&inside));
    return client;
}

/* Clients that hung when they were closed: they cannot be freed, and LeakSanitizer is to know. */
static struct embmon_client *left[8];
static size_t left_count;

static void await_end(struct embmon_client *client)
{
    left[left_count++ % 8] = client;
    for (int ms = 0; ms < WAIT_MS && !atomic_load(&client->finished); ms++)
        nap();
    assert_true(atomic_load(&client->finished));
}

/* 1: lent; 0: posted, or not at all. */
static int lend_bytes(struct embmon_client *client, const void *data, size_t bytes, int *accepted)
{
    struct embmon_loan loan = bytes % 8 ? whole(0, EMBMON_WEIGHT, data, bytes, EMBMON_I8)
                                        : whole(0, EMBMON_WEIGHT, data, bytes / 8, EMBMON_F64);
    uint64_t ticket;

    *accepted = embmon_lend(client, 1, &loan, 1, &ticket);
    assert_true(ticket == 0 || ticket > embmon_returned(client));
    return ticket > 0;
}

static void beyond_the_bound_it_is_summarised_at_once(void **to)
{
    uint8_t *data = calloc(LOANS_BYTES + 8, 1);
    struct embmon_client *client;
    uint64_t post_ns;
    int accepted;

    (void)to;
    assert_non_null(data);
    for (int more = -1; more <= 1; more++) {
        client = open_hung();
        assert_int_equal(lend_bytes(client, data, LOANS_BYTES - 8, &accepted), 1);
        post_ns = counts(client).post_ns;
        assert_int_equal(lend_bytes(client, data, 8 + (size_t)more, &accepted), more < 1);
        assert_int_equal(accepted, 1);
        assert_true(counts(client).post_ns > post_ns);
        assert_int_equal(lend_bytes(client, data, 1, &accepted), more != 0);
        assert_int_equal(accepted, 1);
        if (more == 1) /* alone it would be too much, too */
            assert_int_equal(lend_bytes(client, data, LOANS_BYTES + 8, &accepted), 0);
        assert_int_equal(counts(client).in_flight, more == 1 ? 4 : 3);
        assert_int_equal(counts(client).produced, more == 1 ? 4 : 3);
        assert_int_equal(embmon_close(client, 0), more == 1 ? 4 : 3); /* the thread hangs */
        atomic_store(&held, false);
        await_end(client);
    }
    free(data);
}

static void what_is_returned_may_be_lent_again(void **to)
{
    uint8_t *data = calloc(LOANS_BYTES, 1);
    struct embmon_client *client = open_hung();
    int accepted;

    (void)to;
    assert_non_null(data);
    for (int round = 0; round < 3; round++) { /* without a daemon, too */
        for (int i = 0; i < 4; i++)
            assert_int_equal(lend_bytes(client, data, LOANS_BYTES / 4, &accepted), 1);
        atomic_store(&held, false);
        for (int ms = 0; ms < WAIT_MS && atomic_load(&client->state.loans.bytes) > 0; ms++)
            nap();
        assert_int_equal(atomic_load(&client->state.loans.bytes), 0);
    }
    assert_int_equal(embmon_close(client, 0), 12);
    free(data);
}

static void with_a_full_inbox_nothing_is_lent(void **to)
{
    struct embmon_client *client = open_hung();
    const float one = 1;
    uint64_t produced, dropped;
    int accepted;

    (void)to;
    while (embmon_post_scalar(client, "loss", 1, 1) == 1)
        ;
    while (embmon_step(client, 1) >= 0)
        ;
    produced = counts(client).produced;
    dropped = counts(client).dropped;
    assert_int_equal(lend_bytes(client, &one, sizeof one, &accepted), 0);
    assert_int_equal(accepted, 0);
    assert_int_equal(counts(client).produced, produced + 1);
    assert_int_equal(counts(client).dropped, dropped + 1);
    assert_int_equal(atomic_load(&client->state.loans.bytes), 0);
    atomic_store(&held, false);
    embmon_close(client, 100);
}

static void after_closing_nothing_is_read_even_where_the_thread_hangs(void **to)
{
    struct embmon_client *client = open_hung();
    uint8_t *data = malloc(PIECE);
    int accepted;

    (void)to;
    assert_non_null(data);
    memset(data, 1, PIECE);
    for (int i = 0; i < 3; i++)
        assert_int_equal(lend_bytes(client, data, PIECE, &accepted), 1);
    assert_int_equal(embmon_close(client, 0), 3);
    memset(data, 2, PIECE);
    free(data); /* sanitizers see who reads it now */
    atomic_store(&held, false);
    await_end(client);
    assert_int_equal(state_counts(&client->state).dropped, 3);
    assert_int_equal(state_counts(&client->state).in_flight, 0);
}

static void closing_waits_for_what_is_just_being_read(void **to)
{
    struct embmon_client *client = open_hung();
    struct closer closer;

    (void)to;
    atomic_store(&client->state.loans.reading, true); /* as it says */
    start_to_close(&closer, client, 0);
    for (int ms = 0; ms < 200; ms++)
        nap();
    assert_int_equal(pthread_tryjoin_np(closer.thread, NULL), EBUSY);
    assert_true(atomic_load(&client->state.loans.ended));
    atomic_store(&client->state.loans.reading, false);
    assert_int_equal(pthread_join(closer.thread, NULL), 0);
    atomic_store(&held, false);
    await_end(client);
}

/* ---- the sender, turn by turn */

static struct tensor_tools tools;

static void lend_to(struct sender_world *w, const void *data, size_t bytes, bool lent)
{
    const struct target *target = model_target(w->state.model, 0);
    struct loan loan = {.place = {target, target, EMBMON_WEIGHT, EMBMON_TRAIN, 1, 0},
                        .tensor = {.data = data, .count = bytes, .dtype = EMBMON_I8},
                        .bytes = bytes};
    uint64_t ticket = 0;

    assert_int_equal(loans_lend(&w->state, &loan, &ticket), lent);
    assert_int_equal(ticket > 0, lent);
}

static struct sender_world *open_sender(size_t queue_bytes)
{
    struct sender_world *w = world_open_with(queue_bytes);

    loans_open(&w->state.loans, &tools);
    world_layer(w, "layer");
    return w;
}

static void a_turn_takes_a_bounded_part_of_what_is_lent(void **to)
{
    struct sender_world *w = open_sender(0);
    uint8_t *data = calloc(LOANS_BYTES, 1);
    void *world = w;

    (void)to;
    assert_non_null(data);
    for (int i = 0; i < 4; i++)
        lend_to(w, data, LOANS_TURN / 2, true);
    lend_to(w, data, 1, true);
    world_post(w, 1, 0);
    lend_to(w, data, LOANS_TURN * 2 - 1, true);
    lend_to(w, data, 1, false);
    assert_int_equal(world_turn(w, 1), 0); /* the next is due at once */
    assert_int_equal(atomic_load(&w->state.loans.bytes), LOANS_TURN * 3);
    assert_int_equal(world_turn(w, 1), 0);
    assert_int_equal(atomic_load(&w->state.loans.bytes), LOANS_TURN * 2);
    lend_to(w, data, 1, true);
    assert_int_equal(world_turn(w, 1), 0); /* the small one, a post, and no more */
    assert_int_equal(atomic_load(&w->state.loans.bytes), LOANS_TURN * 2);
    assert_int_equal(world_turn(w, 1), 0); /* one that is larger is taken alone */
    assert_int_equal(atomic_load(&w->state.loans.bytes), 1);
    assert_true(world_turn(w, 1) > 0);
    assert_int_equal(atomic_load(&w->state.loans.bytes), 0);
    world_counts(w, 0, 0, 0, 8);
    world_close(&world);
    free(data);
}

static void a_sample_that_the_queue_cannot_hold_is_dropped(void **to)
{
    struct sender_world *w = open_sender(64);
    const uint8_t data[4] = {1};
    void *world = w;

    (void)to;
    lend_to(w, data, 4, true);
    world_counts(w, 0, 0, 0, 1);
    world_turn(w, 1);
    world_counts(w, 0, 0, 1, 0);
    assert_int_equal(atomic_load(&w->state.loans.bytes), 0);
    world_close(&world);
}

static void while_closing_nothing_is_lent_and_at_its_end_nothing_read(void **to)
{
    struct sender_world *w = open_sender(0);
    uint8_t *data = malloc(4);
    void *world = w;

    (void)to;
    lend_to(w, data, 4, true);
    atomic_store(&w->state.closing, true);
    lend_to(w, data, 4, false);
    loans_end(&w->state.loans);
    assert_false(loans_are_read(&w->state.loans));
    free(data);
    world_post(w, 1, 0);
    world_turn(w, 1);
    world_counts(w, 0, 0, 1, 1);
    world_close(&world);
}

int main(void)
{
#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, open_world, close_world)
    const struct CMUnitTest tests[] = {
        WITH_WORLD(every_dtype_and_signal_is_summarised_as_when_it_is_posted),
        WITH_WORLD(rows_are_coalesced_as_when_they_are_posted),
        WITH_WORLD(the_phase_is_that_of_lending),
        WITH_WORLD(the_epoch_is_that_of_lending),
        WITH_WORLD(what_is_posted_later_comes_later),
        WITH_WORLD(one_that_is_refused_keeps_none_of_the_others_back),
        WITH_WORLD(structs_of_other_sizes_are_read),
        WITH_WORLD(what_is_not_wanted_is_not_lent),
        WITH_WORLD(threads_may_lend_together),
        WITH_WORLD(what_is_lent_before_closing_is_delivered),
        WITH_WORLD(a_fork_lends_nothing_and_holds_nothing),
        cmocka_unit_test(beyond_the_bound_it_is_summarised_at_once),
        cmocka_unit_test(what_is_returned_may_be_lent_again),
        cmocka_unit_test(with_a_full_inbox_nothing_is_lent),
        cmocka_unit_test(after_closing_nothing_is_read_even_where_the_thread_hangs),
        cmocka_unit_test(closing_waits_for_what_is_just_being_read),
        cmocka_unit_test(a_turn_takes_a_bounded_part_of_what_is_lent),
        cmocka_unit_test(a_sample_that_the_queue_cannot_hold_is_dropped),
        cmocka_unit_test(while_closing_nothing_is_lent_and_at_its_end_nothing_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
