#include "daemon/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/options.h"

enum {
    KEY_LOGDIR = 1,
    KEY_LISTEN,
    KEY_TOKEN_FILE,
    KEY_CONFIG,
    KEY_TEST,
    KEY_VERBOSE,
    KEY_QUIET,
    KEY_LOG_FORMAT,
    KEY_VERSION,
    KEY_HELP
};

static const struct option_row rows[] = {
    {'l', "logdir", true, KEY_LOGDIR},       {0, "listen", true, KEY_LISTEN},
    {0, "token-file", true, KEY_TOKEN_FILE}, {'c', "config", true, KEY_CONFIG},
    {'t', "test-config", false, KEY_TEST},   {'v', "verbose", false, KEY_VERBOSE},
    {'q', "quiet", false, KEY_QUIET},        {0, "log-format", true, KEY_LOG_FORMAT},
    {0, "version", false, KEY_VERSION},      {'h', "help", false, KEY_HELP},
};

static const char help[] =
    "usage: embmond [OPTIONS] [-- COMMAND [ARG...]]\n"
    "\n"
    "Watches the training of models with embedding layers: takes what trainers post, writes\n"
    "TensorBoard event files and says which layer went wrong, when and probably why.\n"
    "\n"
    "  -l, --logdir DIR         write DIR/<run>/embmon/events.out.tfevents.* (default ./runs)\n"
    "      --listen ADDR        serve unix:PATH or tcp:HOST:PORT; repeatable (default: the first\n"
    "                           usable of unix:$XDG_RUNTIME_DIR/embmond.sock,\n"
    "                           unix:/run/user/<uid>/embmond.sock,\n"
    "                           unix:$HOME/.embmond/<hostname>.sock)\n"
    "      --token-file FILE    who connects over tcp must know what FILE holds; needed where "
    "other\n"
    "                           machines can connect\n"
    "  -c, --config FILE        read FILE: thresholds, limits, sinks; see embmond.yaml(5); "
    "options\n"
    "                           given here win over it\n"
    "  -t, --test-config        check options and FILE, say so and exit\n"
    "  -v, --verbose            log debug messages too\n"
    "  -q, --quiet              log warnings and errors only\n"
    "      --log-format FORMAT  text or json, one object a line (default text)\n"
    "      --version            print the version and exit\n"
    "  -h, --help               print this text and exit\n"
    "  -- COMMAND [ARG...]      run COMMAND with EMBMON_ADDRESS and EMBMON_RUN set, on a private\n"
    "                           socket unless --listen is given; end when it ends, print what\n"
    "                           was flagged, exit with its status\n"
    "\n"
    "Exit status: 0 fine, 64 usage, 69 address already served, 71 system error, 73 cannot create\n"
    "the logdir or the socket, 78 wrong configuration; with COMMAND its own, 126 or 127 if it\n"
    "cannot be started.\n"
    "See embmond(8), embmond.yaml(5), and embmonctl(1) to ask a running embmond.\n";

const char *config_help(void)
{
    return help;
}

_Static_assert(CONFIG_LISTEN_MAX == 16, "as the sentence says");

const char *config_listen(struct config *config, const char *text)
{
    if (config->listen_count == CONFIG_LISTEN_MAX)
        return "at most 16 addresses";
    struct address *address = &config->listen[config->listen_count];
    const char *wrong = address_parse_listen(text, address);
    for (size_t i = 0; i < config->listen_count && !wrong; i++)
        if (address_equal(&config->listen[i], address))
            wrong = "given twice";
    config->listen_count += !wrong;
    return wrong;
}

static bool add_listen(struct config *config, const char *text, char *problem)
{
    const char *wrong = config_listen(config, text);
    if (wrong)
        snprintf(problem, CONFIG_PROBLEM_MAX, "--listen %.110s: %s", text, wrong);
    return !wrong;
}

static bool set_format(struct config *config, const char *text, char *problem)
{
    if (strcmp(text, "text") != 0 && strcmp(text, "json") != 0) {
        snprintf(problem, CONFIG_PROBLEM_MAX, "--log-format %.40s: must be text or json", text);
        return false;
    }
    config->log_json = text[0] == 'j';
    config->format_given = true;
    return true;
}

static bool set_logdir(struct config *config, const char *text, char *problem)
{
    if (*text == '\0') {
        snprintf(problem, CONFIG_PROBLEM_MAX, "--logdir: the name is empty");
        return false;
    }
    config->logdir = text;
    config->logdir_given = true;
    return true;
}

static bool set_file(struct config *config, const char *text, char *problem)
{
    if (*text == '\0') {
        snprintf(problem, CONFIG_PROBLEM_MAX, "--config: the name is empty");
        return false;
    }
    config->file = text;
    return true;
}

static bool set_token_file(struct config *config, const char *text, char *problem)
{
    if (*text == '\0') {
        snprintf(problem, CONFIG_PROBLEM_MAX, "--token-file: the name is empty");
        return false;
    }
    config->token_file = text;
    return true;
}

static bool set_level(struct config *config, enum log_level level)
{
    config->level = level;
    config->level_given = true;
    return true;
}

static enum config_result set_option(struct config *config, int key, const char *value,
                                     char *problem)
{
    bool fine = true;
    switch (key) {
    case KEY_LOGDIR:
        fine = set_logdir(config, value, problem);
        break;
    case KEY_LISTEN:
        fine = add_listen(config, value, problem);
        break;
    case KEY_TOKEN_FILE:
        fine = set_token_file(config, value, problem);
        break;
    case KEY_CONFIG:
        fine = set_file(config, value, problem);
        break;
    case KEY_TEST:
        config->test_only = true;
        break;
    case KEY_VERBOSE:
        fine = set_level(config, LOG_LEVEL_DEBUG);
        break;
    case KEY_QUIET:
        fine = set_level(config, LOG_LEVEL_WARN);
        break;
    case KEY_LOG_FORMAT:
        fine = set_format(config, value, problem);
        break;
    case KEY_VERSION:
        return CONFIG_VERSION;
    case KEY_HELP:
        return CONFIG_HELP;
    default: /* options_next() wrote the problem */
        fine = false;
    }
    return fine ? CONFIG_OK : CONFIG_USAGE;
}

void config_free(struct config *config)
{
    for (size_t i = 0; i < config->sink_count; i++)
        sink_options_clear(&config->sinks[i]);
    free(config->sinks);
    free(config->logdir_of_file);
    free(config->token_file_of_file);
    free(config->tensorboard_url);
    rules_free(&config->rules);
    *config = (struct config){0};
}

/* What follows "--". */
static enum config_result set_command(struct config *config, const struct options *options,
                                      char *problem)
{
    if (options->next >= options->argc) {
        snprintf(problem, CONFIG_PROBLEM_MAX, "a command must follow --");
        return CONFIG_USAGE;
    }
    config->command = options->argv + options->next;
    return CONFIG_OK;
}

enum config_result config_parse(int argc, char **argv, struct config *config,
                                char problem[CONFIG_PROBLEM_MAX])
{
    struct options options;
    const char *value;
    bool dashes;
    int key;

    *config =
        (struct config){.logdir = "./runs", .level = LOG_LEVEL_INFO, .ceilings = CEILINGS_DEFAULT};
    *problem = '\0';
    options_start(&options, argc, argv);
    while ((key = options_next(&options, rows, sizeof rows / sizeof rows[0], &value, &dashes,
                               problem)) != OPTIONS_DONE) {
        if (key == OPTIONS_OPERAND) {
            snprintf(problem, CONFIG_PROBLEM_MAX,
                     "unexpected argument %.100s (a command to run goes after --)", value);
            return CONFIG_USAGE;
        }
        enum config_result result = set_option(config, key, value, problem);
        if (result != CONFIG_OK)
            return result;
    }
    return dashes ? set_command(config, &options, problem) : CONFIG_OK;
}
