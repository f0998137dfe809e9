/* Webhooks: POST requests by libcurl, driven by the loop. Part of the
 * rim that knows libuv.
 *
 * Addresses come from the configuration alone. http and https, certificates checked, no redirects,
 * no proxy; an answer is read up to 64 KiB and nothing of it is kept but its status. */
#ifndef EMBMON_DAEMON_WEBHOOK_H
#define EMBMON_DAEMON_WEBHOOK_H

#include "daemon/alert/sink_options.h"
#include "daemon/delivery.h"
#include "daemon/webhook_rules.h"

struct uv_loop_s;
struct webhooks; /* opaque: what all webhooks share */
struct webhook;  /* opaque: one sink's */

enum {
    WEBHOOK_ANSWER_MAX = 64 << 10,
    /* Descriptors of a request: the resolver's four, then two to connect with; and one of a
     * connection that was kept. */
    WEBHOOK_FILES = 5,
};

/* NULL, and problem, when libcurl is not there or does not start. */
struct webhooks *webhooks_open(struct uv_loop_s *loop, char problem[WEBHOOK_PROBLEM_MAX]);
/* After the last webhook_free(); it is gone once the loop has run. NULL is fine. */
void webhooks_close(struct webhooks *all);

/* At most so many connections are kept for the next requests, at least one. */
void webhooks_keep(struct webhooks *all, size_t connections);

/* What would keep a webhook of these options from working, without opening one: 0, or
 * EX_UNAVAILABLE (no libcurl) or EX_CONFIG (the token) and problem. */
int webhook_check(const struct sink_options *options, char problem[WEBHOOK_PROBLEM_MAX]);

/* options: borrowed for the webhook's life. */
struct webhook *webhook_new(struct webhooks *all, const struct sink_options *options,
                            delivery_done *done, void *context, char problem[WEBHOOK_PROBLEM_MAX]);
/* What is under way is broken off without a word. NULL is fine. */
void webhook_free(struct webhook *webhook);

/* Sends the text, which it takes; done() is called once. One at a time. */
void webhook_send(struct webhook *webhook, char *body, uint32_t ticket);

#endif
