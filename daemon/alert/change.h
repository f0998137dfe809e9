/* One change of one alert: what every sink gets. */
#ifndef EMBMON_ALERT_CHANGE_H
#define EMBMON_ALERT_CHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct alert_change {
    double time;          /* seconds since 1970 */
    const char *run;      /* strings are borrowed for the call; never NULL */
    uint32_t phase;       /* enum embmon_phase */
    const char *layer;    /* "" where the alert is of the whole model */
    const char *variable; /* "" for a table, and for a layer as a whole */
    const char *signal;   /* "gradient", "activation", "loss", ... */
    const char *detector;
    uint32_t severity;                 /* enum embmon_severity; rises only, while it fires */
    uint32_t fired_severity;           /* the highest it ever fired with; 0: it never did */
    uint32_t state;                    /* enum embmon_alert_state */
    uint32_t before;                   /* the state it changed from */
    uint64_t step;                     /* of this change */
    uint64_t first_step;               /* the first sick step */
    uint64_t fired_step;               /* the first sick step of the first time it fired */
    double value, threshold, baseline; /* meaningless where not given */
    bool value_given, threshold_given, baseline_given;
    const uint32_t *ranks; /* ascending */
    size_t rank_count;
    const char *reason;  /* "", "cleared", "new level", "closed" */
    const char *summary; /* one sentence: what happened where, with this run's numbers */
    const char *hint;    /* what it usually means, what to look at next, how to confirm it */
};

/* A copy in one block, strings and ranks in it, for those who keep a change: free() it. NULL when
 * out of memory. */
struct alert_change *change_copy(const struct alert_change *change);

const char *phase_name(uint32_t phase);       /* "training", "validation", "inference" */
const char *severity_name(uint32_t severity); /* "info", "warning", "critical" */
const char *state_name(uint32_t state);       /* "resolved", "pending", "firing" */

#endif
