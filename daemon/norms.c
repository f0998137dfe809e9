#include "daemon/norms.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

struct layer_norms {
    double last;
    float ring[NORMS_KEPT];
    uint32_t count, next;
};

void norms_free(struct norms *norms)
{
    free(norms->layers);
    *norms = (struct norms){0};
}

static void grow(struct norms *norms, size_t count)
{
    struct layer_norms *more;

    if (count <= norms->count)
        return;
    more = reallocarray(norms->layers, count, sizeof *more);
    if (!more)
        return;
    for (size_t i = norms->count; i < count; i++)
        more[i] = (struct layer_norms){.last = -1};
    norms->layers = more;
    norms->count = count;
}

void norms_add(struct norms *norms, const struct measures *m)
{
    grow(norms, m->layer_count);
    for (size_t i = 0; i < m->layer_count && i < norms->count; i++) {
        struct layer_norms *layer = &norms->layers[i];

        if (!m->layers[i].has_gradient)
            continue;
        layer->last = m->layers[i].nonfinite_gradient ? NAN : m->layers[i].norm;
        layer->ring[layer->next] = (float)layer->last;
        layer->next = (layer->next + 1) % NORMS_KEPT;
        layer->count += layer->count < NORMS_KEPT;
    }
}

double norms_last(const struct norms *norms, size_t layer)
{
    return layer < norms->count ? norms->layers[layer].last : -1;
}

size_t norms_recent(const struct norms *norms, size_t layer, size_t most, float to[NORMS_KEPT])
{
    const struct layer_norms *of = layer < norms->count ? &norms->layers[layer] : NULL;
    size_t n = of ? of->count : 0;

    if (n > most)
        n = most;
    for (size_t i = 0; i < n; i++)
        to[i] = of->ring[(of->next + NORMS_KEPT - n + i) % NORMS_KEPT];
    return n;
}

void norms_carry(struct carry *c, struct norms *norms, size_t layers)
{
    size_t count = carry_count(c, norms->count, layers);

    if (c->loading)
        grow(norms, count);
    for (size_t i = 0; i < count && i < norms->count; i++) {
        struct layer_norms *layer = &norms->layers[i];

        carry_f64(c, &layer->last);
        carry_u32(c, &layer->count, NORMS_KEPT);
        carry_u32(c, &layer->next, NORMS_KEPT - 1);
        carry_bytes(c, layer->ring, layer->count * sizeof *layer->ring);
    }
    if (norms->count < count)
        carry_fail(c, "out of memory");
}
