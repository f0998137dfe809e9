#include "daemon/alert/payload.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/json.h"
#include "daemon/tensorboard/board_url.h"
#include "embmon/embmon.h"
#include "proto/name.h"

enum { LABELS = 8, RANKS_TEXT = 256 };

/* The labels of one alert in the order of their names; empty ones are left out, as Alertmanager
 * does. */
struct label {
    const char *name, *value;
};

/* One alert as its receiver sees it: an item, under its own or an older severity. */
struct face {
    const struct outbox_item *item;
    uint32_t severity;
    bool firing;
};

const char *payload_time(char text[PAYLOAD_TIME], double seconds)
{
    double whole = floor(seconds);
    time_t t = (time_t)whole;
    struct tm utc;
    char day[PAYLOAD_TIME - 8];

    if (!gmtime_r(&t, &utc) || strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &utc) == 0)
        strcpy(day, "1970-01-01T00:00:00");
    snprintf(text, PAYLOAD_TIME, "%s.%03dZ", day, (int)((seconds - whole) * 1000));
    return text;
}

/* ---- objects of strings */

/* Adds a member unless the text is empty. Nonzero: out of memory. */
static int add_text(json_t *object, const char *name, const char *text)
{
    return *text ? json_object_set_new(object, name, json_text(text)) : 0;
}

static int add_number(json_t *object, const char *name, double value)
{
    char text[32];

    if (isnan(value))
        return add_text(object, name, "nan");
    if (isinf(value))
        return add_text(object, name, value > 0 ? "inf" : "-inf");
    snprintf(text, sizeof text, "%.6g", value);
    return add_text(object, name, text);
}

static int add_count(json_t *object, const char *name, uint64_t value)
{
    char text[32];

    snprintf(text, sizeof text, "%" PRIu64, value);
    return add_text(object, name, text);
}

static int add_time(json_t *object, const char *name, double seconds)
{
    char text[PAYLOAD_TIME];

    return add_text(object, name, payload_time(text, seconds));
}

/* "0,3,7", as many as fit. */
static int add_ranks(json_t *object, const struct alert_change *c)
{
    char text[RANKS_TEXT] = "";
    size_t used = 0;

    for (size_t i = 0; i < c->rank_count && used < sizeof text - 16; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%u", i ? "," : "",
                                 (unsigned)c->ranks[i]);
    return add_text(object, "ranks", text);
}

/* ---- labels and annotations */

static void labels_of(struct label labels[LABELS], const struct face *face,
                      const struct payload_context *context)
{
    const struct alert_change *c = face->item->change;
    const struct label all[LABELS] = {
        {"alertname", c->detector},
        {"instance", context->host},
        {"job", "embmond"},
        {"layer", c->layer},
        {"phase", phase_name(c->phase)},
        {"run", c->run},
        {"severity", severity_name(face->severity)},
        {"variable", c->variable},
    };

    memcpy(labels, all, sizeof all);
}

static json_t *label_object(const struct label labels[LABELS])
{
    json_t *object = json_object();
    int failed = object == NULL;

    for (size_t i = 0; i < LABELS; i++)
        failed |= add_text(object, labels[i].name, labels[i].value);
    if (failed) {
        json_decref(object);
        return NULL;
    }
    return object;
}

/* The fingerprint that Prometheus gives a set of labels: FNV-1a over names and values in the order
 * of the names, each followed by the byte 255. */
static void fingerprint(char text[20], const struct label labels[LABELS])
{
    uint64_t hash = 14695981039346656037u;

    for (size_t i = 0; i < LABELS; i++) {
        const char *const parts[] = {labels[i].name, labels[i].value};

        for (size_t p = 0; *labels[i].value && p < 2; p++) {
            for (const char *c = parts[p]; *c; c++)
                hash = (hash ^ (unsigned char)*c) * 1099511628211u;
            hash = (hash ^ 255) * 1099511628211u;
        }
    }
    snprintf(text, 20, "%016" PRIx64, hash);
}

static json_t *annotations_of(const struct alert_change *c)
{
    json_t *object = json_object();
    int failed = object == NULL;

    failed |= add_text(object, "summary", c->summary);
    failed |= add_text(object, "description", c->hint);
    failed |= add_text(object, "signal", c->signal);
    failed |= add_text(object, "reason", c->reason);
    failed |= add_count(object, "step", c->step);
    failed |= add_count(object, "first_step", c->first_step);
    failed |= add_ranks(object, c);
    if (c->value_given)
        failed |= add_number(object, "value", c->value);
    if (c->threshold_given)
        failed |= add_number(object, "threshold", c->threshold);
    if (c->baseline_given)
        failed |= add_number(object, "baseline", c->baseline);
    if (failed) {
        json_decref(object);
        return NULL;
    }
    return object;
}

/* ---- one alert */

/* What both formats have in common. */
static json_t *alert_object(const struct face *face, const struct payload_context *context)
{
    const struct alert_change *c = face->item->change;
    char *link = context->tensorboard_url ? board_url(context->tensorboard_url, c) : NULL;
    struct label labels[LABELS];
    json_t *object = json_object();
    int failed = object == NULL;

    labels_of(labels, face, context);
    failed |= json_object_set_new(object, "labels", label_object(labels));
    failed |= json_object_set_new(object, "annotations", annotations_of(c));
    failed |= add_time(object, "startsAt", face->item->started);
    if (link)
        failed |= add_text(object, "generatorURL", link);
    free(link);
    if (failed) {
        json_decref(object);
        return NULL;
    }
    return object;
}

/* Never before its beginning, whatever the wall clock did. */
static double end_of(const struct face *face)
{
    const struct outbox_item *item = face->item;

    return item->change->time > item->started ? item->change->time : item->started;
}

/* Calls each(into, face, context) for an item under every severity the receiver may know it by.
 * Nonzero: out of memory. */
typedef int face_adder(json_t *into, const struct face *face,
                       const struct payload_context *context);

static int each_face(const struct outbox_batch *batch, const struct payload_context *context,
                     face_adder *each, json_t *into)
{
    int failed = 0;

    for (size_t i = 0; i < batch->count; i++) {
        const struct outbox_item *item = &batch->items[i];
        struct face face = {item, item->change->severity, item->change->state == EMBMON_FIRING};

        failed |= each(into, &face, context);
        for (uint32_t s = EMBMON_INFO; s <= EMBMON_CRITICAL; s++) {
            struct face older = {item, s, false};

            if (item->also & 1u << s)
                failed |= each(into, &older, context);
        }
    }
    return failed;
}

static char *text_of(json_t *value, int failed)
{
    char *text = failed ? NULL : json_line(value);

    json_decref(value);
    return text;
}

/* ---- POST /api/v2/alerts */

static int add_api_v2(json_t *array, const struct face *face, const struct payload_context *context)
{
    json_t *object = alert_object(face, context);
    bool closed = face->severity == face->item->change->severity &&
                  strcmp(face->item->change->reason, "closed") == 0;
    int failed = object == NULL;

    if (!face->firing)
        failed |= add_time(object, "endsAt", end_of(face) + (closed ? PAYLOAD_LINGER_S : 0));
    return failed | json_array_append_new(array, object);
}

char *payload_api_v2(const struct outbox_batch *batch, const struct payload_context *context)
{
    json_t *array = json_array();

    return text_of(array, array ? each_face(batch, context, add_api_v2, array) : -1);
}

/* ---- the webhook's version 4 */

static int add_receiver_v4(json_t *array, const struct face *face,
                           const struct payload_context *context)
{
    json_t *object = alert_object(face, context);
    struct label labels[LABELS];
    char print[20];
    int failed = object == NULL;

    labels_of(labels, face, context);
    fingerprint(print, labels);
    failed |= add_text(object, "status", face->firing ? "firing" : "resolved");
    if (face->firing)
        failed |= add_text(object, "endsAt", "0001-01-01T00:00:00Z"); /* Go's zero time */
    else
        failed |= add_time(object, "endsAt", end_of(face));
    if (object && !json_object_get(object, "generatorURL"))
        failed |= json_object_set_new(object, "generatorURL", json_string(""));
    failed |= add_text(object, "fingerprint", print);
    return failed | json_array_append_new(array, object);
}

/* What all alerts of the array have alike in the object of that name. */
static json_t *common(json_t *alerts, const char *name)
{
    json_t *all = json_deep_copy(json_object_get(json_array_get(alerts, 0), name));
    const char *key;
    json_t *value, *alert;
    size_t index;
    void *following;

    json_array_foreach(alerts, index, alert)
    {
        const json_t *its = json_object_get(alert, name);

        json_object_foreach_safe(all, following, key, value)
        {
            if (!json_equal(value, json_object_get(its, key)))
                json_object_del(all, key);
        }
    }
    return all;
}

static const char *status_of(json_t *alerts)
{
    json_t *alert;
    size_t index;

    json_array_foreach(alerts, index, alert)
    {
        if (strcmp(json_string_value(json_object_get(alert, "status")), "firing") == 0)
            return "firing";
    }
    return "resolved";
}

/* As of a route that groups by nothing. */
static int add_pool(json_t *payload)
{
    return json_object_set_new(payload, "groupLabels", json_object()) |
           json_object_set_new(payload, "groupKey", json_string("{}:{}"));
}

/* A run's name and a detector's have no character that would have to be quoted. */
static int add_group(json_t *payload, const struct alert_change *c)
{
    char key[128 + NAME_RUN_MAX];

    snprintf(key, sizeof key, "{}:{alertname=\"%s\", run=\"%s\"}", c->detector, c->run);
    return json_object_set_new(payload, "groupLabels",
                               json_pack("{s:o, s:o}", "alertname", json_text(c->detector), "run",
                                         json_text(c->run))) |
           json_object_set_new(payload, "groupKey", json_text(key));
}

char *payload_receiver_v4(const struct outbox_batch *batch, const struct payload_context *context)
{
    const char *external = context->tensorboard_url ? context->tensorboard_url : "";
    json_t *payload = json_object(), *alerts = json_array();
    int failed = !payload || !alerts || each_face(batch, context, add_receiver_v4, alerts);

    if (!failed) {
        failed |= json_object_set_new(payload, "receiver", json_text(context->sink));
        failed |= json_object_set_new(payload, "status", json_string(status_of(alerts)));
        failed |= json_object_set(payload, "alerts", alerts);
        failed |= batch->pooled ? add_pool(payload) : add_group(payload, batch->items[0].change);
        failed |= json_object_set_new(payload, "commonLabels", common(alerts, "labels"));
        failed |= json_object_set_new(payload, "commonAnnotations", common(alerts, "annotations"));
        failed |= json_object_set_new(payload, "externalURL", json_text(external));
        failed |= json_object_set_new(payload, "version", json_string("4"));
        failed |= json_object_set_new(payload, "truncatedAlerts",
                                      json_integer(batch->pooled ? (json_int_t)batch->more : 0));
    }
    json_decref(alerts);
    return text_of(payload, failed);
}

/* ---- alerts.jsonl's object */

char *payload_line(const struct alert_change *change)
{
    json_t *object = json_alert(change);
    char *text = object ? json_line(object) : NULL, *line = NULL;

    json_decref(object);
    if (text && asprintf(&line, "%s\n", text) < 0)
        line = NULL;
    free(text);
    return line;
}
