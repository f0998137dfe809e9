/* Maps of the configuration file whose keys are rows of one table: found, read, told apart. */
#ifndef EMBMON_DAEMON_CONFIG_KEYS_H
#define EMBMON_DAEMON_CONFIG_KEYS_H

#include "daemon/config.h"
#include "daemon/config_value.h"
#include "daemon/yaml.h"

_Static_assert((int)CONFIG_PROBLEM_MAX == (int)YAML_PROBLEM_MAX, "one goes into the other");

enum { CONFIG_KEY_MAX = 31 }; /* bytes of a key's name, and of a detector's */

struct config_reader {
    struct value_place place; /* of the value in hand */
    struct config *config;
    bool suggested;                             /* the problem names a key that there is */
    char key[2 * CONFIG_KEY_MAX + 2];           /* the place's */
    const struct yaml_node *detectors, *layers; /* read last, in this order; NULL: none */
};

struct config_key;

/* Reads the value of a key into the struct of its section. */
typedef bool config_key_reader(struct config_reader *r, const struct config_key *key,
                               const struct yaml_node *value, void *into);

struct config_key {
    const char *section; /* the key it stands under; "" for the file itself */
    const char *name;
    config_key_reader *read;
    size_t offset;            /* of what it sets, in what its section is read into */
    uint64_t least, most;     /* of a number; least: what the first of the words stands for */
    const char *const *words; /* of a word; ends with NULL */
    bool required;
};

/* All keys but those of detectors: their names stand in `detectors`, with the keys of section
 * "detector" and of limit_keys[] below them. */
extern const struct config_key config_keys[];
extern const size_t config_key_count;

/* NULL: there is no such key. */
const struct config_key *config_find_key(const char *section, const char *name);

/* What it sets. */
void *config_field(void *into, const struct config_key *key);

/* What problems are to call the value that is read next. */
void config_name_value(struct config_reader *r, const char *section, const char *name);

/* Reads a map whose keys are a section of the table. */
bool config_read_keys(struct config_reader *r, const char *section, const struct yaml_node *map,
                      void *into);

/* The name of the pair that begins at item i of a map. NULL, with a problem: it is no text, or not
 * the first of its name. */
const char *config_key_at(struct config_reader *r, const struct yaml_node *map, size_t i);

/* Begins the sentence that there is no such key; each suggestion goes on with one that there is. */
void config_unknown(struct config_reader *r, const struct yaml_node *key, const char *what,
                    const char *where);
void config_suggest(struct config_reader *r, const char *name);
void config_suggest_section(struct config_reader *r, const char *section);

/* A copy of the text; false with a problem when out of memory. */
bool config_keep_text(const struct config_reader *r, const struct yaml_node *value,
                      const char *text, char **to);
bool config_no_memory(const struct config_reader *r, const struct yaml_node *value); /* false */

#endif
