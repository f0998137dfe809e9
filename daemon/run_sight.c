/* What is judged before its step is over: ids and shapes when they come, for the forward pass may
 * raise right after; and what an epoch leaves when it has ended. */
#include <inttypes.h>

#include "daemon/log.h"
#include "daemon/run_state.h"
#include "embmon/embmon.h"

static void judge(struct run *run, const struct step *step, size_t layer, uint32_t rank,
                  enum occasion occasion, struct moment now)
{
    struct measures m = {.step = step,
                         .model = &run->model,
                         .layer_count = run->model.layer_count,
                         .several_ranks = run->world_size > 1,
                         .some_steps = run->every > 1,
                         .first_sight = occasion != AT_EPOCH,
                         .only_rank = rank};

    if (baseline_resize(&run->baseline, run->model.layer_count, run->model.variable_count) &&
        rules_resolve(&run->rules, &run->model))
        (void)alerts_judge_at(run->alerts, &m, layer, occasion, &run->baseline, &run->rules, now);
}

enum nack_reason run_ids(struct run_member *member, const struct msg_ids *ids, struct moment now)
{
    struct run *run = member->run;
    struct member_target target = member_target(member, ids->target);
    enum nack_reason reason = NACK_UNKNOWN;
    const struct step *step;

    run_heartbeat(member, NULL, now);
    if (!run_take_pace(run, ids->phase, now))
        return run_count(member, ids->sequence, NACK_LIMIT);
    if (target.layer > 0) {
        size_t layer = (size_t)target.layer - 1;

        reason = run_reason(steps_ids(run->steps, member->rank, layer, ids, &step));
        if (!reason) {
            words_take(&run->model.layers[layer].words, ids->words, ids->word_count);
            judge(run, step, layer, member->rank, AT_IDS, now);
        }
    }
    run_relieve(run, now);
    return run_count(member, ids->sequence, reason);
}

/* A layer's id stands for its table, too; inputs and outputs are of layers alone. */
static enum nack_reason take_shape(struct run_member *member, struct member_target target,
                                   const struct msg_shape *shape, struct moment now)
{
    struct run *run = member->run;
    bool of_variable = shape->role == EMBMON_SHAPE_GRADIENT;
    struct posted_shape posted = {.phase = shape->phase,
                                  .role = shape->role,
                                  .index = shape->index,
                                  .inputs = shape->inputs,
                                  .axis = shape->axis,
                                  .shape = shape_of(shape->dims, shape->dim_count),
                                  .step = shape->step,
                                  .rank = member->rank};
    const struct step *step;
    enum nack_reason reason;
    size_t layer;

    if (of_variable ? target.variable == 0 : target.layer == 0)
        return NACK_UNKNOWN;
    posted.variable = of_variable ? (size_t)target.variable - 1 : 0;
    layer = of_variable ? run->model.variables[posted.variable].layer : (size_t)target.layer - 1;
    reason = run_reason(steps_shape(run->steps, &posted, layer, &step));
    if (!reason)
        judge(run, step, layer, member->rank, AT_SHAPE, now);
    return reason;
}

enum nack_reason run_shape(struct run_member *member, const struct msg_shape *shape,
                           struct moment now)
{
    struct member_target target = member_target(member, shape->target);
    enum nack_reason reason;

    run_heartbeat(member, NULL, now);
    if (!run_take_pace(member->run, shape->phase, now))
        return run_count(member, shape->sequence, NACK_LIMIT);
    reason = take_shape(member, target, shape, now);
    run_relieve(member->run, now);
    return run_count(member, shape->sequence, reason);
}

enum nack_reason run_epoch(struct run_member *member, const struct msg_epoch *epoch,
                           struct moment now)
{
    struct run *run = member->run;
    struct step last = {.phase = EMBMON_TRAIN,
                        .number = epoch->step,
                        .posted = {.ranks = &member->rank, .length = 1, .capacity = 1}};

    run_heartbeat(member, NULL, now);
    log_debug("run %s: rank %u ended epoch %" PRIu64, run->name, member->rank, epoch->epoch);
    for (size_t layer = 0; layer < run->model.layer_count; layer++) {
        judge(run, &last, layer, member->rank, AT_EPOCH, now);
        baseline_epoch(&run->baseline, layer);
    }
    return run_count(member, epoch->sequence, 0);
}
