/* Operations for TensorFlow's graphs that post: what reads a tensor of a compiled step without a
 * call of Python. Each decides here whether it is wanted: at a step that is not sampled it looks at
 * two numbers and returns, and the graph needs no branch for it. None of them fails: what cannot be
 * posted is not.
 *
 *      EmbmonPost    values                     gate, target, signal
 *      EmbmonRows    ids, values                gate, target, signal
 *      EmbmonIds     ids, masks (0 or 1)        gate, target, signal, text
 *      EmbmonLook    value                      gate
 *      EmbmonScalar  value                      gate, text
 *      EmbmonTouched ids (0 or 1): int64        gate, target, signal, rows
 *      EmbmonBefore  handle, value              gate, target, signal, slot
 *      EmbmonAfter   handle, value              gate, target, signal, slot
 *
 * EmbmonTouched gives the rows that the ids name, each once, or without ids all rows; none where
 * the signal is not wanted of the step: TensorFlow's own look-up behind it then has nothing to look
 * up.
 *
 * The last two are around the change of a variable: its value before and after, paired by the slot.
 * The handle itself is not read: TensorFlow keeps operations that have it in their order. gate is
 * the address of one, which lives as long as any graph may. */
#include <pthread.h>
#include <stdlib.h>

#include "client/operation.h"
#include "embmon/embmon.h"

struct tensorflow_api tensorflow;
static int registered; /* 0: not yet; 1: all are; negative: why not */
static pthread_mutex_t registering = PTHREAD_MUTEX_INITIALIZER;

static int64_t attribute(TF_OpKernelConstruction *construction, const char *name, TF_Status *status)
{
    int64_t value = 0;

    if (tensorflow.GetCode(status) == 0)
        tensorflow.OpKernelConstruction_GetAttrInt64(construction, name, &value, status);
    return value;
}

static void text_attribute(TF_OpKernelConstruction *construction, const char *name, char *text,
                           TF_Status *status)
{
    if (tensorflow.GetCode(status) == 0)
        tensorflow.OpKernelConstruction_GetAttrString(construction, name, text, NAME_LAYER_MAX,
                                                      status);
}

/* One for all kinds: which attributes there are, TensorFlow has checked. */
enum { TARGET = 1, SLOT = 2, TEXT = 4, ROWS = 8 }; /* what a kind has besides its gate */
static void *create(TF_OpKernelConstruction *construction, int has)
{
    struct operation *op = calloc(1, sizeof *op);
    TF_Status *status = tensorflow.NewStatus();

    if (!op)
        goto done;
    op->gate = (struct embmon_gate *)(intptr_t)attribute(construction, "gate", status);
    if (has & TARGET)
        op->target = (int)attribute(construction, "target", status);
    if (has & TARGET)
        op->signal = (int)attribute(construction, "signal", status);
    if (has & SLOT)
        op->moved = gate_moved(op->gate, attribute(construction, "slot", status));
    if (has & TEXT)
        text_attribute(construction, "text", op->text, status);
    if (has & ROWS)
        op->rows = attribute(construction, "rows", status);
    if (tensorflow.GetCode(status) != 0)
        tensorflow.OpKernelConstruction_Failure(construction, status);
done:
    tensorflow.DeleteStatus(status);
    return op;
}

static void *create_post(TF_OpKernelConstruction *construction)
{
    return create(construction, TARGET);
}

static void *create_ids(TF_OpKernelConstruction *construction)
{
    return create(construction, TARGET | TEXT);
}

static void *create_look(TF_OpKernelConstruction *construction)
{
    return create(construction, 0);
}

static void *create_scalar(TF_OpKernelConstruction *construction)
{
    return create(construction, TEXT);
}

static void *create_moved(TF_OpKernelConstruction *construction)
{
    return create(construction, TARGET | SLOT);
}

static void *create_touched(TF_OpKernelConstruction *construction)
{
    return create(construction, TARGET | ROWS);
}

static void no_outputs(TF_ShapeInferenceContext *context, TF_Status *status)
{
    (void)context;
    (void)status;
}

static void some_output(TF_ShapeInferenceContext *context, TF_Status *status)
{
    tensorflow.ShapeInferenceContextSetUnknownShape(context, status);
}

enum { INPUTS = 3, ATTRIBUTES = 7 };

struct kind {
    const char *name;
    const char *inputs[INPUTS + 1], *attributes[ATTRIBUTES + 1]; /* ended by NULL */
    tensorflow_create *create;
    tensorflow_compute *compute;
    const char *output; /* or NULL */
};

static const struct kind kinds[] = {
    {"EmbmonPost",
     {"values: T"},
     {"T: type", "gate: int", "target: int", "signal: int"},
     create_post,
     operation_post,
     NULL},
    {"EmbmonRows",
     {"ids: I", "values: T"},
     {"I: type", "T: type", "gate: int", "target: int", "signal: int"},
     create_post,
     operation_rows,
     NULL},
    {"EmbmonIds",
     {"ids: T", "masks: N * bool"},
     {"T: type", "N: int >= 0", "gate: int", "target: int", "signal: int", "text: string"},
     create_ids,
     operation_ids,
     NULL},
    {"EmbmonLook", {"value: T"}, {"T: type", "gate: int"}, create_look, operation_look, NULL},
    {"EmbmonScalar",
     {"value: T"},
     {"T: type", "gate: int", "text: string"},
     create_scalar,
     operation_scalar,
     NULL},
    {"EmbmonTouched",
     {"ids: N * I"},
     {"N: int >= 0", "I: type = DT_INT32", "gate: int", "target: int", "signal: int", "rows: int"},
     create_touched,
     operation_touched,
     "rows_of: int64"},
    {"EmbmonBefore",
     {"handle: resource", "value: T"},
     {"T: type", "gate: int", "target: int", "signal: int", "slot: int"},
     create_moved,
     operation_before,
     NULL},
    {"EmbmonAfter",
     {"handle: resource", "value: T"},
     {"T: type", "gate: int", "target: int", "signal: int", "slot: int"},
     create_moved,
     operation_after,
     NULL},
};

enum { KINDS = sizeof kinds / sizeof kinds[0] };

static int register_kind(const struct kind *kind, TF_Status *status)
{
    TF_OpDefinitionBuilder *definition = tensorflow.NewOpDefinitionBuilder(kind->name);
    TF_KernelBuilder *kernel;

    for (size_t i = 0; kind->inputs[i]; i++)
        tensorflow.OpDefinitionBuilderAddInput(definition, kind->inputs[i]);
    for (size_t i = 0; kind->attributes[i]; i++)
        tensorflow.OpDefinitionBuilderAddAttr(definition, kind->attributes[i]);
    if (kind->output)
        tensorflow.OpDefinitionBuilderAddOutput(definition, kind->output);
    tensorflow.OpDefinitionBuilderSetIsStateful(definition, true); /* it is not left out */
    tensorflow.OpDefinitionBuilderSetShapeInferenceFunction(definition, kind->output ? some_output
                                                                                     : no_outputs);
    tensorflow.RegisterOpDefinition(definition, status);
    if (tensorflow.GetCode(status) != 0)
        return EMBMON_EEXISTS;
    kernel = tensorflow.NewKernelBuilder(kind->name, "CPU", kind->create, kind->compute, free);
    tensorflow.RegisterKernelBuilder(kind->name, kernel, status);
    return tensorflow.GetCode(status) != 0 ? EMBMON_EEXISTS : 0;
}

static int register_all(void *library)
{
    TF_Status *status;
    int result = 0;

    if (!tensorflow_api_find(&tensorflow, library))
        return EMBMON_EUNKNOWN;
    status = tensorflow.NewStatus();
    for (size_t i = 0; i < KINDS && result == 0; i++)
        result = register_kind(&kinds[i], status);
    tensorflow.DeleteStatus(status);
    return result;
}

int embmon_tensorflow(void *library)
{
    int result;

    pthread_mutex_lock(&registering);
    if (registered == 0) {
        result = register_all(library);
        registered = result == 0 ? 1 : result;
    }
    result = registered < 0 ? registered : 0;
    pthread_mutex_unlock(&registering);
    return result;
}
