#include "daemon/detect/rules.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/detect/families.h"
#include "daemon/glob.h"
#include "proto/name.h"

enum { DETECTORS_MAX = 64 }; /* a bit for each */

struct rule {
    size_t detector, key; /* indices into detectors[] and limit_keys[], or RULE_... */
    double value;
    char layers[GLOB_MAX + 1];
};

/* What holds for one layer. */
struct holding {
    struct limits limits;
    uint64_t ignored, ignored_by_file; /* a bit for each detector */
    uint16_t hold[DETECTORS_MAX];      /* 0: each clause's own */
};

void rules_free(struct rules *rules)
{
    free(rules->rules);
    free(rules->holdings);
    *rules = (struct rules){0};
}

void rules_clear(struct rules *rules)
{
    rules->count = rules->holding_count = 0;
}

/* ---- taking them */

__attribute__((format(printf, 3, 4))) static enum nack_reason
refuse(char problem[RULES_SENTENCE], enum nack_reason reason, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(problem, RULES_SENTENCE, format, arguments);
    va_end(arguments);
    return reason;
}

/* Appends ", name" or, as the first, " name". */
static void list(char problem[RULES_SENTENCE], bool *first, const char *name)
{
    size_t n = strlen(problem);

    (void)snprintf(problem + n, RULES_SENTENCE - n, "%s %s", *first ? "" : ",", name);
    *first = false;
}

static bool has_keys(size_t detector)
{
    for (size_t k = 0; k < limit_key_count; k++)
        if (strcmp(limit_keys[k].detector, detectors[detector].name) == 0)
            return true;
    return false;
}

/* thresholds: only detectors that have some are named. */
static enum nack_reason no_detector(char problem[RULES_SENTENCE], const char *name, bool thresholds)
{
    bool first = true;

    refuse(problem, 0, "there is no detector \"%s\"; %s:", name,
           thresholds ? "those with thresholds are" : "there are");
    for (size_t d = 0; d < detector_count; d++)
        if (!thresholds || has_keys(d))
            list(problem, &first, detectors[d].name);
    return NACK_INVALID;
}

static enum nack_reason no_key(char problem[RULES_SENTENCE], size_t detector, const char *key)
{
    const char *name = detectors[detector].name;
    bool first = true;

    if (!has_keys(detector))
        return refuse(problem, NACK_INVALID, "%s has no threshold; it may be ignored", name);
    refuse(problem, 0, "%s has no threshold \"%s\"; it has:", name, key);
    for (size_t k = 0; k < limit_key_count; k++)
        if (strcmp(limit_keys[k].detector, name) == 0)
            list(problem, &first, limit_keys[k].key);
    return NACK_INVALID;
}

static size_t find_key(size_t detector, const char *key)
{
    size_t k = 0;

    while (k < limit_key_count && (strcmp(limit_keys[k].detector, detectors[detector].name) != 0 ||
                                   strcmp(limit_keys[k].key, key) != 0))
        k++;
    return k;
}

/* A pattern that could never match would be a rule that is silently without effect. */
static enum nack_reason check_pattern(char problem[RULES_SENTENCE], size_t detector,
                                      const char *layers)
{
    struct short_name shown;

    if (!detectors[detector].of_model || glob_match_path(layers, ""))
        return 0;
    return refuse(problem, NACK_INVALID,
                  "%s judges the whole model: its layers are \"*\", not \"%s\"",
                  detectors[detector].name, short_name(&shown, layers));
}

/* A new rule at the end; NULL when there is no room. */
static struct rule *append(struct rules *rules, size_t detector, size_t key, const char *layers,
                           char problem[RULES_SENTENCE])
{
    size_t capacity = rules->capacity ? 2 * rules->capacity : 8;
    struct rule *rule;

    if (rules->count == rules->capacity) {
        rule = reallocarray(rules->rules, capacity, sizeof *rule);
        if (!rule) {
            refuse(problem, 0, "out of memory");
            return NULL;
        }
        rules->rules = rule;
        rules->capacity = capacity;
    }
    rule = &rules->rules[rules->count++];
    *rule = (struct rule){.detector = detector, .key = key};
    strncpy(rule->layers, layers, GLOB_MAX);
    rules->holding_count = 0;
    return rule;
}

/* The rule that is the same, or a new one at the end; NULL when there is no room. */
static struct rule *place(struct rules *rules, size_t detector, size_t key, const char *layers,
                          char problem[RULES_SENTENCE])
{
    struct rule *rule = rules->rules;

    for (size_t i = 0; i < rules->count; i++, rule++)
        if (rule->detector == detector && rule->key == key && strcmp(rule->layers, layers) == 0)
            return rule;
    if (rules->count >= RULES_MAX) {
        refuse(problem, 0, "more thresholds and ignored detectors than a run may have (%d)",
               RULES_MAX);
        return NULL;
    }
    return append(rules, detector, key, layers, problem);
}

enum nack_reason rules_threshold(struct rules *rules, const struct msg_threshold *threshold,
                                 char problem[RULES_SENTENCE])
{
    size_t detector = detector_find(threshold->detector), key;
    enum nack_reason reason;
    struct rule *rule;

    if (detector == detector_count)
        return no_detector(problem, threshold->detector, true);
    key = find_key(detector, threshold->key);
    if (key == limit_key_count)
        return no_key(problem, detector, threshold->key);
    reason = check_pattern(problem, detector, threshold->layers);
    if (reason)
        return reason;
    if (!(threshold->value >= 0))
        return refuse(problem, NACK_INVALID, "%s's threshold %s cannot be below 0: it is %g",
                      detectors[detector].name, threshold->key, threshold->value);
    rule = place(rules, detector, key, threshold->layers, problem);
    if (!rule)
        return NACK_LIMIT;
    if (rule->value != threshold->value)
        rules->holding_count = 0;
    rule->value = threshold->value;
    return 0;
}

enum nack_reason rules_ignore(struct rules *rules, const struct msg_ignore *ignore,
                              char problem[RULES_SENTENCE])
{
    size_t detector = detector_find(ignore->detector);
    enum nack_reason reason;
    struct rule *rule;

    if (detector == detector_count)
        return no_detector(problem, ignore->detector, false);
    reason = check_pattern(problem, detector, ignore->layers);
    if (reason)
        return reason;
    rule = place(rules, detector, RULE_IGNORE, ignore->layers, problem);
    if (!rule)
        return NACK_LIMIT;
    rule->value = 1;
    return 0;
}

bool rules_add(struct rules *rules, size_t detector, const char *layers, size_t key, double value,
               char problem[RULES_SENTENCE])
{
    struct rule *rule;

    if (check_pattern(problem, detector, layers))
        return false;
    if (rules->count >= RULES_FILE_MAX) {
        refuse(problem, 0, "more settings of detectors than there may be (%d)", RULES_FILE_MAX);
        return false;
    }
    rule = append(rules, detector, key, layers, problem);
    if (rule)
        rule->value = value;
    return rule != NULL;
}

void rules_set_base(struct rules *rules, const struct rules *base)
{
    rules->base = base;
    rules->holding_count = 0;
}

/* ---- what follows from them */

static void apply(const struct rule *rule, bool of_file, struct holding *holding)
{
    uint64_t bit = UINT64_C(1) << rule->detector;

    if (rule->key == RULE_HOLD) {
        holding->hold[rule->detector] = (uint16_t)rule->value;
    } else if (rule->key == RULE_IGNORE) {
        bool ignored = rule->value > 0;

        holding->ignored = ignored ? holding->ignored | bit : holding->ignored & ~bit;
        holding->ignored_by_file =
            ignored && of_file ? holding->ignored_by_file | bit : holding->ignored_by_file & ~bit;
    } else {
        memcpy((char *)&holding->limits + limit_keys[rule->key].offset, &rule->value,
               sizeof rule->value);
    }
}

/* Which holds where: the layers' places `from` on; 0 is the whole model. */
static void apply_all(const struct rules *of, bool of_file, struct rules *to,
                      const struct model *model, size_t from)
{
    for (size_t i = 0; i < of->count; i++) {
        struct glob glob;

        glob_compile(&glob, of->rules[i].layers);
        for (size_t place = from; place <= model->layer_count; place++)
            if (glob_matches_path(&glob, place ? model->layers[place - 1].path : ""))
                apply(&of->rules[i], of_file, &to->holdings[place]);
    }
}

bool rules_resolve(struct rules *rules, const struct model *model)
{
    size_t wanted = model->layer_count + 1;

    if (rules->count == 0 && !(rules->base && rules->base->count > 0))
        return true;
    if (wanted > rules->holding_capacity) {
        struct holding *more = reallocarray(rules->holdings, wanted, sizeof *more);

        if (!more)
            return false;
        rules->holdings = more;
        rules->holding_capacity = wanted;
    }
    if (rules->holding_count >= wanted)
        return true;
    for (size_t place = rules->holding_count; place < wanted; place++)
        rules->holdings[place] = (struct holding){.limits = limits_default};
    if (rules->base)
        apply_all(rules->base, true, rules, model, rules->holding_count);
    apply_all(rules, false, rules, model, rules->holding_count);
    rules->holding_count = wanted;
    return true;
}

bool rules_any(const struct rules *rules)
{
    return rules->holding_count > 0;
}

/* NULL: the defaults. */
static const struct holding *holding_of(const struct rules *rules, size_t layer)
{
    size_t at = layer == DETECT_MODEL ? 0 : layer + 1;

    return at < rules->holding_count ? &rules->holdings[at] : NULL;
}

const struct limits *rules_limits(const struct rules *rules, size_t layer)
{
    const struct holding *holding = holding_of(rules, layer);

    return holding ? &holding->limits : &limits_default;
}

bool rules_ignored(const struct rules *rules, size_t detector, size_t layer)
{
    const struct holding *holding = holding_of(rules, layer);

    return holding && (holding->ignored >> detector & 1);
}

const char *rules_why_ignored(const struct rules *rules, size_t detector, size_t layer)
{
    const struct holding *holding = holding_of(rules, layer);

    if (!rules_ignored(rules, detector, layer))
        return NULL;
    return holding->ignored_by_file >> detector & 1 ? "ignored by the configuration file"
                                                    : "ignored by the trainer";
}

uint32_t rules_hold(const struct rules *rules, size_t detector, size_t layer)
{
    const struct holding *holding = holding_of(rules, layer);

    return holding ? holding->hold[detector] : 0;
}

/* ---- over a restart: as the trainer said it, for the tables may have changed */

static void save_rule(struct carry *c, const struct rule *rule)
{
    char detector[DETECTOR_MAX + 1] = "", key[DETECTOR_MAX + 1] = "", layers[GLOB_MAX + 1];
    double value = rule->value;

    strncpy(detector, detectors[rule->detector].name, DETECTOR_MAX);
    if (rule->key < limit_key_count)
        strncpy(key, limit_keys[rule->key].key, DETECTOR_MAX);
    memcpy(layers, rule->layers, sizeof layers);
    carry_text(c, detector, sizeof detector);
    carry_text(c, key, sizeof key);
    carry_text(c, layers, sizeof layers);
    carry_f64(c, &value);
}

/* One that means nothing any more is left out. */
static void load_rule(struct carry *c, struct rules *rules)
{
    char detector[DETECTOR_MAX + 1], key[DETECTOR_MAX + 1], layers[GLOB_MAX + 1];
    struct msg_threshold threshold = {detector, layers, key, 0};
    struct msg_ignore ignore = {detector, layers};
    char problem[RULES_SENTENCE];

    carry_text(c, detector, sizeof detector);
    carry_text(c, key, sizeof key);
    carry_text(c, layers, sizeof layers);
    carry_f64(c, &threshold.value);
    if (c->problem)
        return;
    if (*key)
        (void)rules_threshold(rules, &threshold, problem);
    else
        (void)rules_ignore(rules, &ignore, problem);
}

void rules_carry(struct carry *c, struct rules *rules)
{
    size_t count = carry_count(c, rules->count, RULES_MAX);

    for (size_t i = 0; i < count && !c->problem; i++) {
        if (c->loading)
            load_rule(c, rules);
        else
            save_rule(c, &rules->rules[i]);
    }
}
