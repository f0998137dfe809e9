#include "daemon/config_detectors.h"

#include <string.h>

#include "proto/name.h"

enum { ENTRIES_MAX = 256 };

/* What is said of one detector. */
struct detector_entry {
    size_t detector;
    const char *layers; /* borrowed from the file */
};

static bool add_rule(struct config_reader *r, const struct yaml_node *value,
                     const struct detector_entry *entry, size_t key, double number)
{
    char problem[RULES_SENTENCE];

    return rules_add(&r->config->rules, entry->detector, entry->layers, key, number, problem) ||
           yaml_complain(r->place.problem, r->place.file, value->line, "%s", problem);
}

bool config_read_ignore(struct config_reader *r, const struct config_key *key,
                        const struct yaml_node *value, void *into)
{
    bool ignored;

    (void)key;
    return value_truth(&r->place, value, &ignored) &&
           add_rule(r, value, into, RULE_IGNORE, ignored);
}

bool config_read_hold(struct config_reader *r, const struct config_key *key,
                      const struct yaml_node *value, void *into)
{
    uint64_t hold;

    return value_whole(&r->place, value, key->least, key->most, &hold) &&
           add_rule(r, value, into, RULE_HOLD, (double)hold);
}

static bool is_limit_of(const struct limit_key *limit, size_t detector)
{
    return strcmp(limit->detector, detectors[detector].name) == 0;
}

/* A key that the table does not have: a threshold. */
static bool read_threshold(struct config_reader *r, const struct yaml_node *name,
                           const struct yaml_node *value, const struct detector_entry *entry)
{
    double number;

    for (size_t k = 0; k < limit_key_count; k++) {
        if (is_limit_of(&limit_keys[k], entry->detector) &&
            strcmp(limit_keys[k].key, name->text) == 0)
            return value_number(&r->place, value, &number) && add_rule(r, value, entry, k, number);
    }
    config_unknown(r, name, "key", detectors[entry->detector].name);
    config_suggest_section(r, "detector");
    for (size_t k = 0; k < limit_key_count; k++)
        if (is_limit_of(&limit_keys[k], entry->detector))
            config_suggest(r, limit_keys[k].key);
    return false;
}

static bool read_detector(struct config_reader *r, const struct yaml_node *map,
                          struct detector_entry *entry)
{
    if (!value_is_map(&r->place, map))
        return false;
    for (size_t i = 0; i < map->count; i += 2) {
        const char *name = config_key_at(r, map, i);
        const struct config_key *key = name ? config_find_key("detector", name) : NULL;
        const struct yaml_node *value = map->items[i + 1];

        if (!name)
            return false;
        config_name_value(r, detectors[entry->detector].name, name);
        if (!(key ? key->read(r, key, value, entry)
                  : read_threshold(r, map->items[i], value, entry)))
            return false;
    }
    return true;
}

static bool read_detectors(struct config_reader *r, const struct yaml_node *map, const char *layers)
{
    config_name_value(r, "", "detectors");
    if (!value_is_map(&r->place, map))
        return false;
    for (size_t i = 0; i < map->count; i += 2) {
        const char *name = config_key_at(r, map, i);
        struct detector_entry entry = {name ? detector_find(name) : 0, layers};

        if (!name)
            return false;
        if (entry.detector == detector_count) {
            config_unknown(r, map->items[i], "detector", "");
            for (size_t d = 0; d < detector_count; d++)
                config_suggest(r, detectors[d].name);
            return false;
        }
        config_name_value(r, "", name);
        if (!read_detector(r, map->items[i + 1], &entry))
            return false;
    }
    return true;
}

bool config_keep_detectors(struct config_reader *r, const struct config_key *key,
                           const struct yaml_node *value, void *into)
{
    (void)key;
    (void)into;
    r->detectors = value;
    return true;
}

bool config_keep_layers(struct config_reader *r, const struct config_key *key,
                        const struct yaml_node *value, void *into)
{
    (void)key;
    (void)into;
    r->layers = value;
    return true;
}

bool config_keep_entry(struct config_reader *r, const struct config_key *key,
                       const struct yaml_node *value, void *into)
{
    (void)r;
    *(const struct yaml_node **)config_field(into, key) = value;
    return true;
}

bool config_read_glob(struct config_reader *r, const struct config_key *key,
                      const struct yaml_node *value, void *into)
{
    const char *glob;

    if (!value_text(&r->place, value, &glob))
        return false;
    if (!name_is_glob(glob))
        return value_refuse(&r->place, value, "a pattern of at most 255 bytes");
    *(const char **)config_field(into, key) = glob;
    return true;
}

static bool read_layers(struct config_reader *r, const struct yaml_node *list)
{
    config_name_value(r, "", "layers");
    if (!value_is_list(&r->place, list, 0, ENTRIES_MAX))
        return false;
    for (size_t i = 0; i < list->count; i++) {
        struct layers_entry entry = {0};

        config_name_value(r, "", "layers");
        if (!config_read_keys(r, "layers", list->items[i], &entry) ||
            !read_detectors(r, entry.detectors, entry.match))
            return false;
    }
    return true;
}

bool config_read_rules(struct config_reader *r)
{
    return (!r->detectors || read_detectors(r, r->detectors, "*")) &&
           (!r->layers || read_layers(r, r->layers));
}
