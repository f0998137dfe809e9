#include "client/loans.h"

#include <string.h>

#include "client/state.h"

void loans_open(struct loans *loans, struct tensor_tools *tools)
{
    loans->tools = tools;
}

/* False: too much would be lent. */
static bool take_room(struct loans *loans, size_t bytes)
{
    size_t lent = atomic_load(&loans->bytes);

    do {
        if (bytes > LOANS_BYTES - lent)
            return false;
    } while (!atomic_compare_exchange_weak(&loans->bytes, &lent, lent + bytes));
    return true;
}

bool loans_lend(struct state *state, const struct loan *loan, uint64_t *ticket)
{
    struct loans *loans = &state->loans;
    struct record *record;

    if (atomic_load(&state->closing) || !take_room(loans, loan->bytes))
        return false;
    record = inbox_reserve(state->inbox, sizeof *record + sizeof *loan);
    if (!record) {
        atomic_fetch_sub(&loans->bytes, loan->bytes);
        return false;
    }
    atomic_fetch_add(&state->counters.produced, 1);
    record->lent = true;
    memcpy(record->room, loan, sizeof *loan);
    *ticket = inbox_end(record);
    inbox_commit(record);
    return true;
}

/* ---- the sender's
 * ------------------------------------------------------------------------------------ */

static const struct loan *loan_of(const struct record *record)
{
    return (const struct loan *)(const void *)record->room;
}

size_t loans_bytes(const struct record *record)
{
    return record->lent ? loan_of(record)->bytes : 0;
}

static void make_sample(const struct loan *loan, struct tensor_tools *tools,
                        struct message *message, uint64_t *counts)
{
    const struct tensor_place *place = &loan->place;
    struct msg_sample *sample = &message->sample;
    struct summary *s = &sample->summary;
    struct tally tally;

    message->type = FRAME_SAMPLE;
    sample->target = (uint32_t)place->target->id;
    sample->signal = (uint32_t)place->signal;
    sample->phase = (uint32_t)place->phase;
    sample->step = place->step;
    tally_start(&tally);
    tensor_measure(&tally, s, place, &loan->tensor, tools);
    s->negative.counts = counts;
    s->positive.counts = counts + s->negative.length;
    tally_counts(&tally, true, s->negative.first, s->negative.length, s->negative.counts);
    tally_counts(&tally, false, s->positive.first, s->positive.length, s->positive.counts);
}

static void release(const struct loan *loan)
{
    if (loan->release)
        loan->release(loan->context);
}

void loans_forget(struct inbox *inbox)
{
    const struct record *record;

    while (inbox && (record = inbox_peek(inbox))) {
        if (record->lent)
            release(loan_of(record));
        inbox_pop(inbox);
    }
}

bool loans_settle(struct loans *loans, struct record *record, uint64_t *counts)
{
    bool ended;

    if (!record->lent)
        return true;
    /* Either we see that they have ended, or who ends them sees that we read. */
    atomic_store(&loans->reading, true);
    ended = atomic_load(&loans->ended);
    if (!ended)
        make_sample(loan_of(record), loans->tools, &record->message, counts);
    release(loan_of(record));
    atomic_store(&loans->reading, false);
    atomic_fetch_sub(&loans->bytes, loan_of(record)->bytes);
    return !ended;
}

/* ---- the end
 * ----------------------------------------------------------------------------------------- */

void loans_end(struct loans *loans)
{
    atomic_store(&loans->ended, true);
}

bool loans_are_read(const struct loans *loans)
{
    return atomic_load(&loans->reading);
}
