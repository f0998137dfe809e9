/* What posting costs the thread that posts, whatever the daemon does: 200,000 posts of all kinds
 * from a thread that may not call the system, each timed by the processor time it used itself.
 *
 *     unharmed --posts 200000 --spread 2000 --close 200
 *     unharmed --posts 1000 --close 200 --cycles 20      opens, posts and closes 20 times
 *     unharmed --drain 5000 ...                         waits so long for the answers
 *     unharmed --traced ...                              for strace: the posts lie between two
 *                                                        getppid(), and no clock is read
 *     unharmed --leave ...                               says "leaving" and ends without a close
 *
 * Another thread looks at the counts every millisecond: they never run backwards, no post is
 * counted twice, and what was produced or skipped lies between what the posting thread has done and
 * what it has begun. The last line is what was found, as JSON. Status 3: a post called the system;
 * 4: the counts were wrong. */
#include <embmon/embmon.h>

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tests/tools/alone.h"

enum { LAYERS = 100, ELEMENTS = 256, ROWS = 64, COLUMNS = 4, KINDS = 9, LENT = 4096 };

struct options {
    long posts, spread_ms, close_ms, cycles, welcome_ms, drain_ms;
    bool traced, leave;
};

struct found {
    uint64_t accepted, turned_away; /* as the calls said */
    uint64_t call_ns_max, calls_above_1ms;
    int worst_kind;
    double close_ms_max;
    int undelivered;
    long rss_kib_early, rss_kib;       /* after a tenth of the cycles, and after all */
    struct embmon_client_stats counts; /* before closing */
};

struct trainer {
    struct options options;
    struct embmon_client *monitor;
    int table, layers[LAYERS];
    float values[ELEMENTS], lent[LENT]; /* never changed: it may be lent at any time */
    int64_t ids[ROWS];
    _Atomic uint64_t begun, done; /* posts */
    struct embmon_client_stats seen;
    long cycle;
    struct found found;
};

_Noreturn static void die(int status, const char *why)
{
    fprintf(stderr, "unharmed: %s\n", why);
    _exit(status);
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- posts of all kinds */

static int post_ids(struct trainer *t, int64_t step)
{
    return embmon_post_ids(t->monitor, t->table, step, t->ids, ROWS, EMBMON_I64, 8, NULL);
}

static int post_rows(struct trainer *t, int64_t step)
{
    return embmon_post_rows(t->monitor, t->table, EMBMON_GRADIENT, step, t->ids, EMBMON_I64,
                            t->values, ROWS, COLUMNS, EMBMON_F32);
}

static int post_shape(struct trainer *t, int layer, int64_t step)
{
    const int64_t dims[] = {step % 64 + 1, COLUMNS};
    struct embmon_shape shape = EMBMON_SHAPE_INIT;

    shape.role = EMBMON_SHAPE_OUTPUT;
    shape.dims = dims;
    shape.rank = 2;
    return embmon_post_shape(t->monitor, layer, step, &shape);
}

static int post_summary(struct trainer *t, int layer, int64_t step)
{
    struct embmon_summary summary = EMBMON_SUMMARY_INIT;

    summary.count = summary.zeros = 5;
    summary.parts = 1;
    return embmon_post_summary(t->monitor, layer, EMBMON_GRADIENT, step, &summary);
}

static int lend(struct trainer *t, int layer, int64_t step)
{
    struct embmon_loan loan = EMBMON_LOAN_INIT;
    uint64_t ticket;
    int result;

    loan.target = layer;
    loan.signal = EMBMON_GRADIENT;
    loan.data = t->lent;
    loan.count = LENT;
    loan.dtype = EMBMON_F32;
    result = embmon_lend(t->monitor, step, &loan, 1, &ticket);
    return embmon_returned(t->monitor) == UINT64_MAX ? EMBMON_ECLOSED : result;
}

/* A thousand posts are a step; its last one ends it. */
static int post(struct trainer *t, long number)
{
    int64_t step = number / 1000;
    int layer = t->layers[number % LAYERS];

    switch (number % 1000 == 999 ? KINDS - 1 : number % (KINDS - 1)) {
    case 0:
        return embmon_post(t->monitor, layer, EMBMON_GRADIENT, step, t->values, ELEMENTS,
                           EMBMON_F32);
    case 1:
        return embmon_post(t->monitor, layer, EMBMON_ACTIVATION, step, t->values, ELEMENTS,
                           EMBMON_F32);
    case 2:
        return post_rows(t, step);
    case 3:
        return post_ids(t, step);
    case 4:
        return post_shape(t, layer, step);
    case 5:
        return post_summary(t, layer, step);
    case 6:
        return embmon_post_scalar(t->monitor, "loss", step, 0.5);
    case 7:
        return lend(t, layer, step);
    default:
        return embmon_step(t->monitor, step) < 0 ? EMBMON_EDROPPED : 1;
    }
}

static void time_post(struct trainer *t, long number)
{
    uint64_t began, took;
    int result;

    atomic_fetch_add(&t->begun, 1);
    began = t->options.traced ? 0 : clock_ns(CLOCK_THREAD_CPUTIME_ID);
    result = post(t, number);
    took = t->options.traced ? 0 : clock_ns(CLOCK_THREAD_CPUTIME_ID) - began;
    atomic_fetch_add(&t->done, 1);
    t->found.accepted += result >= 0;
    t->found.turned_away += result == EMBMON_EDROPPED;
    t->found.calls_above_1ms += took > 1000000;
    if (took > t->found.call_ns_max) {
        t->found.call_ns_max = took;
        t->found.worst_kind = (int)(number % (KINDS - 1));
    }
}

/* Spread over the time that was asked for, without sleeping. */
static void post_all(struct trainer *t)
{
    const struct options *o = &t->options;
    uint64_t began = clock_ns(CLOCK_MONOTONIC);

    for (long number = 0; number < o->posts; number++) {
        uint64_t due = (uint64_t)(number * o->spread_ms) * 1000000u / (uint64_t)o->posts;

        while (clock_ns(CLOCK_MONOTONIC) - began < due)
            ;
        time_post(t, number);
    }
}

static void *post_alone(void *argument)
{
    struct trainer *t = argument;

    if (t->options.traced)
        syscall(SYS_getppid);
    else
        alone_begin();
    post_all(t);
    if (!t->options.traced)
        alone_end();
    syscall(SYS_getppid);
    return NULL;
}

/* ---- the counts at every moment */

static struct embmon_client_stats counts(const struct trainer *t)
{
    struct embmon_client_stats stats = EMBMON_CLIENT_STATS_INIT;

    embmon_stats(t->monitor, &stats);
    return stats;
}

static void watch(void *context)
{
    struct trainer *t = context;
    uint64_t done = atomic_load(&t->done);
    struct embmon_client_stats now = counts(t), *before = &t->seen;
    uint64_t begun = atomic_load(&t->begun), posted = now.produced + now.skipped;

    if (posted < done || posted > begun)
        die(4, "what was produced is not what was posted");
    if (now.in_flight > now.produced ||
        now.produced != now.acked + now.rejected + now.dropped + now.in_flight)
        die(4, "a post is counted twice");
    if (now.acked < before->acked || now.rejected < before->rejected ||
        now.dropped < before->dropped || now.produced < before->produced)
        die(4, "a count runs backwards");
    *before = now;
}

/* ---- a whole training */

static void declare(struct trainer *t)
{
    struct embmon_layer_info info = EMBMON_LAYER_INFO_INIT;

    info.path = "table";
    info.kind = EMBMON_EMBEDDING;
    info.rows = 1000;
    info.columns = COLUMNS;
    t->table = embmon_layer(t->monitor, &info);
    for (int layer = 0; layer < LAYERS; layer++) {
        char path[32];

        snprintf(path, sizeof path, "layer_%02d", layer);
        info = (struct embmon_layer_info)EMBMON_LAYER_INFO_INIT;
        info.path = path;
        info.kind = EMBMON_DENSE;
        t->layers[layer] = embmon_layer(t->monitor, &info);
    }
}

static void open_monitor(struct trainer *t)
{
    char run[32] = "unharmed";
    struct embmon_options options = EMBMON_OPTIONS_INIT;
    struct timespec time = {0, 1000000};

    if (t->options.cycles > 1) /* a name that is taken is looked for from -2 on: never here */
        snprintf(run, sizeof run, "cycle_%ld", t->cycle);
    options.run = run;
    if (embmon_open(&options, &t->monitor) < 0)
        die(1, "it cannot be opened");
    declare(t);
    for (long ms = 0; ms < t->options.welcome_ms && !counts(t).connected; ms++)
        nanosleep(&time, NULL);
}

static void drain(const struct trainer *t)
{
    struct timespec time = {0, 1000000};

    for (long ms = 0; ms < t->options.drain_ms && counts(t).in_flight > 0; ms++)
        nanosleep(&time, NULL);
}

static void close_monitor(struct trainer *t)
{
    uint64_t began = clock_ns(CLOCK_MONOTONIC);
    double took;

    t->found.undelivered = embmon_close(t->monitor, (int)t->options.close_ms);
    took = (double)(clock_ns(CLOCK_MONOTONIC) - began) / 1e6;
    if (took > t->found.close_ms_max)
        t->found.close_ms_max = took;
}

static long rss_kib(void)
{
    FILE *statm = fopen("/proc/self/statm", "re");
    long pages = -1;

    if (statm && fscanf(statm, "%*s %ld", &pages) != 1)
        pages = -1;
    if (statm)
        fclose(statm);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void cycle(struct trainer *t)
{
    open_monitor(t);
    memset(&t->seen, 0, sizeof t->seen);
    atomic_store(&t->begun, 0);
    atomic_store(&t->done, 0);
    t->found.accepted = t->found.turned_away = 0;
    if (t->options.cycles > 1)
        post_all(t);
    else
        alone_run(post_alone, watch, t);
    drain(t);
    watch(t);
    t->found.counts = counts(t);
    if (t->options.leave) {
        puts("leaving");
        fflush(stdout);
        exit(0);
    }
    close_monitor(t);
}

/* ---- the whole */

static void read_options(struct options *o, int argc, char **argv)
{
    const struct {
        const char *name;
        long *number;
        bool *flag;
    } rows[] = {
        {"--posts", &o->posts, NULL},        {"--spread", &o->spread_ms, NULL},
        {"--close", &o->close_ms, NULL},     {"--cycles", &o->cycles, NULL},
        {"--welcome", &o->welcome_ms, NULL}, {"--drain", &o->drain_ms, NULL},
        {"--traced", NULL, &o->traced},      {"--leave", NULL, &o->leave},
    };

    *o = (struct options){.posts = 200000, .close_ms = 1000, .cycles = 1};
    for (int i = 1; i < argc; i++) {
        size_t r = 0;

        while (r < sizeof rows / sizeof rows[0] && strcmp(argv[i], rows[r].name) != 0)
            r++;
        if (r == sizeof rows / sizeof rows[0] || (rows[r].number && i + 1 == argc))
            die(64, "wrong options; they are listed in tests/tools/unharmed.c");
        if (rows[r].flag)
            *rows[r].flag = true;
        else
            *rows[r].number = atol(argv[++i]);
    }
}

static void say(const struct trainer *t)
{
    const struct found *f = &t->found;
    const struct embmon_client_stats *s = &f->counts;

    printf("{\"accepted\":%" PRIu64 ",\"turned_away\":%" PRIu64 ",\"call_us_max\":%.1f"
           ",\"worst_kind\":%d,\"calls_above_1ms\":%" PRIu64 ",\"close_ms_max\":%.1f"
           ",\"undelivered\":%d,\"produced\":%" PRIu64 ",\"acked\":%" PRIu64
           ",\"rejected\":%" PRIu64 ",\"dropped\":%" PRIu64 ",\"in_flight\":%" PRIu64
           ",\"skipped\":%" PRIu64 ",\"reconnects\":%" PRIu64
           ",\"rss_kib_early\":%ld,\"rss_kib\":%ld}\n",
           f->accepted, f->turned_away, (double)f->call_ns_max / 1e3, f->worst_kind,
           f->calls_above_1ms, f->close_ms_max, f->undelivered, s->produced, s->acked, s->rejected,
           s->dropped, s->in_flight, s->skipped, s->reconnects, f->rss_kib_early, f->rss_kib);
}

int main(int argc, char **argv)
{
    static struct trainer t;

    read_options(&t.options, argc, argv);
    for (int i = 0; i < ELEMENTS; i++)
        t.values[i] =
            ldexpf((float)(i % 97 - 48), i % 64 - 32); /* wide: more than the queue holds */
    for (int i = 0; i < LENT; i++)
        t.lent[i] = t.values[i % ELEMENTS];
    for (int i = 0; i < ROWS; i++)
        t.ids[i] = i * 7919 % 500;
    for (t.cycle = 0; t.cycle < t.options.cycles; t.cycle++) {
        cycle(&t);
        t.found.rss_kib = rss_kib();
        if (t.cycle == t.options.cycles / 10)
            t.found.rss_kib_early = t.found.rss_kib;
    }
    say(&t);
    return 0;
}
