/* A registry in a folder of its own, with limits to try. */
#ifndef EMBMON_TESTS_UNIT_LIMITED_H
#define EMBMON_TESTS_UNIT_LIMITED_H

#include "tests/unit/logdir.h"

static struct ceilings ceilings;

static inline int start(void **state)
{
    ceilings = (struct ceilings)CEILINGS_DEFAULT;
    return logdir_begin(state);
}

static inline int stop(void **state)
{
    return logdir_end(state);
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
