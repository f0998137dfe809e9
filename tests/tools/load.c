/* A load generator on libembmon: a trainer whose gradients are known by a formula, for the tests of
 * what is promised under load, over ranks and when things break.
 *
 *     load --run NAME --steps 100000 --layers 20 --in-flight 20000
 *     load --run NAME --rank 1 --world 2 --control    then lines on stdin, see below
 *
 * Element i of layer l's gradient at step s is  scale * 0.01 * (1 + (i + l + s) % 7): with a
 * multiple of 7 elements its norm is scale * 0.01 * sqrt(20 * elements) at every step. The weights
 * follow it, and their checksum tells whether the monitor changed anything.
 *
 * --control: each line `FIRST LAST` posts these steps and is answered with a line of counts, an
 * empty line with the counts alone; the end of stdin closes. The last line of stdout is always the
 * counts after the last step, as JSON. */
#include <embmon/embmon.h>

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/tools/alone.h"

enum { LAYERS_MAX = 4096, ELEMENTS_MAX = 1 << 20, SIGNALS_MAX = 4 };

struct options {
    const char *run, *fault, *signals;
    int64_t first, steps, at, times;
    long layers, elements, rank, world, every, fault_layer;
    long sleep_us;  /* after each step */
    long in_flight; /* waits while more posts are; 0: never */
    long welcome_ms, drain_ms, close_ms;
    double scale;
    bool resume, control, alone;
};

struct trainer {
    struct options options;
    struct embmon_client *monitor;
    int *layers;
    float *gradient;
    double *weights;
    double longest_us; /* time of one step's posts, since the last line of counts */
};

_Noreturn static void die(const char *why)
{
    fprintf(stderr, "load: %s\n", why);
    exit(1);
}

static void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count, size);

    if (!memory)
        die("out of memory");
    return memory;
}

static double now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

/* ---- options */

struct option_row {
    const char *name;
    enum { FLAG, LONG, STEP, REAL, TEXT } kind;
    size_t offset;
};

#define ROW(name, kind, field)                                                                     \
    {                                                                                              \
        name, kind, offsetof(struct options, field)                                                \
    }
static const struct option_row rows[] = {
    ROW("--run", TEXT, run),
    ROW("--fault", TEXT, fault),     /* none, nan, exploding, zero */
    ROW("--signals", TEXT, signals), /* of the letters g, a, w, u */
    ROW("--first", STEP, first),     /* step */
    ROW("--steps", STEP, steps),     /* how many */
    ROW("--at", STEP, at),           /* first step of the fault */
    ROW("--for", STEP, times),       /* steps it lasts */
    ROW("--layers", LONG, layers),
    ROW("--elements", LONG, elements), /* of each layer */
    ROW("--rank", LONG, rank),
    ROW("--world", LONG, world),
    ROW("--every", LONG, every),
    ROW("--fault-layer", LONG, fault_layer),
    ROW("--sleep", LONG, sleep_us),
    ROW("--in-flight", LONG, in_flight),
    ROW("--welcome", LONG, welcome_ms), /* waits so long for the daemon before the first step */
    ROW("--drain", LONG, drain_ms),     /* waits so long for the answers after the last one */
    ROW("--close", LONG, close_ms),
    ROW("--scale", REAL, scale),
    ROW("--resume", FLAG, resume),
    ROW("--control", FLAG, control),
    ROW("--alone", FLAG, alone), /* a thread that only posts and may make no system call */
};
#undef ROW

static void set_option(struct options *options, const struct option_row *row, const char *text)
{
    char *field = (char *)options + row->offset, *end = NULL;

    errno = 0;
    switch (row->kind) {
    case FLAG:
        *(bool *)(void *)field = true;
        return;
    case TEXT:
        *(const char **)(void *)field = text;
        return;
    case LONG:
        *(long *)(void *)field = strtol(text, &end, 10);
        break;
    case STEP:
        *(int64_t *)(void *)field = strtoll(text, &end, 10);
        break;
    case REAL:
        *(double *)(void *)field = strtod(text, &end);
        break;
    }
    if (errno || end == text || *end)
        die("a number is expected");
}

static void read_options(struct options *options, int argc, char **argv)
{
    size_t count = sizeof rows / sizeof rows[0], r;

    *options = (struct options){.run = "load",
                                .fault = "none",
                                .signals = "g",
                                .steps = 100,
                                .times = 1,
                                .layers = 2,
                                .elements = 63,
                                .world = 1,
                                .drain_ms = 5000,
                                .close_ms = 5000,
                                .scale = 1};
    for (int i = 1; i < argc; i++) {
        for (r = 0; r < count && strcmp(argv[i], rows[r].name) != 0; r++)
            ;
        if (r == count || (rows[r].kind != FLAG && i + 1 == argc))
            die("wrong options; they are listed in tests/tools/load.c");
        set_option(options, &rows[r], rows[r].kind == FLAG ? NULL : argv[++i]);
    }
    if (options->layers < 1 || options->layers > LAYERS_MAX || options->elements < 1 ||
        options->elements > ELEMENTS_MAX || options->rank < 0 || options->world < 1 ||
        strlen(options->signals) > SIGNALS_MAX)
        die("an option is out of its range");
}

/* ---- training */

static void nap(const struct options *options, double us)
{
    double until = now_us() + us;
    struct timespec time = {(time_t)(us / 1e6), (long)fmod(us, 1e6) * 1000};

    if (!options->alone)
        nanosleep(&time, NULL);
    while (options->alone && now_us() < until)
        ;
}

static bool is_sick(const struct options *options, long layer, int64_t step)
{
    return layer == options->fault_layer && step >= options->at &&
           step < options->at + options->times;
}

static void make_gradient(struct trainer *t, long layer, int64_t step)
{
    const struct options *o = &t->options;
    double scale = 0.01 * o->scale;
    bool sick = is_sick(o, layer, step);

    if (sick && strcmp(o->fault, "exploding") == 0)
        scale *= 1e6;
    if (sick && strcmp(o->fault, "zero") == 0)
        scale = 0;
    for (long i = 0; i < o->elements; i++)
        t->gradient[i] = (float)(scale * (double)(1 + (i + layer + step) % 7));
    if (sick && strcmp(o->fault, "nan") == 0)
        t->gradient[0] = NAN;
    for (long i = 0; i < o->elements; i++)
        t->weights[i] -= 0.1 * (double)t->gradient[i];
}

static enum embmon_signal signal_of(char letter)
{
    static const char letters[] = "gawu";
    const char *found = strchr(letters, letter);

    return found && *found ? (enum embmon_signal)(EMBMON_GRADIENT + (found - letters))
                           : EMBMON_GRADIENT;
}

static struct embmon_client_stats counts(const struct trainer *t)
{
    struct embmon_client_stats stats = EMBMON_CLIENT_STATS_INIT;

    embmon_stats(t->monitor, &stats);
    return stats;
}

static void train_step(struct trainer *t, int64_t step)
{
    const struct options *o = &t->options;
    double began = now_us(), took;

    for (long layer = 0; layer < o->layers; layer++) {
        make_gradient(t, layer, step);
        for (const char *letter = o->signals; *letter; letter++)
            embmon_post(t->monitor, t->layers[layer], signal_of(*letter), step, t->gradient,
                        (size_t)o->elements, EMBMON_F32);
    }
    embmon_post_scalar(t->monitor, "loss", step, 0.5);
    embmon_step(t->monitor, step);
    took = now_us() - began;
    if (took > t->longest_us)
        t->longest_us = took;
    while (o->in_flight > 0 && counts(t).in_flight > (uint64_t)o->in_flight)
        nap(o, 1000);
    if (o->sleep_us > 0)
        nap(o, (double)o->sleep_us);
}

static uint64_t checksum(const struct trainer *t)
{
    const unsigned char *bytes = (const unsigned char *)t->weights;
    uint64_t hash = 14695981039346656037u;

    for (size_t i = 0; i < (size_t)t->options.elements * sizeof *t->weights; i++)
        hash = (hash ^ bytes[i]) * 1099511628211u;
    return hash;
}

/* Not ru_maxrss: that is also of the process that started us. */
static long peak_rss_kib(void)
{
    FILE *status = fopen("/proc/self/status", "re");
    char line[256];
    long kib = -1;

    while (status && fgets(line, sizeof line, status))
        if (sscanf(line, "VmHWM: %ld", &kib) == 1)
            break;
    if (status)
        fclose(status);
    return kib;
}

static void say_counts(struct trainer *t)
{
    struct embmon_client_stats s = counts(t);
    char run[EMBMON_NAME_MAX + 1] = "";
    int64_t next = -1;
    (void)embmon_run(t->monitor, run, sizeof run, &next);
    printf("{\"run\":\"%s\",\"next_step\":%" PRId64 ",\"connected\":%" PRIu32
           ",\"produced\":%" PRIu64 ",\"acked\":%" PRIu64 ",\"rejected\":%" PRIu64
           ",\"dropped\":%" PRIu64 ",\"in_flight\":%" PRIu64 ",\"skipped\":%" PRIu64
           ",\"reconnects\":%" PRIu64 ",\"post_ns\":%" PRIu64
           ",\"longest_us\":%.0f,\"max_rss_kib\":%ld,\"weights\":\"%016" PRIx64 "\"}\n",
           run, next, s.connected, s.produced, s.acked, s.rejected, s.dropped, s.in_flight,
           s.skipped, s.reconnects, s.post_ns, t->longest_us, peak_rss_kib(), checksum(t));
    fflush(stdout);
    t->longest_us = 0;
}

static void drain(const struct trainer *t)
{
    double until = now_us() + (double)t->options.drain_ms * 1e3;
    struct timespec time = {0, 1000000};

    while (counts(t).in_flight > 0 && now_us() < until)
        nanosleep(&time, NULL);
}

static void obey(struct trainer *t)
{
    char line[128];

    while (fgets(line, sizeof line, stdin)) {
        int64_t first = 0, last = -1;

        if (sscanf(line, "%" SCNd64 " %" SCNd64, &first, &last) == 1)
            last = first;
        for (int64_t step = first; step <= last; step++)
            train_step(t, step);
        say_counts(t);
    }
}

/* ---- a thread that only posts */

static void *post_alone(void *argument)
{
    struct trainer *t = argument;
    const struct options *o = &t->options;

    alone_begin();
    for (int64_t step = o->first; step < o->first + o->steps; step++)
        train_step(t, step);
    alone_end();
}

static void watch_nothing(void *context)
{
    (void)context;
}

/* ---- the whole */

static void declare_layers(struct trainer *t)
{
    for (long layer = 0; layer < t->options.layers; layer++) {
        struct embmon_layer_info info = EMBMON_LAYER_INFO_INIT;
        char path[32];

        snprintf(path, sizeof path, "layer_%02ld", layer);
        info.path = path;
        info.kind = EMBMON_DENSE;
        t->layers[layer] = embmon_layer(t->monitor, &info);
    }
}

static void open_monitor(struct trainer *t)
{
    const struct options *o = &t->options;
    struct embmon_options options = EMBMON_OPTIONS_INIT;
    double until = now_us() + (double)o->welcome_ms * 1e3;
    struct timespec time = {0, 1000000};
    int error;

    options.run = o->run;
    options.rank = (uint32_t)o->rank;
    options.world_size = (uint32_t)o->world;
    options.every = (uint32_t)o->every;
    options.resume = o->resume;
    error = embmon_open(&options, &t->monitor);
    if (error < 0)
        die(embmon_strerror(error));
    declare_layers(t);
    while (o->welcome_ms > 0 && embmon_run(t->monitor, NULL, 0, NULL) == 0 && now_us() < until)
        nanosleep(&time, NULL);
}

int main(int argc, char **argv)
{
    struct trainer t = {.longest_us = 0};
    const struct options *o = &t.options;

    read_options(&t.options, argc, argv);
    t.layers = allocate((size_t)o->layers, sizeof *t.layers);
    t.gradient = allocate((size_t)o->elements, sizeof *t.gradient);
    t.weights = allocate((size_t)o->elements, sizeof *t.weights);
    open_monitor(&t);
    if (o->control)
        obey(&t);
    else if (o->alone)
        alone_run(post_alone, watch_nothing, &t);
    else
        for (int64_t step = o->first; step < o->first + o->steps; step++)
            train_step(&t, step);
    drain(&t);
    say_counts(&t);
    embmon_close(t.monitor, (int)o->close_ms);
    free(t.layers);
    free(t.gradient);
    free(t.weights);
    return 0;
}
