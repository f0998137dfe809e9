/* Of shapes: what does not fit together, and what is not as it was. Judged at first sight. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "daemon/detect/families.h"
#include "embmon/embmon.h"

static const char NO_SHAPE[] = "no shape was posted for this layer";

enum { HOPS_MAX = 8, TRACES_MAX = 8 }; /* what of a graph fits a hint */

/* The shapes to be judged, one after the other: those of this step; and when it has ended those
 * that were known before, for a shape is posted when it is new. NULL behind the last. */
struct shapes_seen {
    const struct shape_list *posted, *known;
    size_t next;
};

static struct shapes_seen shapes_seen(const struct measures *m, const struct baseline *baseline,
                                      size_t layer)
{
    return (struct shapes_seen){.posted = step_shapes(m->step, layer),
                                .known =
                                    m->first_sight ? NULL : shapes_known(&baseline->shapes, layer)};
}

static const struct posted_shape *next_shape(struct shapes_seen *seen, uint32_t phase)
{
    size_t posted = seen->posted ? seen->posted->count : 0;
    size_t known = seen->known ? seen->known->count : 0;

    while (seen->next < posted + known) {
        size_t at = seen->next++;
        const struct posted_shape *item =
            at < posted ? &seen->posted->items[at] : &seen->known->items[at - posted];

        if (at < posted ||
            (item->phase == phase && !(seen->posted && shape_list_find(seen->posted, item))))
            return item;
    }
    return NULL;
}

/* The newest shape of this key: of this step, else of an earlier one of its phase. */
static const struct posted_shape *newest(const struct measures *m, const struct baseline *baseline,
                                         size_t layer, const struct posted_shape *key)
{
    const struct shape_list *list = step_shapes(m->step, layer);
    const struct posted_shape *found = list ? shape_list_find(list, key) : NULL;

    return found ? found : shapes_find(&baseline->shapes, layer, key);
}

static const struct shape *output_of(const struct measures *m, const struct baseline *baseline,
                                     size_t layer)
{
    const struct posted_shape key = {.phase = m->step->phase, .role = EMBMON_SHAPE_OUTPUT};
    const struct posted_shape *posted = newest(m, baseline, layer, &key);

    if (posted)
        return &posted->shape;
    return m->model->layers[layer].shape.count > 0 ? &m->model->layers[layer].shape : NULL;
}

/* ---- the trace: every shape on the way from the embeddings to the layer where they meet */

struct trace {
    char text[FINDING_HINT];
    size_t length;
};

__attribute__((format(printf, 2, 3))) static void add(struct trace *trace, const char *format, ...)
{
    size_t room = sizeof trace->text - trace->length;
    va_list arguments;
    int n;

    va_start(arguments, format);
    n = vsnprintf(trace->text + trace->length, room, format, arguments);
    va_end(arguments);
    if (n > 0)
        trace->length += (size_t)n < room ? (size_t)n : room - 1;
}

static void add_layer(struct trace *trace, const struct measures *m,
                      const struct baseline *baseline, size_t layer)
{
    const struct shape *shape = output_of(m, baseline, layer);
    struct shape_text text;
    struct short_name name;

    add(trace, "%s %s", short_name(&name, m->model->layers[layer].path),
        shape ? shape_text(&text, shape) : "(?)");
}

/* The way back from a layer: of several inputs the first known. Forward order, from its end. */
static void add_way(struct trace *trace, const struct measures *m, const struct baseline *baseline,
                    size_t layer)
{
    size_t way[HOPS_MAX], hops = 0;

    for (bool further = true; further && hops < HOPS_MAX;) {
        const struct layer *at = &m->model->layers[layer];

        way[hops++] = layer;
        further = false;
        for (size_t i = 0; i < at->input_count && !further; i++) {
            if (at->inputs[i] != MODEL_NO_LAYER && at->inputs[i] < way[hops - 1]) {
                layer = at->inputs[i];
                further = true;
            }
        }
    }
    while (hops-- > 0) {
        add_layer(trace, m, baseline, way[hops]);
        add(trace, "%s", hops > 0 ? " -> " : "");
    }
}

/* The ways of all inputs of a layer. */
static void add_ways(struct trace *trace, const struct measures *m, const struct baseline *baseline,
                     size_t layer)
{
    const struct layer *at = &m->model->layers[layer];

    for (size_t i = 0; i < at->input_count && i < TRACES_MAX; i++) {
        add(trace, "%s", i > 0 ? "; " : "");
        if (at->inputs[i] == MODEL_NO_LAYER)
            add(trace, "(not declared)");
        else
            add_way(trace, m, baseline, at->inputs[i]);
    }
}

static const char *trace_of(struct trace *trace, const struct measures *m,
                            const struct baseline *baseline, size_t layer)
{
    trace->length = 0;
    trace->text[0] = '\0';
    add_ways(trace, m, baseline, layer);
    return trace->length > 0 ? trace->text : "not known: the layer declares no inputs";
}

/* ---- mismatch */

/* A variable's gradient has not its shape. */
static bool gradient_mismatch(const struct measures *m, const struct posted_shape *posted,
                              struct finding *finding)
{
    const struct variable *variable = &m->model->variables[posted->variable];
    const struct layer *of = &m->model->layers[variable->layer];
    struct shape declared = variable->shape;
    struct shape_text texts[2];
    struct short_name name;

    if (declared.count == 0 && !*variable->name && of->rows > 0 && of->columns > 0)
        declared = shape_of((int64_t[]){(int64_t)of->rows, (int64_t)of->columns}, 2);
    if (declared.count == 0 ||
        (declared.count == posted->shape.count && shape_differs(&declared, &posted->shape, -1) < 0))
        return false;
    finding->variable = variable->name;
    finding_summary(finding, "the gradient of %s is %s at step %" PRIu64 ", the variable is %s",
                    short_name(&name, variable->label), shape_text(&texts[0], &posted->shape),
                    m->step->number, shape_text(&texts[1], &declared));
    finding_hint(finding,
                 "A gradient has the shape of what it updates. Most likely gradients and variables "
                 "are paired in different orders, or a custom gradient sums over the wrong axis or "
                 "keeps the batch. To confirm, print the shapes of zip(gradients, variables) side "
                 "by side; where only the batch is too much, sum over axis 0.");
    return true;
}

/* An embedding's rows are not as wide as declared. */
static bool width_mismatch(const struct measures *m, size_t layer,
                           const struct posted_shape *posted, struct finding *finding)
{
    const struct layer *table = &m->model->layers[layer];
    int64_t width = posted->shape.count > 0 ? posted->shape.dims[posted->shape.count - 1] : -1;
    struct shape_text text;
    struct short_name name;

    if (table->kind != EMBMON_EMBEDDING || table->columns == 0 || width < 0 ||
        (uint64_t)width == table->columns)
        return false;
    finding->value = (double)width;
    finding->threshold = (double)table->columns;
    finding_summary(finding,
                    "the output of %s is %s at step %" PRIu64 ", its rows have %" PRIu64 " columns",
                    short_name(&name, table->path), shape_text(&text, &posted->shape),
                    m->step->number, table->columns);
    finding_hint(finding,
                 "What comes out of a look-up ends in the width of the table. Most likely weights "
                 "of another output_dim were loaded into it (pretrained vectors, a checkpoint of "
                 "another model), or the layer was declared to the monitor with another width. To "
                 "confirm, compare the table's own shape with output_dim.");
    return true;
}

static bool disagree(const struct layer *layer, const struct posted_shape *a,
                     const struct posted_shape *b)
{
    int64_t axis = b->axis < 0 ? b->axis + b->shape.count : b->axis;

    if (layer->kind == EMBMON_MERGE)
        return !shape_broadcasts(&a->shape, &b->shape);
    return a->shape.count != b->shape.count || shape_differs(&a->shape, &b->shape, (int)axis) >= 0;
}

/* Inputs that a layer is to join or to add have shapes that do not allow it. Each is compared with
 * those before it: what comes behind may still be of the step before, with another batch. */
static bool inputs_mismatch(const struct measures *m, size_t layer, const struct baseline *baseline,
                            const struct posted_shape *posted, struct finding *finding)
{
    const struct layer *joins = &m->model->layers[layer];
    struct posted_shape key = *posted;
    struct shape_text texts[2];
    struct short_name name;
    struct trace trace;

    if (joins->kind != EMBMON_CONCATENATE && joins->kind != EMBMON_MERGE)
        return false;
    for (key.index = 0; key.index < posted->index; key.index++) {
        const struct posted_shape *other = newest(m, baseline, layer, &key);

        /* Of a layer that is called more than once these may be inputs of different calls. */
        if (!other || other->several || posted->several || !disagree(joins, other, posted))
            continue;
        finding_summary(
            finding,
            "inputs %" PRIu32 " and %" PRIu32 " of %s do not fit at step %" PRIu64 ": %s and %s",
            other->index, posted->index, short_name(&name, joins->path), m->step->number,
            shape_text(&texts[0], &other->shape), shape_text(&texts[1], &posted->shape));
        finding_hint(finding,
                     "%s Most likely one way has a Flatten or Reshape that the other lacks, or two "
                     "sequences have different lengths. Shapes on the way: %s.",
                     joins->kind == EMBMON_MERGE
                         ? "To add or multiply, dimensions must be equal or 1."
                         : "To concatenate, all dimensions but that of the axis must be equal.",
                     trace_of(&trace, m, baseline, layer));
        return true;
    }
    return false;
}

/* Shapes that contradict each other, or what was declared. */
enum verdict shape_mismatch(const struct measures *m, size_t layer, const struct baseline *baseline,
                            const struct limits *limits, struct finding *finding)
{
    struct shapes_seen seen = shapes_seen(m, baseline, layer);
    const struct posted_shape *posted;
    bool any = false;

    (void)limits;
    while ((posted = next_shape(&seen, m->step->phase))) {
        bool sick;

        any = true;
        if (posted->role == EMBMON_SHAPE_GRADIENT)
            sick = gradient_mismatch(m, posted, finding);
        else if (posted->role == EMBMON_SHAPE_OUTPUT)
            sick = width_mismatch(m, layer, posted, finding);
        else
            sick = inputs_mismatch(m, layer, baseline, posted, finding);
        if (sick)
            return VERDICT_SICK;
    }
    return any ? VERDICT_CLEAR : finding_silent(finding, NO_SHAPE);
}

/* ---- change */

/* The declared shape that a posted one is an instance of, NULL when it is not known. */
static const struct shape *declared_of(const struct measures *m, size_t layer,
                                       const struct posted_shape *posted)
{
    const struct layer *info = &m->model->layers[layer];

    if (posted->role == EMBMON_SHAPE_INPUT && info->input_count == posted->inputs &&
        info->inputs[posted->index] != MODEL_NO_LAYER)
        info = &m->model->layers[info->inputs[posted->index]];
    return info->shape.count > 0 ? &info->shape : NULL;
}

/* True where the declaration leaves an axis open; it may leave out the batch. */
static bool varies(const struct shape *declared, const struct shape *shape, uint32_t axis)
{
    uint32_t batch = declared && declared->count + 1 == shape->count;

    return declared && axis >= batch && axis - batch < declared->count &&
           declared->dims[axis - batch] < 0;
}

/* The first axis but the batch at which a shape is not the one before; -1: none. The number of
 * dimensions where that has changed. */
static int changed_axis(const struct shape *before, const struct shape *after,
                        const struct shape *declared)
{
    if (before->count != after->count)
        return (int)after->count;
    for (uint32_t axis = 1; axis < after->count; axis++) {
        if (before->dims[axis] != after->dims[axis] && before->dims[axis] >= 0 &&
            after->dims[axis] >= 0 && !varies(declared, after, axis))
            return (int)axis;
    }
    return -1;
}

static bool is_change(const struct measures *m, size_t layer, const struct posted_shape *posted,
                      const struct posted_shape *usual, int *axis)
{
    if (!usual || usual->several || posted->several)
        return false;
    *axis = changed_axis(&usual->shape, &posted->shape, declared_of(m, layer, posted));
    return *axis >= 0;
}

static void tell_change(const struct measures *m, size_t layer, const struct posted_shape *posted,
                        const struct posted_shape *usual, int axis, struct finding *finding)
{
    const struct layer *info = &m->model->layers[layer];
    bool input = posted->role == EMBMON_SHAPE_INPUT;
    /* A look-up gives each id a row: its last dimension is the width, the others are the ids'. */
    bool sequence = info->kind == EMBMON_EMBEDDING && axis < (int)posted->shape.count &&
                    (input || axis + 1 < (int)posted->shape.count);
    struct shape_text texts[2];
    struct short_name name;
    const char *path;

    finding->value = axis < (int)posted->shape.count ? (double)posted->shape.dims[axis]
                                                     : (double)posted->shape.count;
    finding->baseline = axis < (int)usual->shape.count ? (double)usual->shape.dims[axis]
                                                       : (double)usual->shape.count;
    path = short_name(&name, info->path);
    finding_summary(finding, "the %s of %s is %s at step %" PRIu64 "; %s it was %s",
                    input ? "input" : "output", path, shape_text(&texts[0], &posted->shape),
                    m->step->number, usual->phase != posted->phase ? "in training" : "before",
                    shape_text(&texts[1], &usual->shape));
    if (sequence)
        finding_hint(finding,
                     "Only the length of the sequences is another: most likely they are padded or "
                     "cut to another maxlen than before, or not at all. Layers behind %s that "
                     "depend on the length (Flatten and Dense, positions) fail or answer wrongly. "
                     "Give pad_sequences() the same maxlen everywhere. Where lengths are meant to "
                     "vary, declare that dimension as -1 (in Keras None).",
                     path);
    else
        finding_hint(finding,
                     "In forward order %s is the first layer whose shape is another; those behind "
                     "it follow. Most likely an input was fed with other features, transposed, or "
                     "a dimension was added or dropped ([x] for x, expand_dims). To confirm, print "
                     "the shape of each input at this step and before. Where a dimension is meant "
                     "to vary, declare it as -1 (in Keras None).",
                     path);
}

/* A shape is not what it was before in its phase, or is in training. */
enum verdict shape_changed(const struct measures *m, size_t layer, const struct baseline *baseline,
                           const struct limits *limits, struct finding *finding)
{
    struct shapes_seen seen = shapes_seen(m, baseline, layer);
    const struct posted_shape *posted;
    bool any = false, compared = false;

    (void)limits;
    while ((posted = next_shape(&seen, m->step->phase))) {
        struct posted_shape in_training = *posted;
        const struct posted_shape *usual[2];
        int axis = -1;

        any = true;
        if (posted->role == EMBMON_SHAPE_GRADIENT)
            continue;
        in_training.phase = EMBMON_TRAIN;
        usual[0] = shapes_find(&baseline->shapes, layer, &in_training);
        usual[1] = shapes_find(&baseline->shapes, layer, posted);
        for (size_t u = 0; u < 2; u++) {
            compared = compared || (usual[u] && !usual[u]->several && !posted->several);
            if (is_change(m, layer, posted, usual[u], &axis)) {
                tell_change(m, layer, posted, usual[u], axis, finding);
                return VERDICT_SICK;
            }
        }
    }
    if (compared)
        return VERDICT_CLEAR;
    return finding_silent(finding, any ? "no earlier shape to compare with" : NO_SHAPE);
}
