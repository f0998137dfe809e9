#include "daemon/notice.h"

#include <math.h>

struct msg_notice notice_of(const struct alert_change *c)
{
    return (struct msg_notice){
        .time = c->time,
        .phase = c->phase,
        .layer = c->layer,
        .variable = c->variable,
        .signal = c->signal,
        .detector = c->detector,
        .severity = c->severity,
        .state = c->state,
        .step = c->step,
        .first_step = c->first_step,
        .value = c->value_given ? c->value : NAN,
        .threshold = c->threshold_given ? c->threshold : NAN,
        .baseline = c->baseline_given ? c->baseline : NAN,
        .reason = c->reason,
        .summary = c->summary,
        .hint = c->hint,
    };
}
