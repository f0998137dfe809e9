#include "daemon/config.h"

#include <stdio.h>
#include <string.h>

#include "daemon/options.h"

enum { KEY_LOGDIR = 1, KEY_LISTEN, KEY_VERBOSE, KEY_QUIET, KEY_LOG_FORMAT, KEY_VERSION, KEY_HELP };

static const struct option_row rows[] = {
    {'l', "logdir", true, KEY_LOGDIR},       {0, "listen", true, KEY_LISTEN},
    {'v', "verbose", false, KEY_VERBOSE},    {'q', "quiet", false, KEY_QUIET},
    {0, "log-format", true, KEY_LOG_FORMAT}, {0, "version", false, KEY_VERSION},
    {'h', "help", false, KEY_HELP},
};

static const char help[] =
    "usage: embmond [OPTIONS] [-- COMMAND [ARG...]]\n"
    "\n"
    "Watches the training of models with embedding layers: takes what trainers post, writes\n"
    "TensorBoard event files and says which layer went wrong, when and probably why.\n"
    "\n"
    "  -l, --logdir DIR         write DIR/<run>/embmon/events.out.tfevents.* (default ./runs)\n"
    "      --listen unix:PATH   serve this socket; repeatable (default: the first usable of\n"
    "                           $XDG_RUNTIME_DIR/embmond.sock, /run/user/<uid>/embmond.sock,\n"
    "                           $HOME/.embmond/<hostname>.sock)\n"
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
    "the logdir or the socket; with COMMAND its own, 126 or 127 if it cannot be started.\n"
    "See embmond(8), and embmonctl(1) to ask a running embmond.\n";

const char *config_help(void)
{
    return help;
}

static bool add_listen(struct config *config, const char *text, char *problem)
{
    if (strncmp(text, "tcp:", 4) == 0) {
        snprintf(problem, CONFIG_PROBLEM_MAX,
                 "--listen %.100s: tcp is not supported in this version, use unix:PATH", text);
        return false;
    }
    if (config->listen_count == CONFIG_LISTEN_MAX) {
        snprintf(problem, CONFIG_PROBLEM_MAX, "--listen: at most %d addresses", CONFIG_LISTEN_MAX);
        return false;
    }
    struct address *address = &config->listen[config->listen_count];
    const char *wrong = address_parse(text, address);
    if (wrong) {
        snprintf(problem, CONFIG_PROBLEM_MAX, "--listen %.100s: %s", text, wrong);
        return false;
    }
    for (size_t i = 0; i < config->listen_count; i++) {
        if (strcmp(config->listen[i].path, address->path) == 0) {
            snprintf(problem, CONFIG_PROBLEM_MAX, "--listen %.110s: given twice", text);
            return false;
        }
    }
    config->listen_count++;
    return true;
}

static bool set_format(struct config *config, const char *text, char *problem)
{
    if (strcmp(text, "text") != 0 && strcmp(text, "json") != 0) {
        snprintf(problem, CONFIG_PROBLEM_MAX, "--log-format %.40s: must be text or json", text);
        return false;
    }
    config->log_json = text[0] == 'j';
    return true;
}

static bool set_logdir(struct config *config, const char *text, char *problem)
{
    if (*text == '\0') {
        snprintf(problem, CONFIG_PROBLEM_MAX, "--logdir: the name is empty");
        return false;
    }
    config->logdir = text;
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
    case KEY_VERBOSE:
        config->level = LOG_LEVEL_DEBUG;
        break;
    case KEY_QUIET:
        config->level = LOG_LEVEL_WARN;
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

    *config = (struct config){.logdir = "./runs", .level = LOG_LEVEL_INFO};
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
