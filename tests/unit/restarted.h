/* A training (training.h) that is restarted between two steps: all that is kept is saved, thrown
 * away and loaded again. */
#ifndef EMBMON_TESTS_UNIT_RESTARTED_H
#define EMBMON_TESTS_UNIT_RESTARTED_H

#include "tests/unit/training.h"
/* after it: that brings cmocka */
#include "tests/unit/again.h"

static inline void restarted_carry(struct carry *c, void *thing)
{
    struct training *t = thing;

    model_carry(c, &t->model);
    steps_carry(c, t->steps, &t->model, t->now);
    baseline_carry(c, &t->baseline, t->model.layer_count, t->model.variable_count);
    rules_carry(c, &t->rules);
    alerts_carry(c, t->alerts, &t->model);
}

static inline void restarted_free(void *thing)
{
    struct training *t = thing;

    alerts_free(t->alerts);
    baseline_free(&t->baseline);
    rules_free(&t->rules);
    steps_free(t->steps);
    model_clear(&t->model);
}

static inline void restarted_fresh(void *thing)
{
    struct training *t = thing;

    restarted_free(t);
    t->steps = steps_new(t->ranks, (size_t)64 << 20, t->now);
    t->alerts = alerts_new("run", listen, NULL);
    baseline_init(&t->baseline);
    assert_true(t->steps && t->alerts && model_init(&t->model));
}

static const struct kept restarted = {restarted_carry, restarted_fresh};

static inline void training_restart(void)
{
    struct carry saved = again_saved(&restarted, &training);

    again_same(&restarted, &saved, &training);
    carry_free(&saved);
}

#endif
