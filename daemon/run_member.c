/* Who takes part in a run, and what they post. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/log.h"
#include "daemon/run_state.h"
#include "embmon/embmon.h"

enum {
    HEARD_MS = 60 * 1000, /* a run is joined while a session was heard so lately */
};

bool run_admits(const struct run *run, const struct msg_hello *hello, struct moment now)
{
    bool heard = false;

    if (run->world_size != hello->world_size || strcmp(run->wanted, hello->name) != 0 ||
        (*run->key && *hello->key && strcmp(run->key, hello->key) != 0))
        return false;
    for (size_t i = 0; i < run->member_count; i++) {
        const struct run_member *member = run->members[i];

        heard = heard || moment_since(now, member->heard_ms) < HEARD_MS;
        if (member->rank == hello->rank && !(hello->resume && !member->live))
            return false;
    }
    return heard;
}

static struct run_member *find_member(const struct run *run, const uint8_t *session)
{
    for (size_t i = 0; i < run->member_count; i++) {
        if (memcmp(run->members[i]->session, session, SESSION_BYTES) == 0)
            return run->members[i];
    }
    return NULL;
}

bool run_knows(const struct run *run, const struct msg_hello *hello)
{
    return (!*hello->name || strcmp(run->wanted, hello->name) == 0) &&
           find_member(run, hello->session) != NULL;
}

static struct run_member *add_member(struct run *run, const struct msg_hello *hello)
{
    struct run_member *member;

    if (run->member_count >= MEMBERS_MAX && !members_forget(run->members, &run->member_count))
        return NULL;
    if (run->member_count == run->member_capacity) {
        size_t capacity = run->member_capacity ? run->member_capacity * 2 : 4;
        struct run_member **more =
            reallocarray(run->members, capacity, sizeof(struct run_member *));

        if (!more)
            return NULL;
        run->members = more;
        run->member_capacity = capacity;
    }
    member = calloc(1, sizeof *member);
    if (!member)
        return NULL;
    member->run = run;
    memcpy(member->session, hello->session, SESSION_BYTES);
    member->rank = hello->rank;
    run->members[run->member_count++] = member;
    return member;
}

/* A trainer that resumes begins a new session of the run: of the last one only the first loss is
 * remembered. */
static void resume(struct run *run, const struct msg_hello *hello, struct moment now)
{
    char *key = strdup(hello->key);

    for (size_t i = 0; i < run->member_count; i++) {
        if (run->members[i]->live)
            goto done; /* only one of its ranks is taken over */
    }
    run_end(run, now);
    steps_restart(run->steps, now);
    model_reopen(&run->model);
    rules_clear(&run->rules);
    baseline_restart(&run->baseline);
    record_start(run->record);
    if (key) {
        free(run->key);
        run->key = key; /* the launch that the other ranks come from */
        return;
    }
done:
    free(key);
}

/* True when another session, still connected, has this rank. */
static bool is_held(const struct run *run, const struct msg_hello *hello)
{
    for (size_t i = 0; i < run->member_count; i++) {
        const struct run_member *member = run->members[i];

        if (member->live && member->rank == hello->rank &&
            memcmp(member->session, hello->session, SESSION_BYTES) != 0)
            return true;
    }
    return false;
}

/* True when another session has ever had this rank: who does not resume is not its successor, also
 * if it gives the run's name. */
static bool was_held(const struct run *run, const struct msg_hello *hello)
{
    for (size_t i = 0; i < run->member_count; i++) {
        if (run->members[i]->rank == hello->rank)
            return true;
    }
    return false;
}

/* One sampling for all ranks: the largest that any asks for. Who trains alone knows it himself. */
static void settle_every(struct run *run)
{
    uint32_t every = 1;

    for (size_t i = 0; i < run->member_count; i++)
        if (!run->members[i]->bye && run->members[i]->every > every)
            every = run->members[i]->every;
    if (every == run->every)
        return;
    if (every == 1)
        log_info("run %s: sampled at every step", run->name);
    else
        log_info("run %s: sampled every %" PRIu32 " steps", run->name, every);
    run->every = every;
    for (size_t i = 0; i < run->member_count && run->world_size > 1; i++) {
        struct run_member *member = run->members[i];

        if (member->live && member->events.sampling)
            member->events.sampling(member->events.context, every);
    }
}

struct run_member *run_join(struct run *run, const struct msg_hello *hello, struct moment now)
{
    struct run_member *member = find_member(run, hello->session);

    if (is_held(run, hello) || (member && member->rank != hello->rank))
        return NULL;
    if (!member) {
        if (hello->rank >= run->world_size || hello->world_size != run->world_size ||
            (!hello->resume && was_held(run, hello)))
            return NULL;
        if (hello->resume && run->member_count > 0)
            resume(run, hello, now);
        member = add_member(run, hello);
        if (!member)
            return NULL;
        steps_join(run->steps, member->rank, now);
    } else if (member->live && member->events.superseded) {
        member->events.superseded(member->events.context);
    }
    run->ended = run->suspended = false;
    run->changes++;
    pace_pause(&run->pace); /* what it trained while it was not connected is not known yet */
    member->live = true;
    member->phase = 0;
    member->bye = member->given_up = false;
    member->events = (struct run_member_events){0};
    member_unmap(member);
    member->every = hello->every ? hello->every : 1;
    settle_every(run);
    run_heartbeat(member, NULL, now);
    return member;
}

void run_member_listen(struct run_member *member, const struct run_member_events *events)
{
    member->events = *events;
}

struct run *run_member_run(const struct run_member *member)
{
    return member->run;
}

uint64_t run_member_kept(const struct run_member *member)
{
    return member->kept;
}

uint64_t run_member_rejected(const struct run_member *member)
{
    return member->rejected;
}

uint64_t run_member_durable(const struct run_member *member)
{
    return member->durable;
}

uint64_t run_member_taken(const struct run_member *member)
{
    return member->taken;
}

bool run_member_paused(const struct run_member *member)
{
    return steps_ahead(member->run->steps, member->rank);
}

void run_give_up(struct run_member *member)
{
    struct run *run = member->run;
    uint64_t lost = member_in_flight(member);

    if (member->live || member->given_up)
        return;
    member->given_up = true;
    run->changes++;
    if (lost > 0)
        log_warn("run %s: rank %" PRIu32 " is gone, and with it posts that were in its memory: "
                 "%" PRIu64 " behind number %" PRIu64,
                 run->name, member->rank, lost, member->taken);
}

void run_member_leave(struct run_member *member, bool bye, struct moment now)
{
    struct run *run = member->run;
    bool anyone = false;

    run->changes++;
    run->hurry = run->hurry || bye;
    member->live = false;
    member->bye = member->bye || bye;
    member->events = (struct run_member_events){0};
    member_unmap(member);
    if (bye)
        run_give_up(member);
    if (run->suspended)
        return;
    steps_leave(run->steps, member->rank, member->bye, now);
    run_process(run, now, false);
    for (size_t i = 0; i < run->member_count; i++)
        anyone = anyone || !run->members[i]->bye;
    if (!anyone)
        run_end(run, now);
}

/* ---- posts */

/* What a trainer declares comes again with every connection: each complaint is worth one line. */
static void complain(struct run *run, const char *sentence)
{
    uint32_t hash = 2166136261u; /* FNV-1a */

    for (const char *c = sentence; *c; c++)
        hash = (hash ^ (uint8_t)*c) * 16777619u;
    for (size_t i = 0; i < run->complaint_count; i++)
        if (run->complaints[i] == hash)
            return;
    if (run->complaint_count == COMPLAINTS_MAX)
        return;
    run->complaints[run->complaint_count++] = hash;
    log_warn("run %s: a declaration was refused: %s", run->name, sentence);
}

/* Takes what there is of them. Returns the first reason one is refused for. */
static enum nack_reason take_rules(struct run *run, const struct msg_layers *layers)
{
    enum nack_reason first = 0;

    for (size_t i = 0; i < layers->threshold_count + layers->ignore_count; i++) {
        char problem[RULES_SENTENCE];
        enum nack_reason reason =
            i < layers->threshold_count
                ? rules_threshold(&run->rules, &layers->thresholds[i], problem)
                : rules_ignore(&run->rules, &layers->ignores[i - layers->threshold_count], problem);

        if (!reason)
            continue;
        complain(run, problem);
        if (!first)
            memcpy(run->refused, problem, sizeof run->refused);
        first = first ? first : reason;
    }
    return first;
}

enum nack_reason run_layers(struct run_member *member, const struct msg_layers *layers,
                            const char **problem)
{
    struct run *run = member->run;
    struct run_room room = {.layers = LAYERS_MAX, .bytes = UINT64_MAX};
    size_t refused = run->model.refused, starved = run->model.starved;
    enum nack_reason reason, of_rules;

    if (run->room)
        room = run->room(run->listener_context, run);
    run->model.most = room.layers;
    run->model.room = room.bytes;
    /* What is declared again after a reconnect is not new. */
    run->model.closed = record_bytes(run->record) + steps_bytes(run->steps) > run->byte_budget;
    reason = member_layers(member, &run->model, layers, problem);
    if (run->model.closed && reason == NACK_LIMIT)
        *problem = "the run's memory is used up: no more layers";
    else if (room.memory && run->model.starved > starved) {
        room.memory->refused += run->model.starved - starved;
        *problem = reason == NACK_LIMIT ? room.no_bytes : *problem;
    } else if (room.gauge && run->model.refused > refused) {
        *problem = reason == NACK_LIMIT ? room.problem : *problem;
    }
    if (room.gauge)
        room.gauge->refused += run->model.refused - refused;
    run->model.room = UINT64_MAX;
    run->model.closed = false;
    of_rules = take_rules(run, layers);
    if (reason) {
        complain(run, *problem);
        return reason;
    }
    *problem = run->refused;
    return of_rules;
}

/* Training stands still because it is not its turn. */
static void pause_training(struct run *run, struct moment now)
{
    if (run->pace.training)
        alerts_time_over(run->alerts, run_next_step(run), now);
    pace_pause(&run->pace);
}

bool run_take_pace(struct run *run, uint32_t phase, struct moment now)
{
    if (phase == EMBMON_TRAIN)
        pace_post(&run->pace, now);
    else
        pause_training(run, now);
    return run_may_begin(run, phase);
}

enum nack_reason run_sample(struct run_member *member, const struct msg_sample *sample,
                            struct moment now)
{
    struct member_target target = member_target(member, sample->target);
    enum nack_reason reason = NACK_UNKNOWN;

    run_heartbeat(member, NULL, now);
    if (!run_take_pace(member->run, sample->phase, now))
        return run_count(member, sample->sequence, NACK_LIMIT);
    if (target.variable > 0)
        reason =
            run_reason(steps_sample(member->run->steps, sample->phase, sample->step, member->rank,
                                    (size_t)target.variable - 1, sample->signal, &sample->summary));
    run_relieve(member->run, now);
    return run_count(member, sample->sequence, reason);
}

enum nack_reason run_scalar(struct run_member *member, const struct msg_scalar *scalar,
                            struct moment now)
{
    struct run *run = member->run;
    int index = model_scalar(&run->model, scalar->name);
    enum nack_reason reason = NACK_LIMIT;

    run_heartbeat(member, NULL, now);
    if (!run_take_pace(run, scalar->phase, now))
        return run_count(member, scalar->sequence, NACK_LIMIT);
    if (index >= 0)
        reason = run_reason(steps_scalar(run->steps, scalar->phase, scalar->step, member->rank,
                                         (size_t)index, scalar->value));
    run_relieve(run, now);
    return run_count(member, scalar->sequence, reason);
}

enum nack_reason run_step_end(struct run_member *member, const struct msg_step_end *end,
                              struct moment now)
{
    struct run *run = member->run;
    enum nack_reason reason;

    run_heartbeat(member, NULL, now);
    if (!run_take_pace(run, end->phase, now))
        return run_count(member, end->sequence, NACK_LIMIT);
    if (end->dropped > member->dropped)
        member->dropped = end->dropped;
    if (end->every && end->every != member->every) {
        member->every = end->every;
        settle_every(run);
    }
    reason = run_reason(steps_end(run->steps, end->phase, end->step, member->rank, now));
    run_process(run, now, false);
    return run_count(member, end->sequence, reason);
}

enum nack_reason run_reason(enum steps_result result)
{
    static const enum nack_reason reasons[] = {[STEPS_OK] = 0,
                                               [STEPS_LATE] = NACK_LATE,
                                               [STEPS_NO_MEMORY] = NACK_LIMIT,
                                               [STEPS_WRAPS] = NACK_INVALID};

    return reasons[result];
}

enum nack_reason run_count(struct run_member *member, uint64_t sequence, enum nack_reason reason)
{
    struct run *run = member->run;

    member->taken = sequence;
    run->changes++;
    if (reason) {
        member->rejected++;
        run->rejected++;
    } else {
        member->acked++;
        run->acked++;
    }
    return reason;
}

void run_relieve(struct run *run, struct moment now)
{
    if (steps_full(run->steps))
        run_process(run, now, false);
}

void run_reject(struct run_member *member, uint64_t sequence)
{
    (void)run_count(member, sequence, NACK_INVALID);
}

void run_heartbeat(struct run_member *member, const struct msg_heartbeat *heartbeat,
                   struct moment now)
{
    member->heard_ms = member->run->heard_ms = now.ms;
    steps_heard(member->run->steps, member->rank, now);
    if (!heartbeat)
        return;
    member_says(member, heartbeat);
    member->run->hurry = member->run->hurry || heartbeat->hurry;
    if (member_trains(member) != (heartbeat->phase <= EMBMON_TRAIN))
        pause_training(member->run, now);
    member->phase = heartbeat->phase;
}
