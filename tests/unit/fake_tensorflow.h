/* As much of TensorFlow's C API as client/tensorflow.c uses, for a test that is linked with
 * -rdynamic: what is registered can be made and run. */
#ifndef EMBMON_TESTS_UNIT_FAKE_TENSORFLOW_H
#define EMBMON_TESTS_UNIT_FAKE_TENSORFLOW_H

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>

#include "client/tensorflow_api.h"

#define FAKE __attribute__((visibility("default"), used))

enum { FAKE_OUTPUT = 16 };
enum { FAKE_OK = 0, FAKE_INVALID = 3, FAKE_EXISTS = 6, FAKE_FULL = 8 };
enum { FAKE_FLOAT = 1, FAKE_INT32 = 3, FAKE_INT64 = 9, FAKE_BOOL = 10, FAKE_RESOURCE = 20 };

struct TF_Status {
    int code;
};

struct TF_Tensor {
    int type, dims;
    int64_t dim[4];
    const void *data;
};

struct TF_OpDefinitionBuilder {
    char name[32];
    int inputs, attributes, outputs;
    bool stateful, shaped;
};

struct TF_KernelBuilder {
    char device[8];
    tensorflow_create *create;
    tensorflow_compute *compute;
    tensorflow_delete *delete;
};

struct fake_attribute {
    const char *name, *text;
    int64_t number;
};

struct TF_OpKernelConstruction {
    const struct fake_attribute *attributes;
    size_t count;
    bool failed;
};

struct TF_OpKernelContext {
    TF_Tensor *inputs[4];
    int count;
    int64_t *output; /* room for FAKE_OUTPUT, or NULL: there is no memory */
    int64_t given;   /* elements; -1: the operation has given nothing */
};

static struct {
    TF_OpDefinitionBuilder definitions[16];
    TF_KernelBuilder kernels[16];
    size_t count;
    atomic_int held; /* tensors given out by TF_GetInput() and not deleted */
    int statuses;    /* the same of TF_NewStatus() */
    bool is_full;    /* a registration fails */
} fake_tf;

FAKE TF_Status *TF_NewStatus(void);
FAKE TF_Status *TF_NewStatus(void)
{
    fake_tf.statuses++;
    return calloc(1, sizeof(TF_Status));
}

FAKE void TF_DeleteStatus(TF_Status *status);
FAKE void TF_DeleteStatus(TF_Status *status)
{
    fake_tf.statuses--;
    free(status);
}

FAKE int TF_GetCode(const TF_Status *status);
FAKE int TF_GetCode(const TF_Status *status)
{
    return status->code;
}

FAKE TF_OpDefinitionBuilder *TF_NewOpDefinitionBuilder(const char *name);
FAKE TF_OpDefinitionBuilder *TF_NewOpDefinitionBuilder(const char *name)
{
    TF_OpDefinitionBuilder *builder = calloc(1, sizeof *builder);

    snprintf(builder->name, sizeof builder->name, "%s", name);
    return builder;
}

FAKE void TF_OpDefinitionBuilderAddInput(TF_OpDefinitionBuilder *builder, const char *input);
FAKE void TF_OpDefinitionBuilderAddInput(TF_OpDefinitionBuilder *builder, const char *input)
{
    assert_non_null(strchr(input, ':'));
    builder->inputs++;
}

FAKE void TF_OpDefinitionBuilderAddAttr(TF_OpDefinitionBuilder *builder, const char *attribute);
FAKE void TF_OpDefinitionBuilderAddAttr(TF_OpDefinitionBuilder *builder, const char *attribute)
{
    assert_non_null(strchr(attribute, ':'));
    builder->attributes++;
}

FAKE void TF_OpDefinitionBuilderAddOutput(TF_OpDefinitionBuilder *builder, const char *output);
FAKE void TF_OpDefinitionBuilderAddOutput(TF_OpDefinitionBuilder *builder, const char *output)
{
    assert_non_null(strchr(output, ':'));
    builder->outputs++;
}

FAKE void TF_ShapeInferenceContextSetUnknownShape(TF_ShapeInferenceContext *context,
                                                  TF_Status *status);
FAKE void TF_ShapeInferenceContextSetUnknownShape(TF_ShapeInferenceContext *context,
                                                  TF_Status *status)
{
    (void)context;
    (void)status;
}

FAKE void TF_OpDefinitionBuilderSetIsStateful(TF_OpDefinitionBuilder *builder, bool is);
FAKE void TF_OpDefinitionBuilderSetIsStateful(TF_OpDefinitionBuilder *builder, bool is)
{
    builder->stateful = is;
}

FAKE void TF_OpDefinitionBuilderSetShapeInferenceFunction(TF_OpDefinitionBuilder *builder,
                                                          tensorflow_shapes *shapes);
FAKE void TF_OpDefinitionBuilderSetShapeInferenceFunction(TF_OpDefinitionBuilder *builder,
                                                          tensorflow_shapes *shapes)
{
    shapes(NULL, NULL);
    builder->shaped = true;
}

FAKE void TF_RegisterOpDefinition(TF_OpDefinitionBuilder *builder, TF_Status *status);
FAKE void TF_RegisterOpDefinition(TF_OpDefinitionBuilder *builder, TF_Status *status)
{
    status->code = fake_tf.is_full ? FAKE_EXISTS : FAKE_OK;
    if (!fake_tf.is_full)
        fake_tf.definitions[fake_tf.count] = *builder;
    free(builder);
}

FAKE TF_KernelBuilder *TF_NewKernelBuilder(const char *name, const char *device,
                                           tensorflow_create *create, tensorflow_compute *compute,
                                           tensorflow_delete *delete);
FAKE TF_KernelBuilder *TF_NewKernelBuilder(const char *name, const char *device,
                                           tensorflow_create *create, tensorflow_compute *compute,
                                           tensorflow_delete *delete)
{
    TF_KernelBuilder *builder = calloc(1, sizeof *builder);

    assert_string_equal(name, fake_tf.definitions[fake_tf.count].name);
    snprintf(builder->device, sizeof builder->device, "%s", device);
    builder->create = create;
    builder->compute = compute;
    builder->delete = delete;
    return builder;
}

FAKE void TF_RegisterKernelBuilder(const char *name, TF_KernelBuilder *builder, TF_Status *status);
FAKE void TF_RegisterKernelBuilder(const char *name, TF_KernelBuilder *builder, TF_Status *status)
{
    (void)name;
    status->code = FAKE_OK;
    fake_tf.kernels[fake_tf.count++] = *builder;
    free(builder);
}

static inline const struct fake_attribute *fake_attribute(const TF_OpKernelConstruction *made,
                                                          const char *name)
{
    for (size_t i = 0; i < made->count; i++)
        if (strcmp(made->attributes[i].name, name) == 0)
            return &made->attributes[i];
    return NULL;
}

FAKE void TF_OpKernelConstruction_GetAttrInt64(TF_OpKernelConstruction *made, const char *name,
                                               int64_t *value, TF_Status *status);
FAKE void TF_OpKernelConstruction_GetAttrInt64(TF_OpKernelConstruction *made, const char *name,
                                               int64_t *value, TF_Status *status)
{
    const struct fake_attribute *found = fake_attribute(made, name);

    status->code = found ? FAKE_OK : FAKE_INVALID;
    if (found)
        *value = found->number;
}

FAKE void TF_OpKernelConstruction_GetAttrString(TF_OpKernelConstruction *made, const char *name,
                                                char *text, size_t size, TF_Status *status);
FAKE void TF_OpKernelConstruction_GetAttrString(TF_OpKernelConstruction *made, const char *name,
                                                char *text, size_t size, TF_Status *status)
{
    const struct fake_attribute *found = fake_attribute(made, name);

    status->code = found ? FAKE_OK : FAKE_INVALID;
    if (found)
        memcpy(text, found->text, strlen(found->text) < size ? strlen(found->text) : size);
}

FAKE void TF_OpKernelConstruction_Failure(TF_OpKernelConstruction *made, TF_Status *status);
FAKE void TF_OpKernelConstruction_Failure(TF_OpKernelConstruction *made, TF_Status *status)
{
    (void)status;
    made->failed = true;
}

FAKE int TF_NumInputs(TF_OpKernelContext *context);
FAKE int TF_NumInputs(TF_OpKernelContext *context)
{
    return context->count;
}

FAKE void TF_GetInput(TF_OpKernelContext *context, int i, TF_Tensor **tensor, TF_Status *status);
FAKE void TF_GetInput(TF_OpKernelContext *context, int i, TF_Tensor **tensor, TF_Status *status)
{
    status->code = i < context->count ? FAKE_OK : FAKE_INVALID;
    if (i >= context->count)
        return;
    *tensor = malloc(sizeof **tensor);
    **tensor = *context->inputs[i];
    fake_tf.held++;
}

FAKE void TF_DeleteTensor(TF_Tensor *tensor);
FAKE void TF_DeleteTensor(TF_Tensor *tensor)
{
    fake_tf.held--;
    free(tensor);
}

FAKE TF_Tensor *TF_AllocateOutput(TF_OpKernelContext *context, int i, int type, const int64_t *dims,
                                  int count, size_t bytes, TF_Status *status);
FAKE TF_Tensor *TF_AllocateOutput(TF_OpKernelContext *context, int i, int type, const int64_t *dims,
                                  int count, size_t bytes, TF_Status *status)
{
    TF_Tensor *tensor;

    assert_int_equal(i, 0);
    assert_int_equal(type, FAKE_INT64);
    assert_int_equal(count, 1);
    assert_int_equal(bytes, (size_t)dims[0] * sizeof(int64_t));
    status->code = !context->output && dims[0] > 0 ? FAKE_FULL : FAKE_OK;
    if (status->code != FAKE_OK)
        return NULL;
    assert_in_range(dims[0], 0, FAKE_OUTPUT);
    context->given = dims[0];
    tensor = malloc(sizeof *tensor);
    *tensor = (TF_Tensor){type, 1, {dims[0]}, context->output};
    fake_tf.held++;
    return tensor;
}

FAKE void *TF_TensorData(const TF_Tensor *tensor);
FAKE void *TF_TensorData(const TF_Tensor *tensor)
{
    assert_int_not_equal(tensor->type, FAKE_RESOURCE); /* a handle is not read */
    return (void *)(uintptr_t)tensor->data;
}

FAKE int TF_TensorType(const TF_Tensor *tensor);
FAKE int TF_TensorType(const TF_Tensor *tensor)
{
    return tensor->type;
}

FAKE int TF_NumDims(const TF_Tensor *tensor);
FAKE int TF_NumDims(const TF_Tensor *tensor)
{
    return tensor->dims;
}

FAKE int64_t TF_Dim(const TF_Tensor *tensor, int i);
FAKE int64_t TF_Dim(const TF_Tensor *tensor, int i)
{
    return tensor->dim[i];
}

FAKE int64_t TF_TensorElementCount(const TF_Tensor *tensor);
FAKE int64_t TF_TensorElementCount(const TF_Tensor *tensor)
{
    int64_t count = 1;

    for (int i = 0; i < tensor->dims; i++)
        count *= tensor->dim[i];
    return count;
}

static inline TF_Tensor fake_tensor(int type, const void *data, int dims, int64_t first,
                                    int64_t second)
{
    return (TF_Tensor){type, dims, {first, second}, data};
}

/* An operation of a graph. */
struct fake_operation {
    const TF_KernelBuilder *kernel;
    void *self;
};

static inline struct fake_operation fake_make(const char *name,
                                              const struct fake_attribute *attributes, size_t count)
{
    TF_OpKernelConstruction made = {attributes, count, false};
    size_t i = 0;
    struct fake_operation op;

    while (i < fake_tf.count && strcmp(fake_tf.definitions[i].name, name) != 0)
        i++;
    assert_true(i < fake_tf.count);
    op.kernel = &fake_tf.kernels[i];
    op.self = op.kernel->create(&made);
    assert_non_null(op.self);
    assert_false(made.failed);
    return op;
}

static inline void fake_run(const struct fake_operation *op, TF_Tensor *a, TF_Tensor *b,
                            TF_Tensor *c)
{
    TF_OpKernelContext context = {{a, b, c}, 1 + (b != NULL) + (c != NULL), NULL, -1};

    op->kernel->compute(op->self, &context);
}

/* One that gives numbers, FAKE_OUTPUT at most; returns how many, -1: it did not say. */
static inline int64_t fake_ask(const struct fake_operation *op, TF_Tensor *input, int64_t *output)
{
    TF_OpKernelContext context = {{input}, input ? 1 : 0, output, -1};

    op->kernel->compute(op->self, &context);
    return context.given;
}

static inline void fake_end(const struct fake_operation *op)
{
    op->kernel->delete (op->self);
}

#endif
