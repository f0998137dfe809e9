#include "client/forks.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "embmon/embmon.h"

/* Of the process, as what they are about is: pthread_atfork() hands its handlers no context. */
static _Atomic uint32_t generation;
static _Atomic(_Atomic int *) watched[FORKS_WATCHED_MAX];
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int failure;

static void in_child(void)
{
    atomic_fetch_add(&generation, 1);
    for (int i = 0; i < FORKS_WATCHED_MAX; i++) {
        _Atomic int *socket = atomic_exchange(&watched[i], NULL);
        int fd = socket ? atomic_exchange(socket, -1) : -1;

        if (fd >= 0)
            close(fd);
    }
}

static void install(void)
{
    failure = pthread_atfork(NULL, NULL, in_child);
}

int forks_watch(_Atomic int *socket)
{
    pthread_once(&once, install);
    if (failure)
        return EMBMON_ENOMEM;
    for (int i = 0; i < FORKS_WATCHED_MAX; i++) {
        _Atomic int *free_place = NULL;

        if (atomic_compare_exchange_strong(&watched[i], &free_place, socket))
            return i;
    }
    return EMBMON_ELIMIT;
}

void forks_forget(int token)
{
    if (token >= 0)
        atomic_store(&watched[token], NULL);
}

uint32_t forks_generation(void)
{
    return atomic_load(&generation);
}
