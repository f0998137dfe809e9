/* An outbox with a clock of its own and a receiver that remembers what it was told. */
#ifndef EMBMON_TESTS_OUTBOX_WORLD_H
#define EMBMON_TESTS_OUTBOX_WORLD_H

#include <stdio.h>
#include <string.h>

#include "daemon/alert/outbox.h"
#include "embmon/embmon.h"

enum { A_MINUTE = 60 * 1000, TOLD_MAX = 1 << 12 };

static struct outbox *outbox;
static uint64_t now_ms;     /* monotonic; the wall clock is 1000 s ahead */
static char told[TOLD_MAX]; /* " F:table R:table ..." as the receiver heard it; f and r: again */
static struct outbox_batch batch;

static const struct outbox_rules plain_rules = {
    .severity = EMBMON_WARNING, .capacity = 8, .batch = OUTBOX_BATCH_MAX, .flights = 1};

static inline void begin(const struct outbox_rules *rules)
{
    now_ms = 5000;
    told[0] = '\0';
    outbox = outbox_new(rules);
    assert_non_null(outbox);
}

static inline int end(void **state)
{
    (void)state;
    outbox_free(outbox);
    outbox = NULL;
    return 0;
}

static inline struct alert_change change_of(const char *layer, uint32_t state, uint32_t severity)
{
    return (struct alert_change){
        .time = 1000 + (double)now_ms / 1e3,
        .run = "run",
        .phase = EMBMON_TRAIN,
        .layer = layer,
        .variable = "",
        .signal = "gradient",
        .detector = "gradient_vanishing",
        .severity = severity,
        .state = state,
        .before = state == EMBMON_FIRING ? EMBMON_PENDING : EMBMON_FIRING,
        .reason = state == EMBMON_FIRING ? "" : "cleared",
        .summary = "What happened.",
        .hint = "What to do.",
    };
}

static inline void fire(const char *layer)
{
    struct alert_change change = change_of(layer, EMBMON_FIRING, EMBMON_WARNING);

    outbox_put(outbox, &change, now_ms);
}

static inline void fire_as(const char *layer, uint32_t severity)
{
    struct alert_change change = change_of(layer, EMBMON_FIRING, severity);

    outbox_put(outbox, &change, now_ms);
}

static inline void clear(const char *layer)
{
    struct alert_change change = change_of(layer, EMBMON_RESOLVED, EMBMON_WARNING);

    outbox_put(outbox, &change, now_ms);
}

static inline void hear(void)
{
    for (size_t i = 0; i < batch.count; i++) {
        const struct outbox_item *item = &batch.items[i];
        size_t used = strlen(told);
        char letter = item->change->state == EMBMON_FIRING ? 'F' : 'R';

        snprintf(told + used, TOLD_MAX - used, " %c:%s", item->again ? letter + 32 : letter,
                 item->change->layer);
    }
}

/* Everything that is due, taken by a receiver that is well. */
static inline void deliver(void)
{
    while (outbox_take(outbox, now_ms, &batch)) {
        hear();
        outbox_settle(outbox, batch.ticket, OUTBOX_DELIVERED, now_ms);
    }
}

/* One attempt at a receiver that is down; false: nothing was due. */
static inline bool try_in_vain(void)
{
    if (!outbox_take(outbox, now_ms, &batch))
        return false;
    outbox_settle(outbox, batch.ticket, OUTBOX_FAILED, now_ms);
    return true;
}

static inline struct outbox_counts counts(void)
{
    struct outbox_counts counted;

    outbox_count(outbox, &counted);
    return counted;
}

/* What was told since the last time this was asked. */
static inline const char *heard(void)
{
    static char text[TOLD_MAX];

    strcpy(text, told);
    told[0] = '\0';
    return text;
}

#endif
