/* Single values of the configuration file, read strictly: what YAML could also take for something
 * else has to be written so that it cannot. Each returns false with a problem that says what stands
 * there and what to write instead. */
#ifndef EMBMON_DAEMON_CONFIG_VALUE_H
#define EMBMON_DAEMON_CONFIG_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/yaml.h"

enum { VALUE_TEXT_MAX = 4095 }; /* bytes of a text */

/* For problems. */
struct value_place {
    const char *file;
    const char *key; /* as "limits.runs" */
    char *problem;   /* [YAML_PROBLEM_MAX] */
};

/* want: what to write instead, as "a list". Always false. */
bool value_refuse(const struct value_place *place, const struct yaml_node *node, const char *want);

bool value_is_map(const struct value_place *place, const struct yaml_node *node);
bool value_is_list(const struct value_place *place, const struct yaml_node *node, size_t least,
                   size_t most);

/* 1 ... VALUE_TEXT_MAX bytes without control characters; borrowed from the node. Numbers, true, no
 * and the like are texts in quotes only. */
bool value_text(const struct value_place *place, const struct yaml_node *node, const char **text);

/* A finite number of 0 or more. */
bool value_number(const struct value_place *place, const struct yaml_node *node, double *number);

bool value_whole(const struct value_place *place, const struct yaml_node *node, uint64_t least,
                 uint64_t most, uint64_t *number);

/* Seconds, with a fraction where that is wanted, to milliseconds. */
bool value_seconds(const struct value_place *place, const struct yaml_node *node, uint64_t least_ms,
                   uint64_t most_ms, uint32_t *ms);

/* true or false, and nothing else. */
bool value_truth(const struct value_place *place, const struct yaml_node *node, bool *truth);

/* The index of one of the words, the last of which is followed by NULL. */
bool value_word(const struct value_place *place, const struct yaml_node *node,
                const char *const *words, uint32_t *index);

/* An address for HTTP; borrowed from the node. */
bool value_url(const struct value_place *place, const struct yaml_node *node, const char **url);

#endif
