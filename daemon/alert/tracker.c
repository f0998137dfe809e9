#include "daemon/alert/tracker.h"

#include <stddef.h>

#include "embmon/embmon.h"

enum { WORDS = 2 * TRACKER_HOLD_MAX / 64 };

static void push(struct tracker *t, uint64_t bit)
{
    for (size_t i = WORDS; i-- > 1;)
        t->history[i] = t->history[i] << 1 | t->history[i - 1] >> 63;
    t->history[0] = t->history[0] << 1 | bit;
}

/* Sick steps among the last n. */
static uint32_t sick_of_last(const struct tracker *t, uint32_t n)
{
    uint32_t count = 0;

    for (size_t i = 0; i < WORDS && n > 0; i++) {
        uint32_t bits = n < 64 ? n : 64;
        uint64_t mask = bits == 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1;

        count += (uint32_t)__builtin_popcountll(t->history[i] & mask);
        n -= bits;
    }
    return count;
}

void tracker_sick(struct tracker *t, uint32_t hold, bool hold_back)
{
    push(t, 1);
    t->clear = 0;
    if (t->state == EMBMON_RESOLVED)
        t->state = EMBMON_PENDING;
    if (!hold_back && sick_of_last(t, 2 * hold) >= hold)
        t->state = EMBMON_FIRING;
}

void tracker_clear(struct tracker *t, uint32_t hold)
{
    uint32_t enough = t->state == EMBMON_FIRING ? 2 * hold : hold;

    if (t->state == EMBMON_RESOLVED)
        return;
    push(t, 0);
    if (++t->clear >= (enough > TRACKER_CLEAR_MIN ? enough : TRACKER_CLEAR_MIN))
        tracker_reset(t);
}

void tracker_reset(struct tracker *t)
{
    *t = (struct tracker){0};
}

void tracker_carry(struct carry *c, struct tracker *t)
{
    carry_u32(c, &t->state, EMBMON_FIRING);
    if (t->state == EMBMON_RESOLVED)
        return; /* it has no history */
    for (size_t i = 0; i < WORDS; i++)
        carry_u64(c, &t->history[i]);
    carry_u32(c, &t->clear, UINT32_MAX);
}
