/* The configuration file's `sinks`, each into a struct sink_options. */
#ifndef EMBMON_DAEMON_CONFIG_SINKS_H
#define EMBMON_DAEMON_CONFIG_SINKS_H

#include "daemon/config_keys.h"

config_key_reader config_read_sinks; /* into struct config */
config_key_reader config_read_sink;  /* an item; into struct sink_options */
config_key_reader config_read_sink_name, config_read_command; /* the same */

#endif
