/* Two runs with fixed contents in place of registry.c and run.c, for the modules that only ask. The
 * test that includes this defines the functions of registry.h and run.h that those modules call. */
#ifndef EMBMON_TESTS_FAKE_RUNS_H
#define EMBMON_TESTS_FAKE_RUNS_H

#include <math.h>
#include <string.h>

#include "daemon/registry.h"
#include "daemon/run.h"
#include "daemon/sinks.h"
#include "embmon/embmon.h"

struct fake_alert {
    struct alert_change change;
    bool fired;
};

struct run {
    struct run_status status;
    struct model model;
    const struct fake_alert *alerts;
    size_t alert_count;
    struct {
        struct alert_change change;
        size_t count; /* that are not kept */
    } more;
};

struct registry {
    struct run *runs;
    size_t count;
    const char *logdir;
    struct registry_totals totals;
    struct ceilings ceilings;
    struct usage usage;
};

static const struct fake_alert fake_alerts[] = {
    {{.time = 5,
      .run = "reviews",
      .phase = EMBMON_TRAIN,
      .layer = "inner/embedding",
      .variable = "",
      .signal = "gradient",
      .detector = "gradient_vanishing",
      .severity = EMBMON_WARNING,
      .state = EMBMON_RESOLVED,
      .step = 90,
      .first_step = 40,
      .fired_step = 40,
      .fired_severity = EMBMON_WARNING,
      .reason = "cleared",
      .summary = "It came back.",
      .hint = "Look at the rate."},
     true},
    {{.time = 6,
      .run = "reviews",
      .phase = EMBMON_TRAIN,
      .layer = "",
      .variable = "",
      .signal = "loss",
      .detector = "loss_nonfinite",
      .severity = EMBMON_CRITICAL,
      .state = EMBMON_FIRING,
      .step = 95,
      .first_step = 95,
      .fired_step = 95,
      .fired_severity = EMBMON_CRITICAL,
      .value = NAN,
      .value_given = 1,
      .reason = "",
      .summary = "The loss is NaN.",
      .hint = "Look at the log."},
     true},
    {{.time = 7,
      .run = "reviews",
      .phase = EMBMON_TRAIN,
      .layer = "out",
      .variable = "kernel",
      .signal = "gradient",
      .detector = "gradient_spike",
      .severity = EMBMON_INFO,
      .state = EMBMON_PENDING,
      .step = 96,
      .first_step = 96,
      .reason = "",
      .summary = "A spike.",
      .hint = ""},
     false},
};

static struct layer fake_layers[] = {
    {.path = "inner/embedding", .kind = EMBMON_EMBEDDING, .trainable = true, .rows = 640},
    {.path = "out", .kind = EMBMON_DENSE, .trainable = false},
};
static char fake_no_activation[] = "", fake_relu[] = "relu";

static struct run fake_run_list[] = {
    {.status =
         {.name = "reviews",
          .live = true,
          .step = 96,
          .steps = 97,
          .ranks = 2,
          .every = 8,
          .layers = 2,
          .firing = 1,
          .fired = {[EMBMON_WARNING] = 1, [EMBMON_CRITICAL] = 1},
          .loss_posted = true,
          .loss = NAN,
          .closed_ms = 2000,
          .posts = {.produced = 409, .acked = 400, .rejected = 3, .dropped = 1, .in_flight = 5},
          .kept = 380,
          .durable = 300,
          .bytes_pending = 10,
          .write_failures = 2,
          .deleted = 7,
          .write_error = "No space left on device",
          .trouble = "cannot write /logs/reviews/embmon/state: No space left on device",
          .advice = "make some space"},
     .model = {.layers = fake_layers, .layer_count = 2},
     .alerts = fake_alerts,
     .alert_count = 3},
    {.status = {.name = "quiet", .step = -1, .write_error = ""}},
};

static struct registry fake_registry(size_t runs)
{
    fake_layers[0].activation = fake_no_activation;
    fake_layers[1].activation = fake_relu;
    return (struct registry){
        .runs = fake_run_list,
        .count = runs,
        .logdir = "/logs",
        .ceilings = CEILINGS_DEFAULT,
        .totals = {.sessions = 2, .invalid_frames = 4},
    };
}

size_t registry_runs(const struct registry *registry)
{
    return registry->count;
}

struct run *registry_run(const struct registry *registry, size_t index)
{
    return &registry->runs[index];
}

struct run *registry_find(const struct registry *registry, const char *name)
{
    for (size_t i = 0; i < registry->count; i++)
        if (strcmp(registry->runs[i].status.name, name) == 0)
            return &registry->runs[i];
    return NULL;
}

struct run_posts registry_posts(const struct registry *registry)
{
    (void)registry;
    return fake_run_list[0].status.posts;
}

struct registry_totals *registry_totals(struct registry *registry)
{
    return &registry->totals;
}

const struct ceilings *registry_ceilings(const struct registry *registry)
{
    return &registry->ceilings;
}

struct usage *registry_usage(struct registry *registry)
{
    return &registry->usage;
}

const char *registry_thrift(const struct registry *registry)
{
    (void)registry;
    return "the disk is nearly full";
}

const char *registry_logdir(const struct registry *registry)
{
    return registry->logdir;
}

struct sinks *registry_sinks(const struct registry *registry)
{
    return (struct sinks *)(uintptr_t)registry; /* only those below look at it */
}

size_t sinks_count(const struct sinks *sinks)
{
    return sinks ? 1 : 0;
}

void sinks_status(const struct sinks *sinks, size_t index, struct sink_status *status)
{
    (void)sinks;
    (void)index;
    *status = (struct sink_status){"pager", "exec", {5, 2, 1, 4, 3}, "exit status 3"};
}

struct moment registry_started(const struct registry *registry)
{
    (void)registry;
    return (struct moment){.ms = 1000, .wall = 100};
}

void run_get_status(const struct run *run, struct run_status *status)
{
    *status = run->status;
}

const char *run_name(const struct run *run)
{
    return run->status.name;
}

const struct model *run_model(const struct run *run)
{
    return &run->model;
}

void run_layer_status(const struct run *run, size_t layer, double *gradient_norm, uint32_t *state)
{
    (void)run;
    *gradient_norm = layer == 0 ? INFINITY : -1;
    *state = layer == 0 ? EMBMON_FIRING : EMBMON_RESOLVED;
}

const char *run_layer_detector(const struct run *run, size_t layer)
{
    (void)run;
    return layer == 0 ? "gradient_exploding" : "";
}

size_t run_layer_norms(const struct run *run, size_t layer, size_t most, float to[NORMS_KEPT])
{
    static const float norms[] = {0.25f, 1e-7f, 1.23456e8f, INFINITY};
    size_t n = layer == 0 ? 4 : 0;

    (void)run;
    n = n < most ? n : most;
    memcpy(to, norms + 4 - n, n * sizeof *norms);
    return n;
}

void run_layer_silent(const struct run *run, size_t layer,
                      void (*each)(void *context, const char *detector, const char *reason),
                      void *context)
{
    (void)run;
    if (layer == 1)
        each(context, "gradient_vanishing", "not trainable");
}

void run_alerts(const struct run *run,
                void (*each)(void *context, const struct alert_change *change, bool ever_fired),
                void *context)
{
    for (size_t i = 0; i < run->alert_count; i++)
        each(context, &run->alerts[i].change, run->alerts[i].fired);
}

void run_alerts_more(const struct run *run,
                     void (*each)(void *context, const struct alert_change *change, size_t count),
                     void *context)
{
    struct alert_change more = run->more.change;

    if (run->more.count > 0)
        each(context, &more, run->more.count);
}

#endif
