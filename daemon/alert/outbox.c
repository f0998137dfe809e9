#include "daemon/alert/outbox.h"

#include <stdio.h>
#include <string.h>

#include "daemon/alert/outbox_state.h"
#include "proto/name.h"

enum { KEY_MAX = NAME_RUN_MAX + 2 * NAME_LAYER_MAX + DETECTOR_MAX + 32 };

void outbox_remove(struct outbox *outbox, struct entry *entry)
{
    HASH_DEL(outbox->index, entry);
    DL_DELETE2(outbox->first, entry, before, after);
    letter_drop(&entry->told);
    letter_drop(&entry->next);
    letter_drop(&entry->last);
    letter_drop(&entry->flying);
    free(entry);
}

struct outbox *outbox_new(const struct outbox_rules *rules)
{
    struct outbox *outbox = calloc(1, sizeof *outbox);

    if (outbox)
        outbox->rules = *rules;
    return outbox;
}

void outbox_free(struct outbox *outbox)
{
    struct entry *entry, *following;

    if (!outbox)
        return;
    DL_FOREACH_SAFE2(outbox->first, entry, following, after)
    outbox_remove(outbox, entry);
    free(outbox);
}

bool outbox_holds(const struct outbox *outbox, const struct entry *entry,
                  const struct letter *letter, uint64_t now_ms)
{
    if (outbox->hurry)
        return false;
    if (is_over(letter))
        return entry->over && within(now_ms, entry->over_ms, OUTBOX_QUIET_MS);
    return entry->fired && within(now_ms, entry->fired_ms, OUTBOX_QUIET_MS) &&
           letter->change->severity <= entry->fired_severity;
}

/* ---- taking changes in */

/* How hard it would be to do without this alert: what fires before what is over, what is not told
 * before what is, then by severity. */
static uint32_t weight_of(const struct entry *entry)
{
    const struct letter *newest = entry->last.change   ? &entry->last
                                  : entry->next.change ? &entry->next
                                                       : &entry->told;
    uint32_t severity = newest->change ? newest->change->severity : 0;

    return (is_firing(newest) ? 16u : 0u) + (entry->next.change ? 8u : 0u) + (severity & 7);
}

/* Makes room for one more alert; false: what there is matters more. */
static bool make_room(struct outbox *outbox, const struct alert_change *change)
{
    struct entry *least = NULL;
    uint32_t weight = (change->state == EMBMON_FIRING ? 16u : 0u) + 8u + (change->severity & 7);

    if (HASH_COUNT(outbox->index) < outbox->rules.capacity)
        return true;
    for (struct entry *entry = outbox->first; entry; entry = entry->after) {
        if (!entry->ticket && weight_of(entry) < weight) {
            least = entry;
            weight = weight_of(entry);
        }
    }
    if (!least)
        return false;
    outbox->counts.dropped += weight >= 8; /* it waits, or its end will not be told of */
    outbox_remove(outbox, least);
    return true;
}

static size_t key_of(char key[KEY_MAX], const struct alert_change *c)
{
    int n = snprintf(key, KEY_MAX, "%s\n%u\n%s\n%s\n%s", c->run, (unsigned)c->phase, c->layer,
                     c->variable, c->detector);

    return n < 0 ? 0 : n < KEY_MAX ? (size_t)n : KEY_MAX - 1;
}

static struct entry *entry_new(struct outbox *outbox, const char *key, size_t n)
{
    struct entry *entry = calloc(1, sizeof *entry + n + 1);

    if (!entry)
        return NULL;
    memcpy(entry->key, key, n);
    HASH_ADD_KEYPTR(hh, outbox->index, entry->key, n, entry);
    if (!entry->hh.tbl) { /* how uthash reports that it could not grow */
        free(entry);
        return NULL;
    }
    DL_APPEND2(outbox->first, entry, before, after);
    return entry;
}

/* What the receiver knows, supposing that what is under way arrives. */
static const struct letter *known(const struct entry *entry)
{
    return entry->flying.change ? &entry->flying : &entry->told;
}

/* The change becomes the one letter that waits, or stands behind it. */
static bool enclose(struct letter *to, const struct alert_change *change, double started)
{
    struct letter letter = {change_copy(change), started};

    if (letter.change)
        letter_move(to, &letter);
    return to->change != NULL;
}

static void put_firing(struct outbox *outbox, struct entry *entry,
                       const struct alert_change *change)
{
    const struct letter *before = known(entry);
    double started = is_firing(before)                                ? before->started
                     : is_firing(&entry->next) && !entry->last.change ? entry->next.started
                                                                      : change->time;

    letter_drop(&entry->last);
    if (is_firing(before) && before->change->severity == change->severity && !entry->doubt)
        letter_drop(&entry->next); /* it has been told that already */
    else if (!enclose(&entry->next, change, started))
        outbox->counts.dropped++;
}

static void put_over(struct outbox *outbox, struct entry *entry, const struct alert_change *change,
                     uint64_t now_ms)
{
    const struct letter *before = known(entry);
    double started = is_firing(&entry->next) ? entry->next.started
                     : before->change        ? before->started
                                             : change->time;
    bool waits = is_firing(&entry->next);

    if (waits && !outbox->failures && !entry->doubt &&
        !outbox_holds(outbox, entry, &entry->next, now_ms)) {
        if (!enclose(&entry->last, change, started))
            outbox->counts.dropped++;
        return;
    }
    letter_drop(&entry->last);
    if (is_over(before) && !entry->doubt)
        letter_drop(&entry->next);
    else if (!enclose(&entry->next, change, started))
        outbox->counts.dropped++;
}

void outbox_put(struct outbox *outbox, const struct alert_change *change, uint64_t now_ms)
{
    bool over = change->state == EMBMON_RESOLVED;
    char key[KEY_MAX];
    size_t n = key_of(key, change);
    struct entry *entry = NULL;

    if (change->state == EMBMON_PENDING || (over && change->before != EMBMON_FIRING))
        return;
    HASH_FIND(hh, outbox->index, key, n, entry);
    if (change->severity < outbox->rules.severity &&
        (!entry || !(is_firing(known(entry)) || is_firing(&entry->next))))
        return;
    if (!entry && (!make_room(outbox, change) || !(entry = entry_new(outbox, key, n)))) {
        outbox->counts.dropped++;
        return;
    }
    if (over)
        put_over(outbox, entry, change, now_ms);
    else
        put_firing(outbox, entry, change);
    /* To the end: tellings come in the order of the newest changes. */
    DL_DELETE2(outbox->first, entry, before, after);
    DL_APPEND2(outbox->first, entry, before, after);
}

/* ---- asking */

bool outbox_idle(const struct outbox *outbox)
{
    for (const struct entry *entry = outbox->first; entry; entry = entry->after) {
        if (entry->next.change)
            return false;
    }
    return outbox->flights == 0;
}

uint32_t outbox_failures(const struct outbox *outbox)
{
    return outbox->failures;
}

void outbox_count(const struct outbox *outbox, struct outbox_counts *counts)
{
    *counts = outbox->counts;
    for (const struct entry *entry = outbox->first; entry; entry = entry->after)
        counts->waiting += entry->next.change || entry->flying.change;
}
