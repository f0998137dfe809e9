#include "daemon/config_file.h"

#include <string.h>

#include "daemon/alert/rate.h"
#include "daemon/config_detectors.h"
#include "daemon/config_keys.h"
#include "daemon/config_sinks.h"
#include "daemon/reach.h"
#include "embmon/embmon.h"

static config_key_reader read_logdir, read_listen, read_token_file, read_section, read_format,
    read_host_url, read_truth, read_word, read_whole, read_whole_32, read_seconds, read_text,
    read_url;

static const char *const log_levels[] = {"error", "warning", "info", "debug", NULL};
static const char *const log_formats[] = {"text", "json", NULL};
static const char *const severities[] = {"info", "warning", "critical", NULL};
static const char *const webhook_formats[] = {"alertmanager-api", "alertmanager-webhook", NULL};

/* What a row writes into. */
#define IN(type, field) .offset = offsetof(struct type, field)
#define ALL             .offset = 0
#define RANGE(from, to) .least = (from), .most = (to)

const struct config_key config_keys[] = {
    {"", "logdir", read_logdir, ALL},
    {"", "listen", read_listen, ALL},
    {"", "token_file", read_token_file, IN(config, token_file_of_file)},
    {"", "log", read_section, ALL},
    {"log", "level", read_word, IN(config, level), .words = log_levels},
    {"log", "format", read_format, IN(config, log_json), .words = log_formats},

    {"", "detectors", config_keep_detectors, ALL},
    {"detector", "ignore", config_read_ignore, ALL},
    {"detector", "hold", config_read_hold, ALL, RANGE(1, HOLD_MAX)},
    {"", "layers", config_keep_layers, ALL},
    {"layers", "match", config_read_glob, IN(layers_entry, match), .required = true},
    {"layers", "detectors", config_keep_entry, IN(layers_entry, detectors), .required = true},

    {"", "limits", read_section, IN(config, ceilings)},
#define LIMIT(name, least, most, standard)                                                         \
    {"limits", #name, read_whole, IN(ceilings, name), RANGE(least, most)},
    CEILINGS(LIMIT)
#undef LIMIT

        {"", "sinks", config_read_sinks, ALL},
    {"sinks", "webhook", config_read_sink, ALL, .least = SINK_WEBHOOK},
    {"webhook", "name", config_read_sink_name, IN(sink_options, name)},
    {"webhook", "url", read_host_url, IN(sink_options, url), .required = true},
    {"webhook", "allow_private", read_truth, IN(sink_options, allow_private)},
    {"webhook", "format", read_word, IN(sink_options, format), .least = WEBHOOK_API_V2,
     .words = webhook_formats},
    {"webhook", "severity", read_word, IN(sink_options, severity), .least = EMBMON_INFO,
     .words = severities},
    {"webhook", "resend", read_whole_32, IN(sink_options, resend_s), RANGE(1, 86400)},
    {"webhook", "per_minute", read_whole_32, IN(sink_options, a_minute), RANGE(1, RATE_MAX)},
    {"webhook", "timeout", read_seconds, IN(sink_options, timeout_ms), RANGE(100, 60000)},
    {"webhook", "token_file", read_text, IN(sink_options, token_file)},
    {"sinks", "exec", config_read_sink, ALL, .least = SINK_EXEC},
    {"exec", "name", config_read_sink_name, IN(sink_options, name)},
    {"exec", "command", config_read_command, IN(sink_options, argv), .required = true},
    {"exec", "severity", read_word, IN(sink_options, severity), .least = EMBMON_INFO,
     .words = severities},
    {"exec", "per_minute", read_whole_32, IN(sink_options, a_minute), RANGE(1, RATE_MAX)},
    {"exec", "timeout", read_seconds, IN(sink_options, timeout_ms), RANGE(100, 60000)},
    {"", "tensorboard_url", read_url, IN(config, tensorboard_url)},
};
const size_t config_key_count = sizeof config_keys / sizeof *config_keys;

#undef IN
#undef ALL
#undef RANGE

/* ---- values */

static bool read_text(struct config_reader *r, const struct config_key *key,
                      const struct yaml_node *value, void *into)
{
    const char *text;

    return value_text(&r->place, value, &text) &&
           config_keep_text(r, value, text, config_field(into, key));
}

static bool read_url(struct config_reader *r, const struct config_key *key,
                     const struct yaml_node *value, void *into)
{
    const char *url;

    return value_url(&r->place, value, &url) &&
           config_keep_text(r, value, url, config_field(into, key));
}

/* Of somebody who is connected to. */
static bool read_host_url(struct config_reader *r, const struct config_key *key,
                          const struct yaml_node *value, void *into)
{
    char host[REACH_HOST_MAX + 1];
    const char *url;

    if (!value_url(&r->place, value, &url))
        return false;
    if (!reach_host(url, host)) /* which may hold a password: it is not shown */
        return yaml_complain(r->place.problem, r->place.file, value->line,
                             "%s: write a host of at most 253 bytes without a user before it; a "
                             "bearer token goes into token_file",
                             r->place.key);
    return config_keep_text(r, value, url, config_field(into, key));
}

static bool read_truth(struct config_reader *r, const struct config_key *key,
                       const struct yaml_node *value, void *into)
{
    return value_truth(&r->place, value, config_field(into, key));
}

static bool read_whole(struct config_reader *r, const struct config_key *key,
                       const struct yaml_node *value, void *into)
{
    return value_whole(&r->place, value, key->least, key->most, config_field(into, key));
}

static bool read_whole_32(struct config_reader *r, const struct config_key *key,
                          const struct yaml_node *value, void *into)
{
    uint64_t number;

    if (!value_whole(&r->place, value, key->least, key->most, &number))
        return false;
    *(uint32_t *)config_field(into, key) = (uint32_t)number;
    return true;
}

static bool read_seconds(struct config_reader *r, const struct config_key *key,
                         const struct yaml_node *value, void *into)
{
    return value_seconds(&r->place, value, key->least, key->most, config_field(into, key));
}

static bool read_word(struct config_reader *r, const struct config_key *key,
                      const struct yaml_node *value, void *into)
{
    uint32_t index;

    if (!value_word(&r->place, value, key->words, &index))
        return false;
    index += (uint32_t)key->least;
    memcpy(config_field(into, key), &index, sizeof index);
    return true;
}

static bool read_format(struct config_reader *r, const struct config_key *key,
                        const struct yaml_node *value, void *into)
{
    uint32_t index;

    if (!value_word(&r->place, value, key->words, &index))
        return false;
    *(bool *)config_field(into, key) = index == 1;
    return true;
}

static bool read_logdir(struct config_reader *r, const struct config_key *key,
                        const struct yaml_node *value, void *into)
{
    struct config *config = into;

    if (!read_text(r, key, value, &config->logdir_of_file))
        return false;
    config->logdir = config->logdir_of_file;
    return true;
}

static bool read_token_file(struct config_reader *r, const struct config_key *key,
                            const struct yaml_node *value, void *into)
{
    struct config *config = into;

    if (!read_text(r, key, value, into))
        return false;
    config->token_file = config->token_file_of_file;
    return true;
}

static bool read_listen(struct config_reader *r, const struct config_key *key,
                        const struct yaml_node *value, void *into)
{
    struct yaml_excerpt shown;
    const char *text, *wrong;

    (void)key;
    if (!value_is_list(&r->place, value, 1, CONFIG_LISTEN_MAX))
        return false;
    for (size_t i = 0; i < value->count; i++) {
        if (!value_text(&r->place, value->items[i], &text))
            return false;
        wrong = config_listen(into, text);
        if (wrong)
            return yaml_complain(r->place.problem, r->place.file, value->items[i]->line,
                                 "listen: %s: %s", yaml_excerpt(&shown, text), wrong);
    }
    return true;
}

static bool read_section(struct config_reader *r, const struct config_key *key,
                         const struct yaml_node *value, void *into)
{
    return config_read_keys(r, key->name, value, config_field(into, key));
}

/* ---- all of it */

static void let_the_line_win(const struct config *line, struct config *config)
{
    if (line->logdir_given)
        config->logdir = line->logdir;
    if (line->token_file)
        config->token_file = line->token_file;
    if (line->level_given)
        config->level = line->level;
    if (line->format_given)
        config->log_json = line->log_json;
    if (line->listen_count > 0) {
        memcpy(config->listen, line->listen, sizeof config->listen);
        config->listen_count = line->listen_count;
    }
}

static bool read_file(struct config_reader *r, const struct yaml_node *root)
{
    if (!root)
        return true;
    config_name_value(r, "", "the file");
    return config_read_keys(r, "", root, r->config) && config_read_rules(r);
}

static bool complete(const struct config *line, struct yaml_file *file, struct config *config,
                     char problem[CONFIG_PROBLEM_MAX])
{
    struct config_reader r = {.config = config};
    bool fine;

    r.place = (struct value_place){line->file, r.key, problem};
    *config = *line;
    config->listen_count = 0;
    fine = read_file(&r, yaml_file_root(file));
    if (fine)
        let_the_line_win(line, config);
    else
        config_free(config);
    yaml_file_free(file);
    return fine;
}

bool config_read_text(const struct config *line, const char *text, size_t length,
                      struct config *config, char problem[CONFIG_PROBLEM_MAX])
{
    struct yaml_file *file = yaml_file_parse(line->file, text, length, problem);

    return file && complete(line, file, config, problem);
}

bool config_read(const struct config *line, struct config *config, char problem[CONFIG_PROBLEM_MAX])
{
    struct yaml_file *file = yaml_file_read(line->file, problem);

    return file && complete(line, file, config, problem);
}
