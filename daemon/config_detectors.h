/* What the configuration file says of detectors: `detectors` for all layers, then the items of
 * `layers` in their order. Which detectors and thresholds there are detect.c says. */
#ifndef EMBMON_DAEMON_CONFIG_DETECTORS_H
#define EMBMON_DAEMON_CONFIG_DETECTORS_H

#include "daemon/config_keys.h"

/* An item of `layers`. */
struct layers_entry {
    const char *match; /* borrowed from the file */
    const struct yaml_node *detectors;
};

/* `detectors` and `layers` themselves are only kept: what the one says lies below the other,
 * whichever stands first. */
config_key_reader config_keep_detectors, config_keep_layers;
config_key_reader config_read_glob, config_keep_entry;  /* into struct layers_entry */
config_key_reader config_read_ignore, config_read_hold; /* of one detector */

/* Reads what was kept into the configuration's rules. */
bool config_read_rules(struct config_reader *r);

#endif
