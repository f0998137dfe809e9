/* The configuration file, embmond.yaml(5), from one table of keys. Nothing in it is accepted and
 * ignored: what is not known, stands twice, has the wrong type or is out of range is a problem with
 * file and line, and says what to write instead. */
#ifndef EMBMON_DAEMON_CONFIG_FILE_H
#define EMBMON_DAEMON_CONFIG_FILE_H

#include "daemon/config.h"

/* What the command line said, completed by the file it names. False: problem says why, and config
 * owns nothing. */
bool config_read(const struct config *line, struct config *config,
                 char problem[CONFIG_PROBLEM_MAX]);

/* The same with the text of a file. */
bool config_read_text(const struct config *line, const char *text, size_t length,
                      struct config *config, char problem[CONFIG_PROBLEM_MAX]);

#endif
