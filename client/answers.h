/* What the daemon says to the sender. */
#ifndef EMBMON_CLIENT_ANSWERS_H
#define EMBMON_CLIENT_ANSWERS_H

#include <stdint.h>

struct sender;

/* Handles the whole frames that were received, so many of them at once. Returns NULL, or a static
 * sentence on why this peer is not to be talked to any longer. */
const char *answers_take(struct sender *sender, int64_t now_ms);

#endif
