#include "daemon/alert/rate.h"

bool rate_allows(const struct rate *rate, size_t most, uint64_t now_ms)
{
    /* In a full ring the next place holds the oldest. */
    return rate->count < most || now_ms >= rate->at_ms[rate->next] + RATE_SPAN_MS;
}

void rate_take(struct rate *rate, size_t most, uint64_t now_ms)
{
    rate->at_ms[rate->next] = now_ms;
    rate->next = (rate->next + 1) % most;
    if (rate->count < most)
        rate->count++;
}
