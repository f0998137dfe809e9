#include "daemon/alert/alert.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/alert/slot.h"
#include "embmon/embmon.h"

struct alerts *alerts_new(const char *run, alert_listener *listener, void *context)
{
    struct alerts *alerts = calloc(1, sizeof *alerts);

    if (alerts) {
        alerts->run = run;
        alerts->listener = listener;
        alerts->context = context;
    }
    return alerts;
}

void alerts_free(struct alerts *alerts)
{
    if (!alerts)
        return;
    for (size_t i = 0; i < alerts->count; i++) {
        free(alerts->all[i]->ranks.ranks);
        free(alerts->all[i]);
    }
    for (size_t p = 0; p < STEP_PHASES; p++) {
        for (size_t i = 0; alerts->slots[p] && i < alerts->places * detector_count; i++)
            free(alerts->slots[p][i].clauses);
        free(alerts->slots[p]);
        pass_free(&alerts->passes[p]);
    }
    free(alerts->all);
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

struct alert *slot_alert(struct alerts *alerts, struct slot *slot, size_t detector, uint32_t phase,
                         const char *layer)
{
    struct alert *alert;

    if (slot->alert)
        return slot->alert;
    if (alerts->count == alerts->capacity) {
        size_t capacity = alerts->capacity ? alerts->capacity * 2 : 16;
        struct alert **more = reallocarray(alerts->all, capacity, sizeof(struct alert *));

        if (!more)
            return NULL;
        alerts->all = more;
        alerts->capacity = capacity;
    }
    alert = calloc(1, sizeof *alert);
    if (!alert)
        return NULL;
    alert->change = (struct alert_change){
        .run = alerts->run,
        .phase = phase,
        .layer = layer,
        .variable = "",
        .signal = detectors[detector].signal,
        .detector = detectors[detector].name,
        .severity = detectors[detector].severity,
        .summary = alert->summary,
        .hint = alert->hint,
        .reason = "",
    };
    slot->alert = alerts->all[alerts->count++] = alert;
    return alert;
}

void slot_tell(struct alerts *alerts, struct slot *slot, uint32_t state, const char *reason,
               uint64_t step, struct moment now)
{
    struct alert *alert = slot->alert;
    struct alert_change *change = &alert->change;

    if (state == EMBMON_FIRING && slot->state != EMBMON_FIRING) {
        alerts->firing++;
        alerts->fired++;
        if (!alert->ever_fired)
            change->fired_step = slot->first_step;
        alert->ever_fired = true;
    } else if (state != EMBMON_FIRING && slot->state == EMBMON_FIRING) {
        alerts->firing--;
    }
    if (state == EMBMON_FIRING && change->severity > change->fired_severity)
        change->fired_severity = change->severity;
    if (slot->state == EMBMON_RESOLVED) {
        alerts->active++;
        slot->level_steps = 0;
    }
    if (state == EMBMON_RESOLVED)
        alerts->active--;
    change->before = slot->state;
    slot->state = state;
    change->time = now.wall;
    change->state = state;
    change->step = step;
    change->first_step = slot->first_step;
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
    slot_reset(slot);
    summary_end(slot->alert->summary, "; over at step %" PRIu64 " (%s)", step, reason);
    slot_tell(alerts, slot, EMBMON_RESOLVED, reason, step, now);
}

void slot_close(struct alerts *alerts, struct slot *slot, const char *why, uint64_t step,
                struct moment now)
{
    slot_reset(slot);
    summary_end(slot->alert->summary, "; still %s when %s at step %" PRIu64,
                state_name(slot->state), why, step);
    slot_tell(alerts, slot, EMBMON_RESOLVED, "closed", step, now);
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

        if (slot->state == EMBMON_PENDING && slot->alert->change.severity > EMBMON_INFO)
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

void alerts_each(const struct alerts *alerts,
                 void (*each)(void *context, const struct alert_change *change, bool ever_fired),
                 void *context)
{
    for (size_t i = 0; i < alerts->count; i++)
        each(context, &alerts->all[i]->change, alerts->all[i]->ever_fired);
}
