/* What the configuration says of one sink beside the log, alerts.jsonl and TensorBoard. */
#ifndef EMBMON_ALERT_SINK_OPTIONS_H
#define EMBMON_ALERT_SINK_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

struct sink_options {
    enum { SINK_WEBHOOK, SINK_EXEC } kind;
    char *name;        /* owned, as all that follows; for logs and status */
    uint32_t severity; /* least severity that is sent: enum embmon_severity */
    char *url;         /* webhook: http or https */
    enum { WEBHOOK_API_V2, WEBHOOK_RECEIVER_V4 } format;
    uint32_t a_minute;   /* messages or programs in 60 s at most; 20 */
    uint32_t resend_s;   /* api v2: what fires is sent again so often, 60 */
    bool allow_private;  /* webhook: its host's name may lead to a private network */
    uint32_t timeout_ms; /* of a request or a program, 5000 */
    char **argv;         /* exec: argv[0] absolute; ends with NULL */
    char *token_file;    /* webhook: holds a bearer token; or NULL */
};

/* A deep copy. False: out of memory, *to is then empty. */
bool sink_options_copy(struct sink_options *to, const struct sink_options *from);
void sink_options_clear(struct sink_options *options);
bool sink_options_equal(const struct sink_options *a, const struct sink_options *b);

#endif
