/* What an outbox gives out when it is due, and what becomes of it. */
#include <string.h>

#include "daemon/alert/outbox_state.h"

/* True when what was told is to be told once more. */
static bool is_again(const struct outbox *outbox, const struct entry *entry, uint64_t now_ms)
{
    if (!outbox->rules.resend_ms || outbox->hurry || !entry->told.change ||
        within(now_ms, entry->told_ms, outbox->rules.resend_ms))
        return false;
    return is_firing(&entry->told) || within(now_ms, entry->over_ms, OUTBOX_RETAIN_MS);
}

/* True when there is nothing left to say about it, nor to remember for the quiet time. */
static bool is_done(const struct outbox *outbox, const struct entry *entry, uint64_t now_ms)
{
    uint64_t kept_ms = outbox->rules.resend_ms ? OUTBOX_RETAIN_MS : OUTBOX_QUIET_MS;

    return !entry->ticket && !entry->next.change && !is_firing(&entry->told) &&
           !(entry->fired && within(now_ms, entry->fired_ms, OUTBOX_QUIET_MS)) &&
           !(entry->over && within(now_ms, entry->over_ms, kept_ms));
}

/* ---- giving out what is due */

/* What is to be told of the alert: what waits, or what was told before; NULL: nothing yet. */
static const struct letter *due(const struct outbox *outbox, const struct entry *entry, bool again,
                                uint64_t now_ms)
{
    bool waits = entry->next.change && !outbox_holds(outbox, entry, &entry->next, now_ms);

    if (entry->ticket || waits == again)
        return NULL;
    if (!again)
        return &entry->next;
    return is_again(outbox, entry, now_ms) ? &entry->told : NULL;
}

static void add_item(struct outbox_batch *batch, struct entry *entry, bool again)
{
    const struct letter *letter = again ? &entry->told : &entry->flying;

    if (!again) {
        letter_move(&entry->flying, &entry->next);
        letter_move(&entry->next, &entry->last);
        entry->held = false;
    }
    uint32_t bit = 1u << (letter->change->severity & 7);
    if (is_firing(letter))
        entry->believed |= bit;
    entry->ticket = batch->ticket;
    batch->items[batch->count++] = (struct outbox_item){
        .change = letter->change,
        .started = letter->started,
        .also = entry->believed & ~bit,
        .again = again,
    };
}

static bool same_group(const struct alert_change *a, const struct alert_change *b)
{
    return strcmp(a->run, b->run) == 0 && strcmp(a->detector, b->detector) == 0;
}

/* True when it may be told together with what is in the batch. */
static bool fits(const struct outbox *outbox, const struct outbox_batch *batch,
                 const struct letter *letter)
{
    return !outbox->rules.one_group || batch->pooled || batch->count == 0 ||
           same_group(batch->items[0].change, letter->change);
}

/* Of alerts of at least this severity. */
static void collect(struct outbox *outbox, struct outbox_batch *batch, bool again,
                    uint32_t severity, uint64_t now_ms)
{
    struct entry *entry, *following;

    DL_FOREACH_SAFE2(outbox->first, entry, following, after)
    {
        const struct letter *letter = due(outbox, entry, again, now_ms);

        if (batch->count == outbox->rules.batch)
            return;
        if (is_done(outbox, entry, now_ms))
            outbox_remove(outbox, entry);
        else if (letter && letter->change->severity >= severity && fits(outbox, batch, letter))
            add_item(batch, entry, again);
    }
}

/* Counts what is due and has to wait. */
static void hold_back(struct outbox *outbox, uint64_t now_ms)
{
    for (struct entry *entry = outbox->first; entry; entry = entry->after) {
        bool change = due(outbox, entry, false, now_ms) != NULL;

        outbox->pooled = outbox->pooled || change || due(outbox, entry, true, now_ms);
        outbox->counts.held += change && !entry->held;
        entry->held = entry->held || change;
    }
}

static size_t count_waiting(const struct outbox *outbox)
{
    size_t count = 0;

    for (const struct entry *entry = outbox->first; entry; entry = entry->after)
        count += entry->next.change != NULL;
    return count;
}

bool outbox_take(struct outbox *outbox, uint64_t now_ms, struct outbox_batch *batch)
{
    size_t a_minute = outbox->hurry ? 0 : outbox->rules.a_minute;

    batch->count = 0;
    if (outbox->failures && (now_ms < outbox->retry_ms || outbox->flights > 0))
        return false; /* one knocks until the door opens */
    if (outbox->flights >= outbox->rules.flights)
        return false;
    if (a_minute && !rate_allows(&outbox->rate, a_minute, now_ms)) {
        hold_back(outbox, now_ms);
        return false;
    }
    if (++outbox->last_ticket == 0)
        outbox->last_ticket = 1;
    batch->ticket = outbox->last_ticket;
    batch->pooled = outbox->pooled;
    for (uint32_t s = batch->pooled ? EMBMON_CRITICAL : EMBMON_INFO; s >= EMBMON_INFO; s--)
        collect(outbox, batch, false, s, now_ms);
    collect(outbox, batch, true, EMBMON_INFO, now_ms);
    if (batch->count == 0)
        return false;
    batch->more = count_waiting(outbox);
    outbox->pooled = false;
    outbox->flights++;
    if (a_minute)
        rate_take(&outbox->rate, a_minute, now_ms);
    return true;
}

/* ---- how it went */

/* The receiver has it, or never will. */
static void settle_told(struct entry *entry, uint64_t now_ms)
{
    bool again = !entry->flying.change;

    entry->told_ms = now_ms;
    if (!again) {
        letter_move(&entry->told, &entry->flying);
        entry->doubt = false;
    }
    uint32_t severity = entry->told.change->severity;
    if (is_over(&entry->told)) {
        entry->believed = 0;
        if (!again) {
            entry->over = true;
            entry->over_ms = now_ms;
        }
        return;
    }
    entry->believed = 1u << (severity & 7);
    if (again)
        return;
    if (!entry->fired || !within(now_ms, entry->fired_ms, OUTBOX_QUIET_MS) ||
        severity > entry->fired_severity)
        entry->fired_severity = severity;
    entry->fired = true;
    entry->fired_ms = now_ms;
}

/* What did not arrive waits again, unless something newer does already. */
static void settle_failed(struct entry *entry)
{
    if (!entry->flying.change)
        return;
    entry->doubt = true;
    if (entry->next.change)
        letter_drop(&entry->flying);
    else
        letter_move(&entry->next, &entry->flying);
}

/* Nobody will be told what waits. */
static void abandon(struct outbox *outbox, struct entry *entry)
{
    outbox->counts.dropped += entry->next.change != NULL;
    outbox->counts.dropped += entry->last.change != NULL;
    letter_drop(&entry->next);
    letter_drop(&entry->last);
}

/* The receiver is out of order: all that waits becomes its newest state, and is tried later. */
static void back_off(struct outbox *outbox, uint64_t now_ms)
{
    uint64_t wait_ms = OUTBOX_BACKOFF_MS;
    uint32_t jitter = (outbox->rules.seed ^ outbox->last_ticket) * 2654435761u >> 16;

    for (uint32_t i = 0; i < outbox->failures && wait_ms < OUTBOX_BACKOFF_MAX_MS; i++)
        wait_ms *= 2;
    if (wait_ms > OUTBOX_BACKOFF_MAX_MS)
        wait_ms = OUTBOX_BACKOFF_MAX_MS;
    outbox->retry_ms = now_ms + wait_ms - wait_ms * jitter / 4 / UINT16_MAX;
    outbox->failures++;
    for (struct entry *entry = outbox->first; entry; entry = entry->after) {
        if (outbox->hurry)
            abandon(outbox, entry);
        else if (entry->last.change)
            letter_move(&entry->next, &entry->last);
    }
}

void outbox_settle(struct outbox *outbox, uint32_t ticket, enum outbox_outcome outcome,
                   uint64_t now_ms)
{
    for (struct entry *entry = outbox->first; entry; entry = entry->after) {
        if (entry->ticket != ticket)
            continue;
        bool change = entry->flying.change != NULL;
        if (outcome == OUTBOX_FAILED)
            settle_failed(entry);
        else
            settle_told(entry, now_ms);
        outbox->counts.delivered += change && outcome == OUTBOX_DELIVERED;
        outbox->counts.dropped += change && outcome == OUTBOX_REFUSED;
        entry->ticket = 0;
    }
    outbox->flights--;
    outbox->counts.failed += outcome != OUTBOX_DELIVERED;
    if (outcome == OUTBOX_FAILED)
        back_off(outbox, now_ms);
    else
        outbox->failures = 0;
}

void outbox_hurry(struct outbox *outbox)
{
    outbox->hurry = true;
    outbox->retry_ms = 0;
}
