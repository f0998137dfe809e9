#include "client/sampling.h"

#include <stdlib.h>

#include "proto/message.h"

enum { EVERY_STEP_UNTIL = 25, THEN_ONE_OF = 10 };

/* What one wished step costs: the largest `every` earns a part of it with each step. */
enum { STEP_CREDIT = SAMPLING_WISHED_ONE_OF * EVERY_MAX };
static const uint64_t CREDIT_MAX = (uint64_t)SAMPLING_WISHED_AT_ONCE * STEP_CREDIT;

uint32_t sampling_round(uint32_t every)
{
    uint32_t power = 1;

    if (every == 0)
        return 0;
    while (power < every && power < EVERY_MAX)
        power *= 2;
    return power;
}

bool sampling_open(struct sampling *s, uint32_t every, uint32_t layers)
{
    uint32_t rounded = every ? sampling_round(every) : 1;

    s->ends = calloc(layers, sizeof *s->ends);
    if (!s->ends)
        return false;
    s->layers = layers;
    s->credit = CREDIT_MAX;
    atomic_init(&s->asked, rounded);
    atomic_init(&s->own, rounded);
    atomic_init(&s->every, rounded);
    atomic_init(&s->wished, false);
    atomic_init(&s->index, 0);
    atomic_init(&s->wish_end, 0);
    atomic_init(&s->urge_end, 0);
    for (size_t i = 0; i < SAMPLING_PHASES; i++)
        atomic_init(&s->current[i], 0);
    atomic_flag_clear(&s->deciding);
    atomic_init(&s->given, 0);
    atomic_init(&s->taken, 0);
    return true;
}

void sampling_close(struct sampling *s)
{
    free(s->ends);
    s->ends = NULL;
}

void sampling_ask(struct sampling *s, uint32_t every)
{
    atomic_store(&s->asked, every ? sampling_round(every) : 1);
}

bool sampling_wish(struct sampling *s, uint32_t steps, int32_t layer)
{
    uint32_t given = atomic_load(&s->given);

    if (given - atomic_load(&s->taken) >= SAMPLING_WISHES)
        return false;
    s->wishes[given % SAMPLING_WISHES] = (struct sampling_wish){steps, layer};
    atomic_store(&s->given, given + 1);
    return true;
}

void sampling_own(struct sampling *s, uint32_t every)
{
    atomic_store(&s->own, every ? sampling_round(every) : 1);
}

static void raise_to(_Atomic uint64_t *end, uint64_t value)
{
    if (atomic_load(end) < value)
        atomic_store(end, value);
}

/* A step goes by: true where it may be a wished one, which is then paid for. */
static bool afford(struct sampling *s, bool wished)
{
    s->credit += STEP_CREDIT / SAMPLING_WISHED_ONE_OF / atomic_load(&s->every);
    if (s->credit > CREDIT_MAX)
        s->credit = CREDIT_MAX;
    if (!wished || s->credit < STEP_CREDIT)
        return false;
    s->credit -= STEP_CREDIT;
    return true;
}

void sampling_urge(struct sampling *s)
{
    uint64_t index = atomic_load(&s->index), end = atomic_load(&s->urge_end);

    if (end == 0 || index >= end + SAMPLING_REST)
        atomic_store(&s->urge_end, index + SAMPLING_URGED);
}

void sampling_decide(struct sampling *s)
{
    uint64_t index = atomic_load(&s->index);
    uint32_t asked = atomic_load(&s->asked), own = atomic_load(&s->own);

    if (atomic_flag_test_and_set(&s->deciding))
        return; /* another thread ends the same step */
    for (uint32_t taken = atomic_load(&s->taken); taken != atomic_load(&s->given);) {
        struct sampling_wish wish = s->wishes[taken % SAMPLING_WISHES];

        atomic_store(&s->taken, ++taken);
        raise_to(&s->wish_end, index + wish.steps);
        if (wish.layer >= 0 && (uint32_t)wish.layer < s->layers)
            raise_to(&s->ends[wish.layer], index + wish.steps);
    }
    atomic_store(&s->every, asked > own ? asked : own);
    atomic_store(&s->wished, afford(s, index < atomic_load(&s->wish_end)));
    atomic_flag_clear(&s->deciding);
}

bool sampling_wanted(const struct sampling *s, int32_t layer, int signal, uint64_t step)
{
    uint64_t every = atomic_load(&s->every);
    bool regular = step % every == 0;
    uint64_t nth = step / every;

    if (signal != EMBMON_WEIGHT && signal != EMBMON_UPDATE &&
        atomic_load(&s->index) < atomic_load(&s->urge_end))
        return true;
    if (atomic_load(&s->wished)) {
        if (signal == 0 || signal == EMBMON_GRADIENT)
            return true;
        if (layer >= 0 && (uint32_t)layer < s->layers &&
            atomic_load(&s->index) < atomic_load(&s->ends[layer]))
            return true;
    }
    if (signal == EMBMON_WEIGHT || signal == EMBMON_UPDATE)
        return regular && (nth < EVERY_STEP_UNTIL || nth % THEN_ONE_OF == 0);
    return regular;
}

void sampling_step(struct sampling *s, enum embmon_phase phase, uint64_t step)
{
    atomic_store(&s->current[phase], step + 1);
    if (phase == EMBMON_TRAIN) {
        atomic_fetch_add(&s->index, 1);
        sampling_decide(s);
    } else if (!atomic_flag_test_and_set(&s->deciding)) {
        /* A wish goes on through a validation, however long that is: its steps cost the same. */
        atomic_store(&s->wished, afford(s, atomic_load(&s->wished)));
        if (atomic_load(&s->index) < atomic_load(&s->urge_end)) /* but what was urged does not */
            atomic_store(&s->urge_end, atomic_load(&s->index));
        atomic_flag_clear(&s->deciding);
    }
}

uint64_t sampling_current(const struct sampling *s, enum embmon_phase phase)
{
    return atomic_load(&s->current[phase]);
}
