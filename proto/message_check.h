/* Which values the fields of a message may have; knows plain structs only. */
#ifndef EMBMON_PROTO_MESSAGE_CHECK_H
#define EMBMON_PROTO_MESSAGE_CHECK_H

#include "proto/message.h"

enum {
    KEY_MAX = 255,     /* bytes of a launch key */
    WORD_MAX = 255,    /* bytes of an activation's, a signal's, a detector's, a query's name */
    PROSE_MAX = 4096,  /* bytes of a detail, a summary, a hint */
    WISH_MAX = 1 << 16 /* steps of a wish */
};

/* Returns NULL, or a static sentence on the first field that is out of its range. Strings must not
 * be NULL. */
const char *message_check(const struct message *message);

#endif
