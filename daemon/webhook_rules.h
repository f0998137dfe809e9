/* What webhooks may do and what answers mean; no loop, no libcurl. */
#ifndef EMBMON_DAEMON_WEBHOOK_RULES_H
#define EMBMON_DAEMON_WEBHOOK_RULES_H

#include <stdbool.h>
#include <sys/socket.h>

#include "daemon/alert/outbox.h"
#include "daemon/alert/sink_options.h"

enum { WEBHOOK_PROBLEM_MAX = 256, WEBHOOK_TOKEN_MAX = 4096 };

/* Where requests go: the options' address, with /api/v2/alerts behind it where that is the format.
 * The caller frees it; NULL when out of memory. */
char *webhook_url(const struct sink_options *options);

/* What an answer of this status means for what was sent. */
enum outbox_outcome webhook_outcome(long status);

/* NULL when the address may be connected to; else why not, a static sentence. Where its name leads
 * is for others to say: to this machine or a private network only where the options name that
 * themselves, or allow it; to link-local addresses and their like never. */
const char *webhook_forbids(const struct sink_options *options, const struct sockaddr *address);

/* The word in the file, without the white space around it. The caller frees it; NULL, and problem,
 * when there is none. */
char *webhook_token(const char *path, char problem[WEBHOOK_PROBLEM_MAX]);

#endif
