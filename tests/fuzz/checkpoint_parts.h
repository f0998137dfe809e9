/* What of a run's checkpoint needs no file: for the fuzz target, and for the tool that makes its
 * seeds. */
#ifndef EMBMON_TESTS_FUZZ_CHECKPOINT_PARTS_H
#define EMBMON_TESTS_FUZZ_CHECKPOINT_PARTS_H

#include "daemon/alert/alert.h"
#include "daemon/carry.h"
#include "daemon/detect/rules.h"
#include "daemon/norms.h"
#include "daemon/pace.h"
#include "daemon/step.h"
#include "daemon/tensorboard/phase.h"
#include "daemon/tensorboard/tag_table.h"

enum { PARTS_WORLD = 3 };

struct parts {
    struct model model;
    struct steps *steps;
    struct baseline baseline;
    struct norms norms;
    struct pace pace;
    struct rules rules;
    struct alerts *alerts;
    struct phase_windows *windows;
    struct tag_table *tags;
};

static inline void parts_ignore(void *context, const struct alert_change *change)
{
    (void)context, (void)change;
}

/* False: out of memory. */
static inline bool parts_open(struct parts *p)
{
    *p = (struct parts){0};
    p->steps = steps_new(PARTS_WORLD, (size_t)64 << 20, (struct moment){.ms = 1});
    p->alerts = alerts_new("run", parts_ignore, NULL);
    p->tags = tag_table_new();
    baseline_init(&p->baseline);
    return model_init(&p->model) && p->steps && p->alerts && p->tags;
}

static inline void parts_close(struct parts *p)
{
    phase_windows_free(p->windows);
    tag_table_free(p->tags);
    alerts_free(p->alerts);
    rules_free(&p->rules);
    norms_free(&p->norms);
    baseline_free(&p->baseline);
    steps_free(p->steps);
    model_clear(&p->model);
}

static inline void parts_carry(struct carry *c, struct parts *p)
{
    model_carry(c, &p->model);
    steps_carry(c, p->steps, &p->model, (struct moment){.ms = 1});
    baseline_carry(c, &p->baseline, p->model.layer_count, p->model.variable_count);
    norms_carry(c, &p->norms, p->model.layer_count);
    pace_carry(c, &p->pace);
    rules_carry(c, &p->rules);
    alerts_carry(c, p->alerts, &p->model);
    phase_windows_carry(c, &p->windows, &p->model);
    tag_table_carry(c, p->tags);
}

#endif
