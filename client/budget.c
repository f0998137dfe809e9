#include "client/budget.h"

#include <math.h>
#include <string.h>

/* Of the latest mean of what the posting calls took, how much a new step counts. */
static const double OWN_WEIGHT = 0.1;

/* Before there is a step to compare with: what else a post costs is guessed to be as much again. */
static const double GUESS = 2;

/* Sampling more often waits until it would fit with some room, or it would go to and fro. */
static const double ROOM = 1.25;

/* Of the share, what is for sampling whatever is spent at the other steps: nothing would be seen of
 * a training whose steps are so short that they alone take all of it. */
static const double LEAST = 0.5;

void budget_open(struct budget *b, double overhead, bool fixed)
{
    *b = (struct budget){.overhead = overhead, .fixed = fixed, .every = 1, .before = -1};
    b->sampled.kept = b->plain.kept = b->added.kept = BUDGET_KEPT;
    b->own.kept = BUDGET_OWN_KEPT;
}

static void put(struct budget_ring *ring, double value)
{
    ring->values[ring->next] = value;
    ring->next = (ring->next + 1) % ring->kept;
    ring->count += ring->count < ring->kept;
}

/* NaN: nothing is known. */
static double median(const struct budget_ring *ring)
{
    double sorted[BUDGET_KEPT];

    if (ring->count == 0)
        return NAN;
    for (uint32_t i = 0; i < ring->count; i++) {
        uint32_t at = i;

        for (; at > 0 && sorted[at - 1] > ring->values[i]; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = ring->values[i];
    }
    return ring->count % 2 ? sorted[ring->count / 2]
                           : (sorted[ring->count / 2 - 1] + sorted[ring->count / 2]) / 2;
}

static bool is_known(const struct budget *b)
{
    return b->plain.count >= BUDGET_KNOWN && b->added.count >= BUDGET_KNOWN;
}

/* What a step takes without us. */
static double step_ns(const struct budget *b)
{
    if (b->plain.count >= BUDGET_KNOWN)
        return median(&b->plain);
    return fmax(median(&b->sampled) - GUESS * median(&b->own), 0);
}

/* What a step that is sampled takes more. Never less than the posting calls: where steps differ
 * much among themselves the difference may be anything. */
static double added_ns(const struct budget *b)
{
    return is_known(b) ? fmax(median(&b->added), median(&b->own)) : GUESS * median(&b->own);
}

/* How many of BUDGET_WINDOW steps in a row may be multiples of it, as their share. */
static double most_of_window(uint32_t every)
{
    return every < BUDGET_WINDOW
               ? (double)((BUDGET_WINDOW + every - 1) / every) / (double)BUDGET_WINDOW
               : 1.0 / every;
}

static bool fits(const struct budget *b, uint32_t every, double room)
{
    double step = step_ns(b), allowed = b->overhead * step;

    return most_of_window(every) * added_ns(b) * room <=
           fmax(allowed - b->own_plain, LEAST * allowed);
}

static uint32_t choose(const struct budget *b)
{
    uint32_t every = BUDGET_EVERY_MIN, most = is_known(b) ? BUDGET_EVERY_MAX : BUDGET_EVERY_GUESSED;

    if (b->fixed || b->overhead <= 0 || b->steps < BUDGET_FIRST)
        return 1;
    while (every < most && !fits(b, every, every < b->every ? ROOM : 1))
        every *= 2;
    return every;
}

static void note_window(struct budget *b, bool sampled)
{
    bool *place = &b->window[b->steps % BUDGET_WINDOW];

    b->in_window -= *place;
    *place = sampled;
    b->in_window += sampled;
}

/* The first one of a kind is its mean. */
static void note_own(double *mean, double own_ns, bool first)
{
    *mean = first ? own_ns : *mean + OWN_WEIGHT * (own_ns - *mean);
}

/* True when there is a new measurement of what a step adds. */
static bool note_time(struct budget *b, double ns, bool sampled, double own_ns)
{
    bool compares = !sampled && b->before >= 0 && b->plain.count >= BUDGET_KNOWN;

    if (sampled) {
        put(&b->own, own_ns);
        put(&b->sampled, ns);
    } else if (b->before < 0) {
        note_own(&b->own_plain, own_ns, b->plain.count == 0);
        put(&b->plain, ns);
    } else if (compares) {
        put(&b->added, b->before + ns - 2 * median(&b->plain));
    }
    b->before = sampled ? ns : -1;
    return compares;
}

bool budget_step(struct budget *b, uint64_t now_ns, bool sampled, uint64_t own_ns)
{
    bool measured = false;

    note_window(b, sampled);
    if (b->last_ns != 0 && now_ns > b->last_ns)
        measured = note_time(b, (double)(now_ns - b->last_ns), sampled, (double)own_ns);
    b->last_ns = now_ns;
    b->steps++;
    if (b->steps == BUDGET_FIRST || (measured && b->steps > BUDGET_FIRST))
        b->every = choose(b);
    return measured;
}

void budget_pause(struct budget *b)
{
    b->last_ns = 0;
    b->before = -1;
}

uint32_t budget_every(const struct budget *b)
{
    return b->every;
}

double budget_overhead(const struct budget *b)
{
    uint64_t steps = b->steps < BUDGET_WINDOW ? b->steps : BUDGET_WINDOW;
    double step = step_ns(b);

    if (!is_known(b) || step <= 0)
        return NAN;
    return ((double)b->in_window / (double)steps * added_ns(b) + b->own_plain) / step;
}
