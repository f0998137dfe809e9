#include "daemon/alert/pass.h"

#include <math.h>
#include <stdlib.h>

#include "daemon/alert/slot.h"
#include "embmon/embmon.h"

/* Traits (enum trait). */
struct pass_layer {
    uint16_t known; /* with which each detector has said why it is silent; ALL: not known */
    uint16_t asked; /* of this step; ALL: every detector is asked, whatever it looks at */
};
enum { ALL = UINT16_MAX };
_Static_assert((int)TRAITS_ALL < (int)ALL, "no layer has all bits");

void pass_free(struct pass *pass)
{
    free(pass->layers);
    *pass = (struct pass){0};
}

static bool grow(struct pass *pass, size_t count)
{
    struct pass_layer *more;

    if (count <= pass->count)
        return true;
    more = reallocarray(pass->layers, count, sizeof *more);
    if (!more)
        return false;
    pass->layers = more;
    pass->count = count;
    return true;
}

static bool is_posted(const struct measures *m, size_t layer, uint32_t signal)
{
    return step_cell(m->step, m->model->layers[layer].table, signal) != NULL;
}

static bool has_shapes(const struct measures *m, const struct baseline *baseline, size_t layer)
{
    const struct shape_list *known = shapes_known(&baseline->shapes, layer);

    return (known && known->count > 0) || step_shapes(m->step, layer);
}

static uint32_t when(bool is, enum trait trait)
{
    return is ? trait : 0;
}

uint32_t pass_traits(const struct measures *m, const struct baseline *baseline, size_t layer)
{
    const struct layer_measure *of = &m->layers[layer];
    const struct layer *info = &m->model->layers[layer];

    return when(info->kind == EMBMON_EMBEDDING, TRAIT_TABLE) | when(info->half, TRAIT_HALF) |
           when(of->has_gradient, TRAIT_GRADIENT) | when(of->has_activation, TRAIT_ACTIVATION) |
           when(of->has_gradient && of->ids > 0, TRAIT_LOOKUPS) |
           when(of->has_gradient && !isnan(of->padding), TRAIT_PADDING) |
           when(of->has_update, TRAIT_UPDATE) | when(!isnan(of->update_ratio), TRAIT_RATIO) |
           when(!isnan(of->moved), TRAIT_MOVED) |
           when(is_posted(m, layer, EMBMON_ACTIVATION), TRAIT_OUTPUT) |
           when(is_posted(m, layer, EMBMON_WEIGHT), TRAIT_WEIGHT) |
           when(step_ids_any(m->step, layer), TRAIT_IDS) |
           when(has_shapes(m, baseline, layer), TRAIT_SHAPES);
}

void pass_begin(struct pass *pass, const struct measures *m, const struct baseline *baseline)
{
    bool declared = pass->changes != m->model->changes || pass->count < m->layer_count;

    if (pass->plain)
        return;
    if (!grow(pass, m->layer_count)) {
        pass_free(pass); /* no layer is known */
        return;
    }
    pass->changes = m->model->changes;
    pass->any = 0;
    for (size_t i = 0; i < m->layer_count; i++) {
        struct pass_layer *layer = &pass->layers[i];
        uint16_t traits = (uint16_t)pass_traits(m, baseline, i);

        layer->asked = !declared && layer->known == traits ? traits : ALL;
        layer->known = traits;
        pass->any |= layer->asked;
    }
}

void pass_end(struct pass *pass)
{
    pass->early = false;
}

void pass_early(struct pass *pass)
{
    pass->early = true;
}

void pass_forget(struct pass *pass, size_t layer)
{
    if (layer < pass->count)
        pass->layers[layer].known = ALL;
}

/* True when no clause has what it looks at. */
static inline bool lacks(const struct detector *detector, uint32_t traits)
{
    for (size_t c = 0; c < CLAUSES_MAX && detector->clauses[c].judge; c++) {
        if ((detector->clauses[c].looks_at & ~traits) == 0)
            return false;
    }
    return true;
}

/* What judge_layer() does where nothing was ever up about the layer, nothing mutes and nothing is
 * sick. False: it is not like that, and nothing has changed. */
static inline bool passes(const struct detector *detector, const struct measures *m, size_t layer,
                          const struct baseline *baseline, struct slot *slot)
{
    const struct clause *clause = detector->clauses, *end = clause + CLAUSES_MAX;
    const char *silent = NULL;
    struct finding scratch;
    bool told = false;

    if (slot->clauses || slot->state != EMBMON_RESOLVED)
        return false;
    for (; clause < end && clause->judge; clause++) {
        enum verdict verdict;

        scratch.silent = NULL;
        verdict = clause->judge(m, layer, baseline, &limits_default, &scratch);
        if (verdict == VERDICT_SICK)
            return false;
        told = told || verdict == VERDICT_CLEAR;
        silent = scratch.silent ? scratch.silent : silent;
    }
    slot->silent = told ? NULL : silent;
    return true;
}

size_t pass_layers(const struct alerts *alerts, const struct measures *m,
                   const struct baseline *baseline, size_t detector, size_t layer)
{
    const struct detector *by = &detectors[detector];
    const struct pass *pass = &alerts->passes[m->step->phase - 1];
    struct slot *slots = slot_of(alerts, m->step->phase, detector, 0);
    /* Layers of which it is known what they have. */
    size_t known = pass->early && by->is_nonfinite ? 0 : pass->count;

    if (known >= m->layer_count && lacks(by, pass->any))
        return m->layer_count;
    for (; layer < m->layer_count; layer++) {
        if (layer < known && lacks(by, pass->layers[layer].asked))
            continue;
        if (!passes(by, m, layer, baseline, &slots[layer]))
            return layer;
    }
    return layer;
}
