/* A sink as the configuration file asks for it, checked. */
#ifndef EMBMON_ALERT_SINK_OPTIONS_H
#define EMBMON_ALERT_SINK_OPTIONS_H

#include <stdint.h>

struct sink_options {
    enum { SINK_WEBHOOK, SINK_EXEC } kind;
    char *name;        /* owned; for logs and status */
    uint32_t severity; /* least severity that is sent: enum embmon_severity */
    char *url;
    enum { WEBHOOK_API_V2, WEBHOOK_RECEIVER_V4 } format;
    uint32_t resend_s;   /* api v2: 60 */
    uint32_t timeout_ms; /* 5000 */
    char **argv;         /* exec: argv[0] absolute; NULL-terminated, owned */
    char *token_file;    /* webhook: bearer token, or NULL */
};

#endif
