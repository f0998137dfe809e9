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

/* False for addresses no receiver has: link-local ones, where clouds serve credentials to whoever
 * asks, multicast and unspecified ones; also as IPv4 within IPv6. */
bool webhook_may_connect(const struct sockaddr *address);

/* The word in the file, without the white space around it. The caller frees it; NULL, and problem,
 * when there is none. */
char *webhook_token(const char *path, char problem[WEBHOOK_PROBLEM_MAX]);

#endif
