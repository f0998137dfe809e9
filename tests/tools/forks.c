/* Forks again and again while other threads post and the library's own thread sends: the child's
 * client is inert, however the child ends, and the parent's goes on.
 *
 *     forks 500          posts as fast as the sender sends
 *     forks 500 flood    and faster: all queues overflow
 *
 * The last line is the parent's counts, as JSON. Status 2: a child hung, crashed, or found its
 * client alive. */
#include <embmon/embmon.h>

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    POSTERS = 2,
    ELEMENTS = 512,
    PATIENCE_S = 10,
    IN_FLIGHT_MAX = 20000, /* so that nothing need be dropped */
    WRONG = 7,             /* a child's status */
    WAYS = 6,
};

struct trainer {
    struct embmon_client *monitor;
    int layer;
    bool flood;
    _Atomic bool over;
    _Atomic int64_t step;
};

static float values[ELEMENTS];

_Noreturn static void die(const char *why)
{
    fprintf(stderr, "forks: %s\n", why);
    _exit(2);
}

static struct embmon_client_stats counts(struct embmon_client *client)
{
    struct embmon_client_stats stats = EMBMON_CLIENT_STATS_INIT;

    embmon_stats(client, &stats);
    return stats;
}

static void nap(long us)
{
    struct timespec time = {0, us * 1000};

    nanosleep(&time, NULL);
}

static void *post(void *argument)
{
    struct trainer *t = argument;

    while (!atomic_load(&t->over)) {
        int64_t step = atomic_fetch_add(&t->step, 1) / 1000;

        embmon_post(t->monitor, t->layer, EMBMON_GRADIENT, step, values, ELEMENTS, EMBMON_F32);
        embmon_post_scalar(t->monitor, "loss", step, 0.5);
        if (!t->flood && counts(t->monitor).in_flight > IN_FLIGHT_MAX)
            nap(1000);
    }
    return NULL;
}

/* ---- the child */

static bool is_inert(struct trainer *t)
{
    struct embmon_client_stats stats = EMBMON_CLIENT_STATS_INIT;
    struct embmon_notice notice = EMBMON_NOTICE_INIT;

    return embmon_post(t->monitor, t->layer, EMBMON_GRADIENT, 0, values, ELEMENTS, EMBMON_F32) ==
               EMBMON_ECLOSED &&
           embmon_step(t->monitor, 0) == EMBMON_ECLOSED &&
           embmon_stats(t->monitor, &stats) == EMBMON_ECLOSED &&
           embmon_notice(t->monitor, &notice) == EMBMON_ECLOSED;
}

static bool has_socket(void)
{
    struct stat file;

    for (int fd = STDERR_FILENO + 1; fd < 64; fd++)
        if (fstat(fd, &file) == 0 && S_ISSOCK(file.st_mode))
            return true;
    return false;
}

/* A training in the child, with a client of its own. */
static int train_anew(void)
{
    struct embmon_options options = EMBMON_OPTIONS_INIT;
    struct embmon_client *own;

    options.run = "child";
    if (embmon_open(&options, &own) < 0)
        return WRONG;
    for (int64_t step = 0; step < 3; step++) {
        embmon_post_scalar(own, "loss", step, 0.5);
        embmon_step(own, step);
    }
    return embmon_close(own, 1000) >= 0 ? 0 : WRONG;
}

_Noreturn static void be_child(struct trainer *t, long number)
{
    alarm(PATIENCE_S);
    if (!is_inert(t) || has_socket())
        _exit(WRONG);
    switch (number % WAYS) {
    case 0:
        _exit(0);
    case 1:
        exit(0);
    case 2:
        if (embmon_close(t->monitor, 1000) != 0)
            _exit(WRONG);
        exit(0);
    case 3:
        execl("/bin/true", "true", (char *)NULL);
        _exit(WRONG);
    case 4:
        _exit(train_anew());
    default: /* and its child */
        if (fork() == 0)
            _exit(is_inert(t) ? 0 : WRONG);
        if (wait(&(int){0}) < 0)
            _exit(WRONG);
        _exit(0);
    }
}

/* ---- the parent */

static void await(pid_t child)
{
    int status = 0;

    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            die("no child");
    if (WIFSIGNALED(status))
        fprintf(stderr, "forks: signal %d\n", WTERMSIG(status));
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        die("a child did not end well");
}

static void open_monitor(struct trainer *t)
{
    struct embmon_options options = EMBMON_OPTIONS_INIT;
    struct embmon_layer_info info = EMBMON_LAYER_INFO_INIT;

    options.run = "forks";
    if (embmon_open(&options, &t->monitor) < 0)
        die("it cannot be opened");
    info.path = "layer";
    t->layer = embmon_layer(t->monitor, &info);
    for (int i = 0; i < 5000 && !counts(t->monitor).connected; i++)
        nap(1000);
}

int main(int argc, char **argv)
{
    long forks = argc > 1 ? atol(argv[1]) : 500;
    static struct trainer t;
    pthread_t posters[POSTERS];
    struct embmon_client_stats s;

    t.flood = argc > 2;
    for (int i = 0; i < ELEMENTS; i++)
        values[i] = (float)(i % 97 - 48) / 1000;
    open_monitor(&t);
    for (int i = 0; i < POSTERS; i++)
        if (pthread_create(&posters[i], NULL, post, &t) != 0)
            die("no thread");
    for (long number = 0; number < forks; number++) {
        pid_t child = fork();

        if (child == 0)
            be_child(&t, number);
        if (child < 0)
            die("no fork");
        await(child);
    }
    atomic_store(&t.over, true);
    for (int i = 0; i < POSTERS; i++)
        pthread_join(posters[i], NULL);
    for (int i = 0; i < PATIENCE_S * 1000; i++, nap(1000)) {
        s = counts(t.monitor);
        if (s.in_flight == 0 || !s.connected)
            break;
    }
    printf("{\"produced\":%" PRIu64 ",\"acked\":%" PRIu64 ",\"rejected\":%" PRIu64
           ",\"dropped\":%" PRIu64 ",\"in_flight\":%" PRIu64 ",\"reconnects\":%" PRIu64 "}\n",
           s.produced, s.acked, s.rejected, s.dropped, s.in_flight, s.reconnects);
    return embmon_close(t.monitor, 1000) == (int)(s.dropped + s.in_flight) ? 0 : 1;
}
