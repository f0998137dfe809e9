#include "daemon/step.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/step_state.h"

enum { SPARE_STEPS_MAX = 16 }; /* kept for the next step; more go back to the system */

struct steps *steps_new(uint32_t world_size, size_t byte_budget, struct moment now)
{
    struct steps *steps = calloc(1, sizeof *steps);

    if (!steps)
        return NULL;
    steps->ranks = calloc(world_size, sizeof *steps->ranks);
    steps->waiting = calloc(world_size, STEP_PHASES * sizeof *steps->waiting);
    if (!steps->ranks || !steps->waiting) {
        free(steps->ranks);
        free(steps->waiting);
        free(steps);
        return NULL;
    }
    steps->world_size = world_size;
    steps->byte_budget = byte_budget;
    steps->started_ms = now.ms;
    for (size_t i = 0; i < STEP_PHASES; i++)
        steps->closed[i] = -1;
    return steps;
}

static void step_free(struct step *step)
{
    posts_free(step);
    free(step->posted.ranks);
    free(step->ended.ranks);
    free(step);
}

void steps_recycle(struct steps *steps, struct step *step)
{
    posts_recycle(steps, step);
    steps->bytes -= step_bytes(step);
    if (steps->spare_count >= SPARE_STEPS_MAX) {
        step_free(step);
        return;
    }
    step->posted.length = step->ended.length = 0;
    step->any_ended = step->judged_early = false;
    step->next = steps->spare_steps;
    steps->spare_steps = step;
    steps->spare_count++;
}

void steps_trim(struct steps *steps)
{
    struct step *step;

    while ((step = steps->spare_steps)) {
        steps->spare_steps = step->next;
        step_free(step);
    }
    steps->spare_count = 0;
    posts_free_spares(steps);
}

void steps_free(struct steps *steps)
{
    struct step *step;

    if (!steps)
        return;
    for (size_t i = 0; i < STEP_PHASES; i++) {
        while ((step = steps->open[i])) {
            steps->open[i] = step->next;
            steps_recycle(steps, step);
        }
    }
    steps_trim(steps);
    free(steps->ranks);
    free(steps->waiting);
    free(steps);
}

static uint32_t *waiting_of(const struct steps *steps, uint32_t phase, uint32_t rank)
{
    return &steps->waiting[(size_t)rank * STEP_PHASES + phase - 1];
}

void steps_count_waiting(struct steps *steps, const struct step *step)
{
    for (size_t i = 0; i < step->ended.length; i++)
        ++*waiting_of(steps, step->phase, step->ended.ranks[i]);
}

struct step *steps_open(struct steps *steps, uint32_t phase, uint64_t number)
{
    struct step **link = &steps->open[phase - 1], *step;

    while (*link && (*link)->number < number)
        link = &(*link)->next;
    if (*link && (*link)->number == number)
        return *link;
    step = steps->spare_steps;
    if (step) {
        steps->spare_steps = step->next;
        steps->spare_count--;
    } else if (!(step = calloc(1, sizeof *step))) {
        return NULL;
    }
    steps->bytes += step_bytes(step);
    step->phase = phase;
    step->number = number;
    step->waits_for = 0;
    step->next = *link;
    *link = step;
    steps->open_count[phase - 1]++;
    return step;
}

bool steps_late(const struct steps *steps, uint32_t phase, uint64_t number)
{
    return (int64_t)number <= steps->closed[phase - 1];
}

static void mark_ended(struct steps *steps, struct step *step, uint32_t rank, struct moment now)
{
    size_t before = step->ended.length;

    /* Without memory the step still closes, by its time-out. */
    (void)rank_list_add(&step->ended, rank);
    *waiting_of(steps, step->phase, rank) += step->ended.length > before;
    if (!step->any_ended) {
        step->any_ended = true;
        step->first_end_ms = now.ms;
        step->first_rank = rank;
    }
}

enum steps_result steps_end(struct steps *steps, uint32_t phase, uint64_t number, uint32_t rank,
                            struct moment now)
{
    if (steps_late(steps, phase, number))
        return STEPS_LATE;
    if (!steps_open(steps, phase, number))
        return STEPS_NO_MEMORY;
    steps->ranks[rank].missed[phase - 1] = false;
    for (struct step *s = steps->open[phase - 1]; s && s->number <= number; s = s->next)
        mark_ended(steps, s, rank, now);
    return STEPS_OK;
}

void steps_heard(struct steps *steps, uint32_t rank, struct moment now)
{
    steps->ranks[rank].heard = true;
    steps->ranks[rank].heard_ms = now.ms;
}

void steps_join(struct steps *steps, uint32_t rank, struct moment now)
{
    steps->ranks[rank] = (struct rank_state){.heard = true, .heard_ms = now.ms};
}

void steps_restart(struct steps *steps, struct moment now)
{
    memset(steps->ranks, 0, steps->world_size * sizeof *steps->ranks);
    steps->started_ms = now.ms;
}

void steps_leave(struct steps *steps, uint32_t rank, bool bye, struct moment now)
{
    for (size_t i = 0; i < STEP_PHASES; i++) {
        for (struct step *s = steps->open[i]; s; s = s->next) {
            if (rank_list_has(&s->posted, rank))
                mark_ended(steps, s, rank, now);
        }
    }
    if (bye)
        steps->ranks[rank] = (struct rank_state){.missed = {true, true, true}};
}

bool steps_ahead(const struct steps *steps, uint32_t rank)
{
    for (uint32_t phase = 1; phase <= STEP_PHASES; phase++) {
        if (*waiting_of(steps, phase, rank) >= STEP_AHEAD_MAX)
            return true;
    }
    return false;
}

static bool is_expected(const struct steps *steps, uint32_t phase, uint32_t rank, struct moment now)
{
    const struct rank_state *state = &steps->ranks[rank];
    uint64_t since = state->heard ? state->heard_ms : steps->started_ms;

    return !state->missed[phase - 1] && moment_since(now, since) < STEP_TIMEOUT_MS;
}

static bool is_awaited(const struct steps *steps, const struct step *step, uint32_t rank,
                       struct moment now)
{
    return is_expected(steps, step->phase, rank, now) && !rank_list_has(&step->ended, rank);
}

/* True when the step is to be closed; a rank that is waited for in vain has missed it. */
static bool is_due(struct steps *steps, struct step *step, struct moment now)
{
    if (!step->any_ended)
        return false;
    if (moment_since(now, step->first_end_ms) >= STEP_TIMEOUT_MS) {
        for (uint32_t r = 0; r < steps->world_size; r++) {
            if (!rank_list_has(&step->ended, r))
                steps->ranks[r].missed[step->phase - 1] = true;
        }
        return true;
    }
    /* Who was awaited last time most likely still is: a thousand ranks are not asked each time. */
    if (is_awaited(steps, step, step->waits_for, now))
        return false;
    for (uint32_t r = 0; r < steps->world_size; r++) {
        if (is_awaited(steps, step, r, now)) {
            step->waits_for = r;
            return false;
        }
    }
    return true;
}

struct step *steps_early(struct steps *steps, uint32_t *rank)
{
    for (size_t i = 0; i < STEP_PHASES; i++) {
        for (struct step *s = steps->open[i]; s; s = s->next) {
            if (s->any_ended && !s->judged_early) {
                s->judged_early = true;
                *rank = s->first_rank;
                return s;
            }
        }
    }
    return NULL;
}

void steps_set_budget(struct steps *steps, size_t byte_budget)
{
    steps->byte_budget = byte_budget;
}

bool steps_full(const struct steps *steps)
{
    bool full = steps->bytes > steps->byte_budget;

    for (size_t i = 0; i < STEP_PHASES; i++)
        full = full || steps->open_count[i] > STEPS_OPEN_MAX;
    return full;
}

struct step *steps_take(struct steps *steps, struct moment now, bool force)
{
    for (size_t i = 0; i < STEP_PHASES; i++) {
        struct step *oldest = steps->open[i];
        bool close = oldest && (force || steps->open_count[i] > STEPS_OPEN_MAX ||
                                steps->bytes > steps->byte_budget);

        /* A later step that is due closes the ones before it first, ended or not. */
        for (struct step *s = oldest; s && !close; s = s->next)
            close = is_due(steps, s, now);
        if (!close)
            continue;
        steps->open[i] = oldest->next;
        steps->open_count[i]--;
        steps->closed[i] = (int64_t)oldest->number;
        oldest->next = NULL;
        for (size_t r = 0; r < oldest->ended.length; r++)
            --*waiting_of(steps, oldest->phase, oldest->ended.ranks[r]);
        return oldest;
    }
    return NULL;
}

int64_t steps_closed(const struct steps *steps, uint32_t phase)
{
    return steps->closed[phase - 1];
}

void steps_set_closed(struct steps *steps, uint32_t phase, int64_t number)
{
    steps->closed[phase - 1] = number;
}

size_t steps_bytes(const struct steps *steps)
{
    return steps->bytes;
}
