#include "daemon/ctl_watched.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *word(json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));

    return value ? value : "";
}

/* A number, or one of the words that stand for what JSON has no number for. */
static struct watched_number number_of(json_t *value)
{
    const char *name = json_string_value(value);

    if (json_is_number(value))
        return (struct watched_number){true, json_number_value(value)};
    if (!name)
        return (struct watched_number){false, 0};
    if (strcmp(name, "inf") == 0 || strcmp(name, "-inf") == 0)
        return (struct watched_number){true, *name == '-' ? -INFINITY : INFINITY};
    return (struct watched_number){strcmp(name, "nan") == 0, NAN};
}

static struct watched_number number(json_t *object, const char *key)
{
    return number_of(json_object_get(object, key));
}

static enum watched_state state_of(const char *name)
{
    if (strcmp(name, "firing") == 0)
        return WATCHED_FIRING;
    return strcmp(name, "pending") == 0 ? WATCHED_PENDING : WATCHED_OK;
}

static void read_layer(struct watched_layer *layer, json_t *object)
{
    json_t *norms = json_object_get(object, "norms");
    size_t n = json_array_size(norms), skip = n > WATCHED_NORMS ? n - WATCHED_NORMS : 0;

    *layer = (struct watched_layer){
        .path = word(object, "layer"),
        .detector = word(object, "detector"),
        .state = state_of(word(object, "state")),
        .norm = number(object, "gradient_norm"),
        .norm_count = n - skip,
    };
    for (size_t i = 0; i < layer->norm_count; i++) {
        struct watched_number norm = number_of(json_array_get(norms, skip + i));

        layer->norms[i] = norm.given ? norm.value : NAN;
    }
}

static void read_alert(struct watched_alert *alert, json_t *object)
{
    *alert = (struct watched_alert){
        .state = word(object, "state"),
        .severity = word(object, "severity"),
        .detector = word(object, "detector"),
        .level = state_of(word(object, "state")),
        .phase = word(object, "phase"),
        .layer = word(object, "layer"),
        .variable = word(object, "variable"),
        .summary = word(object, "summary"),
        .hint = word(object, "hint"),
        .time = json_number_value(json_object_get(object, "time")),
        .step = json_integer_value(json_object_get(object, "step")),
        .first_step = json_integer_value(json_object_get(object, "first_step")),
    };
}

bool watched_read(struct watched *watched, json_t *object)
{
    json_t *layers = json_object_get(object, "layers"), *alerts = json_object_get(object, "alerts");

    *watched = (struct watched){
        .object = object,
        .run = word(object, "run"),
        .live = json_is_true(json_object_get(object, "live")),
        .time = json_number_value(json_object_get(object, "time")),
        .step = number(object, "step"),
        .ranks = number(object, "ranks"),
        .loss = number(object, "loss"),
        .age = number(object, "age"),
        .firing = number(object, "firing"),
        .layer_count = json_array_size(layers),
        .alert_count = json_array_size(alerts),
    };
    watched->layers = calloc(watched->layer_count + 1, sizeof *watched->layers);
    watched->alerts = calloc(watched->alert_count + 1, sizeof *watched->alerts);
    if (!watched->layers || !watched->alerts) {
        watched_free(watched);
        return false;
    }
    for (size_t i = 0; i < watched->layer_count; i++)
        read_layer(&watched->layers[i], json_array_get(layers, i));
    for (size_t i = 0; i < watched->alert_count; i++)
        read_alert(&watched->alerts[i], json_array_get(alerts, i));
    return true;
}

void watched_free(struct watched *watched)
{
    json_decref(watched->object);
    free(watched->layers);
    free(watched->alerts);
    *watched = (struct watched){0};
}
