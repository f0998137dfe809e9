#include "daemon/pace.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void pace_post(struct pace *pace, struct moment now)
{
    pace->training = true;
    pace->posted_ms = now.ms;
}

void pace_step(struct pace *pace, uint64_t number, struct moment now)
{
    if (pace->closed && number > pace->last_step) {
        double seconds = (double)moment_since(now, pace->closed_ms) / 1e3;

        pace->seconds[pace->next] = seconds / (double)(number - pace->last_step);
        pace->next = (pace->next + 1) % PACE_STEPS;
        pace->count += pace->count < PACE_STEPS;
    }
    pace->closed = true;
    pace->closed_ms = now.ms;
    pace->last_step = number;
}

void pace_pause(struct pace *pace)
{
    pace->training = pace->closed = false;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

double pace_step_seconds(const struct pace *pace)
{
    double sorted[PACE_STEPS];

    if (pace->count == 0)
        return NAN;
    memcpy(sorted, pace->seconds, sizeof sorted);
    qsort(sorted, pace->count, sizeof *sorted, compare);
    return sorted[pace->count / 2];
}

double pace_silence(const struct pace *pace, uint32_t every, struct moment now)
{
    double silence;

    if (!pace->training || pace->count == 0)
        return NAN;
    silence = (double)moment_since(now, pace->posted_ms) / 1e3;
    return fmax(0, silence - (double)(every - 1) * pace_step_seconds(pace));
}

void pace_carry(struct carry *c, struct pace *pace)
{
    carry_u32(c, &pace->count, PACE_STEPS);
    carry_u32(c, &pace->next, PACE_STEPS - 1);
    carry_f64s(c, pace->seconds, pace->count);
    if (c->loading)
        pace_pause(pace);
}
