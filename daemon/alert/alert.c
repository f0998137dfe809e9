#include "daemon/alert/alert.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "daemon/alert/slot.h"
#include "embmon/embmon.h"

struct alerts *alerts_new(const char *run, alert_listener *listener, void *context)
{
    static const struct ceilings standard = CEILINGS_DEFAULT;
    struct alerts *alerts = calloc(1, sizeof *alerts);

    if (alerts) {
        alerts->run = run;
        alerts->listener = listener;
        alerts->context = context;
        alerts->most = (size_t)standard.alerts;
        alerts->all_most = standard.all_alerts;
        alerts->of_run = &alerts->own[0];
        alerts->of_all = &alerts->own[1];
    }
    return alerts;
}

void alerts_free(struct alerts *alerts)
{
    struct alert *alert, *following;

    if (!alerts)
        return;
    DL_FOREACH_SAFE2(alerts->first, alert, following, after)
    {
        free(alert->ranks.ranks);
        free(alert);
    }
    alerts->of_all->used -= alerts->count;
    free(alerts->spare.ranks.ranks);
    for (size_t p = 0; p < STEP_PHASES; p++) {
        for (size_t i = 0; alerts->slots[p] && i < alerts->places * detector_count; i++)
            free(alerts->slots[p][i].clauses);
        free(alerts->slots[p]);
        pass_free(&alerts->passes[p]);
    }
    free(alerts);
}

bool slots_make_room(struct alerts *alerts, uint32_t phase, size_t layers)
{
    size_t places = layers + 1 > alerts->places ? layers + 1 : alerts->places;
    struct slot *more[STEP_PHASES] = {NULL};

    if (layers + 1 <= alerts->places && alerts->slots[phase - 1])
        return true;
    for (size_t p = 0; p < STEP_PHASES; p++) {
        if (!alerts->slots[p] && p != phase - 1)
            continue;
        more[p] = calloc(places * detector_count, sizeof *more[p]);
        if (!more[p])
            goto no_memory;
    }
    for (size_t p = 0; p < STEP_PHASES; p++) {
        for (size_t d = 0; alerts->slots[p] && d < detector_count; d++)
            memcpy(&more[p][d * places], &alerts->slots[p][d * alerts->places],
                   alerts->places * sizeof *more[p]);
        free(alerts->slots[p]);
        alerts->slots[p] = more[p];
    }
    alerts->places = places;
    return true;

no_memory:
    for (size_t p = 0; p < STEP_PHASES; p++)
        free(more[p]);
    return false;
}

/* It fires, as severe as it was found. */
static void note_fired(struct alerts *alerts, struct slot *slot, struct alert_change *change)
{
    if (slot->fired_severity == 0)
        change->fired_step = slot->first_step;
    else
        alerts->ever_fired[slot->fired_severity]--;
    if (!slot->kept)
        slot->fired_step = change->fired_step;
    if (slot->severity > slot->fired_severity)
        slot->fired_severity = slot->severity;
    alerts->ever_fired[slot->fired_severity]++;
}

void slot_tell(struct alerts *alerts, struct slot *slot, struct alert *alert, uint32_t state,
               const char *reason, uint64_t step, struct moment now)
{
    struct alert_change *change = &alert->change;

    if (state == EMBMON_FIRING && slot->state != EMBMON_FIRING) {
        alerts->firing++;
        alerts->fired++;
    } else if (state != EMBMON_FIRING && slot->state == EMBMON_FIRING) {
        alerts->firing--;
    }
    if (slot->state == EMBMON_RESOLVED) {
        alerts->active++;
        slot->level_steps = 0;
    }
    if (state == EMBMON_RESOLVED)
        alerts->active--;
    change->before = slot->state;
    slot->state = (uint8_t)state;
    slot->severity = change->severity & 15;
    if (state == EMBMON_FIRING)
        note_fired(alerts, slot, change);
    if (slot->kept)
        alerts_weigh(alerts, alert);
    else
        slot_note_variable(alerts, slot, alert);
    alert->order = alerts->orders++;
    change->time = alerts->time = now.wall;
    change->state = state;
    change->step = step;
    change->first_step = slot->first_step;
    change->fired_severity = slot->fired_severity;
    change->reason = reason;
    alerts->listener(alerts->context, change);
}

struct tracker *slot_need_clauses(struct slot *slot)
{
    if (!slot->clauses)
        slot->clauses = calloc(CLAUSES_MAX, sizeof *slot->clauses);
    return slot->clauses;
}

void slot_settle(struct slot *slot)
{
    for (size_t c = 0; slot->clauses && c < CLAUSES_MAX; c++) {
        if (slot_clause(slot, c) != EMBMON_RESOLVED)
            return;
    }
    slot_reset(slot); /* whose state is resolved has no history either */
}

void slot_reset(struct slot *slot)
{
    free(slot->clauses);
    slot->clauses = NULL;
}

void slot_resolve(struct alerts *alerts, struct slot *slot, const char *reason, uint64_t step,
                  struct moment now)
{
    struct alert *alert = slot_spoken(alerts, slot);

    slot_reset(slot);
    summary_end(alert->summary, "; over at step %" PRIu64 " (%s)", step, reason);
    slot_tell(alerts, slot, alert, EMBMON_RESOLVED, reason, step, now);
}

void slot_close(struct alerts *alerts, struct slot *slot, const char *why, uint64_t step,
                struct moment now)
{
    struct alert *alert = slot_spoken(alerts, slot);

    slot_reset(slot);
    summary_end(alert->summary, "; still %s when %s at step %" PRIu64, state_name(slot->state), why,
                step);
    slot_tell(alerts, slot, alert, EMBMON_RESOLVED, "closed", step, now);
}

void slot_new_level(struct alerts *alerts, struct slot *slot, size_t detector, uint64_t step,
                    struct moment now)
{
    bool was_level = false, stays = false;

    for (size_t c = 0; c < CLAUSES_MAX; c++) {
        if (slot_clause(slot, c) == EMBMON_RESOLVED)
            continue;
        if (detectors[detector].clauses[c].of_level) {
            tracker_reset(&slot->clauses[c]); /* it is up: they are there */
            was_level = true;
        } else {
            stays = true;
        }
    }
    slot->level_steps = 0;
    slot_settle(slot);
    if (was_level && !stays)
        slot_resolve(alerts, slot, "new level", step, now);
}

/* ---- ending */

void alerts_new_level(struct alerts *alerts, uint64_t step, struct moment now)
{
    struct slot *slots = alerts->slots[EMBMON_TRAIN - 1];

    for (size_t i = 0; slots && i < alerts->places * detector_count; i++) {
        if (slots[i].state != EMBMON_RESOLVED &&
            detectors[i / alerts->places].freezes != FREEZES_NOTHING)
            slot_new_level(alerts, &slots[i], i / alerts->places, step, now);
    }
}

void alerts_time_over(struct alerts *alerts, uint64_t step, struct moment now)
{
    struct slot *slots = alerts->slots[EMBMON_TRAIN - 1];

    for (size_t i = 0; slots && i < alerts->places * detector_count; i++) {
        if (detectors[i / alerts->places].at == AT_TIME && slots[i].state != EMBMON_RESOLVED)
            slot_resolve(alerts, &slots[i], "cleared", step, now);
    }
}

void alerts_close(struct alerts *alerts, uint32_t phase, uint64_t step, struct moment now)
{
    struct slot *slots = alerts->slots[phase - 1];

    for (size_t i = 0; slots && i < alerts->places * detector_count; i++) {
        if (slots[i].state != EMBMON_RESOLVED)
            slot_close(alerts, &slots[i], "the run was closed", step, now);
    }
}

/* ---- asking */

bool alerts_freeze(const struct alerts *alerts, size_t layer)
{
    const struct slot *slots = alerts->slots[EMBMON_TRAIN - 1];

    if (alerts->active == 0)
        return false;
    for (size_t d = 0; slots && d < detector_count; d++) {
        const struct slot *of = &slots[d * alerts->places];

        if (layer != DETECT_MODEL) {
            if (detectors[d].freezes && of[layer + 1].state != EMBMON_RESOLVED)
                return true;
            continue;
        }
        for (size_t p = 0; detectors[d].freezes == FREEZES_MODEL && p < alerts->places; p++) {
            if (of[p].state != EMBMON_RESOLVED)
                return true;
        }
    }
    return false;
}

bool alerts_up(const struct alerts *alerts, size_t detector, size_t layer)
{
    if (alerts->active == 0 || !alerts->slots[EMBMON_TRAIN - 1] || layer + 1 >= alerts->places)
        return false;
    return slot_of(alerts, EMBMON_TRAIN, detector, layer)->state != EMBMON_RESOLVED;
}

/* The detector with the worst state in training about the layer, detector_count: none is up. */
static size_t worst_detector(const struct alerts *alerts, size_t layer, uint32_t *state)
{
    size_t worst = detector_count;

    *state = EMBMON_RESOLVED;
    if (!alerts->slots[EMBMON_TRAIN - 1] || layer + 1 >= alerts->places)
        return worst;
    for (size_t d = 0; d < detector_count; d++) {
        const struct slot *slot = slot_of(alerts, EMBMON_TRAIN, d, layer);

        if (slot->state > *state) {
            *state = slot->state;
            worst = d;
        }
    }
    return worst;
}

uint32_t alerts_layer_state(const struct alerts *alerts, size_t layer)
{
    uint32_t state;

    (void)worst_detector(alerts, layer, &state);
    return state;
}

const char *alerts_layer_detector(const struct alerts *alerts, size_t layer)
{
    uint32_t state;
    size_t d = worst_detector(alerts, layer, &state);

    return d < detector_count ? detectors[d].name : "";
}

bool alerts_pending(const struct alerts *alerts, size_t layer)
{
    if (!alerts->slots[EMBMON_TRAIN - 1] || layer + 1 >= alerts->places)
        return false;
    for (size_t d = 0; d < detector_count; d++) {
        const struct slot *slot = slot_of(alerts, EMBMON_TRAIN, d, layer);

        if (slot->state == EMBMON_PENDING && slot->severity > EMBMON_INFO)
            return true;
    }
    return false;
}

const char *alerts_silent(const struct alerts *alerts, size_t detector, size_t layer)
{
    if (!alerts->slots[EMBMON_TRAIN - 1] || layer + 1 >= alerts->places)
        return "no step was judged yet";
    return slot_of(alerts, EMBMON_TRAIN, detector, layer)->silent;
}

bool alerts_any(const struct alerts *alerts)
{
    return alerts->active > 0;
}

size_t alerts_firing(const struct alerts *alerts)
{
    return alerts->firing;
}

uint64_t alerts_fired(const struct alerts *alerts)
{
    return alerts->fired;
}

size_t alerts_kept(const struct alerts *alerts)
{
    return alerts->count;
}

size_t alerts_ever_fired(const struct alerts *alerts, uint32_t severity)
{
    return alerts->ever_fired[severity];
}

void alerts_each(const struct alerts *alerts,
                 void (*each)(void *context, const struct alert_change *change, bool ever_fired),
                 void *context)
{
    const struct alert *alert;

    DL_FOREACH2(alerts->first, alert, after)
    each(context, &alert->change, alert->change.fired_severity > 0);
}
