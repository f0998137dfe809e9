#include "daemon/alert/alert_log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/alert/rate.h"
#include "daemon/detect/detect.h"
#include "daemon/log.h"
#include "embmon/embmon.h"

_Static_assert((int)ALERT_LOG_MINUTE <= (int)RATE_MAX, "the rate remembers them all");
_Static_assert((int)ALERT_LOG_SPAN_MS == (int)RATE_SPAN_MS, "both are a minute");

/* Of one detector, since the last line on what was left out. */
struct kind {
    uint32_t said;     /* the greatest severity with which it was said to fire */
    uint64_t left_out; /* changes */
};

struct alert_log {
    struct rate rate;
    uint64_t since_ms;                  /* the first that was left out; meaningless while none is */
    uint64_t left_out, firing, unfiled; /* changes; of these to firing, and not in alerts.jsonl */
    struct kind kinds[];                /* detector_count of them, and one for what is none */
};

struct alert_log *alert_log_new(void)
{
    return calloc(1, sizeof(struct alert_log) + (detector_count + 1) * sizeof(struct kind));
}

void alert_log_free(struct alert_log *log)
{
    free(log);
}

void alert_log_put(struct alert_log *log, const struct alert_change *change, bool filed,
                   uint64_t now_ms)
{
    struct kind *kind = &log->kinds[detector_find(change->detector)];
    bool firing = change->state == EMBMON_FIRING;

    if (!log_shows_alert(change))
        return;
    if (rate_allows(&log->rate, ALERT_LOG_MINUTE, now_ms)) {
        rate_take(&log->rate, ALERT_LOG_MINUTE, now_ms);
    } else if (!firing || change->severity <= kind->said) {
        if (log->left_out++ == 0)
            log->since_ms = now_ms;
        log->firing += firing;
        log->unfiled += !filed;
        kind->left_out++;
        return;
    }
    if (firing && change->severity > kind->said)
        kind->said = change->severity;
    log_alert(change);
}

/* " gradient_vanishing 700, dead_units 200, others 50". */
static void list_kinds(struct alert_log *log, char *to, size_t size)
{
    uint64_t left = log->left_out;
    size_t used = 0;

    for (size_t n = 0; n < ALERT_LOG_DETECTORS && left > 0; n++) {
        size_t most = detector_count;

        for (size_t d = 0; d < detector_count; d++) {
            if (log->kinds[d].left_out > log->kinds[most].left_out)
                most = d;
        }
        if (most == detector_count)
            break;
        used += (size_t)snprintf(to + used, size - used, "%s %s %" PRIu64, n ? "," : "",
                                 detectors[most].name, log->kinds[most].left_out);
        left -= log->kinds[most].left_out;
        log->kinds[most].left_out = 0;
    }
    if (left > 0)
        (void)snprintf(to + used, size - used, "%s others %" PRIu64, used ? "," : "", left);
}

void alert_log_sum_up(struct alert_log *log, const char *logdir, const char *run, uint64_t now_ms,
                      bool force)
{
    char kinds[ALERT_LOG_DETECTORS * (DETECTOR_MAX + 32) + 64] = "", filed[64] = "each is";

    if (log->left_out == 0 || (!force && now_ms < log->since_ms + ALERT_LOG_SPAN_MS))
        return;
    list_kinds(log, kinds, sizeof kinds);
    if (log->unfiled > 0)
        (void)snprintf(filed, sizeof filed, "all but %" PRIu64 " are", log->unfiled);
    (log->firing ? log_warn : log_info)("[%s] changes of alerts left out here: %" PRIu64
                                        " in %" PRIu64 " s, %" PRIu64
                                        " of them to firing:%s; %s in %s/%s/embmon/alerts.jsonl",
                                        run, log->left_out, (now_ms - log->since_ms + 999) / 1000,
                                        log->firing, kinds, filed, logdir, run);
    log->left_out = log->firing = log->unfiled = 0;
    memset(log->kinds, 0, (detector_count + 1) * sizeof log->kinds[0]);
}
