/* What ranks post to a step: samples, scalars, ids and shapes, and the memory that holds them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/step_state.h"
#include "embmon/embmon.h"

enum { SPARE_CELL_BYTES = 8 << 10 }; /* a spare one that is larger goes back to the system */

/* ---- asking */

const struct step_cell *step_cell(const struct step *step, size_t variable, uint32_t signal)
{
    size_t index = variable * STEP_SIGNALS + signal - 1;

    return index < step->cell_count ? step->cells[index] : NULL;
}

const struct step_ids *step_ids(const struct step *step, size_t layer, enum ids_source source)
{
    size_t index = layer * IDS_SOURCES + source;

    return index < step->ids_count ? step->ids[index] : NULL;
}

const struct step_ids *step_ids_any(const struct step *step, size_t layer)
{
    const struct step_ids *reached = step_ids(step, layer, IDS_REACHED);

    return reached ? reached : step_ids(step, layer, IDS_FED);
}

const struct shape_list *step_shapes(const struct step *step, size_t layer)
{
    return layer < step->shapes_count && step->shapes[layer] ? &step->shapes[layer]->list : NULL;
}

double step_scalar(const struct step *step, size_t scalar)
{
    if (scalar >= step->scalar_count || step->scalars[scalar].count == 0)
        return NAN;
    return step->scalars[scalar].sum / (double)step->scalars[scalar].count;
}

size_t step_bytes(const struct step *step)
{
    return sizeof *step + step->cell_count * sizeof *step->cells +
           step->scalar_count * sizeof *step->scalars + step->ids_count * sizeof *step->ids +
           step->shapes_count * sizeof *step->shapes;
}

/* ---- memory */

static void cell_free(struct step_cell *cell)
{
    summary_free(&cell->summary);
    free(cell->nonfinite.ranks);
    free(cell);
}

static void ids_free(struct step_ids *ids)
{
    for (size_t i = 0; i < IDS_TROUBLES; i++)
        free(ids->troubled[i].ranks);
    free(ids);
}

static void shapes_give_back(struct step_shapes *shapes)
{
    shape_list_free(&shapes->list);
    free(shapes);
}

void posts_free(struct step *step)
{
    free(step->cells);
    free(step->scalars);
    free(step->ids);
    free(step->shapes);
}

void posts_free_spares(struct steps *steps)
{
    struct step_cell *cell;
    struct step_ids *ids;
    struct step_shapes *shapes;

    while ((cell = steps->spare_cells)) {
        steps->spare_cells = cell->next;
        cell_free(cell);
    }
    while ((ids = steps->spare_ids)) {
        steps->spare_ids = ids->next;
        ids_free(ids);
    }
    while ((shapes = steps->spare_shapes)) {
        steps->spare_shapes = shapes->next;
        shapes_give_back(shapes);
    }
}

static void recycle_cell(struct steps *steps, struct step_cell *cell)
{
    size_t bytes = summary_bytes(&cell->summary);

    steps->bytes -= bytes;
    if (bytes > SPARE_CELL_BYTES) /* or one wide tensor would in time widen every spare cell */
        summary_free(&cell->summary);
    else
        summary_clear(&cell->summary);
    cell->nonfinite.length = 0;
    cell->next = steps->spare_cells;
    steps->spare_cells = cell;
}

static void recycle_ids(struct steps *steps, struct step_ids *ids)
{
    steps->bytes -= sizeof *ids;
    ids->stats = (struct ids_stats){0};
    ids->dtype = 0;
    ids->input[0] = '\0';
    for (size_t i = 0; i < IDS_TROUBLES; i++)
        ids->troubled[i].length = 0;
    ids->next = steps->spare_ids;
    steps->spare_ids = ids;
}

static size_t shapes_bytes(const struct step_shapes *shapes)
{
    return sizeof *shapes + shapes->list.capacity * sizeof *shapes->list.items;
}

static void recycle_shapes(struct steps *steps, struct step_shapes *shapes)
{
    steps->bytes -= shapes_bytes(shapes);
    shapes->list.count = 0;
    shapes->next = steps->spare_shapes;
    steps->spare_shapes = shapes;
}

void posts_count_bytes(struct steps *steps, const struct step *step)
{
    steps->bytes += step_bytes(step);
    for (size_t i = 0; i < step->cell_count; i++)
        steps->bytes += step->cells[i] ? summary_bytes(&step->cells[i]->summary) : 0;
    for (size_t i = 0; i < step->ids_count; i++)
        steps->bytes += step->ids[i] ? sizeof *step->ids[i] : 0;
    for (size_t i = 0; i < step->shapes_count; i++)
        steps->bytes += step->shapes[i] ? shapes_bytes(step->shapes[i]) : 0;
}

void posts_recycle(struct steps *steps, struct step *step)
{
    for (size_t i = 0; i < step->cell_count; i++) {
        if (step->cells[i])
            recycle_cell(steps, step->cells[i]);
        step->cells[i] = NULL;
    }
    for (size_t i = 0; i < step->ids_count; i++) {
        if (step->ids[i])
            recycle_ids(steps, step->ids[i]);
        step->ids[i] = NULL;
    }
    for (size_t i = 0; i < step->shapes_count; i++) {
        if (step->shapes[i])
            recycle_shapes(steps, step->shapes[i]);
        step->shapes[i] = NULL;
    }
    if (step->scalar_count)
        memset(step->scalars, 0, step->scalar_count * sizeof *step->scalars);
}

/* The array of pointers with room for `wanted`, the new ones NULL; NULL when out of memory. */
static void *grown(struct steps *steps, void *pointers, size_t *count, size_t wanted)
{
    size_t room = wanted + wanted / 2, before = *count;
    char *more;

    if (wanted <= before)
        return pointers;
    more = reallocarray(pointers, room, sizeof(void *));
    if (!more)
        return NULL;
    memset(more + before * sizeof(void *), 0, (room - before) * sizeof(void *));
    steps->bytes += (room - before) * sizeof(void *);
    *count = room;
    return more;
}

static struct step_cell *open_cell(struct steps *steps, struct step *step, size_t index)
{
    struct step_cell **cells = grown(steps, step->cells, &step->cell_count, index + 1), *cell;

    if (!cells)
        return NULL;
    step->cells = cells;
    if (cells[index])
        return cells[index];
    cell = steps->spare_cells;
    if (cell)
        steps->spare_cells = cell->next;
    else if (!(cell = calloc(1, sizeof *cell)))
        return NULL;
    steps->bytes += summary_bytes(&cell->summary);
    return cells[index] = cell;
}

static struct step_ids *open_ids(struct steps *steps, struct step *step, size_t index)
{
    struct step_ids **all = grown(steps, step->ids, &step->ids_count, index + 1), *ids;

    if (!all)
        return NULL;
    step->ids = all;
    if (all[index])
        return all[index];
    ids = steps->spare_ids;
    if (ids)
        steps->spare_ids = ids->next;
    else if (!(ids = calloc(1, sizeof *ids)))
        return NULL;
    steps->bytes += sizeof *ids;
    return all[index] = ids;
}

static struct step_shapes *open_shapes(struct steps *steps, struct step *step, size_t index)
{
    struct step_shapes **all = grown(steps, step->shapes, &step->shapes_count, index + 1), *shapes;

    if (!all)
        return NULL;
    step->shapes = all;
    if (all[index])
        return all[index];
    shapes = steps->spare_shapes;
    if (shapes)
        steps->spare_shapes = shapes->next;
    else if (!(shapes = calloc(1, sizeof *shapes)))
        return NULL;
    steps->bytes += shapes_bytes(shapes);
    return all[index] = shapes;
}

/* ---- posting */

/* The step that a rank's post is for, made when it is not there. */
static enum steps_result post_to(struct steps *steps, uint32_t phase, uint64_t number,
                                 uint32_t rank, struct step **step)
{
    if (steps_late(steps, phase, number))
        return STEPS_LATE;
    *step = steps_open(steps, phase, number);
    return *step && rank_list_add(&(*step)->posted, rank) ? STEPS_OK : STEPS_NO_MEMORY;
}

enum steps_result steps_sample(struct steps *steps, uint32_t phase, uint64_t number, uint32_t rank,
                               size_t variable, uint32_t signal, const struct summary *summary)
{
    enum steps_result result;
    struct step *step;
    struct step_cell *cell;
    size_t before;
    bool added;

    result = post_to(steps, phase, number, rank, &step);
    if (result)
        return result;
    cell = open_cell(steps, step, variable * STEP_SIGNALS + signal - 1);
    if (!cell)
        return STEPS_NO_MEMORY;
    if (summary_nonfinite(summary) && !rank_list_add(&cell->nonfinite, rank))
        return STEPS_NO_MEMORY;
    before = summary_bytes(&cell->summary);
    added = summary_add(&cell->summary, summary);
    steps->bytes += summary_bytes(&cell->summary) - before;
    return added ? STEPS_OK : STEPS_WRAPS;
}

enum steps_result steps_scalar(struct steps *steps, uint32_t phase, uint64_t number, uint32_t rank,
                               size_t scalar, double value)
{
    enum steps_result result;
    struct step *step;
    struct step_scalar *into;

    result = post_to(steps, phase, number, rank, &step);
    if (result)
        return result;
    if (scalar >= step->scalar_count) {
        size_t wanted = scalar + 8;
        struct step_scalar *more = reallocarray(step->scalars, wanted, sizeof *more);

        if (!more)
            return STEPS_NO_MEMORY;
        memset(more + step->scalar_count, 0, (wanted - step->scalar_count) * sizeof *more);
        steps->bytes += (wanted - step->scalar_count) * sizeof *more;
        step->scalars = more;
        step->scalar_count = wanted;
    }
    into = &step->scalars[scalar];
    into->min = into->count ? fmin(into->min, value) : value;
    into->max = into->count ? fmax(into->max, value) : value;
    into->sum += value;
    into->count++;
    return STEPS_OK;
}

static bool is_float(uint32_t dtype)
{
    return dtype >= EMBMON_F32 && dtype <= EMBMON_BF16;
}

static uint64_t troubles(const struct ids_stats *s)
{
    return s->negative + s->beyond + s->fractional + s->inexact + s->empty + s->mismatched;
}

/* Notes which troubles this rank has; false: out of memory. */
static bool note_troubles(struct step_ids *ids, uint32_t rank, const struct ids_stats *s)
{
    const uint64_t counts[IDS_TROUBLES] = {[IDS_OUTSIDE] = s->negative + s->beyond,
                                           [IDS_INEXACT] = s->fractional + s->inexact,
                                           [IDS_EMPTY] = s->empty,
                                           [IDS_MISMATCHED] = s->mismatched};

    for (size_t i = 0; i < IDS_TROUBLES; i++) {
        if (counts[i] > 0 && !rank_list_add(&ids->troubled[i], rank))
            return false;
    }
    return true;
}

enum steps_result steps_ids(struct steps *steps, uint32_t rank, size_t layer,
                            const struct msg_ids *posted, const struct step **at)
{
    enum steps_result result;
    struct step *step;
    struct step_ids *ids;
    struct ids_stats before;

    result = post_to(steps, posted->phase, posted->step, rank, &step);
    if (result)
        return result;
    ids = open_ids(steps, step, layer * IDS_SOURCES + (posted->fed ? IDS_FED : IDS_REACHED));
    if (!ids || !note_troubles(ids, rank, &posted->stats))
        return STEPS_NO_MEMORY;
    before = ids->stats;
    if (!ids_add(&ids->stats, &posted->stats))
        return STEPS_WRAPS;
    if (before.count == 0 || ids->stats.worst != before.worst ||
        (troubles(&posted->stats) > 0 && troubles(&before) == 0)) {
        (void)snprintf(ids->input, sizeof ids->input, "%s", posted->input);
        ids->example_rank = rank;
    }
    if (ids->dtype == 0 || is_float(posted->dtype))
        ids->dtype = posted->dtype;
    *at = step;
    return STEPS_OK;
}

enum steps_result steps_shape(struct steps *steps, const struct posted_shape *posted, size_t layer,
                              const struct step **at)
{
    enum steps_result result;
    struct step *step;
    struct step_shapes *shapes;
    size_t before;
    bool put;

    result = post_to(steps, posted->phase, posted->step, posted->rank, &step);
    if (result)
        return result;
    shapes = open_shapes(steps, step, layer);
    if (!shapes)
        return STEPS_NO_MEMORY;
    before = shapes_bytes(shapes);
    put = shape_list_put(&shapes->list, posted);
    steps->bytes += shapes_bytes(shapes) - before;
    *at = step;
    return put ? STEPS_OK : STEPS_NO_MEMORY;
}
