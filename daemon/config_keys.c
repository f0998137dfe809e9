#include "daemon/config_keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/name.h"

void *config_field(void *into, const struct config_key *key)
{
    return (char *)into + key->offset;
}

const struct config_key *config_find_key(const char *section, const char *name)
{
    for (size_t i = 0; i < config_key_count; i++)
        if (strcmp(config_keys[i].section, section) == 0 && strcmp(config_keys[i].name, name) == 0)
            return &config_keys[i];
    return NULL;
}

/* The value of a key, or NULL. */
static const struct yaml_node *value_of(const struct yaml_node *map, const char *name)
{
    for (size_t i = 0; i < map->count; i += 2)
        if (map->items[i]->kind == YAML_IS_TEXT && strcmp(map->items[i]->text, name) == 0)
            return map->items[i + 1];
    return NULL;
}

void config_name_value(struct config_reader *r, const char *section, const char *name)
{
    (void)snprintf(r->key, sizeof r->key, "%.*s%s%.*s", CONFIG_KEY_MAX, section,
                   *section ? "." : "", CONFIG_KEY_MAX, name);
}

const char *config_key_at(struct config_reader *r, const struct yaml_node *map, size_t i)
{
    const struct yaml_node *key = map->items[i];
    struct yaml_excerpt shown;

    if (key->kind != YAML_IS_TEXT) {
        yaml_complain(r->place.problem, r->place.file, key->line,
                      "a key is a list or a map: write its name");
        return NULL;
    }
    for (size_t j = 0; j < i; j += 2) {
        if (map->items[j]->kind != YAML_IS_TEXT || strcmp(map->items[j]->text, key->text) != 0)
            continue;
        yaml_complain(r->place.problem, r->place.file, key->line,
                      "\"%s\" stands here again, after line %u: write it once",
                      yaml_excerpt(&shown, key->text), map->items[j]->line);
        return NULL;
    }
    return key->text;
}

void config_unknown(struct config_reader *r, const struct yaml_node *key, const char *what,
                    const char *where)
{
    struct yaml_excerpt shown;

    r->suggested = false;
    yaml_complain(r->place.problem, r->place.file, key->line,
                  "there is no %s \"%s\"%s%s: write one of", what, yaml_excerpt(&shown, key->text),
                  *where ? " in " : "", where);
}

void config_suggest(struct config_reader *r, const char *name)
{
    size_t n = strlen(r->place.problem);

    (void)snprintf(r->place.problem + n, YAML_PROBLEM_MAX - n, "%s %s", r->suggested ? "," : "",
                   name);
    r->suggested = true;
}

void config_suggest_section(struct config_reader *r, const char *section)
{
    for (size_t i = 0; i < config_key_count; i++)
        if (strcmp(config_keys[i].section, section) == 0)
            config_suggest(r, config_keys[i].name);
}

bool config_read_keys(struct config_reader *r, const char *section, const struct yaml_node *map,
                      void *into)
{
    if (!value_is_map(&r->place, map))
        return false;
    for (size_t i = 0; i < map->count; i += 2) {
        const char *name = config_key_at(r, map, i);
        const struct config_key *key = name ? config_find_key(section, name) : NULL;

        if (name && !key) {
            config_unknown(r, map->items[i], "key", section);
            config_suggest_section(r, section);
        }
        if (!key)
            return false;
        config_name_value(r, section, name);
        if (!key->read(r, key, map->items[i + 1], into))
            return false;
    }
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];

        if (key->required && strcmp(key->section, section) == 0 && !value_of(map, key->name))
            return yaml_complain(r->place.problem, r->place.file, map->line,
                                 "%s has no key \"%s\": add it", section, key->name);
    }
    return true;
}

bool config_no_memory(const struct config_reader *r, const struct yaml_node *value)
{
    return yaml_complain(r->place.problem, r->place.file, value->line, "out of memory");
}

bool config_keep_text(const struct config_reader *r, const struct yaml_node *value,
                      const char *text, char **to)
{
    *to = strdup(text);
    return *to || config_no_memory(r, value);
}
