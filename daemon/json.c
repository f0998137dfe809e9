#include "daemon/json.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Digits of a number: every f32 survives, and 0.1 is written as 0.1. */
enum { DIGITS = 15 };

json_t *json_from_double(double value)
{
    if (isnan(value))
        return json_string("nan");
    if (isinf(value))
        return json_string(value > 0 ? "inf" : "-inf");
    return json_real(value);
}

static json_t *optional_number(double value, int given)
{
    return given ? json_from_double(value) : json_null();
}

json_t *json_text(const char *text)
{
    json_t *value = json_string(text);
    char *ascii = value ? NULL : strdup(text);

    if (!ascii)
        return value;
    for (char *c = ascii; *c; c++)
        if ((unsigned char)*c >= 0x80)
            *c = '?';
    value = json_string(ascii);
    free(ascii);
    return value;
}

/* Steps are below 2^53 (STEP_MAX). */
static json_t *step_value(uint64_t step)
{
    return json_integer((json_int_t)(step & INT64_MAX));
}

static json_t *rank_array(const uint32_t *ranks, size_t count)
{
    json_t *array = json_array();
    for (size_t i = 0; array && i < count; i++) {
        if (json_array_append_new(array, json_integer(ranks[i])) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

json_t *json_alert(const struct alert_change *c)
{
    json_t *object = json_object();
    int failed = object == NULL;

    failed |= json_object_set_new(object, "time", json_from_double(c->time));
    failed |= json_object_set_new(object, "run", json_text(c->run));
    failed |= json_object_set_new(object, "phase", json_string(phase_name(c->phase)));
    failed |= json_object_set_new(object, "layer", json_text(c->layer));
    failed |= json_object_set_new(object, "variable", json_text(c->variable));
    failed |= json_object_set_new(object, "signal", json_text(c->signal));
    failed |= json_object_set_new(object, "detector", json_text(c->detector));
    failed |= json_object_set_new(object, "severity", json_string(severity_name(c->severity)));
    failed |= json_object_set_new(object, "state", json_string(state_name(c->state)));
    failed |= json_object_set_new(object, "step", step_value(c->step));
    failed |= json_object_set_new(object, "first_step", step_value(c->first_step));
    failed |= json_object_set_new(object, "value", optional_number(c->value, c->value_given));
    failed |=
        json_object_set_new(object, "threshold", optional_number(c->threshold, c->threshold_given));
    failed |=
        json_object_set_new(object, "baseline", optional_number(c->baseline, c->baseline_given));
    failed |= json_object_set_new(object, "ranks", rank_array(c->ranks, c->rank_count));
    failed |= json_object_set_new(object, "reason", json_text(c->reason));
    failed |= json_object_set_new(object, "summary", json_text(c->summary));
    failed |= json_object_set_new(object, "hint", json_text(c->hint));
    if (failed) {
        json_decref(object);
        return NULL;
    }
    return object;
}

char *json_line(const json_t *value)
{
    return json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(DIGITS) | JSON_ENCODE_ANY);
}
