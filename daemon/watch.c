#include "daemon/watch.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/json.h"
#include "embmon/embmon.h"

/* ---- alerts */

struct latest {
    struct latest_alert {
        uint32_t state;
        double time;
        json_t *object;
    } alerts[WATCH_ALERTS_MAX];
    size_t count;
};

static bool comes_before(const struct alert_change *change, const struct latest_alert *other)
{
    if (change->state != other->state)
        return change->state > other->state;
    return change->time >= other->time; /* of the same time the last that came up */
}

/* Puts it in its place; the last one falls out when there are too many. */
static void take_alert(void *context, const struct alert_change *change, bool ever_fired)
{
    struct latest *latest = context;
    size_t at = latest->count;
    json_t *object;

    while (at > 0 && comes_before(change, &latest->alerts[at - 1]))
        at--;
    if (at == WATCH_ALERTS_MAX)
        return;
    object = json_alert(change);
    if (!object)
        return; /* one alert fewer is better than no answer */
    json_object_set_new(object, "fired", json_boolean(ever_fired));
    if (latest->count == WATCH_ALERTS_MAX)
        json_decref(latest->alerts[--latest->count].object);
    for (size_t i = latest->count++; i > at; i--)
        latest->alerts[i] = latest->alerts[i - 1];
    latest->alerts[at] = (struct latest_alert){change->state, change->time, object};
}

static json_t *alert_array(const struct run *run)
{
    struct latest latest = {.count = 0};
    json_t *array = json_array();

    run_alerts(run, take_alert, &latest);
    for (size_t i = 0; i < latest.count; i++)
        json_array_append_new(array, latest.alerts[i].object);
    return array;
}

/* ---- layers */

/* Four digits are more than a drawing shows, and a third of the bytes. */
static double rounded(float norm)
{
    char text[32];

    (void)snprintf(text, sizeof text, "%.4g", (double)norm);
    return strtod(text, NULL);
}

static json_t *norm_array(const struct run *run, size_t layer, size_t most)
{
    float norms[NORMS_KEPT];
    size_t n = run_layer_norms(run, layer, most, norms);
    json_t *array = json_array();

    for (size_t i = 0; i < n; i++)
        json_array_append_new(array, json_from_double(rounded(norms[i])));
    return array;
}

static json_t *layer_object(const struct run *run, size_t layer, size_t most)
{
    const struct layer *info = &run_model(run)->layers[layer];
    double norm = NAN;
    uint32_t state = EMBMON_RESOLVED;

    run_layer_status(run, layer, &norm, &state);
    return json_pack("{ss ss sb so ss ss so}", "layer", info->path, "kind", kind_name(info->kind),
                     "trainable", info->trainable, "gradient_norm",
                     norm < 0 ? json_null() : json_from_double(norm), "state",
                     state == EMBMON_RESOLVED ? "ok" : state_name(state), "detector",
                     run_layer_detector(run, layer), "norms", norm_array(run, layer, most));
}

/* NULL when one is missing: a model is shown whole or not at all. */
static json_t *layer_array(const struct run *run)
{
    size_t count = run_model(run)->layer_count;
    size_t most = count > WATCH_NORMS_MAX ? 1 : WATCH_NORMS_MAX / (count ? count : 1);
    json_t *array = json_array();

    for (size_t i = 0; i < count; i++) {
        if (json_array_append_new(array, layer_object(run, i, most)) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

json_t *watch_object(const struct run *run, struct moment now)
{
    struct run_status s;

    run_get_status(run, &s);
    return json_pack(
        "{ss sb sf so sI so so sI so so}", "run", s.name, "live", s.live, "time", now.wall, "step",
        s.step < 0 ? json_null() : json_integer(s.step), "ranks", (json_int_t)s.ranks, "loss",
        !s.loss_posted ? json_null() : json_from_double(s.loss), "age",
        s.steps == 0 ? json_null() : json_real((double)moment_since(now, s.closed_ms) / 1e3),
        "firing", (json_int_t)s.firing, "layers", layer_array(run), "alerts", alert_array(run));
}
