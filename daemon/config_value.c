#include "daemon/config_value.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proto/name.h"

enum { WANT_MAX = 256 };

bool value_refuse(const struct value_place *place, const struct yaml_node *node, const char *want)
{
    struct yaml_excerpt shown;

    if (node->kind != YAML_IS_TEXT)
        return yaml_complain(place->problem, place->file, node->line, "%s is a %s: write %s",
                             place->key, node->kind == YAML_IS_LIST ? "list" : "map of keys", want);
    if (*node->text == '\0')
        return yaml_complain(place->problem, place->file, node->line, "%s %s: write %s", place->key,
                             node->quoted ? "is an empty text" : "has no value", want);
    return yaml_complain(place->problem, place->file, node->line, "%s is %s\"%s\": write %s",
                         place->key, node->quoted ? "the text " : "",
                         yaml_excerpt(&shown, node->text), want);
}

bool value_is_map(const struct value_place *place, const struct yaml_node *node)
{
    return node->kind == YAML_IS_MAP || value_refuse(place, node, "a map of keys");
}

bool value_is_list(const struct value_place *place, const struct yaml_node *node, size_t least,
                   size_t most)
{
    char want[WANT_MAX];

    if (node->kind != YAML_IS_LIST)
        return value_refuse(place, node, "a list, each item after a -");
    if (node->count >= least && node->count <= most)
        return true;
    (void)snprintf(want, sizeof want, "%zu to %zu", least, most);
    return yaml_complain(place->problem, place->file, node->line, "%s has %zu items: write %s",
                         place->key, node->count, want);
}

/* ---- texts */

/* Digits, a fraction, an exponent: nothing that YAML's dialects read differently. */
static bool is_number(const char *text)
{
    static const char digits[] = "0123456789";
    const char *at = text + (*text == '-');
    size_t n = strspn(at, digits);

    if (n == 0)
        return false;
    at += n;
    if (*at == '.')
        at += 1 + strspn(at + 1, digits);
    if (*at == 'e' || *at == 'E') {
        at += at[1] == '-' || at[1] == '+' ? 2 : 1;
        n = strspn(at, digits);
        if (n == 0)
            return false;
        at += n;
    }
    return *at == '\0';
}

static bool is_another_type(const char *text)
{
    static const char *const words[] = {"~", "null", "true", "false", "yes", "no", "on", "off"};

    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcasecmp(text, words[i]) == 0)
            return true;
    return is_number(text);
}

bool value_text(const struct value_place *place, const struct yaml_node *node, const char **text)
{
    if (node->kind != YAML_IS_TEXT || *node->text == '\0')
        return value_refuse(place, node, "a text");
    if (!node->quoted && is_another_type(node->text))
        return value_refuse(place, node, "a text; if this is meant as one, in quotes");
    if (strlen(node->text) > VALUE_TEXT_MAX || !name_is_text(node->text, strlen(node->text)))
        return value_refuse(place, node,
                            "at most 4095 bytes without line breaks and control characters");
    *text = node->text;
    return true;
}

bool value_word(const struct value_place *place, const struct yaml_node *node,
                const char *const *words, uint32_t *index)
{
    char want[WANT_MAX] = "one of";

    for (uint32_t i = 0; words[i]; i++) {
        size_t n = strlen(want);

        if (node->kind == YAML_IS_TEXT && strcmp(node->text, words[i]) == 0) {
            *index = i;
            return true;
        }
        (void)snprintf(want + n, sizeof want - n, "%s %s", i ? "," : "", words[i]);
    }
    return value_refuse(place, node, want);
}

bool value_truth(const struct value_place *place, const struct yaml_node *node, bool *truth)
{
    if (node->kind != YAML_IS_TEXT || node->quoted ||
        (strcmp(node->text, "true") != 0 && strcmp(node->text, "false") != 0))
        return value_refuse(place, node, "true or false");
    *truth = *node->text == 't';
    return true;
}

bool value_url(const struct value_place *place, const struct yaml_node *node, const char **url)
{
    const char *text, *host;

    if (!value_text(place, node, &text))
        return false;
    host = strncmp(text, "http://", 7) == 0    ? text + 7
           : strncmp(text, "https://", 8) == 0 ? text + 8
                                               : "";
    for (const char *c = text; *c; c++)
        if (*c <= ' ' || *c > '~')
            host = "";
    if (*host == '\0' || strchr("/:?#", *host))
        return value_refuse(place, node, "http://HOST... or https://HOST... in ASCII");
    *url = text;
    return true;
}

/* ---- numbers */

bool value_number(const struct value_place *place, const struct yaml_node *node, double *number)
{
    bool fine = node->kind == YAML_IS_TEXT && !node->quoted && is_number(node->text);

    errno = 0;
    if (fine)
        *number = strtod(node->text, NULL);
    if (!fine || errno == ERANGE || *number < 0)
        return value_refuse(place, node, "a finite number of 0 or more, such as 0.5 or 1e-3");
    return true;
}

bool value_whole(const struct value_place *place, const struct yaml_node *node, uint64_t least,
                 uint64_t most, uint64_t *number)
{
    /* 010 is ten to some and eight to others. */
    bool fine = node->kind == YAML_IS_TEXT && !node->quoted && *node->text &&
                node->text[strspn(node->text, "0123456789")] == '\0' &&
                (node->text[0] != '0' || node->text[1] == '\0');
    char want[WANT_MAX];

    errno = 0;
    if (fine)
        *number = strtoull(node->text, NULL, 10);
    if (fine && errno == 0 && *number >= least && *number <= most)
        return true;
    (void)snprintf(want, sizeof want, "a whole number from %" PRIu64 " to %" PRIu64, least, most);
    return value_refuse(place, node, want);
}

bool value_seconds(const struct value_place *place, const struct yaml_node *node, uint64_t least_ms,
                   uint64_t most_ms, uint32_t *ms)
{
    char want[WANT_MAX];
    double seconds;

    if (!value_number(place, node, &seconds))
        return false;
    if (seconds * 1000 >= (double)least_ms && seconds * 1000 <= (double)most_ms) {
        *ms = (uint32_t)(seconds * 1000 + 0.5);
        return true;
    }
    (void)snprintf(want, sizeof want, "a number of seconds from %g to %g", (double)least_ms / 1000,
                   (double)most_ms / 1000);
    return value_refuse(place, node, want);
}
