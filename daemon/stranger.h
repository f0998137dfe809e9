/* Who connects by mistake: a browser, a scanner, a wrong port in somebody's configuration. What it
 * speaks is said in the log, so that it can be found. */
#ifndef EMBMON_DAEMON_STRANGER_H
#define EMBMON_DAEMON_STRANGER_H

#include <stddef.h>
#include <stdint.h>

/* What these first bytes, which are no frame, look like: a static sentence. */
const char *stranger_speaks(const uint8_t *data, size_t n);

#endif
