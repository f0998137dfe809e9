/* Alerts in the log: a paragraph for each change, at most so many a minute and run. A model whose
 * thousand layers flap must not flood what people read; what is left out is said in one line a
 * minute, with counts by detector and where each change is to be read.
 *
 * What fires is never only counted: of each detector the first that fires, and the first that fires
 * more severely, is said whatever was said before. Pure: no clock. */
#ifndef EMBMON_ALERT_ALERT_LOG_H
#define EMBMON_ALERT_ALERT_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/alert/change.h"

enum {
    ALERT_LOG_MINUTE = 60,     /* paragraphs in any 60 s, and the first of each detector */
    ALERT_LOG_SPAN_MS = 60000, /* between two lines on what was left out */
    ALERT_LOG_DETECTORS = 6,   /* that such a line names */
};

struct alert_log; /* opaque: of one run */

/* NULL when out of memory. */
struct alert_log *alert_log_new(void);
void alert_log_free(struct alert_log *log);

/* Says the change, or counts it. filed: alerts.jsonl takes it. */
void alert_log_put(struct alert_log *log, const struct alert_change *change, bool filed,
                   uint64_t now_ms);

/* Says what was left out, when that is due; force: also when it is not, nothing where nothing was.
 * The run's name, and the folder that holds its own. */
void alert_log_sum_up(struct alert_log *log, const char *logdir, const char *run, uint64_t now_ms,
                      bool force);

#endif
