#include "daemon/usual.h"

#include <math.h>
#include <string.h>

static const double RISE_MAX = 0.0005; /* of the level, a step */

static double nth(const struct usual *usual, size_t n)
{
    return usual->values[usual->order[n]];
}

double usual_median(const struct usual *usual)
{
    size_t n = usual->count;

    if (n < USUAL_MEDIAN_MIN)
        return NAN;
    return n % 2 ? nth(usual, n / 2) : 0.5 * (nth(usual, n / 2 - 1) + nth(usual, n / 2));
}

/* Takes a place out of the n that are in order. */
static void take_out(struct usual *usual, size_t n, uint32_t place)
{
    size_t at = 0;

    while (at + 1 < n && usual->order[at] != place)
        at++;
    memmove(&usual->order[at], &usual->order[at + 1], n - at - 1);
}

/* Puts a place, which has its value, to the n that are in order. */
static void put_in(struct usual *usual, size_t n, uint32_t place)
{
    size_t at = n;

    for (; at > 0 && nth(usual, at - 1) > usual->values[place]; at--)
        usual->order[at] = usual->order[at - 1];
    usual->order[at] = (uint8_t)place;
}

void usual_add(struct usual *usual, double value)
{
    uint32_t others = usual->count;

    if (!isfinite(value))
        return;
    if (usual->count == USUAL_VALUES)
        take_out(usual, others--, usual->next);
    usual->values[usual->next] = value;
    put_in(usual, others, usual->next);
    usual->next = (usual->next + 1) % USUAL_VALUES;
    if (usual->count == USUAL_VALUES)
        usual->level = fmin(usual_median(usual), usual->level + RISE_MAX);
    else if (++usual->count == USUAL_VALUES)
        usual->level = usual_median(usual);
}

double usual_level(const struct usual *usual)
{
    return usual->count == USUAL_VALUES ? usual->level : NAN;
}

void usual_carry(struct carry *c, struct usual *usual)
{
    carry_u32(c, &usual->count, USUAL_VALUES);
    carry_u32(c, &usual->next, USUAL_VALUES - 1);
    carry_f64s(c, usual->values, usual->count);
    carry_f64(c, &usual->level);
    for (uint32_t i = 0; c->loading && i < usual->count; i++) {
        if (!isfinite(usual->values[i]))
            carry_fail(c, "what is usual is not finite");
        put_in(usual, i, i);
    }
}
