#include "daemon/shapes.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "embmon/embmon.h"

struct shape shape_of(const int64_t *dims, size_t count)
{
    struct shape shape = {.count = (uint32_t)(count < SHAPE_MAX ? count : SHAPE_MAX)};

    for (uint32_t i = 0; i < shape.count; i++)
        shape.dims[i] = dims[i];
    return shape;
}

bool shape_equal(const struct shape *a, const struct shape *b)
{
    return a->count == b->count && memcmp(a->dims, b->dims, a->count * sizeof *a->dims) == 0;
}

const char *shape_text(struct shape_text *to, const struct shape *shape)
{
    size_t n = 1;

    to->text[0] = '(';
    for (uint32_t i = 0; i < shape->count; i++) {
        const char *comma = i > 0 ? ", " : "";

        if (shape->dims[i] < 0)
            n += (size_t)snprintf(to->text + n, sizeof to->text - n, "%s?", comma);
        else
            n += (size_t)snprintf(to->text + n, sizeof to->text - n, "%s%" PRId64, comma,
                                  shape->dims[i]);
    }
    to->text[n] = ')';
    to->text[n + 1] = '\0';
    return to->text;
}

static bool fits(int64_t a, int64_t b)
{
    return a == b || a < 0 || b < 0;
}

/* The last `count` dimensions of both. */
static bool tails_broadcast(const struct shape *a, const struct shape *b, uint32_t count)
{
    for (uint32_t i = 1; i <= count; i++) {
        int64_t x = a->dims[a->count - i], y = b->dims[b->count - i];

        if (!fits(x, y) && x != 1 && y != 1)
            return false;
    }
    return true;
}

bool shape_broadcasts(const struct shape *a, const struct shape *b)
{
    uint32_t less = a->count < b->count ? a->count : b->count;

    if (tails_broadcast(a, b, less))
        return true;
    return a->count != b->count && less > 0 && fits(a->dims[0], b->dims[0]) &&
           tails_broadcast(a, b, less - 1);
}

int shape_differs(const struct shape *a, const struct shape *b, int but)
{
    for (uint32_t i = 0; i < a->count && i < b->count; i++) {
        if ((int)i != but && !fits(a->dims[i], b->dims[i]))
            return (int)i;
    }
    return -1;
}

/* ---- of one layer */

void shape_list_free(struct shape_list *list)
{
    free(list->items);
    *list = (struct shape_list){0};
}

static struct posted_shape *find(const struct shape_list *list, const struct posted_shape *key)
{
    for (size_t i = 0; i < list->count; i++) {
        struct posted_shape *item = &list->items[i];

        if (item->phase == key->phase && item->role == key->role && item->index == key->index &&
            item->variable == key->variable)
            return item;
    }
    return NULL;
}

const struct posted_shape *shape_list_find(const struct shape_list *list,
                                           const struct posted_shape *key)
{
    return find(list, key);
}

bool shape_list_put(struct shape_list *list, const struct posted_shape *posted)
{
    struct posted_shape *item = find(list, posted);
    bool several = posted->several;

    if (item) {
        several = several || item->several ||
                  (item->step == posted->step && item->rank == posted->rank &&
                   !shape_equal(&item->shape, &posted->shape));
    } else {
        if (list->count >= SHAPES_OF_LAYER_MAX)
            return false;
        if (list->count == list->capacity) {
            size_t capacity = list->capacity ? list->capacity * 2 : 2;
            struct posted_shape *more = reallocarray(list->items, capacity, sizeof *more);

            if (!more)
                return false;
            list->items = more;
            list->capacity = capacity;
        }
        item = &list->items[list->count++];
    }
    *item = *posted;
    item->several = several;
    return true;
}

/* ---- of all layers */

void shapes_free(struct shapes *shapes)
{
    for (size_t i = 0; i < shapes->layer_count; i++)
        shape_list_free(&shapes->layers[i]);
    free(shapes->layers);
    *shapes = (struct shapes){0};
}

bool shapes_resize(struct shapes *shapes, size_t layers)
{
    struct shape_list *more;

    if (layers <= shapes->layer_count)
        return true;
    more = reallocarray(shapes->layers, layers, sizeof *more);
    if (!more)
        return false;
    memset(more + shapes->layer_count, 0, (layers - shapes->layer_count) * sizeof *more);
    shapes->layers = more;
    shapes->layer_count = layers;
    return true;
}

void shapes_learn(struct shapes *shapes, size_t layer, const struct shape_list *posted)
{
    struct shape_list *known;

    if (layer >= shapes->layer_count)
        return;
    known = &shapes->layers[layer];
    for (size_t i = 0; i < posted->count; i++) {
        size_t before = known->count;

        if (shapes->known >= SHAPES_KNOWN_MAX && !find(known, &posted->items[i]))
            continue;
        (void)shape_list_put(known, &posted->items[i]);
        shapes->known += known->count - before;
    }
}

const struct shape_list *shapes_known(const struct shapes *shapes, size_t layer)
{
    return layer < shapes->layer_count ? &shapes->layers[layer] : NULL;
}

const struct posted_shape *shapes_find(const struct shapes *shapes, size_t layer,
                                       const struct posted_shape *key)
{
    return layer < shapes->layer_count ? find(&shapes->layers[layer], key) : NULL;
}

/* ---- over a restart */

void shape_carry(struct carry *c, struct shape *shape)
{
    carry_u32(c, &shape->count, SHAPE_MAX);
    for (uint32_t i = 0; i < shape->count; i++)
        carry_i64(c, &shape->dims[i]);
}

static void carry_posted(struct carry *c, struct posted_shape *posted, size_t variables)
{
    carry_u32(c, &posted->phase, EMBMON_INFER);
    carry_u32(c, &posted->role, EMBMON_SHAPE_GRADIENT);
    carry_u32(c, &posted->index, INPUTS_MAX);
    carry_u32(c, &posted->inputs, INPUTS_MAX);
    carry_i64(c, &posted->axis);
    carry_size(c, &posted->variable, variables > 0 ? variables - 1 : 0);
    shape_carry(c, &posted->shape);
    carry_u64(c, &posted->step);
    carry_u32(c, &posted->rank, RANKS_MAX - 1);
    carry_bool(c, &posted->several);
}

void shape_list_carry(struct carry *c, struct shape_list *list, size_t variables)
{
    size_t count = carry_count(c, list->count, SHAPES_OF_LAYER_MAX);

    if (c->loading) {
        *list = (struct shape_list){.items = carry_room(c, count, sizeof *list->items)};
        count = list->items ? count : 0;
        list->count = list->capacity = count;
    }
    for (size_t i = 0; i < count; i++)
        carry_posted(c, &list->items[i], variables);
}

void shapes_carry(struct carry *c, struct shapes *shapes, size_t layers, size_t variables)
{
    size_t count = carry_count(c, shapes->layer_count, layers);

    if (c->loading && !shapes_resize(shapes, count))
        carry_fail(c, "out of memory");
    for (size_t i = 0; i < count && i < shapes->layer_count; i++) {
        shape_list_carry(c, &shapes->layers[i], variables);
        if (c->loading)
            shapes->known += shapes->layers[i].count;
    }
}
