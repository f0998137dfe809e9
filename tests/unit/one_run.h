/* A logdir (logdir.h) with the run "run", and the trainer of its first rank. */
#ifndef EMBMON_TESTS_UNIT_ONE_RUN_H
#define EMBMON_TESTS_UNIT_ONE_RUN_H

#include "tests/unit/logdir.h"

static struct peer peer; /* of the running test, as is its run */
static struct run *run;

static inline int one_run_begin_with(void **state, struct hello with)
{
    if (logdir_begin(state) != 0)
        return -1;
    peer = peer_join(registry, 1, with, 0);
    run = registry_find(registry, "run");
    return run ? 0 : -1;
}

static inline int one_run_begin(void **state)
{
    return one_run_begin_with(state, (struct hello){0});
}

/* A run of two ranks. */
static inline int one_run_begin_2(void **state)
{
    return one_run_begin_with(state, (struct hello){.world = 2});
}

static inline int one_run_end(void **state)
{
    if (peer.session)
        peer_close(&peer, 1 << 30);
    return logdir_end(state);
}

/* Both are back after a restart of the machine: its clock begins anew. Whoever calls this has
 * closed the peer and freed the registry. */
static inline void one_run_return(struct hello with)
{
    registry = registry_new(tree_path, at(5));
    peer = peer_join(registry, 1, with, 6);
    run = registry_find(registry, "run");
}

static inline void tick(uint64_t ms)
{
    registry_tick(registry, at(ms));
    registry_flush(registry);
    peer_listen(&peer);
}

static inline struct run_status status(void)
{
    struct run_status s;

    run_get_status(run, &s);
    return s;
}

#define one_run_test(test)      cmocka_unit_test_setup_teardown(test, one_run_begin, one_run_end)
#define one_run_test_of_2(test) cmocka_unit_test_setup_teardown(test, one_run_begin_2, one_run_end)

#endif
