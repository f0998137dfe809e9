/* The alerts over a restart: what is up, how far each hold has come, what was said last. Detectors
 * are kept by their names: another version of embmond may have others, and what it does not know is
 * passed over. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "daemon/alert/slot.h"
#include "daemon/carry.h"
#include "embmon/embmon.h"
#include "proto/name.h"

enum { DETECTORS_MAX = 1024, ALERTS_MAX = 1 << 20 };

/* The reasons there are, so that a loaded one is static again. */
static const char *const reasons[] = {"", "cleared", "new level", "closed"};
enum { REASONS = sizeof reasons / sizeof reasons[0] };

/* Where saved indices of detectors lead: detector_count for those that are no more. */
struct table {
    size_t to[DETECTORS_MAX];
    size_t count;
};

static void carry_table(struct carry *c, struct table *table)
{
    table->count = carry_count(c, detector_count, DETECTORS_MAX);
    for (size_t i = 0; i < table->count; i++) {
        char name[DETECTOR_MAX + 1] = "";

        if (!c->loading)
            strncpy(name, detectors[i].name, DETECTOR_MAX);
        carry_text(c, name, sizeof name);
        table->to[i] = detector_find(name);
    }
    if (table->count == 0)
        carry_fail(c, "there are no detectors");
}

/* Where a slot is; detector: as saved. */
struct position {
    uint32_t phase;
    size_t detector, place;
};

static void carry_position(struct carry *c, const struct table *table, struct position *at,
                           size_t places)
{
    carry_u32(c, &at->phase, STEP_PHASES);
    carry_size(c, &at->detector, table->count - 1);
    carry_size(c, &at->place, places - 1);
    if (at->phase == 0)
        carry_fail(c, "an alert is of no phase");
}

/* NULL: its detector is no more, or something is wrong. */
static struct slot *slot_at(const struct carry *c, struct alerts *alerts, const struct table *table,
                            const struct position *at)
{
    size_t detector = c->problem ? detector_count : table->to[at->detector];

    if (detector == detector_count || !alerts->slots[at->phase - 1])
        return NULL;
    return &alerts->slots[at->phase - 1][detector * alerts->places + at->place];
}

/* ---- slots */

static bool is_used(const struct slot *slot)
{
    bool used = slot->state != EMBMON_RESOLVED || slot->first_step || slot->sight_step ||
                slot->level_steps || slot->severity || slot->fired_severity;

    for (size_t i = 0; i < CLAUSES_MAX; i++)
        used = used || slot_clause(slot, i) != EMBMON_RESOLVED;
    return used;
}

static void carry_slot(struct carry *c, struct slot *slot, const struct model *model)
{
    uint32_t state = slot->state, severity = slot->severity, fired_severity = slot->fired_severity;
    uint32_t level_steps = slot->level_steps;
    uint64_t fired_step = slot->kept ? 0 : slot->fired_step; /* else the alert has it */
    size_t variable = slot->variable;
    struct tracker none = {0}, *clauses = c->loading ? slot_need_clauses(slot) : slot->clauses;

    if (c->loading && !clauses)
        carry_fail(c, "out of memory");
    for (size_t i = 0; i < CLAUSES_MAX; i++)
        tracker_carry(c, clauses ? &clauses[i] : &none);
    slot_settle(slot);
    carry_u32(c, &state, EMBMON_FIRING);
    carry_u32(c, &severity, EMBMON_CRITICAL);
    carry_u32(c, &fired_severity, EMBMON_CRITICAL);
    carry_u32(c, &level_steps, UINT8_MAX);
    carry_u64(c, &slot->first_step);
    carry_u64(c, &slot->sight_step);
    carry_u64(c, &fired_step);
    carry_size(c, &variable, model->variable_count);
    if (!c->loading)
        return;
    slot->state = (uint8_t)state;
    slot->severity = severity & 15;
    slot->fired_severity = fired_severity & 15;
    slot->level_steps = (uint8_t)level_steps;
    slot->fired_step = fired_step;
    slot->variable = (uint32_t)variable;
}

static void save_slots(struct carry *c, struct alerts *alerts, const struct table *table,
                       const struct model *model)
{
    size_t of_phase = detector_count * alerts->places, count = 0;

    for (uint32_t phase = 0; phase < STEP_PHASES; phase++) {
        for (size_t i = 0; alerts->slots[phase] && i < of_phase; i++)
            count += is_used(&alerts->slots[phase][i]);
    }
    (void)carry_count(c, count, SIZE_MAX);
    for (uint32_t phase = 0; phase < STEP_PHASES; phase++) {
        for (size_t i = 0; alerts->slots[phase] && i < of_phase; i++) {
            struct position at = {phase + 1, i / alerts->places, i % alerts->places};

            if (!is_used(&alerts->slots[phase][i]))
                continue;
            carry_position(c, table, &at, alerts->places);
            carry_slot(c, &alerts->slots[phase][i], model);
        }
    }
}

static void load_slots(struct carry *c, struct alerts *alerts, const struct table *table,
                       const struct model *model)
{
    size_t count = carry_count(c, 0, SIZE_MAX);

    for (size_t i = 0; i < count && !c->problem; i++) {
        struct position at = {0};
        struct slot passed_over = {0}, *slot;

        carry_position(c, table, &at, alerts->places);
        slot = slot_at(c, alerts, table, &at);
        carry_slot(c, slot ? slot : &passed_over, model);
        slot_reset(&passed_over);
    }
}

/* ---- alerts */

/* The string of the model that is this name; alerts own no names. */
static const char *variable_name(const struct model *model, size_t layer, const char *name)
{
    for (size_t i = 0; *name && i < model->variable_count; i++) {
        if (model->variables[i].layer == layer && strcmp(model->variables[i].name, name) == 0)
            return model->variables[i].name;
    }
    return "";
}

static void carry_reason(struct carry *c, struct alert_change *change)
{
    uint32_t index = 0;

    for (uint32_t i = 0; !c->loading && i < REASONS; i++) {
        if (strcmp(reasons[i], change->reason) == 0)
            index = i;
    }
    carry_u32(c, &index, REASONS - 1);
    change->reason = reasons[index];
}

static void carry_values(struct carry *c, struct alert_change *change)
{
    carry_f64(c, &change->value);
    carry_f64(c, &change->threshold);
    carry_f64(c, &change->baseline);
    carry_bool(c, &change->value_given);
    carry_bool(c, &change->threshold_given);
    carry_bool(c, &change->baseline_given);
}

/* variable: its name, read or written. */
static void carry_alert(struct carry *c, struct alert *alert, char variable[NAME_LAYER_MAX + 1])
{
    struct alert_change *change = &alert->change;

    carry_text(c, variable, NAME_LAYER_MAX + 1);
    carry_f64(c, &change->time);
    carry_u32(c, &change->severity, EMBMON_CRITICAL);
    carry_u32(c, &change->fired_severity, EMBMON_CRITICAL);
    carry_u32(c, &change->state, EMBMON_FIRING);
    carry_u32(c, &change->before, EMBMON_FIRING);
    carry_u64(c, &change->step);
    carry_u64(c, &change->first_step);
    carry_u64(c, &change->fired_step);
    carry_u64(c, &alert->order);
    carry_values(c, change);
    carry_reason(c, change);
    carry_text(c, alert->summary, sizeof alert->summary);
    carry_text(c, alert->hint, sizeof alert->hint);
    rank_list_carry(c, &alert->ranks, RANKS_MAX);
    change->ranks = alert->ranks.ranks;
    change->rank_count = alert->ranks.length;
}

static void save_alerts(struct carry *c, struct alerts *alerts, const struct table *table)
{
    struct alert *alert;

    (void)carry_count(c, alerts->count, ALERTS_MAX);

    DL_FOREACH2(alerts->first, alert, after)
    {
        struct position at = {alert->change.phase, alert->detector, alert->place};
        char variable[NAME_LAYER_MAX + 1] = "";

        strncpy(variable, alert->change.variable, NAME_LAYER_MAX);
        carry_position(c, table, &at, alerts->places);
        carry_alert(c, alert, variable);
    }
}

static void load_alert(struct carry *c, struct alerts *alerts, const struct table *table,
                       const struct model *model)
{
    struct alert passed_over = {.change.reason = ""}, *alert = NULL;
    char variable[NAME_LAYER_MAX + 1] = "";
    struct position at = {0};
    struct slot *slot;

    carry_position(c, table, &at, alerts->places);
    slot = slot_at(c, alerts, table, &at);
    if (slot && slot->kept) {
        carry_fail(c, "an alert is there twice");
        return;
    }
    if (slot) {
        alert = alert_keep(alerts, at.phase, table->to[at.detector], at.place);
        if (!alert)
            carry_fail(c, "out of memory");
    }
    carry_alert(c, alert ? alert : &passed_over, variable);
    if (alert)
        alert->change.variable = at.place > 0 ? variable_name(model, at.place - 1, variable) : "";
    free(passed_over.ranks.ranks);
}

static int by_order(const void *a, const void *b)
{
    uint64_t one = (*(struct alert *const *)a)->order, other = (*(struct alert *const *)b)->order;

    return one < other ? -1 : one > other;
}

/* In the order of their last changes: what is over goes in the order in which it was. */
static void weigh_all(struct carry *c, struct alerts *alerts)
{
    struct alert **all = carry_room(c, alerts->count, sizeof(struct alert *)), *alert;
    size_t n = 0;

    if (!all)
        return;
    DL_FOREACH2(alerts->first, alert, after)
    all[n++] = alert;
    qsort(all, n, sizeof *all, by_order);
    for (size_t i = 0; i < n; i++)
        alerts_weigh(alerts, all[i]);
    alerts->orders = n > 0 ? all[n - 1]->order + 1 : 0;
    free(all);
}

static void count_states(struct alerts *alerts)
{
    size_t of_phase = detector_count * alerts->places;

    for (size_t phase = 0; phase < STEP_PHASES; phase++) {
        for (size_t i = 0; alerts->slots[phase] && i < of_phase; i++) {
            const struct slot *slot = &alerts->slots[phase][i];

            alerts->active += slot->state != EMBMON_RESOLVED;
            alerts->firing += slot->state == EMBMON_FIRING;
            alerts->ever_fired[slot->fired_severity]++;
            alerts->left_out =
                alerts->left_out ||
                (!slot->kept && (slot->state != EMBMON_RESOLVED || slot->fired_severity > 0));
        }
    }
}

/* ---- all */

static void carry_phases(struct carry *c, struct alerts *alerts, const struct model *model)
{
    carry_size(c, &alerts->places, model->layer_count + 1);
    for (size_t phase = 0; phase < STEP_PHASES; phase++) {
        bool seen = alerts->slots[phase] != NULL;

        carry_bool(c, &seen);
        if (c->loading && seen)
            alerts->slots[phase] =
                carry_room(c, alerts->places * detector_count, sizeof(struct slot));
    }
}

void alerts_carry(struct carry *c, struct alerts *alerts, const struct model *model)
{
    struct table table;
    size_t count;

    alerts->model = model;
    carry_table(c, &table);
    carry_phases(c, alerts, model);
    carry_u64(c, &alerts->fired);
    carry_f64(c, &alerts->time);
    if (alerts->places == 0 || c->problem) /* no step was judged yet */
        return;
    if (!c->loading) {
        save_slots(c, alerts, &table, model);
        save_alerts(c, alerts, &table);
        return;
    }
    load_slots(c, alerts, &table, model);
    count = carry_count(c, 0, ALERTS_MAX);
    for (size_t i = 0; i < count && !c->problem; i++)
        load_alert(c, alerts, &table, model);
    weigh_all(c, alerts);
    count_states(alerts);
}
