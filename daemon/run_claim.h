/* Whose a run is that is not loaded, as far as its folder says: an embmond that was killed, or has
 * unloaded it, may have told its name to some ranks of a launch and not to others yet. Reads the
 * beginning of the checkpoint and changes nothing. */
#ifndef EMBMON_DAEMON_RUN_CLAIM_H
#define EMBMON_DAEMON_RUN_CLAIM_H

#include "daemon/moment.h"
#include "proto/message.h"

enum run_claim {
    CLAIM_OTHERS,  /* of others, or not to be told */
    CLAIM_FREE,    /* there is none, or one that nothing was ever recorded of */
    CLAIM_LAUNCH,  /* the session may join: see embmond(8), "Runs" */
    CLAIM_SESSION, /* it took part before */
};

/* Time that no embmond was there does not count as silence, up to ten minutes. */
enum run_claim run_claim(const char *logdir, const char *name, const struct msg_hello *hello,
                         struct moment now);

#endif
