/* What we use of TensorFlow's C API (tensorflow/c: kernels.h, ops.h, tf_tensor.h, tf_status.h,
 * tf_datatype.h), found in the library of the process that has loaded it: nothing of TensorFlow is
 * needed to build, or where there is none. */
#ifndef EMBMON_CLIENT_TENSORFLOW_API_H
#define EMBMON_CLIENT_TENSORFLOW_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct TF_Status TF_Status;
typedef struct TF_Tensor TF_Tensor;
typedef struct TF_OpDefinitionBuilder TF_OpDefinitionBuilder;
typedef struct TF_ShapeInferenceContext TF_ShapeInferenceContext;
typedef struct TF_KernelBuilder TF_KernelBuilder;
typedef struct TF_OpKernelConstruction TF_OpKernelConstruction;
typedef struct TF_OpKernelContext TF_OpKernelContext;

typedef void tensorflow_shapes(TF_ShapeInferenceContext *, TF_Status *);
typedef void *tensorflow_create(TF_OpKernelConstruction *);
typedef void tensorflow_compute(void *, TF_OpKernelContext *);
typedef void tensorflow_delete(void *);

/* X(result, name without TF_, arguments) */
#define TENSORFLOW_FUNCTIONS(X)                                                                    \
    X(TF_Status *, NewStatus, (void))                                                              \
    X(void, DeleteStatus, (TF_Status *))                                                           \
    X(int, GetCode, (const TF_Status *))                                                           \
    X(TF_OpDefinitionBuilder *, NewOpDefinitionBuilder, (const char *))                            \
    X(void, OpDefinitionBuilderAddInput, (TF_OpDefinitionBuilder *, const char *))                 \
    X(void, OpDefinitionBuilderAddOutput, (TF_OpDefinitionBuilder *, const char *))                \
    X(void, OpDefinitionBuilderAddAttr, (TF_OpDefinitionBuilder *, const char *))                  \
    X(void, OpDefinitionBuilderSetIsStateful, (TF_OpDefinitionBuilder *, bool))                    \
    X(void, OpDefinitionBuilderSetShapeInferenceFunction,                                          \
      (TF_OpDefinitionBuilder *, tensorflow_shapes *))                                             \
    X(void, ShapeInferenceContextSetUnknownShape, (TF_ShapeInferenceContext *, TF_Status *))       \
    X(void, RegisterOpDefinition, (TF_OpDefinitionBuilder *, TF_Status *))                         \
    X(TF_KernelBuilder *, NewKernelBuilder,                                                        \
      (const char *, const char *, tensorflow_create *, tensorflow_compute *,                      \
       tensorflow_delete *))                                                                       \
    X(void, RegisterKernelBuilder, (const char *, TF_KernelBuilder *, TF_Status *))                \
    X(void, OpKernelConstruction_GetAttrInt64,                                                     \
      (TF_OpKernelConstruction *, const char *, int64_t *, TF_Status *))                           \
    X(void, OpKernelConstruction_GetAttrString,                                                    \
      (TF_OpKernelConstruction *, const char *, char *, size_t, TF_Status *))                      \
    X(void, OpKernelConstruction_Failure, (TF_OpKernelConstruction *, TF_Status *))                \
    X(int, NumInputs, (TF_OpKernelContext *))                                                      \
    X(void, GetInput, (TF_OpKernelContext *, int, TF_Tensor **, TF_Status *))                      \
    X(TF_Tensor *, AllocateOutput,                                                                 \
      (TF_OpKernelContext *, int, int, const int64_t *, int, size_t, TF_Status *))                 \
    X(void *, TensorData, (const TF_Tensor *))                                                     \
    X(int, TensorType, (const TF_Tensor *))                                                        \
    X(int64_t, TensorElementCount, (const TF_Tensor *))                                            \
    X(int, NumDims, (const TF_Tensor *))                                                           \
    X(int64_t, Dim, (const TF_Tensor *, int))                                                      \
    X(void, DeleteTensor, (TF_Tensor *))

struct tensorflow_api {
#define TENSORFLOW_FIELD(result, name, arguments) result(*name) arguments;
    TENSORFLOW_FUNCTIONS(TENSORFLOW_FIELD)
#undef TENSORFLOW_FIELD
};

/* library: of dlopen(). False: it has not all of them. */
bool tensorflow_api_find(struct tensorflow_api *api, void *library);

/* enum embmon_dtype of a TF_DataType; 0 for what is none of ours. */
int tensorflow_dtype(int type);

enum { TENSORFLOW_INT64 = 9, TENSORFLOW_BOOL = 10 };

#endif
