#include "daemon/registry.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/log.h"
#include "daemon/registry_state.h"
#include "daemon/run_claim.h"
#include "daemon/rundir.h"
#include "daemon/sink_files.h"
#include "embmon/embmon.h"
#include "proto/name.h"

static void tell_sinks(void *context, const struct alert_change *change)
{
    struct registry *registry = context;

    if (registry->sinks)
        sinks_put(registry->sinks, change);
}

struct registry *registry_new(const char *logdir, struct moment now)
{
    struct registry *registry = calloc(1, sizeof *registry);

    if (!registry)
        return NULL;
    registry->started = registry->now = now;
    registry->ceilings = (struct ceilings)CEILINGS_DEFAULT;
    registry->logdir = strdup(logdir);
    registry->syncer = syncer_new();
    registry->census = census_new(logdir);
    registry->scratch.decoder = message_decoder_new();
    registry->scratch.heavy_left = SIZE_MAX;
    if (!registry->logdir || !registry->syncer || !registry->census || !registry->scratch.decoder) {
        syncer_free(registry->syncer);
        census_free(registry->census);
        message_decoder_free(registry->scratch.decoder);
        free(registry->logdir);
        free(registry);
        return NULL;
    }
    return registry;
}

void registry_configure(struct registry *registry, const struct ceilings *ceilings,
                        const struct rules *rules)
{
    registry->ceilings = *ceilings;
    registry->rules = rules;
    message_decoder_limit(registry->scratch.decoder, (size_t)ceilings->message_bytes);
    for (size_t i = 0; i < registry->run_count; i++)
        run_configure(registry->runs[i], ceilings, rules);
}

void registry_free(struct registry *registry, struct moment now)
{
    if (!registry)
        return;
    for (size_t i = 0; i < registry->run_count; i++)
        run_close(registry->runs[i], now);
    syncer_free(registry->syncer);
    census_free(registry->census);
    message_decoder_free(registry->scratch.decoder);
    frame_codec_free(&registry->scratch.inflater);
    frame_codec_free(&registry->scratch.deflater);
    free(registry->runs);
    free(registry->logdir);
    free(registry);
}

void registry_suspend(struct registry *registry)
{
    for (size_t i = 0; i < registry->run_count; i++)
        run_suspend(registry->runs[i]);
}

static void add_posts(struct run_posts *to, const struct run_posts *posts)
{
    to->produced += posts->produced;
    to->acked += posts->acked;
    to->rejected += posts->rejected;
    to->dropped += posts->dropped;
    to->in_flight += posts->in_flight;
}

static void unload(struct registry *registry, size_t index, struct moment now)
{
    struct run_status status;

    run_end(registry->runs[index], now);
    run_get_status(registry->runs[index], &status);
    registry->written += status.bytes_written + status.bytes_pending;
    add_posts(&registry->posts, &status.here);
    run_close(registry->runs[index], now);
    registry->usage.runs.used = --registry->run_count;
    memmove(&registry->runs[index], &registry->runs[index + 1],
            (registry->run_count - index) * sizeof(struct run *));
}

/* One more would be more than there may be. */
static bool is_full(const struct registry *registry)
{
    return registry->run_count >= registry->ceilings.runs ||
           usage_files_left(&registry->usage) < FILES_RUN;
}

/* Makes room for one more run, at the cost of one that nobody is connected to. */
static bool make_room(struct registry *registry, struct moment now, const char **problem)
{
    struct run_status status;

    /* More than one when there may be fewer than before. */
    for (size_t i = 0; i < registry->run_count && is_full(registry);) {
        run_get_status(registry->runs[i], &status);
        if (status.live)
            i++;
        else
            unload(registry, i, now);
    }
    if (is_full(registry)) {
        registry->usage.runs.refused++;
        *problem =
            registry->run_count >= registry->ceilings.runs
                ? "too many runs are being recorded: as many as the daemon's limits.runs allows"
                : "too many runs and connections for the files that the daemon may open";
        return false;
    }
    if (registry->run_count == registry->run_capacity) {
        size_t capacity = registry->run_capacity ? registry->run_capacity * 2 : 4;
        struct run **more = reallocarray(registry->runs, capacity, sizeof(struct run *));

        if (!more) {
            *problem = "out of memory";
            return false;
        }
        registry->runs = more;
        registry->run_capacity = capacity;
    }
    return true;
}

/* What fires in a run that is taken up again: a receiver may not have been told of it before. */
static void tell_firing(void *context, const struct alert_change *change, bool ever_fired)
{
    (void)ever_fired;
    tell_sinks(context, change);
}

static struct run *load(struct registry *registry, const char *name, const char *wanted,
                        const struct msg_hello *hello, bool resume, struct moment now,
                        const char **problem)
{
    struct run_options options = {
        .logdir = registry->logdir,
        .name = name,
        .wanted = wanted,
        .key = hello->key,
        .world_size = hello->world_size,
        .resume = resume,
        .listener = tell_sinks,
        .usage = &registry->usage,
        .room = registry_room,
        .context = registry,
    };
    struct run *run;

    if (registry_left(registry) == 0) {
        registry->usage.memory_bytes.refused++;
        *problem = "the daemon has as much memory as its limits.memory_bytes allows: no new run";
        return NULL;
    }
    if (!make_room(registry, now, problem))
        return NULL;
    run = run_open(&options, now, problem);
    if (run) {
        run_configure(run, &registry->ceilings, registry->rules);
        run_set_thrift(run, registry->thrift);
        registry->runs[registry->run_count++] = run;
        registry->usage.runs.used = registry->run_count;
        run_alerts_firing(run, tell_firing, registry);
    }
    return run;
}

static struct run_member *join(struct run *run, const struct msg_hello *hello, struct moment now,
                               const char **problem)
{
    struct run_member *member = run ? run_join(run, hello, now) : NULL;

    if (run && !member)
        *problem = "this rank of the run is held by another session, or the world size differs";
    if (member)
        run_keep_begun(run, now);
    return member;
}

/* A session that was named before goes on in that folder, whichever daemon named it. */
static struct run_member *join_given(struct registry *registry, const struct msg_hello *hello,
                                     struct moment now, const char **problem)
{
    struct run *run = registry_find(registry, hello->given);

    if (!run)
        run = load(registry, hello->given, *hello->name ? hello->name : hello->given, hello, false,
                   now, problem);
    return join(run, hello, now, problem);
}

/* The folder is continued; a run that is loaded but quiet is taken up again. */
static struct run_member *join_resumed(struct registry *registry, const char *wanted,
                                       const struct msg_hello *hello, struct moment now,
                                       const char **problem)
{
    struct run_member *member;
    struct run_status status;

    for (size_t i = 0; i < registry->run_count; i++) {
        if (strcmp(run_name(registry->runs[i]), wanted) != 0)
            continue;
        member = join(registry->runs[i], hello, now, problem);
        run_get_status(registry->runs[i], &status);
        if (member || status.live)
            return member;
        unload(registry, i, now); /* of another world size: begin it anew */
        break;
    }
    return join(load(registry, wanted, wanted, hello, true, now, problem), hello, now, problem);
}

struct run_member *registry_join(struct registry *registry, const struct msg_hello *hello,
                                 struct moment now, const char **problem)
{
    const char *wanted = *hello->name ? hello->name : "run";
    char name[NAME_RUN_MAX + 1];
    enum run_claim claim;

    if (hello->world_size > registry->ceilings.ranks) {
        registry->usage.ranks.refused++;
        *problem = "the world size is above what the daemon's limits.ranks allows";
        return NULL;
    }
    if (*hello->given)
        return join_given(registry, hello, now, problem);
    /* The Welcome that named it was lost: it must not become a second run. */
    for (size_t i = 0; i < registry->run_count; i++) {
        if (run_knows(registry->runs[i], hello))
            return join(registry->runs[i], hello, now, problem);
    }
    for (size_t i = registry->run_count; i-- > 0;) {
        if (run_admits(registry->runs[i], hello, now))
            return join(registry->runs[i], hello, now, problem);
    }
    claim = registry_name(registry, wanted, hello, now, name);
    if (claim == CLAIM_LAUNCH || claim == CLAIM_SESSION)
        return join(load(registry, name, wanted, hello, false, now, problem), hello, now, problem);
    if (hello->resume && rundir_exists(registry->logdir, wanted))
        return join_resumed(registry, wanted, hello, now, problem);
    if (claim == CLAIM_OTHERS) {
        *problem = "no name is free for this run: its folder and all its suffixes exist";
        return NULL;
    }
    if (strcmp(name, wanted) != 0)
        log_info("run %s exists already: this one becomes %s (to continue it, resume)", wanted,
                 name);
    return join(load(registry, name, wanted, hello, hello->resume, now, problem), hello, now,
                problem);
}

void registry_tick(struct registry *registry, struct moment now)
{
    registry->now = now;
    for (size_t i = registry->run_count; i-- > 0;) {
        run_tick(registry->runs[i], now);
        if (run_idle(registry->runs[i], now))
            unload(registry, i, now);
    }
}

void registry_flush(struct registry *registry)
{
    for (size_t i = 0; i < registry->run_count; i++)
        run_flush(registry->runs[i], registry->now);
    for (size_t i = 0; i < registry->run_count; i++)
        run_sync(registry->runs[i], registry->syncer, registry->now);
}

void registry_keep(struct registry *registry, struct moment now)
{
    for (size_t i = 0; i < registry->run_count; i++)
        run_keep(registry->runs[i], now);
}

bool registry_unload_ended(struct registry *registry, struct moment now)
{
    for (size_t i = 0; i < registry->run_count; i++) {
        struct run_status status;

        run_get_status(registry->runs[i], &status);
        if (status.ended && !status.live) {
            unload(registry, i, now);
            return true;
        }
    }
    return false;
}

void registry_end(struct registry *registry, struct moment now)
{
    for (size_t i = 0; i < registry->run_count; i++)
        run_end(registry->runs[i], now);
}

/* ---- sinks */

void registry_set_sinks(struct registry *registry, struct sinks *sinks)
{
    registry->sinks = sinks;
}

struct sinks *registry_sinks(const struct registry *registry)
{
    return registry->sinks;
}

static void greet(void *context, const struct alert_change *change, bool ever_fired)
{
    (void)ever_fired;
    sinks_greet(context, change);
}

bool registry_configure_sinks(struct registry *registry, const struct sink_options *options,
                              size_t count, const char *tensorboard_url,
                              char problem[SINKS_PROBLEM_MAX])
{
    if (!sinks_configure(registry->sinks, options, count, tensorboard_url, problem))
        return false;
    registry->usage.sink_files = sink_files_all(options, count, registry->usage.files);
    sinks_set_files(registry->sinks, (size_t)registry->usage.sink_files);
    for (size_t i = 0; i < registry->run_count; i++)
        run_alerts_firing(registry->runs[i], greet, registry->sinks);
    sinks_greeted(registry->sinks);
    return true;
}

/* ---- asking */

size_t registry_runs(const struct registry *registry)
{
    return registry->run_count;
}

struct run *registry_run(const struct registry *registry, size_t index)
{
    return registry->runs[index];
}

struct run *registry_find(const struct registry *registry, const char *name)
{
    for (size_t i = 0; i < registry->run_count; i++) {
        if (strcmp(run_name(registry->runs[i]), name) == 0)
            return registry->runs[i];
    }
    return NULL;
}

struct run_posts registry_posts(const struct registry *registry)
{
    struct run_posts posts = registry->posts;

    for (size_t i = 0; i < registry->run_count; i++) {
        struct run_status status;

        run_get_status(registry->runs[i], &status);
        add_posts(&posts, &status.here);
    }
    return posts;
}

struct registry_totals *registry_totals(struct registry *registry)
{
    return &registry->totals;
}

struct registry_scratch *registry_scratch(struct registry *registry)
{
    return &registry->scratch;
}

struct registry_refusals *registry_refusals(struct registry *registry)
{
    return &registry->refusals;
}

const struct ceilings *registry_ceilings(const struct registry *registry)
{
    return &registry->ceilings;
}

struct usage *registry_usage(struct registry *registry)
{
    return &registry->usage;
}

void registry_set_scale(struct registry *registry, uint64_t (*weigh)(void))
{
    registry->weigh = weigh;
}

const char *registry_logdir(const struct registry *registry)
{
    return registry->logdir;
}

const char *registry_thrift(const struct registry *registry)
{
    return registry->why ? registry->why : "";
}

struct moment registry_started(const struct registry *registry)
{
    return registry->started;
}
