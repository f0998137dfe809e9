#include "daemon/report.h"

#include <string.h>

#include "daemon/registry.h"
#include "daemon/run.h"
#include "embmon/embmon.h"

struct report {
    FILE *out;
    uint32_t severity; /* whose turn it is */
    size_t said;
    size_t left[EMBMON_CRITICAL + 1]; /* that fired and were not said, by severity */
};

static void print_alert(void *context, const struct alert_change *c, bool ever_fired)
{
    struct report *report = context;

    if (!ever_fired || c->fired_severity != report->severity || report->said == REPORT_ALERTS)
        return;
    report->said++;
    report->left[c->fired_severity]--;
    fprintf(report->out, "embmond:     %s %s%s%s%s%s: first at step %llu%s%s, ",
            severity_name(c->fired_severity), c->detector, *c->layer ? " in " : "", c->layer,
            *c->variable ? "/" : "", c->variable, (unsigned long long)c->fired_step,
            c->phase == EMBMON_TRAIN ? "" : " of ",
            c->phase == EMBMON_TRAIN ? "" : phase_name(c->phase));
    if (c->state == EMBMON_RESOLVED && c->before == EMBMON_FIRING &&
        strcmp(c->reason, "closed") == 0)
        fputs("still firing at the end\n", report->out);
    else if (c->state == EMBMON_RESOLVED)
        fprintf(report->out, "over at step %llu\n", (unsigned long long)c->step);
    else
        fprintf(report->out, "now %s\n", state_name(c->state));
}

/* "and 950 more, 3 critical, 947 warning: ..." */
static void print_left(const struct report *report, const char *logdir, const char *run)
{
    size_t all = 0;

    for (uint32_t s = EMBMON_INFO; s <= EMBMON_CRITICAL; s++)
        all += report->left[s];
    if (report->said + all == 0)
        fputs("embmond:     nothing flagged\n", report->out);
    if (all == 0)
        return;
    fprintf(report->out, "embmond:     and %zu more", all);
    for (uint32_t s = EMBMON_CRITICAL; s >= EMBMON_INFO; s--) {
        if (report->left[s] > 0)
            fprintf(report->out, ", %zu %s", report->left[s], severity_name(s));
    }
    fprintf(report->out, ": see %s/%s/embmon/alerts.jsonl\n", logdir, run);
}

void report_print(FILE *out, const struct registry *registry)
{
    size_t count = registry_runs(registry);

    if (count == 0)
        fputs("embmond: the command posted nothing, so nothing was watched\n", out);
    for (size_t i = 0; i < count; i++) {
        const struct run *run = registry_run(registry, i);
        struct report report = {.out = out};
        struct run_status status;

        run_get_status(run, &status);
        memcpy(report.left, status.fired, sizeof report.left);
        fprintf(out, "embmond: run %s, %llu steps:\n", status.name,
                (unsigned long long)status.steps);
        for (report.severity = EMBMON_CRITICAL; report.severity >= EMBMON_INFO; report.severity--)
            run_alerts(run, print_alert, &report);
        print_left(&report, registry_logdir(registry), status.name);
    }
}
