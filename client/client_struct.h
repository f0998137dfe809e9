/* The inside of a client, for client.c (its life, the model) and post.c (what is posted) alone. */
#ifndef EMBMON_CLIENT_CLIENT_STRUCT_H
#define EMBMON_CLIENT_CLIENT_STRUCT_H

#include <pthread.h>

#include "client/budget.h"
#include "client/forks.h"
#include "client/gate.h"
#include "client/sender.h"
#include "client/state.h"
#include "client/tensor.h"

struct embmon_client {
    struct state state;
    struct tensor_tools tools;
    struct budget budget; /* of the thread that holds `budgeting` */
    atomic_flag budgeting;
    uint64_t post_ns;        /* of the counter, at the end of the training step before */
    _Atomic double overhead; /* as the budget has measured it; NaN: not yet */
    struct sender *sender;   /* of the thread, once it runs */
    pthread_t thread;
    _Atomic bool finished;               /* the thread touches nothing any more */
    _Atomic(struct embmon_gate *) gates; /* all that lead here */
    uint32_t generation;                 /* of forks.h, at open */
    int watch;
};

/* A fork of the process that opened it: nothing may be done with it. */
static inline bool client_is_inert(const struct embmon_client *client)
{
    return client->generation != forks_generation();
}

#endif
