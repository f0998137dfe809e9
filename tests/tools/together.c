/* Everything that threads may do with one client at the same time, for ThreadSanitizer: they post
 * to the same tables, declare, ask, change phases and thresholds, end steps and epochs, and take
 * what comes back, while the daemon comes and goes.
 *
 *     together SECONDS      prints "produced acked rejected dropped in_flight"
 */
#include <embmon/embmon.h>

#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 4, ROWS = 256, COLUMNS = 4, ELEMENTS = ROWS * COLUMNS, DECLARED_MAX = 200 };

/* A thread's own, changed whenever it is returned. */
struct lender {
    float values[ELEMENTS];
    uint64_t ticket;
};

static struct trainer {
    struct embmon_client *monitor;
    int table, dense;
    float values[ELEMENTS], sick[ELEMENTS]; /* read by all */
    int64_t ids[ROWS];
    struct lender lenders[THREADS];
    _Atomic int64_t step;
    _Atomic bool over;
    _Atomic int declared;
} t;

static void nap(void)
{
    struct timespec time = {0, 200000};

    nanosleep(&time, NULL);
}

static void post(int64_t step, bool sick)
{
    const float *values = sick ? t.sick : t.values;
    const int64_t dims[] = {step % 8 + 1, COLUMNS};
    struct embmon_shape shape = EMBMON_SHAPE_INIT;

    shape.role = EMBMON_SHAPE_OUTPUT;
    shape.dims = dims;
    shape.rank = 2;
    embmon_post(t.monitor, t.table, EMBMON_GRADIENT, step, values, ELEMENTS, EMBMON_F32);
    embmon_post(t.monitor, t.table, EMBMON_WEIGHT, step, t.values, ELEMENTS, EMBMON_F32);
    embmon_post(t.monitor, t.dense, EMBMON_ACTIVATION, step, values, ELEMENTS, EMBMON_F32);
    embmon_post_rows(t.monitor, t.table, EMBMON_GRADIENT, step, t.ids, EMBMON_I64, values, ROWS,
                     COLUMNS, EMBMON_F32);
    embmon_post_ids(t.monitor, t.table, step, t.ids, ROWS, EMBMON_I64, 8, NULL);
    embmon_post_fed(t.monitor, t.table, "input", step, t.ids, ROWS, EMBMON_I64, 8);
    embmon_post_shape(t.monitor, t.dense, step, &shape);
    embmon_post_scalar(t.monitor, "loss", step, 0.5);
}

static void lend(struct lender *lender, int64_t step)
{
    struct embmon_loan loans[2] = {EMBMON_LOAN_INIT, EMBMON_LOAN_INIT};

    if (embmon_returned(t.monitor) < lender->ticket)
        return;
    for (int i = 0; i < ELEMENTS; i++)
        lender->values[i] = (float)step;
    for (int i = 0; i < 2; i++) {
        loans[i].target = i == 0 ? t.dense : t.table;
        loans[i].signal = EMBMON_GRADIENT;
        loans[i].data = lender->values;
        loans[i].dtype = EMBMON_F32;
    }
    loans[0].count = ELEMENTS;
    loans[1].ids = t.ids;
    loans[1].id_dtype = EMBMON_I64;
    loans[1].rows = ROWS;
    loans[1].columns = COLUMNS;
    embmon_lend(t.monitor, step, loans, 2, &lender->ticket);
}

static void declare(void)
{
    int number = atomic_fetch_add(&t.declared, 1);
    struct embmon_layer_info info = EMBMON_LAYER_INFO_INIT;
    const int64_t shape[] = {4, 4};
    char path[32];
    int layer;

    if (number >= DECLARED_MAX)
        return;
    snprintf(path, sizeof path, "layer_%d", number / 2); /* each by two threads */
    info.path = path;
    layer = embmon_layer(t.monitor, &info);
    embmon_variable(t.monitor, layer, "kernel", shape, 2, EMBMON_F32);
    embmon_post(t.monitor, layer, EMBMON_GRADIENT, atomic_load(&t.step), t.values, 16, EMBMON_F32);
}

static void ask(int64_t step)
{
    struct embmon_client_stats stats = EMBMON_CLIENT_STATS_INIT;
    struct embmon_notice notice = EMBMON_NOTICE_INIT;
    char run[64];
    int64_t next;

    while (embmon_notice(t.monitor, &notice) == 1)
        ;
    embmon_run(t.monitor, run, sizeof run, &next);
    embmon_stats(t.monitor, &stats);
    embmon_wanted(t.monitor, t.table, EMBMON_UPDATE);
    embmon_threshold(t.monitor, "gradient_spike", "*", "layer", (double)(step % 100) + 8);
    embmon_ignore(t.monitor, "gradient_vanishing", "dense");
}

static void *train(void *argument)
{
    while (!atomic_load(&t.over)) {
        int64_t step = atomic_fetch_add(&t.step, 1);

        declare();
        post(step, step % 50 == 49);
        lend(argument, step);
        ask(step);
        embmon_step(t.monitor, step);
        if (step % 40 == 0)
            embmon_epoch(t.monitor, step / 40);
        if (step % 20 == 0)
            embmon_phase(t.monitor, step % 40 ? EMBMON_VALIDATE : EMBMON_TRAIN);
        nap();
    }
    return NULL;
}

static void open_monitor(void)
{
    struct embmon_options options = EMBMON_OPTIONS_INIT;
    struct embmon_layer_info info = EMBMON_LAYER_INFO_INIT;

    options.run = "together";
    if (embmon_open(&options, &t.monitor) < 0)
        exit(1);
    info.path = "table";
    info.kind = EMBMON_EMBEDDING;
    info.rows = ROWS;
    info.columns = COLUMNS;
    t.table = embmon_layer(t.monitor, &info);
    info = (struct embmon_layer_info)EMBMON_LAYER_INFO_INIT;
    info.path = "dense";
    t.dense = embmon_layer(t.monitor, &info);
}

int main(int argc, char **argv)
{
    struct embmon_client_stats s = EMBMON_CLIENT_STATS_INIT;
    pthread_t threads[THREADS];

    for (int i = 0; i < ELEMENTS; i++)
        t.values[i] = t.sick[i] = (float)(i % 97 - 48) / 1000;
    t.sick[7] = NAN;
    for (int i = 0; i < ROWS; i++)
        t.ids[i] = i * 7919 % (ROWS + 1); /* one of them is no row */
    open_monitor();
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, train, &t.lenders[i]) != 0)
            return 1;
    sleep(argc > 1 ? (unsigned)atoi(argv[1]) : 1);
    atomic_store(&t.over, true);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    embmon_stats(t.monitor, &s);
    printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", s.produced, s.acked,
           s.rejected, s.dropped, s.in_flight);
    embmon_close(t.monitor, 1000);
    return 0;
}
