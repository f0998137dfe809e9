/* Seeds for the fuzz target of checkpoints (tests/fuzz/seeds.py): a small training with all that is
 * kept of it, as the content of a checkpoint on stdout. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/learn.h"
#include "daemon/tensorboard/phase.h"
#include "embmon/embmon.h"
#include "tests/fuzz/checkpoint_parts.h"
#include "tests/unit/values.h"

static void must(bool fine)
{
    if (!fine)
        abort();
}

static void declare(struct parts *p)
{
    struct msg_layer table = {.path = "a",
                              .kind = EMBMON_EMBEDDING,
                              .activation = "",
                              .trainable = true,
                              .rows = 9,
                              .columns = 2};
    struct msg_layer dense = {.path = "b", .kind = EMBMON_DENSE, .activation = "tanh"};
    struct msg_threshold threshold = {"gradient_vanishing", "*", "ratio", 1e-4};
    char problem[RULES_SENTENCE];
    size_t inputs[] = {0};

    must(model_layer(&p->model, &table) == 0 && model_layer(&p->model, &dense) == 1);
    must(model_variable(&p->model, 1, "k") == 2 && model_scalar(&p->model, "s") >= 0);
    must(model_inputs(&p->model, 1, inputs, 1));
    must(baseline_resize(&p->baseline, 2, 3) && phase_windows(&p->windows, &p->model));
    (void)rules_threshold(&p->rules, &threshold, problem);
    must(rules_resolve(&p->rules, &p->model));
}

static void post(struct parts *p, uint64_t step, double value)
{
    struct msg_ids ids = {.phase = EMBMON_TRAIN,
                          .step = step,
                          .input = "in",
                          .dtype = EMBMON_I32,
                          .stats = {.count = 4, .beyond = 1, .worst = 9}};
    struct posted_shape shape = {
        .phase = EMBMON_TRAIN, .role = EMBMON_SHAPE_OUTPUT, .step = step, .shape = {{4, 2}, 2}};
    const double values[] = {value, 1, -2};
    const struct step *at;
    struct summary s;

    must(values_summarise(&s, values, 3));
    for (size_t variable = 0; variable < 3; variable++)
        must(steps_sample(p->steps, EMBMON_TRAIN, step, 0, variable, EMBMON_GRADIENT, &s) == 0);
    (void)histogram_window_add(&p->windows->variables[0].signals[0], step, &s);
    (void)scalar_window_add(&p->windows->layers[0].norm, step, 2);
    must(steps_ids(p->steps, 1, 0, &ids, &at) == 0 && steps_shape(p->steps, &shape, 1, &at) == 0);
    must(steps_scalar(p->steps, EMBMON_TRAIN, step, 0, SCALAR_LOSS, 0.5) == 0);
    summary_free(&s);
}

static void judge(struct parts *p, uint64_t number)
{
    struct measures measures = {0};
    struct moment now = {.ms = 1000, .wall = 1e9};
    struct step *step;

    must(steps_end(p->steps, EMBMON_TRAIN, number, 0, now) == 0);
    step = steps_take(p->steps, now, true);
    must(step && measure_step(&measures, step, &p->model, &p->baseline, -1));
    must(alerts_judge(p->alerts, &measures, &p->baseline, &p->rules, now));
    learn_step(&p->baseline, &measures, p->alerts);
    norms_add(&p->norms, &measures);
    pace_step(&p->pace, number, now);
    steps_recycle(p->steps, step);
    measures_free(&measures);
}

int main(void)
{
    struct parts parts;
    struct carry c;

    must(parts_open(&parts));
    declare(&parts);
    post(&parts, 0, NAN);
    judge(&parts, 0);
    post(&parts, 1, 3);
    must(tag_table_need(parts.tags, "loss", 4) != NULL);
    carry_save(&c, 1 << 20);
    parts_carry(&c, &parts);
    must(!c.problem && fwrite(c.data, 1, c.length, stdout) == c.length);
    carry_free(&c);
    parts_close(&parts);
    return fflush(stdout) ? 1 : 0;
}
