#include "daemon/ladder.h"

void ladder_init(struct ladder *ladder, uint32_t limit)
{
    *ladder = (struct ladder){.stride = 1, .limit = limit};
}

static bool burst_affordable(const struct ladder *ladder)
{
    return ladder->bursts < ladder->own + LADDER_BURST;
}

bool ladder_step(struct ladder *ladder)
{
    bool in_burst = ladder->burst > 0;

    if (in_burst)
        ladder->burst--;
    if (++ladder->position >= ladder->stride) {
        ladder->position = 0;
        ladder->own++;
        if (++ladder->since == ladder->limit) {
            ladder->since = 0;
            ladder->stride *= 2;
        }
        return true;
    }
    if (in_burst && burst_affordable(ladder)) {
        ladder->bursts++;
        return true;
    }
    return false;
}

bool ladder_burst(struct ladder *ladder, bool window_open)
{
    ladder->burst = LADDER_BURST;
    if (!window_open || !burst_affordable(ladder))
        return false;
    ladder->bursts++;
    return true;
}

void ladder_carry(struct carry *c, struct ladder *ladder)
{
    carry_u64(c, &ladder->stride);
    carry_u64(c, &ladder->position);
    carry_u32(c, &ladder->since, UINT32_MAX);
    carry_u32(c, &ladder->limit, UINT32_MAX);
    carry_u32(c, &ladder->burst, LADDER_BURST);
    carry_u64(c, &ladder->own);
    carry_u64(c, &ladder->bursts);
}
