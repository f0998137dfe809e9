#include "daemon/config_sinks.h"

#include <stdlib.h>
#include <string.h>

#include "embmon/embmon.h"

enum { ARGUMENTS_MAX = 64, SINK_NAME_MAX = 64 };

bool config_read_sink_name(struct config_reader *r, const struct config_key *key,
                           const struct yaml_node *value, void *into)
{
    const char *name;

    if (!value_text(&r->place, value, &name))
        return false;
    if (strlen(name) > SINK_NAME_MAX)
        return value_refuse(&r->place, value, "a name of at most 64 bytes");
    return config_keep_text(r, value, name, config_field(into, key));
}

bool config_read_command(struct config_reader *r, const struct config_key *key,
                         const struct yaml_node *value, void *into)
{
    char **arguments;
    const char *text;

    if (!value_is_list(&r->place, value, 1, ARGUMENTS_MAX))
        return false;
    arguments = calloc(value->count + 1, sizeof *arguments);
    *(char ***)config_field(into, key) = arguments;
    if (!arguments)
        return config_no_memory(r, value);
    for (size_t i = 0; i < value->count; i++) {
        if (!value_text(&r->place, value->items[i], &text))
            return false;
        if (i == 0 && *text != '/')
            return value_refuse(&r->place, value->items[i],
                                "the program's absolute path, beginning with /");
        if (!config_keep_text(r, value->items[i], text, &arguments[i]))
            return false;
    }
    return true;
}

bool config_read_sink(struct config_reader *r, const struct config_key *key,
                      const struct yaml_node *value, void *into)
{
    struct sink_options *sink = into;

    *sink = (struct sink_options){.severity = EMBMON_WARNING, .timeout_ms = 5000, .a_minute = 20};
    if (key->least == SINK_EXEC)
        sink->kind = SINK_EXEC;
    else
        sink->resend_s = 60;
    if (!config_read_keys(r, key->name, value, sink))
        return false;
    return sink->name || config_keep_text(r, value, key->name, &sink->name);
}

/* Each has a name of its own: the log and the status call it by that. */
static bool check_name(const struct config_reader *r, const struct yaml_node *item, size_t at)
{
    struct yaml_excerpt shown;

    for (size_t i = 0; i < at; i++)
        if (strcmp(r->config->sinks[i].name, r->config->sinks[at].name) == 0)
            return yaml_complain(r->place.problem, r->place.file, item->line,
                                 "two sinks are called \"%s\": give this one a name of its own",
                                 yaml_excerpt(&shown, r->config->sinks[at].name));
    return true;
}

bool config_read_sinks(struct config_reader *r, const struct config_key *key,
                       const struct yaml_node *value, void *into)
{
    struct config *config = into;

    if (!value_is_list(&r->place, value, 0, CONFIG_SINKS_MAX))
        return false;
    config->sinks = calloc(value->count + 1, sizeof *config->sinks);
    if (!config->sinks)
        return config_no_memory(r, value);
    for (size_t i = 0; i < value->count; i++) {
        const struct yaml_node *item = value->items[i];

        config_name_value(r, "", key->name);
        if (item->kind != YAML_IS_MAP || item->count != 2)
            return value_refuse(&r->place, item, "one key to an item, webhook or exec");
        config->sink_count++;
        if (!config_read_keys(r, key->name, item, &config->sinks[i]) || !check_name(r, item, i))
            return false;
    }
    return true;
}
