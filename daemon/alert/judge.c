/* The verdicts of all detectors at one step, and what they do to the alerts. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/alert/alert.h"
#include "daemon/alert/slot.h"
#include "embmon/embmon.h"

struct judgement {
    struct alerts *alerts;
    const struct measures *m;
    struct baseline *baseline;
    const struct rules *rules;
    struct moment now;
    bool early;
    bool nonfinite; /* sick at this very step */
    bool ruled;     /* there are rules: else all limits are the defaults, and nothing is ignored */
};

static uint32_t hold_of(const struct judgement *j, size_t d, size_t c, size_t layer)
{
    const struct clause *clause = &detectors[d].clauses[c];
    bool other = layer != DETECT_MODEL && j->m->model->layers[layer].kind != EMBMON_EMBEDDING;
    uint32_t said = j->ruled ? rules_hold(j->rules, d, layer) : 0;

    if (said)
        return said;
    return other && clause->hold_others ? clause->hold_others : clause->hold;
}

static uint32_t severity_of(size_t d, const struct finding *finding)
{
    return finding->severity ? finding->severity : detectors[d].severity;
}

static void take_finding(const struct judgement *j, size_t d, struct alert *alert,
                         const struct finding *finding)
{
    const struct rank_list *ranks = finding->ranks ? finding->ranks : &j->m->step->posted;
    struct alert_change *change = &alert->change;

    change->severity = severity_of(d, finding);
    change->variable = finding->variable;
    change->value = finding->value;
    change->threshold = finding->threshold;
    change->baseline = finding->baseline;
    change->value_given = true; /* NaN is a value where the loss is NaN */
    change->threshold_given = !isnan(finding->threshold);
    change->baseline_given = !isnan(finding->baseline);
    memcpy(alert->summary, finding->summary, sizeof alert->summary);
    memcpy(alert->hint, finding->hint, sizeof alert->hint);
    alert->ranks.length = 0;
    for (size_t i = 0; i < ranks->length; i++) {
        if (!rank_list_add(&alert->ranks, ranks->ranks[i]))
            break; /* an alert with fewer ranks is better than none */
    }
    change->ranks = alert->ranks.ranks;
    change->rank_count = alert->ranks.length;
}

static uint32_t state_of(const struct slot *slot)
{
    uint32_t state = EMBMON_RESOLVED;

    for (size_t c = 0; c < CLAUSES_MAX; c++) {
        if (slot_clause(slot, c) > state)
            state = slot_clause(slot, c);
    }
    return state;
}

/* The finding of the sick clause that counts: of those whose hold has come furthest the most
 * severe, so that one that is only pending does not speak for one that fires. */
static const struct finding *worst_of(size_t d, const struct slot *slot,
                                      const struct finding findings[CLAUSES_MAX],
                                      const bool sick[CLAUSES_MAX])
{
    const struct finding *worst = NULL;
    uint32_t furthest = 0;

    for (size_t c = 0; c < CLAUSES_MAX; c++) {
        uint32_t state = slot_clause(slot, c);

        if (!sick[c] || (worst && state < furthest))
            continue;
        if (!worst || state > furthest || severity_of(d, &findings[c]) > severity_of(d, worst))
            worst = &findings[c];
        furthest = state;
    }
    return worst;
}

/* It fires already, and what is found now is worse than what was told. */
static bool is_worse(size_t d, const struct slot *slot, const struct finding *finding)
{
    return slot->state == EMBMON_FIRING && severity_of(d, finding) > slot->severity;
}

/* Follows the clauses' states with the alert's. finding: of the sick clause that counts, NULL when
 * none was sick; its clause's own state. */
static void follow(const struct judgement *j, size_t d, size_t layer, struct slot *slot,
                   const struct finding *finding, uint32_t of_clause)
{
    uint64_t step = j->m->step->number;
    uint32_t state = state_of(slot);
    struct alert *alert;

    if (state == EMBMON_RESOLVED) {
        if (slot->state != EMBMON_RESOLVED)
            slot_resolve(j->alerts, slot, "cleared", step, j->now);
        return;
    }
    if (!finding) /* firing stays until every clause has cleared */
        return;
    if (slot->state >= state && !(of_clause == EMBMON_FIRING && is_worse(d, slot, finding)))
        return;
    if (slot->state == EMBMON_RESOLVED)
        slot->first_step = step;
    alert = slot_alert(j->alerts, slot, j->m->step->phase, d, layer == DETECT_MODEL ? 0 : layer + 1,
                       alert_weight(state, severity_of(d, finding), slot->fired_severity));
    take_finding(j, d, alert, finding);
    slot_tell(j->alerts, slot, alert, state, "", step, j->now);
}

/* A rank that is ahead may have been named at a later step than the one that closes now: that is no
 * cause of it. */
static bool fires_by_now(const struct judgement *j, const struct slot *slot)
{
    return slot->state == EMBMON_FIRING && slot->first_step <= j->m->step->number;
}

static bool nonfinite_fires(const struct judgement *j)
{
    const struct alerts *alerts = j->alerts;

    if (j->nonfinite || alerts->firing == 0)
        return j->nonfinite;
    for (size_t d = 0; d < detector_count; d++) {
        if (!detectors[d].is_nonfinite)
            continue;
        for (size_t p = 0; p < alerts->places; p++) {
            if (fires_by_now(j, &alerts->slots[j->m->step->phase - 1][d * alerts->places + p]))
                return true;
        }
    }
    return false;
}

static bool compares_with_level(size_t d, const struct slot *slot)
{
    bool compares = false;

    for (size_t c = 0; c < CLAUSES_MAX; c++)
        compares = compares ||
                   (detectors[d].clauses[c].of_level && slot_clause(slot, c) != EMBMON_RESOLVED);
    return compares;
}

/* A norm that stays where it went, with a loss that does not diverge, is a new level. Steps count
 * even while the model's level is being learnt anew for another layer's sake. */
static void settle(const struct judgement *j, size_t d, size_t layer, struct slot *slot)
{
    size_t diverged;

    if (!compares_with_level(d, slot) || !j->m->layers[layer].has_gradient)
        return;
    diverged = detector_find("loss_diverged");
    if (slot_of(j->alerts, j->m->step->phase, diverged, DETECT_MODEL)->state != EMBMON_RESOLVED) {
        slot->level_steps = 0;
        return;
    }
    if (++slot->level_steps < ALERT_NEW_LEVEL_STEPS)
        return;
    if (detectors[d].freezes == FREEZES_NOTHING) {
        layer_memory_reset(&j->baseline->memories[layer]);
    } else {
        norm_baseline_reset(&j->baseline->layers[layer]);
        norm_baseline_reset(&j->baseline->model);
    }
    slot_new_level(j->alerts, slot, d, j->m->step->number, j->now);
}

/* Not the whole struct: its texts are long, and there is one for every clause, layer and step. */
static void finding_reset(struct finding *finding)
{
    finding->value = finding->threshold = finding->baseline = NAN;
    finding->ranks = NULL;
    finding->severity = 0;
    finding->variable = "";
    finding->hold_back = false;
    finding->silent = NULL;
    finding->summary[0] = finding->hint[0] = '\0';
}

/* Nobody wants to hear of this layer: what was up about it is over. */
static void leave_alone(const struct judgement *j, struct slot *slot, const char *why)
{
    char when[64];

    slot->silent = why;
    if (slot->state == EMBMON_RESOLVED)
        return;
    (void)snprintf(when, sizeof when, "it was %s", why);
    slot_close(j->alerts, slot, when, j->m->step->number, j->now);
}

/* The slot is about a step that has not closed yet: what comes before it cannot clear it. */
static bool is_ahead(const struct judgement *j, const struct slot *slot)
{
    return slot->state != EMBMON_RESOLVED && slot->first_step > j->m->step->number;
}

static void clear_clause(struct slot *slot, size_t clause, bool at_once, uint32_t hold)
{
    if (!slot->clauses)
        return;
    if (at_once)
        tracker_reset(&slot->clauses[clause]);
    else
        tracker_clear(&slot->clauses[clause], hold);
}

/* One detector on one layer. Returns true when it was sick. */
static bool judge_layer(struct judgement *j, size_t d, size_t layer, const char *muted)
{
    const char *ignored = j->ruled ? rules_why_ignored(j->rules, d, layer) : NULL;
    const struct limits *limits = j->ruled ? rules_limits(j->rules, layer) : &limits_default;
    const struct detector *detector = &detectors[d];
    struct slot *slot = slot_of(j->alerts, j->m->step->phase, d, layer);
    const char *silent = NULL;
    struct finding findings[CLAUSES_MAX];
    bool sick[CLAUSES_MAX] = {false}, told = false;
    bool counted = slot->sight_step == j->m->step->number + 1;
    const struct finding *worst;

    if (layer != DETECT_MODEL)
        pass_forget(&j->alerts->passes[j->m->step->phase - 1], layer);
    if (ignored) {
        leave_alone(j, slot, ignored);
        return false;
    }
    for (size_t c = 0; c < CLAUSES_MAX && detector->clauses[c].judge; c++) {
        struct finding *finding = &findings[c];
        uint32_t hold = hold_of(j, d, c, layer);
        enum verdict verdict;

        finding_reset(finding);
        verdict = detector->clauses[c].judge(j->m, layer, j->baseline, limits, finding);
        /* A consequence can neither come up nor be over while its cause lasts; of the layers that
         * follow a named one only the coming up is muted. */
        if (muted && (verdict == VERDICT_SICK || detector->is_consequence)) {
            finding->silent = muted;
            verdict = VERDICT_SILENT;
        }
        if (verdict == VERDICT_SICK) {
            /* Without memory this step is not counted. */
            if (!counted && slot_need_clauses(slot))
                tracker_sick(&slot->clauses[c], hold, finding->hold_back);
            sick[c] = true;
        } else if (verdict == VERDICT_CLEAR && !j->early && !counted && !is_ahead(j, slot)) {
            clear_clause(slot, c, detector->at == AT_TIME, hold);
        } else if (finding->silent) {
            silent = finding->silent;
        }
        told = told || verdict != VERDICT_SILENT;
    }
    slot->silent = told ? NULL : silent;
    slot_settle(slot);
    worst = worst_of(d, slot, findings, sick);
    if (worst && (detector->at == AT_IDS || detector->at == AT_SHAPE))
        slot->sight_step = j->m->step->number + 1;
    follow(j, d, layer, slot, worst, worst ? slot_clause(slot, (size_t)(worst - findings)) : 0);
    if (!j->early && !muted)
        settle(j, d, layer, slot);
    return worst != NULL;
}

/* The layer whose alert of this detector fires already, or DETECT_MODEL. */
static size_t named_layer(const struct judgement *j, size_t d)
{
    for (size_t layer = 0; layer < j->m->layer_count && j->alerts->firing > 0; layer++) {
        if (fires_by_now(j, slot_of(j->alerts, j->m->step->phase, d, layer)))
            return layer;
    }
    return DETECT_MODEL;
}

/* Why a detector is not to name this layer; NULL: it may. named: the layer it names already. */
static const char *muted_for(const struct judgement *j, size_t d, size_t layer, size_t named)
{
    const struct detector *detector = &detectors[d];

    if (named != DETECT_MODEL && named != layer)
        return "muted: another layer is named already";
    if (detector->muted_by &&
        slot_of(j->alerts, j->m->step->phase, detector_find(detector->muted_by), layer)->state !=
            EMBMON_RESOLVED)
        return "muted: its cause is up for this layer";
    return NULL;
}

static void judge_detector(struct judgement *j, size_t d)
{
    const struct detector *detector = &detectors[d];
    const char *muted =
        detector->is_consequence && nonfinite_fires(j) ? "muted: values are non-finite" : NULL;
    size_t named = detector->first_only ? named_layer(j, d) : DETECT_MODEL;
    bool plain = !j->ruled && !muted && (!detector->muted_by || j->alerts->active == 0);
    bool sick = false;

    if (detector->of_model)
        sick = judge_layer(j, d, DETECT_MODEL, muted);
    for (size_t layer = 0; layer < j->m->layer_count && !detector->of_model; layer++) {
        const char *why;

        if (plain && named == DETECT_MODEL &&
            (layer = pass_layers(j->alerts, j->m, j->baseline, d, layer)) == j->m->layer_count)
            break;
        why = muted_for(j, d, layer, named);
        if (judge_layer(j, d, layer, why ? why : muted)) {
            sick = true;
            if (detector->first_only)
                named = layer;
        }
    }
    j->nonfinite = j->nonfinite || (sick && detector->is_nonfinite);
}

static bool judge(struct alerts *alerts, const struct measures *m, struct baseline *baseline,
                  const struct rules *rules, struct moment now, bool early)
{
    struct judgement j = {alerts, m, baseline, rules, now, early, false, rules_any(rules)};
    struct pass *pass = &alerts->passes[m->step->phase - 1];

    alerts->model = m->model;
    if (!slots_make_room(alerts, m->step->phase, m->layer_count))
        return false;
    if (early)
        pass_early(pass);
    else
        pass_begin(pass, m, baseline);
    for (size_t d = 0; d < detector_count; d++) {
        if (detectors[d].at == AT_EPOCH)
            continue;
        if (early && (!detectors[d].is_nonfinite || detectors[d].of_model))
            continue;
        if (detectors[d].training_only && m->step->phase != EMBMON_TRAIN)
            continue;
        judge_detector(&j, d);
    }
    if (!early)
        pass_end(pass);
    return true;
}

bool alerts_judge(struct alerts *alerts, const struct measures *m, struct baseline *baseline,
                  const struct rules *rules, struct moment now)
{
    return judge(alerts, m, baseline, rules, now, false);
}

bool alerts_judge_early(struct alerts *alerts, const struct measures *m, struct baseline *baseline,
                        const struct rules *rules, struct moment now)
{
    return judge(alerts, m, baseline, rules, now, true);
}

bool alerts_judge_at(struct alerts *alerts, const struct measures *m, size_t layer,
                     enum occasion occasion, struct baseline *baseline, const struct rules *rules,
                     struct moment now)
{
    struct judgement j = {alerts,          m, baseline, rules, now, occasion != AT_EPOCH, false,
                          rules_any(rules)};

    alerts->model = m->model;
    if (!slots_make_room(alerts, m->step->phase, m->layer_count))
        return false;
    for (size_t d = 0; d < detector_count; d++) {
        size_t named;

        if (detectors[d].at != occasion ||
            (detectors[d].training_only && m->step->phase != EMBMON_TRAIN))
            continue;
        named = detectors[d].first_only ? named_layer(&j, d) : DETECT_MODEL;
        (void)judge_layer(&j, d, layer, muted_for(&j, d, layer, named));
    }
    return true;
}

bool alerts_judge_time(struct alerts *alerts, const struct measures *m, struct baseline *baseline,
                       const struct rules *rules, struct moment now)
{
    struct judgement j = {alerts, m, baseline, rules, now, true, false, rules_any(rules)};

    alerts->model = m->model;
    if (!slots_make_room(alerts, m->step->phase, m->layer_count))
        return false;
    for (size_t d = 0; d < detector_count; d++) {
        if (detectors[d].at == AT_TIME)
            judge_detector(&j, d);
    }
    return true;
}
