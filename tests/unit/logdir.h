/* A registry with nothing in it, over a logdir of its own. */
#ifndef EMBMON_TESTS_UNIT_LOGDIR_H
#define EMBMON_TESTS_UNIT_LOGDIR_H

#include "tests/unit/peer.h"
#include "tests/unit/tree.h"

static struct registry *registry; /* of the running test */

static inline int logdir_begin(void **state)
{
    if (tree_make(state) != 0)
        return -1;
    registry = registry_new(tree_path, at(0));
    return registry ? 0 : -1;
}

static inline int logdir_end(void **state)
{
    registry_free(registry, at(1 << 30));
    return tree_remove(state);
}

/* A daemon that was killed knows nothing any more. */
static inline void logdir_restart(uint64_t ms)
{
    registry_free(registry, at(ms));
    registry = registry_new(tree_path, at(ms));
    assert_non_null(registry);
}

static inline struct run_status status_of(const char *name)
{
    const struct run *run = registry_find(registry, name);
    struct run_status status;

    assert_non_null(run);
    run_get_status(run, &status);
    return status;
}

#define logdir_test(test) cmocka_unit_test_setup_teardown(test, logdir_begin, logdir_end)

#endif
