#include "daemon/detect/rules.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/detect/families.h"
#include "daemon/glob.h"
#include "proto/name.h"

#define IGNORED SIZE_MAX /* the key of a rule that has none */

struct rule {
    size_t detector, key; /* indices into detectors[] and limit_keys[] */
    double value;
    char layers[GLOB_MAX + 1];
};

/* What holds for one layer. */
struct holding {
    struct limits limits;
    uint64_t ignored; /* a bit for each detector */
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

/* The rule that is the same, or a new one at the end; NULL when there is no room. */
static struct rule *place(struct rules *rules, size_t detector, size_t key, const char *layers,
                          char problem[RULES_SENTENCE])
{
    size_t capacity = rules->capacity ? 2 * rules->capacity : 8;
    struct rule *rule = rules->rules;

    for (size_t i = 0; i < rules->count; i++, rule++)
        if (rule->detector == detector && rule->key == key && strcmp(rule->layers, layers) == 0)
            return rule;
    if (rules->count >= RULES_MAX) {
        refuse(problem, 0, "more thresholds and ignored detectors than a run may have (%d)",
               RULES_MAX);
        return NULL;
    }
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

    if (detector == detector_count)
        return no_detector(problem, ignore->detector, false);
    reason = check_pattern(problem, detector, ignore->layers);
    if (reason)
        return reason;
    return place(rules, detector, IGNORED, ignore->layers, problem) ? 0 : NACK_LIMIT;
}

/* ---- what follows from them */

static void hold(const struct rules *rules, const char *path, struct holding *holding)
{
    *holding = (struct holding){.limits = limits_default};
    for (size_t i = 0; i < rules->count; i++) {
        const struct rule *rule = &rules->rules[i];

        if (!glob_match_path(rule->layers, path))
            continue;
        if (rule->key == IGNORED)
            holding->ignored |= UINT64_C(1) << rule->detector;
        else
            memcpy((char *)&holding->limits + limit_keys[rule->key].offset, &rule->value,
                   sizeof rule->value);
    }
}

bool rules_resolve(struct rules *rules, const struct model *model)
{
    size_t wanted = model->layer_count + 1;

    if (rules->count == 0)
        return true;
    if (wanted > rules->holding_capacity) {
        struct holding *more = reallocarray(rules->holdings, wanted, sizeof *more);

        if (!more)
            return false;
        rules->holdings = more;
        rules->holding_capacity = wanted;
    }
    for (; rules->holding_count < wanted; rules->holding_count++) {
        size_t place_of = rules->holding_count;

        hold(rules, place_of ? model->layers[place_of - 1].path : "", &rules->holdings[place_of]);
    }
    return true;
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
