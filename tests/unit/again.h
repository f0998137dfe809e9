/* What is kept over a restart: saved, loaded into a fresh one, and saved again it must be the same
 * bytes; cut short it must be refused; and with any byte changed it must be loaded or refused, and
 * be good enough to be saved again. */
#ifndef EMBMON_TESTS_UNIT_AGAIN_H
#define EMBMON_TESTS_UNIT_AGAIN_H

#include <stdlib.h>
#include <string.h>

#include "daemon/carry.h"

/* carry: goes through the thing; fresh: makes it what it is before it is loaded, freeing what it
 * owns. */
struct kept {
    void (*carry)(struct carry *c, void *thing);
    void (*fresh)(void *thing);
};

static inline struct carry again_saved(const struct kept *kept, void *thing)
{
    struct carry c;

    carry_save(&c, 64 << 20);
    kept->carry(&c, thing);
    if (c.problem)
        fail_msg("it cannot be saved: %s", c.problem);
    return c;
}

/* NULL: loaded, and used up. */
static inline const char *again_loaded(const struct kept *kept, const uint8_t *data, size_t n,
                                       void *into)
{
    uint8_t *exact = malloc(n + 1); /* so that a sanitizer sees a byte read too many */
    struct carry c;

    assert_non_null(exact);
    memcpy(exact, data, n);
    kept->fresh(into);
    carry_load(&c, exact, n);
    kept->carry(&c, into);
    if (c.at != c.end)
        carry_fail(&c, "there is more");
    free(exact);
    return c.problem;
}

static inline void again_same(const struct kept *kept, const struct carry *first, void *into)
{
    const char *problem = again_loaded(kept, first->data, first->length, into);
    struct carry second;

    if (problem)
        fail_msg("it cannot be loaded: %s", problem);
    second = again_saved(kept, into);
    assert_int_equal(second.length, first->length);
    assert_memory_equal(second.data, first->data, first->length);
    carry_free(&second);
}

/* thing: stays as it is. into: another of its kind, to be freed by the caller with fresh(). */
static inline void again(const struct kept *kept, void *thing, void *into)
{
    struct carry saved = again_saved(kept, thing), later;
    size_t step = saved.length > 4096 ? saved.length / 2048 : 1;

    again_same(kept, &saved, into);
    for (size_t n = 0; n < saved.length; n += step)
        assert_non_null(again_loaded(kept, saved.data, n, into));
    for (size_t i = 0; i < saved.length; i += step) {
        uint8_t before = saved.data[i];

        saved.data[i] ^= (uint8_t)(1 << i % 8);
        if (!again_loaded(kept, saved.data, saved.length, into)) {
            later = again_saved(kept, into);
            carry_free(&later);
        }
        saved.data[i] = before;
    }
    again_same(kept, &saved, into);
    carry_free(&saved);
}

#endif
