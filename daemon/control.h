/* embmonctl's queries, answered from what is loaded: lines of JSON, one object each (embmonctl(1)
 * lists the fields). Knows no sockets: the session sends the text in chunks. */
#ifndef EMBMON_DAEMON_CONTROL_H
#define EMBMON_DAEMON_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/moment.h"
#include "proto/message.h"

struct registry;

enum { CONTROL_REPLY_MAX = 16 << 20 }; /* bytes of an answer; a longer one becomes an error */

struct control_reply {
    uint32_t status; /* 0, or the exit status for embmonctl: the text is then one sentence */
    char *text;      /* owned; NULL when length is 0 */
    size_t length;
};

/* Answers status, runs, layers, alerts and watch; anything else is status 64. A watch while no run
 * is loaded is status 75: whoever asks again later will see one. False: out of memory, *reply is
 * then empty. */
bool control_answer(struct registry *registry, const struct msg_query *query, struct moment now,
                    struct control_reply *reply);
void control_reply_free(struct control_reply *reply);

#endif
