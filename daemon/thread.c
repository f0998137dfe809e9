#include "daemon/thread.h"

#include <pthread.h>
#include <signal.h>

enum { STACK_BYTES = 128 << 10 };

bool thread_start(void *(*work)(void *argument), void *argument)
{
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all;
    bool started;

    if (pthread_attr_init(&attributes) != 0)
        return false;
    sigfillset(&all);
    started = pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED) == 0 &&
              pthread_attr_setsigmask_np(&attributes, &all) == 0 &&
              pthread_attr_setstacksize(&attributes, STACK_BYTES) == 0 &&
              pthread_create(&thread, &attributes, work, argument) == 0;
    pthread_attr_destroy(&attributes);
    return started;
}
