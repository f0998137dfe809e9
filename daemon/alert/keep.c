/* Which alerts are kept, where there are more than there may be. What matters least goes: of what
 * is over what never fired and then the least severe, the oldest first; of what is up only what
 * matters less than the new one. What is not kept has its slot: that it is up, since when, how
 * severe it is and was. So it is told as every other one, is over when it is over, and is counted;
 * only what it found is not said twice. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "daemon/alert/slot.h"
#include "embmon/embmon.h"

enum { WEIGHT_UP = EMBMON_CRITICAL + 1 }; /* from here on it is up */

_Static_assert(WEIGHT_UP + EMBMON_CRITICAL < ALERT_WEIGHTS, "each has its list");

uint32_t alert_weight(uint32_t state, uint32_t severity, uint32_t fired_severity)
{
    if (state == EMBMON_RESOLVED)
        return fired_severity;
    return WEIGHT_UP + (state == EMBMON_FIRING ? severity : 0);
}

static uint32_t weight_of(const struct slot *slot)
{
    return alert_weight(slot->state, slot->severity, slot->fired_severity);
}

void alerts_weigh(struct alerts *alerts, struct alert *alert)
{
    uint32_t weight = weight_of(alert_slot(alerts, alert));

    if (alert->weighed)
        DL_DELETE2(alerts->by_weight[alert->weight], alert, lighter, heavier);
    DL_APPEND2(alerts->by_weight[weight], alert, lighter, heavier);
    alert->weight = weight;
    alert->weighed = true;
}

/* 1 + the variable's index, 0 for the layer's own, whose name is "". They are looked for from the
 * layer's own on: most are declared with their layer. */
static uint32_t variable_index(const struct model *model, size_t layer, const char *name)
{
    size_t first = *name ? model->layers[layer].table : 0;

    for (size_t i = 0; *name && i < model->variable_count; i++) {
        size_t v = (first + i) % model->variable_count;

        if (model->variables[v].name == name && model->variables[v].layer == layer)
            return (uint32_t)v + 1;
    }
    return 0;
}

void slot_note_variable(const struct alerts *alerts, struct slot *slot, const struct alert *alert)
{
    slot->variable = slot->state == EMBMON_RESOLVED || alert->place == 0
                         ? 0
                         : variable_index(alerts->model, alert->place - 1, alert->change.variable);
}

static void forget(struct alerts *alerts, struct alert *alert)
{
    struct slot *slot = alert_slot(alerts, alert);

    slot_note_variable(alerts, slot, alert);
    slot->kept = false;
    slot->fired_step = alert->change.fired_step;
    DL_DELETE2(alerts->first, alert, before, after);
    DL_DELETE2(alerts->by_weight[alert->weight], alert, lighter, heavier);
    alerts->count--;
    alerts->of_all->used--;
    alerts->left_out = true;
    free(alert->ranks.ranks);
    free(alert);
}

/* The gauge of the limit that is in the way of one more, NULL: none is. */
static struct gauge *in_the_way(const struct alerts *alerts, size_t more)
{
    if (alerts->count + more > alerts->most)
        return alerts->of_run;
    if (alerts->of_all->used + more > alerts->all_most && alerts->count + more > ALERTS_LEAST)
        return alerts->of_all;
    return NULL;
}

/* Makes it so that `more` can be kept, at the cost of what weighs less. */
static bool make_room(struct alerts *alerts, size_t more, uint32_t weight)
{
    struct gauge *gauge;

    while ((gauge = in_the_way(alerts, more))) {
        struct alert *least = NULL;

        gauge->refused++;
        for (size_t w = 0; w < weight && !least; w++)
            least = alerts->by_weight[w];
        if (!least) {
            alerts->left_out = true;
            return false;
        }
        forget(alerts, least);
    }
    return true;
}

void alerts_limit(struct alerts *alerts, uint64_t most, uint64_t all_most)
{
    alerts->most = (size_t)most;
    alerts->all_most = all_most;
    (void)make_room(alerts, 0, ALERT_WEIGHTS);
}

void alerts_share(struct alerts *alerts, struct gauge *of_run, struct gauge *of_all)
{
    of_all->used += alerts->count;
    alerts->of_all->used -= alerts->count;
    alerts->of_run = of_run;
    alerts->of_all = of_all;
}

/* What the slot knows of its alert. */
static void begin(const struct alerts *alerts, struct alert *alert, uint32_t phase, size_t detector,
                  size_t place)
{
    const struct slot *slot = &alerts->slots[phase - 1][detector * alerts->places + place];
    const struct model *model = alerts->model;

    alert->detector = detector;
    alert->place = place;
    alert->change = (struct alert_change){
        .time = alerts->time,
        .run = alerts->run,
        .phase = phase,
        .layer = place > 0 ? model->layers[place - 1].path : "",
        .variable = slot->variable ? model->variables[slot->variable - 1].name : "",
        .signal = detectors[detector].signal,
        .detector = detectors[detector].name,
        .severity = slot->severity ? slot->severity : detectors[detector].severity,
        .fired_severity = slot->fired_severity,
        .fired_step = slot->kept ? slot->alert->change.fired_step : slot->fired_step,
        .state = slot->state,
        .before = slot->state,
        .step = slot->first_step,
        .first_step = slot->first_step,
        .summary = alert->summary,
        .hint = alert->hint,
        .reason = "",
    };
    alert->hint[0] = '\0';
    (void)snprintf(alert->summary, sizeof alert->summary,
                   "%s%s%s is up since step %" PRIu64 "; what was found is in its earlier changes",
                   detectors[detector].name, place > 0 ? " of " : "", alert->change.layer,
                   slot->first_step);
}

struct alert *alert_keep(struct alerts *alerts, uint32_t phase, size_t detector, size_t place)
{
    struct alert *alert = calloc(1, sizeof *alert);
    struct slot *slot;

    if (!alert)
        return NULL;
    begin(alerts, alert, phase, detector, place);
    DL_APPEND2(alerts->first, alert, before, after);
    alerts->count++;
    alerts->of_all->used++;
    slot = alert_slot(alerts, alert);
    slot->alert = alert;
    slot->kept = true;
    slot->variable = 0; /* the alert knows it */
    return alert;
}

struct alert *slot_alert(struct alerts *alerts, struct slot *slot, uint32_t phase, size_t detector,
                         size_t place, uint32_t weight)
{
    struct alert *alert = slot_kept(slot);

    if (!alert && make_room(alerts, 1, weight))
        alert = alert_keep(alerts, phase, detector, place);
    if (alert)
        return alert;
    alerts->left_out = true; /* also where there is no memory */
    return slot_spoken(alerts, slot);
}

struct alert *slot_spoken(struct alerts *alerts, const struct slot *slot)
{
    size_t of_phase = alerts->places * detector_count;

    if (slot->kept)
        return slot->alert;
    for (uint32_t phase = 1; phase <= STEP_PHASES; phase++) {
        const struct slot *slots = alerts->slots[phase - 1];

        if (slots && slot >= slots && slot < slots + of_phase) {
            size_t i = (size_t)(slot - slots);

            free(alerts->spare.ranks.ranks);
            alerts->spare.ranks = (struct rank_list){0};
            begin(alerts, &alerts->spare, phase, i / alerts->places, i % alerts->places);
        }
    }
    return &alerts->spare;
}

/* ---- asking about what is not kept */

void alerts_each_firing(const struct alerts *alerts,
                        void (*each)(void *context, const struct alert_change *change,
                                     bool ever_fired),
                        void *context)
{
    struct alert spoken = {0}, *alert;

    DL_FOREACH2(alerts->first, alert, after)
    {
        if (alert->change.state == EMBMON_FIRING)
            each(context, &alert->change, true);
    }
    for (uint32_t phase = 1; phase <= STEP_PHASES && alerts->left_out; phase++) {
        const struct slot *slots = alerts->slots[phase - 1];

        for (size_t i = 0; slots && i < alerts->places * detector_count; i++) {
            if (slots[i].kept || slots[i].state != EMBMON_FIRING)
                continue;
            begin(alerts, &spoken, phase, i / alerts->places, i % alerts->places);
            each(context, &spoken.change, true);
        }
    }
}

/* Of one detector in one phase and state. */
struct group {
    size_t count;
    uint32_t severity, fired_severity;
    uint64_t first_step, step;
};

static void take_slot(struct group *group, const struct slot *slot)
{
    uint32_t severity = slot->state == EMBMON_RESOLVED ? slot->fired_severity : slot->severity;

    if (group->count == 0 || slot->first_step < group->first_step)
        group->first_step = slot->first_step;
    if (slot->first_step > group->step)
        group->step = slot->first_step;
    if (severity > group->severity)
        group->severity = severity;
    if (slot->fired_severity > group->fired_severity)
        group->fired_severity = slot->fired_severity;
    group->count++;
}

static void tell_group(const struct alerts *alerts, const struct group *group, uint32_t phase,
                       size_t detector, uint32_t state,
                       void (*each)(void *context, const struct alert_change *change, size_t count),
                       void *context)
{
    char summary[FINDING_SUMMARY];
    struct alert_change change = {
        .time = alerts->time,
        .run = alerts->run,
        .phase = phase,
        .layer = "",
        .variable = "",
        .signal = detectors[detector].signal,
        .detector = detectors[detector].name,
        .severity = group->severity,
        .fired_severity = group->fired_severity,
        .state = state,
        .before = state,
        .step = group->step,
        .first_step = group->first_step,
        .summary = summary,
        .hint = "",
        .reason = "",
    };

    (void)snprintf(summary, sizeof summary,
                   "%zu more of %s %s, the first since step %" PRIu64
                   ": more than limits.alerts or "
                   "limits.all_alerts lets be kept; each change is in alerts.jsonl",
                   group->count, detectors[detector].name,
                   state == EMBMON_RESOLVED ? "fired and are over" : "are up", group->first_step);
    each(context, &change, group->count);
}

void alerts_more(const struct alerts *alerts,
                 void (*each)(void *context, const struct alert_change *change, size_t count),
                 void *context)
{
    for (uint32_t phase = 1; phase <= STEP_PHASES && alerts->left_out; phase++) {
        for (size_t d = 0; d < detector_count && alerts->slots[phase - 1]; d++) {
            const struct slot *slots = &alerts->slots[phase - 1][d * alerts->places];
            struct group groups[EMBMON_FIRING + 1] = {{0}};

            for (size_t p = 0; p < alerts->places; p++) {
                if (!slots[p].kept && (slots[p].state || slots[p].fired_severity))
                    take_slot(&groups[slots[p].state], &slots[p]);
            }
            for (uint32_t state = EMBMON_FIRING + 1; state-- > 0;) {
                if (groups[state].count > 0)
                    tell_group(alerts, &groups[state], phase, d, state, each, context);
            }
        }
    }
}
