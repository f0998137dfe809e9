/* The open steps over a restart. */
#include <stdlib.h>

#include "daemon/carried.h"
#include "daemon/step_state.h"
#include "embmon/embmon.h"

/* Of an array of pointers only those that lead somewhere are kept, with their places. Returns the
 * next of them when saving, `count` when there is none. */
static size_t next_used(void *const *pointers, size_t count, size_t from)
{
    while (from < count && !pointers[from])
        from++;
    return from;
}

static size_t count_used(void *const *pointers, size_t count)
{
    size_t used = 0;

    for (size_t i = 0; i < count; i++)
        used += pointers[i] != NULL;
    return used;
}

/* Carries the pointers, each thing by carry_thing(); places are below `most`. Loading: makes the
 * array, of `size` bytes each thing. */
static void **carry_sparse(struct carry *c, void **pointers, size_t *count, size_t most,
                           size_t size,
                           void (*carry_thing)(struct carry *c, void *thing, const void *context),
                           const void *context)
{
    size_t used = carry_count(c, c->loading ? 0 : count_used(pointers, *count), most);
    size_t place = 0, last = 0;

    carry_size(c, count, most + most / 2 + 1); /* they are made with room to spare */
    if (c->loading) {
        pointers = carry_room(c, *count, sizeof *pointers);
        *count = pointers ? *count : 0;
    }
    for (size_t i = 0; i < used && !c->problem; i++) {
        place = c->loading ? 0 : next_used(pointers, *count, last);
        carry_size(c, &place, most - 1);
        if (c->loading && (place >= *count || pointers[place])) {
            carry_fail(c, "a place is beyond the end, or taken");
            break;
        }
        if (c->loading && !(pointers[place] = carry_room(c, 1, size)))
            break;
        carry_thing(c, pointers[place], context);
        last = place + 1;
    }
    return pointers;
}

struct sizes {
    uint32_t world_size;
    size_t variables;
};

static void carry_cell(struct carry *c, void *thing, const void *context)
{
    const struct sizes *sizes = context;
    struct step_cell *cell = thing;

    summary_carry(c, &cell->summary);
    rank_list_carry(c, &cell->nonfinite, sizes->world_size);
}

static void carry_ids(struct carry *c, void *thing, const void *context)
{
    const struct sizes *sizes = context;
    struct step_ids *ids = thing;

    ids_stats_carry(c, &ids->stats);
    carry_u32(c, &ids->dtype, UINT32_MAX);
    carry_u32(c, &ids->example_rank, sizes->world_size - 1);
    carry_text(c, ids->input, sizeof ids->input);
    for (size_t i = 0; i < IDS_TROUBLES; i++)
        rank_list_carry(c, &ids->troubled[i], sizes->world_size);
}

static void carry_shapes(struct carry *c, void *thing, const void *context)
{
    const struct sizes *sizes = context;
    struct step_shapes *shapes = thing;

    shape_list_carry(c, &shapes->list, sizes->variables);
}

static void carry_scalars(struct carry *c, struct step *step)
{
    size_t count = carry_count(c, step->scalar_count, SCALARS_MAX + 8);

    if (c->loading) {
        step->scalars = carry_room(c, count, sizeof *step->scalars);
        step->scalar_count = step->scalars ? count : 0;
    }
    for (size_t i = 0; i < step->scalar_count; i++) {
        struct step_scalar *scalar = &step->scalars[i];

        carry_u64(c, &scalar->count);
        if (scalar->count == 0)
            continue;
        carry_f64(c, &scalar->sum);
        carry_f64(c, &scalar->min);
        carry_f64(c, &scalar->max);
    }
}

static void carry_step(struct carry *c, struct step *step, const struct steps *steps,
                       const struct model *model, struct moment now)
{
    struct sizes sizes = {steps->world_size, model->variable_count};

    carry_u64(c, &step->number);
    rank_list_carry(c, &step->posted, steps->world_size);
    rank_list_carry(c, &step->ended, steps->world_size);
    carry_bool(c, &step->any_ended);
    carry_u32(c, &step->first_rank, steps->world_size - 1);
    carry_u32(c, &step->waits_for, steps->world_size - 1);
    carry_bool(c, &step->judged_early);
    if (c->loading)
        step->first_end_ms = now.ms;
    step->cells = (struct step_cell **)carry_sparse(c, (void **)step->cells, &step->cell_count,
                                                    (size_t)VARIABLES_MAX * STEP_SIGNALS,
                                                    sizeof(struct step_cell), carry_cell, &sizes);
    carry_scalars(c, step);
    step->ids = (struct step_ids **)carry_sparse(c, (void **)step->ids, &step->ids_count,
                                                 (size_t)LAYERS_MAX * IDS_SOURCES,
                                                 sizeof(struct step_ids), carry_ids, &sizes);
    step->shapes = (struct step_shapes **)carry_sparse(
        c, (void **)step->shapes, &step->shapes_count, LAYERS_MAX, sizeof(struct step_shapes),
        carry_shapes, &sizes);
}

static void carry_phase(struct carry *c, struct steps *steps, size_t phase,
                        const struct model *model, struct moment now)
{
    size_t count = carry_count(c, steps->open_count[phase], STEPS_OPEN_MAX + 1);
    struct step **link = &steps->open[phase];

    carry_i64(c, &steps->closed[phase]);
    for (size_t i = 0; i < count && !c->problem; i++) {
        uint64_t above = i > 0 ? (*link)->number : 0;

        link = i > 0 ? &(*link)->next : link;
        if (c->loading) {
            *link = carry_room(c, 1, sizeof **link);
            if (!*link)
                return;
            (*link)->phase = (uint32_t)phase + 1;
            steps->open_count[phase]++;
        }
        carry_step(c, *link, steps, model, now);
        if (c->loading) {
            posts_count_bytes(steps, *link);
            steps_count_waiting(steps, *link);
        }
        if (i > 0 && (*link)->number <= above)
            carry_fail(c, "open steps are not in order");
    }
}

const char step_other_world[] = "it is of another world size";

void steps_carry(struct carry *c, struct steps *steps, const struct model *model, struct moment now)
{
    uint32_t world_size = steps->world_size;

    carry_u32(c, &world_size, RANKS_MAX);
    if (world_size != steps->world_size)
        carry_fail(c, step_other_world);
    for (size_t i = 0; i < STEP_PHASES; i++)
        carry_phase(c, steps, i, model, now);
    for (uint32_t rank = 0; rank < steps->world_size && !c->problem; rank++) {
        for (size_t i = 0; i < STEP_PHASES; i++)
            carry_bool(c, &steps->ranks[rank].missed[i]);
    }
    if (c->loading)
        steps->started_ms = now.ms;
}
