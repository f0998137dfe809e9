#include "daemon/report.h"

#include <string.h>

#include "daemon/registry.h"
#include "daemon/run.h"
#include "embmon/embmon.h"

struct report {
    FILE *out;
    size_t fired;
};

static void print_alert(void *context, const struct alert_change *c, bool ever_fired)
{
    struct report *report = context;

    if (!ever_fired)
        return;
    report->fired++;
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

void report_print(FILE *out, const struct registry *registry)
{
    size_t count = registry_runs(registry);

    if (count == 0)
        fputs("embmond: the command posted nothing, so nothing was watched\n", out);
    for (size_t i = 0; i < count; i++) {
        const struct run *run = registry_run(registry, i);
        struct report report = {out, 0};
        struct run_status status;

        run_get_status(run, &status);
        fprintf(out, "embmond: run %s, %llu steps:\n", status.name,
                (unsigned long long)status.steps);
        run_alerts(run, print_alert, &report);
        if (report.fired == 0)
            fputs("embmond:     nothing flagged\n", out);
    }
}
