/* What goes to the receivers of alerts, as JSON. Pure.
 *
 * An alert is recognised by its labels: they say where and what, and stay the same as long as it
 * lasts; what changes (step, value, the sentence) is in the annotations. The severity is a label,
 * because people route by it. Should it change, the alert under its old severity is said to be over
 * in the same message in which the new one begins. */
#ifndef EMBMON_ALERT_PAYLOAD_H
#define EMBMON_ALERT_PAYLOAD_H

#include "daemon/alert/outbox.h"

/* An alert that was still firing when its run was closed is not over: nothing got better. It ends
 * so many seconds later in Alertmanager, which says nothing of an alert that ends within its
 * group_wait: one that came in the last moment of a training would go unnoticed. */
enum { PAYLOAD_LINGER_S = 300, PAYLOAD_TIME = 32 };

struct payload_context {
    const char *sink;            /* the sink's name */
    const char *host;            /* this machine's */
    const char *tensorboard_url; /* NULL: no links */
};

/* For POST /api/v2/alerts of an Alertmanager: an array, one element for each alert. All three: the
 * caller frees the text; NULL when out of memory. */
char *payload_api_v2(const struct outbox_batch *batch, const struct payload_context *context);

/* What an Alertmanager itself sends to a webhook, version "4"; the batch is of one group, or
 * pooled. */
char *payload_receiver_v4(const struct outbox_batch *batch, const struct payload_context *context);

/* The object of alerts.jsonl on a line. */
char *payload_line(const struct alert_change *change);

/* RFC 3339 in UTC, with milliseconds. */
const char *payload_time(char text[PAYLOAD_TIME], double seconds);

#endif
