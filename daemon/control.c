#include "daemon/control.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "daemon/json.h"
#include "daemon/limits.h"
#include "daemon/registry.h"
#include "daemon/run.h"
#include "daemon/watch.h"
#include "embmon/embmon.h"

enum { SENTENCE_MAX = 1024 };

/* Lines as they are collected. */
struct text {
    char *data;
    size_t length, capacity;
    bool no_memory, too_long;
};

static bool text_fail(struct text *text, bool too_long)
{
    text->too_long = too_long;
    text->no_memory = !too_long;
    return false;
}

static bool text_reserve(struct text *text, size_t n)
{
    if (n > CONTROL_REPLY_MAX - text->length)
        return text_fail(text, true);
    if (n <= text->capacity - text->length)
        return true;
    size_t capacity = text->capacity ? text->capacity : 4096;
    while (capacity - text->length < n)
        capacity *= 2;
    char *data = realloc(text->data, capacity);
    if (!data)
        return text_fail(text, false);
    text->data = data;
    text->capacity = capacity;
    return true;
}

/* Takes the object. After a failure nothing more is added. */
static void add_line(struct text *text, json_t *object)
{
    char *line = object ? json_line(object) : NULL;

    json_decref(object);
    if (text->no_memory || text->too_long) {
        free(line);
        return;
    }
    size_t n = line ? strlen(line) : 0;
    if (!line) {
        text_fail(text, false);
    } else if (text_reserve(text, n + 1)) {
        memcpy(text->data + text->length, line, n);
        text->data[text->length + n] = '\n';
        text->length += n + 1;
    }
    free(line);
}

static json_int_t integer(uint64_t value)
{
    return (json_int_t)(value > INT64_MAX ? INT64_MAX : value);
}

/* ---- the questions */

static json_t *sinks_array(const struct sinks *sinks)
{
    json_t *array = json_array();

    for (size_t i = 0; i < sinks_count(sinks); i++) {
        struct sink_status s;

        sinks_status(sinks, i, &s);
        json_array_append_new(
            array,
            json_pack("{sosssIsIsIsIsIso}", "name", json_text(s.name), "kind", s.kind, "delivered",
                      integer(s.counts.delivered), "failed", integer(s.counts.failed), "waiting",
                      integer(s.counts.waiting), "dropped", integer(s.counts.dropped), "held",
                      integer(s.counts.held), "last_error", json_text(s.last_error)));
    }
    return array;
}

/* Posts acked but for some; those that a run was taken up with are of an earlier embmond. */
static json_int_t without(uint64_t acked, uint64_t missing)
{
    return integer(acked > missing ? acked - missing : 0);
}

/* Of all loaded runs. */
struct sums {
    uint64_t unkept, undurable; /* posts acked, not in a checkpoint or not on the disk yet */
    size_t pending;
    uint64_t failures;
    char trouble[NAME_RUN_MAX + 2048];
};

static struct sums sum_up(const struct registry *registry)
{
    struct sums sums = {0};

    for (size_t i = 0; i < registry_runs(registry); i++) {
        struct run_status status;

        run_get_status(registry_run(registry, i), &status);
        sums.unkept += status.posts.acked - status.kept;
        sums.undurable += status.posts.acked - status.durable;
        sums.pending += status.bytes_pending;
        sums.failures += status.write_failures;
        if (*status.write_error && !*sums.trouble)
            (void)snprintf(sums.trouble, sizeof sums.trouble, "%s: %s: %s", status.name,
                           status.trouble, status.advice);
    }
    return sums;
}

static void answer_status(struct registry *registry, struct moment now, struct text *text)
{
    const struct registry_totals *totals = registry_totals(registry);
    double uptime = (double)(now.ms - registry_started(registry).ms) / 1e3;
    const struct sums sums = sum_up(registry);
    const struct run_posts posts = registry_posts(registry);

    json_t *object = json_pack(
        "{sssisosfsIsIsIsIsIsIsIsIsIsIsIsIsIsIsossso}", "version", EMBMON_VERSION, "pid",
        (int)getpid(), "logdir", json_text(registry_logdir(registry)), "uptime", uptime, "runs",
        integer(registry_runs(registry)), "sessions", integer(totals->sessions), "produced",
        integer(posts.produced), "acked", integer(posts.acked), "kept",
        without(posts.acked, sums.unkept), "durable", without(posts.acked, sums.undurable),
        "rejected", integer(posts.rejected), "dropped", integer(posts.dropped), "in_flight",
        integer(posts.in_flight), "invalid_frames", integer(totals->invalid_frames),
        "unknown_frames", integer(totals->unknown_frames), "failed_proofs",
        integer(totals->failed_proofs), "bytes_pending", integer(sums.pending), "write_failures",
        integer(sums.failures), "write_error", json_text(sums.trouble), "space",
        registry_thrift(registry), "sinks", sinks_array(registry_sinks(registry)));

    if (json_object_set_new(object, "limits", limits_object(registry)) != 0) {
        json_decref(object);
        object = NULL;
    }
    add_line(text, object);
}

static void answer_runs(struct registry *registry, struct text *text)
{
    for (size_t i = 0; i < registry_runs(registry); i++) {
        struct run_status s;
        run_get_status(registry_run(registry, i), &s);
        add_line(text,
                 json_pack("{sssbsosIsIsIsIsIsIsIsIsIsIsIsIsIsIsIss}", "name", s.name, "live",
                           s.live, "step", s.step < 0 ? json_null() : json_integer(s.step), "ranks",
                           integer(s.ranks), "every", integer(s.every), "layers", integer(s.layers),
                           "firing", integer(s.firing), "steps", integer(s.steps), "produced",
                           integer(s.posts.produced), "acked", integer(s.posts.acked), "kept",
                           integer(s.kept), "durable", integer(s.durable), "rejected",
                           integer(s.posts.rejected), "dropped", integer(s.posts.dropped),
                           "in_flight", integer(s.posts.in_flight), "deleted", integer(s.deleted),
                           "bytes_pending", integer(s.bytes_pending), "write_failures",
                           integer(s.write_failures), "write_error", s.write_error));
    }
}

static void add_silent(void *context, const char *detector, const char *reason)
{
    json_object_set_new(context, detector, json_string(reason));
}

static void answer_layers(const struct run *run, struct text *text)
{
    const struct model *model = run_model(run);

    for (size_t i = 0; i < model->layer_count; i++) {
        const struct layer *layer = &model->layers[i];
        double norm = NAN;
        uint32_t state = EMBMON_RESOLVED;
        json_t *silent = json_object();

        run_layer_status(run, i, &norm, &state);
        if (silent)
            run_layer_silent(run, i, add_silent, silent);
        add_line(text,
                 json_pack("{sssssbsosssosssI}", "layer", layer->path, "kind",
                           kind_name(layer->kind), "trainable", layer->trainable, "gradient_norm",
                           norm < 0 ? json_null() : json_from_double(norm), "state",
                           state == EMBMON_RESOLVED ? "ok" : state_name(state), "silent", silent,
                           "activation", layer->activation, "rows", integer(layer->rows)));
    }
}

struct alert_filter {
    struct text *text;
    bool firing;
};

/* count: of how many it speaks, 0: it is one of its own. */
static void add_alerts(const struct alert_filter *filter, const struct alert_change *change,
                       bool ever_fired, size_t count)
{
    if (filter->firing && change->state != EMBMON_FIRING)
        return;
    json_t *object = json_alert(change);
    if (object && count > 0)
        json_object_set_new(object, "count", json_integer((json_int_t)count));
    if (object) {
        json_object_set_new(object, "fired", json_boolean(ever_fired));
        json_object_set_new(object, "fired_severity",
                            json_string(ever_fired ? severity_name(change->fired_severity) : ""));
    }
    add_line(filter->text, object);
}

static void add_alert(void *context, const struct alert_change *change, bool ever_fired)
{
    add_alerts(context, change, ever_fired, 0);
}

static void add_more(void *context, const struct alert_change *change, size_t count)
{
    add_alerts(context, change, change->fired_severity > 0, count);
}

static void answer_alerts(struct registry *registry, const struct run *only, bool firing,
                          struct text *text)
{
    struct alert_filter filter = {text, firing};

    for (size_t i = 0; i < registry_runs(registry); i++) {
        const struct run *run = registry_run(registry, i);
        if (only && run != only)
            continue;
        run_alerts(run, add_alert, &filter);
        run_alerts_more(run, add_more, &filter);
    }
}

/* ---- which run, and what is wrong with the question */

static bool refuse(struct control_reply *reply, uint32_t status, const char *sentence)
{
    free(reply->text);
    *reply = (struct control_reply){.status = status, .text = strdup(sentence)};
    reply->length = reply->text ? strlen(sentence) : 0;
    return reply->text != NULL;
}

static bool is_live(const struct run *run)
{
    struct run_status status;

    run_get_status(run, &status);
    return status.live;
}

/* " runs are: a, b", as many as fit. */
static void list_runs(struct registry *registry, bool live, char sentence[SENTENCE_MAX])
{
    size_t used = strlen(sentence), listed = 0;

    used += (size_t)snprintf(sentence + used, SENTENCE_MAX - used, " runs are:");
    for (size_t i = 0; i < registry_runs(registry); i++) {
        const char *name = run_name(registry_run(registry, i));
        if (live && !is_live(registry_run(registry, i)))
            continue;
        if (strlen(name) > SENTENCE_MAX - used - 8) {
            snprintf(sentence + used, SENTENCE_MAX - used, " ...");
            return;
        }
        used += (size_t)snprintf(sentence + used, SENTENCE_MAX - used, "%s %s", listed++ ? "," : "",
                                 name);
    }
}

/* NULL, with the reason in sentence, when there is no such run; name "": the only one. */
static struct run *choose_run(struct registry *registry, const char *name,
                              char sentence[SENTENCE_MAX])
{
    size_t count = registry_runs(registry);
    struct run *run =
        *name ? registry_find(registry, name) : (count == 1 ? registry_run(registry, 0) : NULL);
    if (run)
        return run;
    if (count == 0) {
        snprintf(sentence, SENTENCE_MAX, "no run is loaded");
    } else {
        if (*name)
            snprintf(sentence, SENTENCE_MAX, "no run %.200s is loaded: the loaded", name);
        else
            snprintf(sentence, SENTENCE_MAX, "which run? the loaded");
        list_runs(registry, false, sentence);
    }
    return NULL;
}

/* The same for one to watch; name "": the only live one, when none is live the newest. */
static struct run *choose_watched(struct registry *registry, const char *name,
                                  char sentence[SENTENCE_MAX])
{
    size_t count = registry_runs(registry), live = 0;
    struct run *run = NULL;

    if (*name || count == 0)
        return choose_run(registry, name, sentence);
    for (size_t i = 0; i < count; i++) {
        if (is_live(registry_run(registry, i))) {
            run = registry_run(registry, i);
            live++;
        }
    }
    if (live == 0)
        return registry_run(registry, count - 1);
    if (live == 1)
        return run;
    snprintf(sentence, SENTENCE_MAX, "which run? the live");
    list_runs(registry, true, sentence);
    return NULL;
}

bool control_answer(struct registry *registry, const struct msg_query *query, struct moment now,
                    struct control_reply *reply)
{
    struct text text = {0};
    char sentence[SENTENCE_MAX];
    bool layers = strcmp(query->name, "layers") == 0, watch = strcmp(query->name, "watch") == 0;
    struct run *run = NULL;

    *reply = (struct control_reply){0};
    if (layers || watch || *query->run) {
        run = watch ? choose_watched(registry, query->run, sentence)
                    : choose_run(registry, query->run, sentence);
        if (!run)
            return refuse(reply, watch && registry_runs(registry) == 0 ? EX_TEMPFAIL : EX_USAGE,
                          sentence);
    }
    if (layers)
        answer_layers(run, &text);
    else if (watch)
        add_line(&text, watch_object(run, now));
    else if (strcmp(query->name, "status") == 0)
        answer_status(registry, now, &text);
    else if (strcmp(query->name, "runs") == 0)
        answer_runs(registry, &text);
    else if (strcmp(query->name, "alerts") == 0)
        answer_alerts(registry, run, query->firing, &text);
    else
        return refuse(reply, EX_USAGE,
                      "unknown query: this embmond answers status, runs, layers, alerts "
                      "and watch");
    *reply = (struct control_reply){0, text.data, text.length};
    if (text.too_long)
        return refuse(reply, EX_IOERR, "the answer is too long: ask for one run");
    if (text.no_memory)
        control_reply_free(reply);
    return !text.no_memory;
}

void control_reply_free(struct control_reply *reply)
{
    free(reply->text);
    *reply = (struct control_reply){0};
}
