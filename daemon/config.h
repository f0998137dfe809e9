/* What embmond was told on its command line, checked. */
#ifndef EMBMON_DAEMON_CONFIG_H
#define EMBMON_DAEMON_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "daemon/alert/sink_options.h"
#include "daemon/log.h"
#include "proto/address.h"

enum { CONFIG_LISTEN_MAX = 16, CONFIG_PROBLEM_MAX = 256 };

struct config {
    const char *logdir; /* borrowed from argv, or static */
    struct address listen[CONFIG_LISTEN_MAX];
    size_t listen_count; /* 0: the default addresses */
    enum log_level level;
    bool log_json;
    char **command; /* NULL: none; borrowed from argv, ends with NULL */
    struct sink_options *sinks;
    size_t sink_count;
    char *tensorboard_url; /* NULL: none */
};

enum config_result {
    CONFIG_OK,
    CONFIG_HELP,    /* print config_help() and exit 0 */
    CONFIG_VERSION, /* print the version and exit 0 */
    CONFIG_USAGE,   /* problem says what is wrong, in one line */
};

enum config_result config_parse(int argc, char **argv, struct config *config,
                                char problem[CONFIG_PROBLEM_MAX]);

/* The text of --help. */
const char *config_help(void);

#endif
