/* Threads that each declare layers and post to them at once: every post must be taken.
 *
 *     declare ADDRESS RUN        prints "produced acked rejected dropped"
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>

#include "embmon/embmon.h"

enum { THREADS = 8, LAYERS = 200 };

struct job {
    struct embmon_client *client;
    _Atomic int *start;
    int number;
};

static void *declare(void *argument)
{
    const struct job *job = argument;
    const float gradient[] = {1, 2, 3, 4};

    while (!atomic_load(job->start))
        ;
    for (int i = 0; i < LAYERS; i++) {
        struct embmon_layer_info info = EMBMON_LAYER_INFO_INIT;
        char path[32];

        (void)snprintf(path, sizeof path, "thread%d/layer%d", job->number, i);
        info.path = path;
        (void)embmon_post(job->client, embmon_layer(job->client, &info), EMBMON_GRADIENT, 0,
                          gradient, 4, EMBMON_F32);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    struct embmon_options options = EMBMON_OPTIONS_INIT;
    struct embmon_client_stats stats = EMBMON_CLIENT_STATS_INIT;
    struct embmon_client *client;
    struct job jobs[THREADS];
    pthread_t threads[THREADS];
    _Atomic int start = 0;
    int undelivered;

    if (argc != 3)
        return 64;
    options.address = argv[1];
    options.run = argv[2];
    options.resume = 1; /* waits for the daemon: the sender is at work when the threads begin */
    if (embmon_open(&options, &client) < 0)
        return 1;
    for (int i = 0; i < THREADS; i++) {
        jobs[i] = (struct job){client, &start, i};
        if (pthread_create(&threads[i], NULL, declare, &jobs[i]) != 0)
            return 1;
    }
    atomic_store(&start, 1);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    embmon_step(client, 0);
    do
        (void)embmon_stats(client, &stats);
    while (stats.in_flight > 0);
    printf("%llu %llu %llu %llu\n", (unsigned long long)stats.produced,
           (unsigned long long)stats.acked, (unsigned long long)stats.rejected,
           (unsigned long long)stats.dropped);
    undelivered = embmon_close(client, 2000);
    return undelivered == 0 ? 0 : 1;
}
