/* Which detectors cannot tell about which layers, and why, as text: sentences are too long for a
 * column, and the same ones hold of many layers. */
#ifndef EMBMON_DAEMON_CTL_SILENT_H
#define EMBMON_DAEMON_CTL_SILENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* layers: an array of the daemon's objects, {"layer": name, "silent": {detector: reason}}. Layers
 * of which the same holds come together, and so do detectors of the same reason; lines have at most
 * so many columns, but for a word that is longer. utf8: see ctl_text.h. False: out of memory, the
 * text lacks something. */
bool ctl_silent_print(FILE *out, json_t *layers, size_t columns, bool utf8);

#endif
