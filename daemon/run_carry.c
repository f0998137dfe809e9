/* A run over a restart: the order of its parts in a checkpoint. What is scratch (measures), of a
 * connection (ids, events) or of this process (times) is not kept. */
#include <stdlib.h>
#include <string.h>

#include "daemon/carry.h"
#include "daemon/run_state.h"
#include "embmon/embmon.h"
#include "proto/name.h"

static void carry_names(struct carry *c, struct run *run)
{
    char name[NAME_RUN_MAX + 1] = "";

    strncpy(name, run->name, NAME_RUN_MAX);
    carry_text(c, name, sizeof name);
    if (strcmp(name, run->name) != 0)
        carry_fail(c, "it is of a run of another name");
    carry_string(c, &run->wanted, NAME_RUN_MAX);
    carry_string(c, &run->key, NAME_LAYER_MAX);
}

static void carry_world(struct carry *c, struct run *run)
{
    uint32_t world_size = run->world_size;

    carry_u32(c, &world_size, RANKS_MAX);
    if (run->world_size > 0 && world_size != run->world_size)
        carry_fail(c, step_other_world);
    else if (world_size == 0)
        carry_fail(c, "it is of no rank");
    run->world_size = world_size;
}

static void carry_counters(struct carry *c, struct run *run)
{
    carry_u32(c, &run->every, EVERY_MAX);
    carry_f64(c, &run->loss);
    carry_bool(c, &run->loss_posted);
    carry_u64(c, &run->steps_closed);
    carry_u64(c, &run->wished_step);
    carry_bool(c, &run->wishing);
    carry_u64(c, &run->acked);
    carry_u64(c, &run->rejected);
    carry_u64(c, &run->durable_acked);
    if (c->loading)
        run->kept_acked = run->acked;
}

static void carry_members(struct carry *c, struct run *run, struct moment now)
{
    size_t count = carry_count(c, run->member_count, MEMBERS_MAX);

    if (c->loading) {
        run->members = carry_room(c, count, sizeof(struct run_member *));
        run->member_capacity = run->members ? count : 0;
    }
    for (size_t i = 0; i < count && !c->problem; i++) {
        if (c->loading) {
            run->members[i] = carry_room(c, 1, sizeof *run->members[i]);
            if (!run->members[i])
                return;
            run->members[i]->run = run;
            run->members[i]->heard_ms = now.ms;
            run->member_count++;
        }
        member_carry(c, run->members[i], run->world_size);
    }
}

void run_carry_head(struct carry *c, struct run *run, struct moment now)
{
    if (!c->loading)
        run->awaited = run->suspended || run_is_live(run);
    carry_names(c, run);
    carry_world(c, run);
    carry_bool(c, &run->awaited);
    carry_bool(c, &run->ended);
    carry_members(c, run, now);
}

void run_free_head(struct run *run)
{
    for (size_t i = 0; i < run->member_count; i++)
        member_free(run->members[i]);
    free(run->members);
    free(run->name);
    free(run->wanted);
    free(run->key);
}

void run_carry(struct carry *c, struct run *run, struct moment now)
{
    run_carry_head(c, run, now);
    carry_counters(c, run);
    model_carry(c, &run->model);
    steps_carry(c, run->steps, &run->model, now);
    baseline_carry(c, &run->baseline, run->model.layer_count, run->model.variable_count);
    norms_carry(c, &run->norms, run->model.layer_count);
    pace_carry(c, &run->pace);
    rules_carry(c, &run->rules);
    alerts_carry(c, run->alerts, &run->model);
    record_carry(c, run->record);
    jsonl_carry(c, run->jsonl);
}
