#include "daemon/sinks.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "daemon/alert/payload.h"
#include "daemon/exec_sink.h"
#include "daemon/log.h"
#include "daemon/sink_files.h"
#include "daemon/webhook.h"
#include "proto/name.h"

enum { HOST_MAX = 256 };

struct sink {
    struct sinks *sinks; /* who owns it */
    struct sink_options options;
    struct outbox *outbox;
    struct webhook *webhook; /* one of the two */
    struct exec_sink *exec;
    bool fresh;    /* it was not told yet what fires already */
    uint64_t lost; /* what was dropped before the daemon's end */
    uint64_t held; /* as was said last */
    size_t files;  /* descriptors for what is under way */
    struct log_seldom held_said;
    bool out;       /* an outage is in the log */
    uint32_t kinds; /* of errors that are in the log */
    char error[SINK_ERROR_MAX];
};

struct sinks {
    struct uv_loop_s *loop;
    struct webhooks *webhooks; /* NULL until one is configured */
    struct exec_sinks *execs;
    struct sink **all;
    size_t count;
    char *tensorboard_url; /* NULL: none */
    char host[HOST_MAX];
    struct moment now; /* of the last tick */
    uint32_t seed;
    size_t most_files; /* descriptors that all together may have open */
};

/* ---- sending */

static void pump(struct sink *sink);

/* What embmonctl will show: a program's output may hold what a terminal would act on. */
static void keep_error(struct sink *sink, const char *error)
{
    snprintf(sink->error, sizeof sink->error, "%s", error);
    for (char *c = sink->error; *c; c++) {
        if (iscntrl((unsigned char)*c))
            *c = ' ';
    }
    for (char *c = sink->error; *c && !name_is_text(sink->error, strlen(sink->error)); c++) {
        if ((unsigned char)*c >= 0x80)
            *c = '?';
    }
}

/* One line for an outage, one for its end; of a program one for each kind of failure. */
static void log_outcome(struct sink *sink, const struct delivery *delivery)
{
    const char *name = sink->options.name;

    if (delivery->outcome == OUTBOX_DELIVERED) {
        if (sink->out)
            log_info("sink %s: delivering again", name);
        sink->out = false;
        return;
    }
    keep_error(sink, delivery->error);
    if (sink->options.kind == SINK_EXEC) {
        if (!(sink->kinds & delivery->kind))
            log_warn("sink %s: %s (more of this kind are only counted)", name, delivery->error);
        sink->kinds |= delivery->kind;
    } else if (!sink->out) {
        sink->out = true;
        log_warn("sink %s: cannot deliver: %s%s", name, delivery->error,
                 delivery->outcome == OUTBOX_FAILED ? "; trying again, at least every 30 s" : "");
    }
}

static void on_delivery(void *context, const struct delivery *delivery)
{
    struct sink *sink = context;

    sink->files -= sink_files(&sink->options);
    outbox_settle(sink->outbox, delivery->ticket, delivery->outcome, sink->sinks->now.ms);
    log_outcome(sink, delivery);
    pump(sink);
}

/* False: no memory for what is to be said. */
static bool send_batch(struct sink *sink, const struct outbox_batch *batch)
{
    const struct payload_context context = {
        .sink = sink->options.name,
        .host = sink->sinks->host,
        .tensorboard_url = sink->sinks->tensorboard_url,
    };
    char *text;

    if (sink->exec) {
        text = payload_line(batch->items[0].change);
        sink->files += text ? sink_files(&sink->options) : 0;
        if (text)
            exec_sink_run(sink->exec, text, batch->more, batch->ticket);
        free(text);
    } else {
        text = sink->options.format == WEBHOOK_API_V2 ? payload_api_v2(batch, &context)
                                                      : payload_receiver_v4(batch, &context);
        sink->files += text ? sink_files(&sink->options) : 0;
        if (text)
            webhook_send(sink->webhook, text, batch->ticket);
    }
    return text != NULL;
}

/* One more delivery of this sink may have its descriptors. */
static bool has_files(const struct sink *sink)
{
    const struct sinks *sinks = sink->sinks;
    size_t files = sink_files(&sink->options);

    for (size_t i = 0; i < sinks->count; i++)
        files += sinks->all[i]->files;
    return files <= sinks->most_files;
}

static void pump(struct sink *sink)
{
    struct outbox_batch batch;

    while (has_files(sink) && outbox_take(sink->outbox, sink->sinks->now.ms, &batch)) {
        if (!send_batch(sink, &batch))
            outbox_settle(sink->outbox, batch.ticket, OUTBOX_FAILED, sink->sinks->now.ms);
    }
}

/* Nothing waits in silence. */
static void say_held(struct sink *sink, struct moment now)
{
    struct outbox_counts counts;
    char line[SINK_ERROR_MAX];

    outbox_count(sink->outbox, &counts);
    if (counts.held == sink->held)
        return;
    sink->held = counts.held;
    snprintf(line, sizeof line,
             "sink %.64s: it was told as often as its per_minute allows: %zu alerts wait, and are "
             "told together",
             sink->options.name, counts.waiting);
    log_seldom(&sink->held_said, now.ms, line);
}

void sinks_tick(struct sinks *sinks, struct moment now)
{
    sinks->now = now;
    for (size_t i = 0; i < sinks->count; i++) {
        pump(sinks->all[i]);
        say_held(sinks->all[i], now);
    }
}

void sinks_put(struct sinks *sinks, const struct alert_change *change)
{
    for (size_t i = 0; i < sinks->count; i++)
        outbox_put(sinks->all[i]->outbox, change, sinks->now.ms);
}

void sinks_greet(struct sinks *sinks, const struct alert_change *change)
{
    for (size_t i = 0; i < sinks->count; i++) {
        if (sinks->all[i]->fresh)
            outbox_put(sinks->all[i]->outbox, change, sinks->now.ms);
    }
}

void sinks_greeted(struct sinks *sinks)
{
    for (size_t i = 0; i < sinks->count; i++)
        sinks->all[i]->fresh = false;
}

void sinks_hurry(struct sinks *sinks)
{
    for (size_t i = 0; i < sinks->count; i++) {
        struct outbox_counts counts;

        outbox_count(sinks->all[i]->outbox, &counts);
        sinks->all[i]->lost = counts.dropped;
        outbox_hurry(sinks->all[i]->outbox);
        pump(sinks->all[i]);
    }
}

bool sinks_idle(const struct sinks *sinks)
{
    for (size_t i = 0; i < sinks->count; i++) {
        if (!outbox_idle(sinks->all[i]->outbox))
            return false;
    }
    return true;
}

/* ---- opening and closing */

static void sink_free(struct sink *sink)
{
    if (!sink)
        return;
    webhook_free(sink->webhook);
    exec_sink_free(sink->exec);
    outbox_free(sink->outbox);
    sink_options_clear(&sink->options);
    free(sink);
}

/* Says how much will never arrive. */
static void sink_close(struct sink *sink, bool ending)
{
    struct outbox_counts counts;

    outbox_count(sink->outbox, &counts);
    uint64_t lost = counts.waiting + (ending ? counts.dropped - sink->lost : 0);
    if (lost > 0)
        log_warn("sink %s: the newest state of %llu alert%s was not delivered", sink->options.name,
                 (unsigned long long)lost, lost == 1 ? "" : "s");
    sink_free(sink);
}

static struct outbox_rules rules_of(const struct sinks *sinks, const struct sink_options *options)
{
    bool webhook = options->kind == SINK_WEBHOOK;
    bool api = webhook && options->format == WEBHOOK_API_V2;

    return (struct outbox_rules){
        .severity = options->severity,
        .resend_ms = api ? options->resend_s * 1000 : 0,
        .capacity = OUTBOX_ALERTS_MAX,
        .batch = webhook ? OUTBOX_BATCH_MAX : 1,
        .flights = webhook ? 1 : EXEC_AT_ONCE,
        .one_group = webhook && !api,
        .a_minute = options->a_minute,
        .seed = sinks->seed,
    };
}

/* Opens what the sink's kind needs, once. */
static bool open_transport(struct sinks *sinks, struct sink *sink, char *problem)
{
    if (sink->options.kind == SINK_EXEC) {
        if (!sinks->execs)
            sinks->execs = exec_sinks_open(sinks->loop);
        if (sinks->execs)
            sink->exec = exec_sink_new(sinks->execs, &sink->options, on_delivery, sink);
        return sink->exec != NULL;
    }
    if (!sinks->webhooks)
        sinks->webhooks = webhooks_open(sinks->loop, problem);
    if (sinks->webhooks)
        sink->webhook = webhook_new(sinks->webhooks, &sink->options, on_delivery, sink, problem);
    return sink->webhook != NULL;
}

static struct sink *sink_new(struct sinks *sinks, const struct sink_options *options,
                             char problem[SINKS_PROBLEM_MAX])
{
    struct sink *sink = calloc(1, sizeof *sink);
    struct outbox_rules rules = rules_of(sinks, options);
    char why[WEBHOOK_PROBLEM_MAX] = "out of memory";

    if (!sink)
        goto fail;
    sink->sinks = sinks;
    sink->fresh = true;
    sink->outbox = outbox_new(&rules);
    if (!sink->outbox || !sink_options_copy(&sink->options, options) ||
        !open_transport(sinks, sink, why))
        goto fail;
    return sink;

fail:
    snprintf(problem, SINKS_PROBLEM_MAX, "sink %.64s: %s", options->name, why);
    sink_free(sink);
    return NULL;
}

int sinks_check(const struct sink_options *options, size_t count, char problem[SINKS_PROBLEM_MAX])
{
    char why[WEBHOOK_PROBLEM_MAX];

    for (size_t i = 0; i < count; i++) {
        int status = 0;

        if (options[i].kind == SINK_EXEC)
            status = exec_check(&options[i], why) ? 0 : EX_CONFIG;
        else
            status = webhook_check(&options[i], why);
        if (status != 0) {
            snprintf(problem, SINKS_PROBLEM_MAX, "sink %.64s: %s", options[i].name, why);
            return status;
        }
    }
    return 0;
}

struct sinks *sinks_open(struct uv_loop_s *loop, struct moment now)
{
    struct sinks *sinks = calloc(1, sizeof *sinks);

    if (!sinks)
        return NULL;
    sinks->loop = loop;
    sinks->now = now;
    sinks->seed = (uint32_t)getpid();
    sinks->most_files = SIZE_MAX;
    if (gethostname(sinks->host, sizeof sinks->host - 1) != 0)
        strcpy(sinks->host, "localhost");
    return sinks;
}

void sinks_close(struct sinks *sinks)
{
    if (!sinks)
        return;
    for (size_t i = 0; i < sinks->count; i++)
        sink_close(sinks->all[i], true);
    webhooks_close(sinks->webhooks);
    exec_sinks_close(sinks->execs);
    free(sinks->all);
    free(sinks->tensorboard_url);
    free(sinks);
}

/* Takes the sink with these options out of the present ones; NULL: there is none. */
static struct sink *keep_sink(struct sinks *sinks, const struct sink_options *options)
{
    for (size_t i = 0; i < sinks->count; i++) {
        struct sink *sink = sinks->all[i];

        if (sink && sink_options_equal(&sink->options, options)) {
            sinks->all[i] = NULL;
            return sink;
        }
    }
    return NULL;
}

static bool names_differ(const struct sink_options *options, size_t count,
                         char problem[SINKS_PROBLEM_MAX])
{
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < i; k++) {
            if (strcmp(options[i].name, options[k].name) != 0)
                continue;
            snprintf(problem, SINKS_PROBLEM_MAX,
                     "two sinks are called %.64s: give each a name of its own", options[i].name);
            return false;
        }
    }
    return true;
}

bool sinks_configure(struct sinks *sinks, const struct sink_options *options, size_t count,
                     const char *tensorboard_url, char problem[SINKS_PROBLEM_MAX])
{
    struct sink **all = calloc(count + 1, sizeof(struct sink *));
    char *url = tensorboard_url ? strdup(tensorboard_url) : NULL;

    snprintf(problem, SINKS_PROBLEM_MAX, "out of memory");
    if (!all || (tensorboard_url && !url) || !names_differ(options, count, problem))
        goto fail;
    /* The new ones first: while one may fail, none of the old ones is touched. */
    for (size_t i = 0; i < count; i++) {
        bool kept = false;

        for (size_t k = 0; k < sinks->count; k++)
            kept = kept || sink_options_equal(&sinks->all[k]->options, &options[i]);
        if (!kept && !(all[i] = sink_new(sinks, &options[i], problem)))
            goto fail;
    }
    for (size_t i = 0; i < count; i++) {
        if (!all[i])
            all[i] = keep_sink(sinks, &options[i]);
    }
    for (size_t i = 0; i < sinks->count; i++) {
        if (sinks->all[i])
            sink_close(sinks->all[i], false);
    }
    free(sinks->all);
    free(sinks->tensorboard_url);
    sinks->all = all;
    sinks->count = count;
    sinks->tensorboard_url = url;
    return true;

fail:
    for (size_t i = 0; all && i < count; i++)
        sink_free(all[i]);
    free(all);
    free(url);
    return false;
}

void sinks_set_files(struct sinks *sinks, size_t most)
{
    sinks->most_files = most;
    if (sinks->webhooks)
        webhooks_keep(sinks->webhooks, most / WEBHOOK_FILES);
}

/* ---- asking */

size_t sinks_count(const struct sinks *sinks)
{
    return sinks ? sinks->count : 0;
}

void sinks_status(const struct sinks *sinks, size_t index, struct sink_status *status)
{
    const struct sink *sink = sinks->all[index];

    *status = (struct sink_status){
        .name = sink->options.name,
        .kind = sink->options.kind == SINK_EXEC ? "exec" : "webhook",
        .last_error = sink->error,
    };
    outbox_count(sink->outbox, &status->counts);
}
