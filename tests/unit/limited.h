/* A registry in a folder of its own, with limits to try. */
#ifndef EMBMON_TESTS_UNIT_LIMITED_H
#define EMBMON_TESTS_UNIT_LIMITED_H

#include "tests/unit/peer.h"
#include "tests/unit/tree.h"

static struct registry *registry;
static struct ceilings ceilings;

static inline int start(void **state)
{
    if (tree_make(state) != 0)
        return -1;
    ceilings = (struct ceilings)CEILINGS_DEFAULT;
    registry = registry_new(tree_path, at(0));
    return registry ? 0 : -1;
}

static inline int stop(void **state)
{
    registry_free(registry, at(1 << 30));
    return tree_remove(state);
}

static inline void hold(void)
{
    registry_configure(registry, &ceilings, NULL);
}

static inline struct usage *usage(void)
{
    return registry_usage(registry);
}

static inline struct peer joined(uint8_t id, struct hello with, uint64_t ms)
{
    struct peer peer = peer_open(registry, id, ms);

    peer_hello(&peer, with, ms);
    return peer;
}

static inline bool is_in(const struct peer *peer)
{
    return peer->heard.count[FRAME_WELCOME] == 1;
}

static inline void assert_refused(const struct peer *peer, const char *limit)
{
    assert_false(is_in(peer));
    assert_int_equal(peer->heard.nack_reason, NACK_REFUSED);
    if (!strstr(peer->heard.nack_detail, limit))
        fail_msg("'%s' does not name %s", peer->heard.nack_detail, limit);
}

#endif
