#include "client/operation.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/dtype.h"
#include "client/float_mode.h"
#include "client/moved.h"
#include "client/posting.h"
#include "client/touched.h"

/* ---- inputs --------------------------------------------------------------------------------- */

/* NULL: there is none, and nothing is to be given back. */
static TF_Tensor *input(TF_OpKernelContext *context, int index)
{
    TF_Status *status = tensorflow.NewStatus();
    TF_Tensor *tensor = NULL;

    tensorflow.GetInput(context, index, &tensor, status);
    if (tensorflow.GetCode(status) != 0)
        tensor = NULL;
    tensorflow.DeleteStatus(status);
    return tensor;
}

static void give_back(TF_Tensor *tensor)
{
    if (tensor)
        tensorflow.DeleteTensor(tensor);
}

static enum embmon_dtype dtype_of(const TF_Tensor *tensor)
{
    return (enum embmon_dtype)tensorflow_dtype(tensorflow.TensorType(tensor));
}

static size_t count_of(const TF_Tensor *tensor)
{
    return (size_t)tensorflow.TensorElementCount(tensor);
}

static size_t last_dim(const TF_Tensor *tensor)
{
    int dims = tensorflow.NumDims(tensor);

    return dims > 0 ? (size_t)tensorflow.Dim(tensor, dims - 1) : 1;
}

/* ---- posting -------------------------------------------------------------------------------- */

static bool is_wanted(struct embmon_client *client, int target, int signal, int64_t step)
{
    const struct target *found =
        client_is_inert(client) ? NULL : model_target(client->state.model, target);

    return found && posting_wanted(client, found->layer, signal, step);
}

/* ---- arrays ----------------------------------------------------------------------------------
 * Large ones are lent: the client's own thread summarises them and gives them back. */

enum { LENT_LEAST = 4096 }; /* elements: fewer are summarised as fast as they are lent */

/* What is lent; ids NULL: a whole array. */
struct pair {
    TF_Tensor *values, *ids;
};

static void give_pair_back(const struct pair *pair)
{
    give_back(pair->values);
    give_back(pair->ids);
}

static void release(void *context)
{
    give_pair_back(context);
    free(context);
}

/* True: it is, and given back by release(). */
static bool lend(const struct operation *op, struct embmon_client *client, int64_t step,
                 const struct pair *pair)
{
    struct embmon_loan loan = EMBMON_LOAN_INIT;
    struct pair *kept = malloc(sizeof *kept);

    if (!kept)
        return false;
    *kept = *pair;
    loan.target = op->target;
    loan.signal = op->signal;
    loan.dtype = (int32_t)dtype_of(pair->values);
    loan.data = tensorflow.TensorData(pair->values);
    loan.count = count_of(pair->values);
    if (pair->ids) {
        loan.ids = tensorflow.TensorData(pair->ids);
        loan.id_dtype = (int32_t)dtype_of(pair->ids);
        loan.rows = count_of(pair->ids);
        loan.columns = loan.rows > 0 ? loan.count / loan.rows : 0;
    }
    if (posting_lend(client, step, &loan, release, kept))
        return true;
    release(kept); /* it was posted at once */
    return true;
}

static void post(const struct operation *op, struct embmon_client *client, int64_t step,
                 const struct pair *pair)
{
    const void *data = tensorflow.TensorData(pair->values);
    size_t count = count_of(pair->values), rows = pair->ids ? count_of(pair->ids) : 0;

    if (count == 0 && op->signal == EMBMON_WEIGHT)
        return; /* it was not wanted when its rows were looked up */
    if (!pair->ids)
        (void)embmon_post(client, op->target, (enum embmon_signal)op->signal, step, data, count,
                          dtype_of(pair->values));
    else if (rows > 0)
        (void)embmon_post_rows(client, op->target, (enum embmon_signal)op->signal, step,
                               tensorflow.TensorData(pair->ids), dtype_of(pair->ids), data, rows,
                               count / rows, dtype_of(pair->values));
}

static bool are_whole_rows(const struct pair *pair)
{
    size_t rows = pair->ids ? count_of(pair->ids) : 0;

    return rows == 0 || count_of(pair->values) % rows == 0;
}

static void run(const struct operation *op, TF_OpKernelContext *context, bool has_ids)
{
    int64_t step;
    struct embmon_client *client = gate_enter(op->gate, &step);
    struct pair pair = {NULL, NULL};
    bool is_lent = false;

    if (!client)
        return;
    if (is_wanted(client, op->target, op->signal, step)) {
        pair.values = input(context, has_ids);
        pair.ids = has_ids ? input(context, 0) : NULL;
    }
    if (pair.values && (pair.ids || !has_ids) && are_whole_rows(&pair)) {
        is_lent = count_of(pair.values) >= LENT_LEAST && lend(op, client, step, &pair);
        if (!is_lent)
            post(op, client, step, &pair);
    }
    if (!is_lent)
        give_pair_back(&pair);
    gate_leave(op->gate);
}

void operation_post(void *kernel, TF_OpKernelContext *context)
{
    run(kernel, context, false);
}

void operation_rows(void *kernel, TF_OpKernelContext *context)
{
    run(kernel, context, true);
}

/* ---- ids and scalars ------------------------------------------------------------------------ */

static void post_ids(struct embmon_client *client, const struct operation *op, int64_t step,
                     const TF_Tensor *ids, const TF_Tensor *mask)
{
    size_t length = tensorflow.NumDims(ids) > 1 ? last_dim(ids) : 0;
    const uint8_t *zeros = NULL;

    length = length > 1 ? length : 0; /* columns of one id are no sequences */
    if (mask && tensorflow.TensorType(mask) == TENSORFLOW_BOOL && count_of(mask) == count_of(ids))
        zeros = tensorflow.TensorData(mask);
    if (op->signal) /* as fed */
        (void)embmon_post_fed(client, op->target, op->text, step, tensorflow.TensorData(ids),
                              count_of(ids), dtype_of(ids), length);
    else
        (void)embmon_post_ids(client, op->target, step, tensorflow.TensorData(ids), count_of(ids),
                              dtype_of(ids), length, zeros);
}

/* At a step that is not sampled, too: wrong ids may end the training, and then nothing else would
 * say why. */
void operation_ids(void *kernel, TF_OpKernelContext *context)
{
    const struct operation *op = kernel;
    int64_t step;
    struct embmon_client *client = gate_enter(op->gate, &step);
    TF_Tensor *ids, *mask;

    if (!client)
        return;
    ids = input(context, 0);
    mask = tensorflow.NumInputs(context) > 1 ? input(context, 1) : NULL;
    if (ids)
        post_ids(client, op, step, ids, mask);
    give_back(ids);
    give_back(mask);
    gate_leave(op->gate);
}

/* Not inlined: it runs under the default floating-point mode (float_mode.h). */
__attribute__((noinline)) static double mean_of(const TF_Tensor *tensor)
{
    enum { PIECE = 256 };
    const uint8_t *data = tensorflow.TensorData(tensor);
    enum embmon_dtype dtype = dtype_of(tensor);
    size_t count = count_of(tensor), size = dtype_size((int)dtype);
    double values[PIECE], sum = 0;

    for (size_t at = 0, n; at < count; at += n) {
        n = count - at < PIECE ? count - at : PIECE;
        dtype_load(values, data + at * size, n, dtype);
        for (size_t i = 0; i < n; i++)
            sum += values[i];
    }
    return count > 0 ? sum / (double)count : NAN;
}

/* The mean of its elements; false: they are not numbers. */
static bool take_scalar(TF_OpKernelContext *context, double *mean)
{
    TF_Tensor *value = input(context, 0);
    struct float_mode mode;

    if (!value || dtype_size((int)dtype_of(value)) == 0) {
        give_back(value);
        return false;
    }
    mode = float_mode_enter();
    *mean = mean_of(value);
    float_mode_leave(mode);
    give_back(value);
    return true;
}

/* A loss that is no number any more cannot wait for a step that is sampled: what the step shows is
 * wanted now, by the operations behind this one. */
void operation_look(void *kernel, TF_OpKernelContext *context)
{
    const struct operation *op = kernel;
    int64_t step;
    struct embmon_client *client = gate_enter(op->gate, &step);
    double loss;

    if (!client)
        return;
    if (!client_is_inert(client) && take_scalar(context, &loss) && !isfinite(loss))
        sampling_urge(&client->state.sampling);
    gate_leave(op->gate);
}

void operation_scalar(void *kernel, TF_OpKernelContext *context)
{
    const struct operation *op = kernel;
    int64_t step;
    struct embmon_client *client = gate_enter(op->gate, &step);
    double value;

    if (!client)
        return;
    if (!client_is_inert(client) && take_scalar(context, &value))
        (void)embmon_post_scalar(client, op->text, step, value);
    gate_leave(op->gate);
}

/* ---- changes -------------------------------------------------------------------------------- */

/* NULL: there is no memory for it. */
static int64_t *output(TF_OpKernelContext *context, size_t count, TF_Tensor **tensor)
{
    TF_Status *status = tensorflow.NewStatus();
    const int64_t dim = (int64_t)count;

    *tensor = tensorflow.AllocateOutput(context, 0, TENSORFLOW_INT64, &dim, 1,
                                        count * sizeof(int64_t), status);
    if (tensorflow.GetCode(status) != 0) {
        give_back(*tensor);
        *tensor = NULL;
    }
    tensorflow.DeleteStatus(status);
    return *tensor ? tensorflow.TensorData(*tensor) : NULL;
}

static size_t touch(const struct operation *op, const TF_Tensor *ids, int64_t *rows)
{
    if (ids)
        return touched_rows(rows, tensorflow.TensorData(ids), count_of(ids), dtype_of(ids),
                            op->rows);
    for (int64_t row = 0; row < op->rows; row++)
        rows[row] = row;
    return (size_t)op->rows;
}

/* How many rows are there at most is known first, and their number when they are found. */
static size_t find_rows(const struct operation *op, TF_OpKernelContext *context, int64_t **rows)
{
    TF_Tensor *ids = tensorflow.NumInputs(context) > 0 ? input(context, 0) : NULL;
    size_t most = ids ? count_of(ids) : op->rows > 0 ? (size_t)op->rows : 0, count = 0;

    *rows = most > 0 && most <= TOUCHED_IDS ? malloc(most * sizeof **rows) : NULL;
    if (*rows)
        count = touch(op, ids, *rows);
    give_back(ids);
    return count;
}

/* Without an output TensorFlow would take the step for failed. */
void operation_touched(void *kernel, TF_OpKernelContext *context)
{
    const struct operation *op = kernel;
    int64_t step, *rows = NULL, *to;
    struct embmon_client *client = gate_enter(op->gate, &step);
    size_t count = 0;
    TF_Tensor *tensor;

    if (client && is_wanted(client, op->target, op->signal, step))
        count = find_rows(op, context, &rows);
    to = output(context, count, &tensor);
    if (to && count > 0)
        memcpy(to, rows, count * sizeof *to);
    else if (!to && count > 0)
        (void)output(context, 0, &tensor);
    give_back(tensor);
    free(rows);
    if (client)
        gate_leave(op->gate);
}

static struct moved_value value_of(const TF_Tensor *tensor)
{
    return (struct moved_value){.data = tensorflow.TensorData(tensor),
                                .count = count_of(tensor),
                                .dtype = dtype_of(tensor)};
}

void operation_before(void *kernel, TF_OpKernelContext *context)
{
    const struct operation *op = kernel;
    int64_t step;
    struct embmon_client *client = gate_enter(op->gate, &step);
    bool weight, update;
    TF_Tensor *value;

    if (!client)
        return;
    if (op->moved)
        moved_drop(op->moved); /* of a step that has raised */
    weight = op->signal & 1 << EMBMON_WEIGHT && is_wanted(client, op->target, EMBMON_WEIGHT, step);
    update = op->signal & 1 << EMBMON_UPDATE && is_wanted(client, op->target, EMBMON_UPDATE, step);
    value = weight || update ? input(context, 1) : NULL;
    if (value && weight)
        (void)embmon_post(client, op->target, EMBMON_WEIGHT, step, tensorflow.TensorData(value),
                          count_of(value), dtype_of(value));
    if (value && update && op->moved) {
        struct moved_value now = value_of(value);

        (void)moved_keep(op->moved, &now);
    }
    give_back(value);
    gate_leave(op->gate);
}

static void after(struct embmon_client *client, const struct operation *op, int64_t step,
                  const TF_Tensor *value)
{
    struct moved_value now = value_of(value), change;

    if (!moved_take(op->moved, &now, &change))
        return;
    (void)embmon_post(client, op->target, EMBMON_UPDATE, step, change.data, change.count,
                      change.dtype);
    moved_drop(op->moved);
}

void operation_after(void *kernel, TF_OpKernelContext *context)
{
    const struct operation *op = kernel;
    int64_t step;
    struct embmon_client *client = gate_enter(op->gate, &step);
    TF_Tensor *value;

    if (!client)
        return;
    if (op->moved && moved_is_kept(op->moved)) {
        value = input(context, 1);
        if (value)
            after(client, op, step, value);
        give_back(value);
    }
    gate_leave(op->gate);
}
