/* What embmond was told: on its command line, checked here, and in the configuration file that it
 * names (config_file.h), over which the command line wins. */
#ifndef EMBMON_DAEMON_CONFIG_H
#define EMBMON_DAEMON_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "daemon/alert/sink_options.h"
#include "daemon/ceilings.h"
#include "daemon/detect/rules.h"
#include "daemon/log.h"
#include "proto/address.h"

enum { CONFIG_LISTEN_MAX = 16, CONFIG_SINKS_MAX = 16, CONFIG_PROBLEM_MAX = 1024 };

struct config {
    const char *logdir; /* borrowed from argv, static, or logdir_of_file */
    struct address listen[CONFIG_LISTEN_MAX];
    size_t listen_count;    /* 0: the default addresses */
    const char *token_file; /* NULL: none; borrowed from argv or token_file_of_file */
    enum log_level level;
    bool log_json;
    char **command; /* NULL: none; borrowed from argv, ends with NULL */

    const char *file; /* NULL: none; borrowed from argv */
    bool test_only;
    bool logdir_given, level_given, format_given; /* on the command line */

    /* What only the file says. */
    char *logdir_of_file;     /* owned; NULL: it names none */
    char *token_file_of_file; /* owned; NULL: it names none */
    struct rules rules;       /* owned: of detectors, below what trainers say */
    struct ceilings ceilings;
    struct sink_options *sinks; /* owned, with what is in them */
    size_t sink_count;
    char *tensorboard_url; /* owned; NULL: none */
};

enum config_result {
    CONFIG_OK,
    CONFIG_HELP,    /* print config_help() and exit 0 */
    CONFIG_VERSION, /* print the version and exit 0 */
    CONFIG_USAGE,   /* problem says what is wrong, in one line */
};

enum config_result config_parse(int argc, char **argv, struct config *config,
                                char problem[CONFIG_PROBLEM_MAX]);

/* Takes one more address to listen on. NULL, or a static sentence on what is wrong with it. */
const char *config_listen(struct config *config, const char *text);

/* Frees what is owned; twice is fine. */
void config_free(struct config *config);

/* The text of --help. */
const char *config_help(void);

#endif
