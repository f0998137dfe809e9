/* A long training in simulated time, for tests/bench/daemon.py and tests/test_ingest_cost.py: what
 * it costs, and what it leaves.
 *
 *     growth FOLDER LAYERS STEPS
 *
 * All that the daemon does but its sockets: frames into a session, ticks, checkpoints, event files.
 * A step is 10 ms, so that a million take less than three hours of the run's time. Says, at each
 * power of two: steps, CPU nanoseconds a step since the line before, bytes of the run's event
 * files, resident KiB of the process. */
#include <dirent.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "daemon/log.h"
#include "daemon/memory.h"
#include "daemon/registry.h"
#include "daemon/session.h"
#include "tests/bench/frames.h"

enum { STEP_MS = 10, TICK_STEPS = 10, FIRST_LINE = 64 };

struct growth {
    struct registry *registry;
    struct session *session;
    struct frames frames;
    uint8_t *buffer;
    uint64_t ms;
    double cpu; /* seconds of feeding and ticking */
};

static double cpu_seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static struct moment now(const struct growth *g)
{
    return (struct moment){.ms = g->ms, .wall = 1.7e9 + 1e-3 * (double)g->ms};
}

static void feed(struct growth *g, size_t n)
{
    double began = cpu_seconds();
    enum session_result result = session_feed(g->session, g->buffer, n, now(g));
    size_t answered;

    while (result == SESSION_PAUSE)
        result = session_feed(g->session, NULL, 0, now(g));
    (void)session_output(g->session, &answered);
    session_sent(g->session);
    if (result != SESSION_OPEN) {
        fprintf(stderr, "growth: the session was closed\n");
        exit(1);
    }
    g->cpu += cpu_seconds() - began;
}

static void tick(struct growth *g)
{
    double began = cpu_seconds();

    registry_tick(g->registry, now(g));
    registry_flush(g->registry);
    g->cpu += cpu_seconds() - began;
}

static uint64_t event_bytes(const char *folder)
{
    char path[4096];
    struct dirent *entry;
    struct stat status;
    uint64_t bytes = 0;
    DIR *run;

    snprintf(path, sizeof path, "%s/growth/embmon", folder);
    run = opendir(path);
    while (run && (entry = readdir(run)))
        if (strncmp(entry->d_name, "events.", 7) == 0 &&
            fstatat(dirfd(run), entry->d_name, &status, 0) == 0)
            bytes += (uint64_t)status.st_size;
    if (run)
        closedir(run);
    return bytes;
}

static long resident_kib(void)
{
    FILE *status = fopen("/proc/self/status", "re");
    char line[256];
    long kib = -1;

    while (status && fgets(line, sizeof line, status))
        if (sscanf(line, "VmRSS: %ld", &kib) == 1)
            break;
    if (status)
        fclose(status);
    return kib;
}

static void train(struct growth *g, const char *folder, unsigned long steps)
{
    unsigned long line = FIRST_LINE, last = 0;
    double cpu = g->cpu;

    for (unsigned long step = 1; step <= steps; step++) {
        feed(g, frames_step(&g->frames, g->buffer));
        g->ms += STEP_MS;
        if (step % TICK_STEPS == 0)
            tick(g);
        if (step != line && step != steps)
            continue;
        printf("%lu %.0f %llu %ld\n", step, 1e9 * (g->cpu - cpu) / (double)(step - last),
               (unsigned long long)event_bytes(folder), resident_kib());
        fflush(stdout);
        cpu = g->cpu;
        last = step;
        line *= 2;
    }
}

int main(int argc, char **argv)
{
    struct growth g = {.ms = 1000};
    size_t layers = argc == 4 ? strtoul(argv[2], NULL, 10) : 0;

    if (layers == 0 || layers > FRAMES_LAYERS_MAX) {
        fprintf(stderr, "usage: growth FOLDER LAYERS STEPS\n");
        return 2;
    }
    memory_tune();
    log_configure(LOG_LEVEL_ERROR, false);
    frames_make(&g.frames, layers);
    g.buffer = malloc(frames_step_size(&g.frames) + 1024);
    g.registry = registry_new(argv[1], now(&g));
    g.session = g.registry ? session_new(g.registry, now(&g)) : NULL;
    if (!g.buffer || !g.session)
        frames_die("memory");
    feed(&g, frames_greeting(g.buffer, "growth", 0, 1, layers));
    train(&g, argv[1], strtoul(argv[3], NULL, 10));
    session_free(g.session, now(&g));
    registry_free(g.registry, now(&g));
    printf("end 0 %llu %ld\n", (unsigned long long)event_bytes(argv[1]), resident_kib());
    free(g.frames.samples);
    free(g.buffer);
    return 0;
}
