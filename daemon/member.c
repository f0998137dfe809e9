#include "daemon/member.h"

#include <stdlib.h>
#include <string.h>

#include "embmon/embmon.h"

_Static_assert((LAYERS_MAX + VARIABLES_MAX) % TARGETS_PAGE == 0, "pages hold all ids");

bool member_trains(const struct run_member *member)
{
    return member->phase <= EMBMON_TRAIN;
}

void member_free(struct run_member *member)
{
    if (!member)
        return;
    member_unmap(member);
    free(member);
}

/* Posts of which it is known what became of them. */
static uint64_t settled(const struct run_member *member)
{
    return member->acked + member->rejected + member->dropped;
}

/* Produced, and neither come nor dropped. */
static uint64_t missing(const struct run_member *member)
{
    return member->produced > settled(member) ? member->produced - settled(member) : 0;
}

/* One that is gone for good. */
static bool is_gone(const struct run_member *member)
{
    return !member->live && member->given_up;
}

static void inherit(struct run_member *heir, const struct run_member *of)
{
    heir->produced = member_produced(heir) + member_produced(of);
    heir->acked += of->acked;
    heir->rejected += of->rejected;
    heir->dropped += member_lost(of);
    heir->before.acked += of->before.acked;
    heir->before.rejected += of->before.rejected;
    heir->before.dropped += of->before.dropped;
}

bool members_forget(struct run_member **members, size_t *count)
{
    bool seen[RANKS_MAX] = {false};
    size_t oldest = *count, heir = *count;

    for (size_t i = *count; i-- > 0;) {
        if (is_gone(members[i]) && seen[members[i]->rank])
            oldest = i;
        seen[members[i]->rank] = true;
    }
    for (size_t i = *count; i-- > 0;) {
        if (i != oldest && is_gone(members[i]))
            heir = i;
    }
    if (oldest == *count || heir == *count)
        return false;
    inherit(members[heir], members[oldest]);
    member_free(members[oldest]);
    --*count;
    memmove(&members[oldest], &members[oldest + 1], (*count - oldest) * sizeof *members);
    return true;
}

void member_says(struct run_member *member, const struct msg_heartbeat *heartbeat)
{
    uint64_t known;

    if (heartbeat->dropped > member->dropped)
        member->dropped = heartbeat->dropped;
    /* What was sent before this heartbeat has come before it. After a reconnect some of what is
     * unsent has come, too; after a daemon without a checkpoint some was answered that is not known
     * here: the lesser is right in either case. */
    known = settled(member) + heartbeat->unsent;
    member->produced =
        heartbeat->produced > 0 && heartbeat->produced < known ? heartbeat->produced : known;
}

uint64_t member_produced(const struct run_member *member)
{
    return settled(member) + missing(member);
}

uint64_t member_lost(const struct run_member *member)
{
    return member->dropped + (member->given_up ? missing(member) : 0);
}

uint64_t member_in_flight(const struct run_member *member)
{
    return member->given_up ? 0 : missing(member);
}

bool member_map(struct run_member *member, uint32_t id, struct member_target target)
{
    struct member_target **page;

    if (id / TARGETS_PAGE >= TARGETS_PAGES)
        return false;
    page = &member->targets[id / TARGETS_PAGE];
    if (!*page && !(*page = calloc(TARGETS_PAGE, sizeof **page)))
        return false;
    (*page)[id % TARGETS_PAGE] = target;
    return true;
}

struct member_target member_target(const struct run_member *member, uint32_t id)
{
    const struct member_target *page =
        id / TARGETS_PAGE < TARGETS_PAGES ? member->targets[id / TARGETS_PAGE] : NULL;

    return page ? page[id % TARGETS_PAGE] : (struct member_target){0, 0};
}

void member_unmap(struct run_member *member)
{
    for (size_t i = 0; i < TARGETS_PAGES; i++) {
        free(member->targets[i]);
        member->targets[i] = NULL;
    }
}

static enum nack_reason refuse(int code, const char **problem)
{
    switch (code) {
    case MODEL_CONFLICT:
        *problem = "its path or name was declared before, with another kind, rows or columns";
        return NACK_INVALID;
    case MODEL_FULL:
        *problem = "more layers or variables than a run may have";
        return NACK_LIMIT;
    default:
        *problem = "out of memory";
        return NACK_LIMIT;
    }
}

static void forget(struct run_member *member, uint32_t id)
{
    if (member_target(member, id).layer || member_target(member, id).variable)
        (void)member_map(member, id, (struct member_target){0, 0}); /* its page is there */
}

/* A layer reads layers that were declared before it: forward order. What was refused, or is the
 * layer itself, keeps its place without a name. */
static bool take_inputs(const struct run_member *member, struct model *model, size_t layer,
                        const struct msg_layer *from)
{
    size_t inputs[INPUTS_MAX];
    size_t count = from->input_count < INPUTS_MAX ? from->input_count : INPUTS_MAX;

    for (size_t i = 0; i < count; i++) {
        struct member_target target = member_target(member, from->inputs[i]);

        inputs[i] = (size_t)target.layer - 1;
        if (target.layer == 0 || inputs[i] == layer)
            inputs[i] = MODEL_NO_LAYER;
    }
    return model_inputs(model, layer, inputs, count);
}

static bool is_id(uint32_t id)
{
    return id / TARGETS_PAGE < TARGETS_PAGES;
}

static enum nack_reason take_layer(struct run_member *member, struct model *model,
                                   const struct msg_layer *from, const char **problem)
{
    int layer = is_id(from->id) ? model_layer(model, from) : MODEL_FULL;
    struct member_target target;

    forget(member, from->id);
    if (layer < 0)
        return refuse(layer, problem);
    if (!take_inputs(member, model, (size_t)layer, from))
        return refuse(MODEL_NO_MEMORY, problem);
    target.layer = layer + 1;
    target.variable = (int32_t)model->layers[layer].table + 1;
    return member_map(member, from->id, target) ? 0 : refuse(MODEL_FULL, problem);
}

static enum nack_reason take_variable(struct run_member *member, struct model *model,
                                      const struct msg_variable *from, const char **problem)
{
    struct member_target of = member_target(member, from->layer), target = {0, 0};
    int variable;

    forget(member, from->id);
    if (of.layer == 0) {
        *problem = "a variable of a layer that was not declared before it";
        return NACK_UNKNOWN;
    }
    variable =
        is_id(from->id) ? model_variable(model, (size_t)of.layer - 1, from->name) : MODEL_FULL;
    if (variable < 0)
        return refuse(variable, problem);
    model_shape(model, (size_t)variable, from->shape, from->shape_length);
    model_variable_dtype(model, (size_t)variable, from->dtype);
    target.variable = variable + 1;
    return member_map(member, from->id, target) ? 0 : refuse(MODEL_FULL, problem);
}

enum nack_reason member_layers(struct run_member *member, struct model *model,
                               const struct msg_layers *layers, const char **problem)
{
    enum nack_reason first = 0, reason;
    const char *why = "";

    for (size_t i = 0; i < layers->layer_count + layers->variable_count; i++) {
        if (i < layers->layer_count)
            reason = take_layer(member, model, &layers->layers[i], &why);
        else
            reason =
                take_variable(member, model, &layers->variables[i - layers->layer_count], &why);
        if (reason && !first) {
            first = reason;
            *problem = why;
        }
    }
    return first;
}

void member_carry(struct carry *c, struct run_member *member, uint32_t world_size)
{
    carry_bytes(c, member->session, SESSION_BYTES);
    carry_u32(c, &member->rank, world_size - 1);
    carry_u32(c, &member->every, EVERY_MAX);
    carry_bool(c, &member->bye);
    carry_u64(c, &member->taken);
    carry_u64(c, &member->durable);
    carry_u64(c, &member->acked);
    carry_u64(c, &member->rejected);
    carry_u64(c, &member->dropped);
    carry_u64(c, &member->produced);
    carry_bool(c, &member->given_up);
    if (!c->loading)
        return;
    member->kept = member->taken;
    member->before.acked = member->acked;
    member->before.rejected = member->rejected;
    member->before.dropped = member->dropped;
}
