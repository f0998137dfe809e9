/* The last 64 alert changes until somebody takes them: written by the sender, taken by any thread,
 * no lock. A writer that laps a reader wins; the reader sees it and takes the next. */
#ifndef EMBMON_CLIENT_NOTICES_H
#define EMBMON_CLIENT_NOTICES_H

#include <stdbool.h>

#include "embmon/embmon.h"
#include "proto/message.h"

enum { NOTICES_KEPT = 64 };

struct notices; /* opaque */

/* NULL: out of memory. */
struct notices *notices_new(void);
void notices_free(struct notices *notices);

/* The sender's side. Strings are cut at a whole UTF-8 character to fit. */
void notices_put(struct notices *notices, const struct msg_notice *message);

/* The oldest that is left; false when there is none. notice->size is not read: all is written. */
bool notices_take(struct notices *notices, struct embmon_notice *notice);

#endif
