#include "client/tensor.h"

#include <math.h>

#include "client/collapse.h"
#include "client/units.h"

/* ---- what may be posted */

static int check_whole(const struct tensor *tensor, size_t *bytes)
{
    size_t size = dtype_size((int)tensor->dtype);

    if (size == 0)
        return EMBMON_EDTYPE;
    if (__builtin_mul_overflow(tensor->count, size, bytes) || (tensor->count > 0 && !tensor->data))
        return EMBMON_EINVAL;
    return 0;
}

static int check_rows(const struct tensor_rows *rows, int signal, size_t *bytes)
{
    size_t ids;

    if ((rows->id_dtype != EMBMON_I32 && rows->id_dtype != EMBMON_I64) ||
        !dtype_is_float(rows->dtype))
        return EMBMON_EDTYPE;
    if ((signal != EMBMON_GRADIENT && signal != EMBMON_UPDATE) ||
        __builtin_mul_overflow(rows->rows, rows->columns, bytes) ||
        __builtin_mul_overflow(*bytes, dtype_size((int)rows->dtype), bytes) ||
        (rows->rows > 0 && !rows->ids) || (*bytes > 0 && !rows->values) ||
        __builtin_mul_overflow(rows->rows, dtype_size((int)rows->id_dtype), &ids) ||
        __builtin_add_overflow(*bytes, ids, bytes))
        return EMBMON_EINVAL;
    return 0;
}

int tensor_check(const struct tensor *tensor, int signal, size_t *bytes)
{
    return tensor->sparse ? check_rows(&tensor->rows, signal, bytes) : check_whole(tensor, bytes);
}

/* ---- tables */

static bool is_table(const struct tensor_place *place)
{
    return place->target->id == place->target->layer && place->target->kind == EMBMON_EMBEDDING;
}

static bool is_whole_table(const struct tensor_place *place, size_t count)
{
    uint64_t elements;

    return is_table(place) && count > 0 &&
           !__builtin_mul_overflow(place->target->rows, place->target->columns, &elements) &&
           elements == count;
}

/* Where no row is touched there is nothing to summarise but the zeros that came: the gradient is
 * there and is 0, which is not the same as no gradient. */
static void count_untouched(struct summary *moments, uint64_t rows, uint64_t columns)
{
    moments->count = moments->zeros = rows * columns;
}

/* Which rows are busy is learnt from the gradients of a training alone. */
static struct busy *busy_of(const struct tensor_place *place, struct tensor_tools *tools)
{
    if (place->signal != EMBMON_GRADIENT || place->phase != EMBMON_TRAIN || !is_table(place))
        return NULL;
    return busy_take(&tools->busy, place->target->layer);
}

static struct row_set rows_of(const struct tensor_place *place)
{
    int64_t padding = place->target->padding_id;

    return (struct row_set){.has_padding = padding != EMBMON_NO_PADDING, .padding_id = padding};
}

static void set_padding(struct summary *moments, const struct row_set *set,
                        const struct row_counts *counts)
{
    if (set->has_padding)
        summary_set_extra(moments, EXTRA_PADDING_SQUARES, counts->padding_squares);
}

static void touched_rows(struct tally *tally, struct summary *moments,
                         const struct tensor_place *place, const void *data,
                         enum embmon_dtype dtype, struct tensor_tools *tools)
{
    const struct target *t = place->target;
    struct row_set set = rows_of(place);
    struct row_counts counts;

    set.values = data;
    set.dtype = dtype;
    set.rows = t->rows;
    set.columns = t->columns;
    set.busy = busy_of(place, tools);
    counts = rows_add_dense(tally, &set);
    busy_give(set.busy);
    tally_moments(tally, moments);
    summary_set_extra(moments, EXTRA_ROWS_TOUCHED, (double)counts.touched);
    set_padding(moments, &set, &counts);
    if (counts.touched == 0)
        count_untouched(moments, t->rows, t->columns);
}

void tensor_sparse(struct tally *tally, struct summary *moments, const struct tensor_place *place,
                   const struct tensor_rows *rows, struct tensor_tools *tools)
{
    struct row_set set = rows_of(place);
    struct row_counts counts;

    set.ids = rows->ids;
    set.id_dtype = rows->id_dtype;
    set.values = rows->values;
    set.dtype = rows->dtype;
    set.rows = rows->rows;
    set.columns = rows->columns;
    set.busy = busy_of(place, tools);
    counts = rows_add_sparse(tally, &set, &tools->scratch);
    busy_give(set.busy);
    tally_moments(tally, moments);
    if (counts.uncoalesced) {
        summary_set_extra(moments, EXTRA_UNCOALESCED, 1);
        return;
    }
    summary_set_extra(moments, EXTRA_ROWS_LOOKED_UP, (double)counts.looked_up);
    summary_set_extra(moments, EXTRA_ROWS_TOUCHED, (double)counts.touched);
    summary_set_extra(moments, EXTRA_IDS, (double)counts.ids);
    summary_set_extra(moments, EXTRA_BUSIEST, (double)counts.busiest);
    set_padding(moments, &set, &counts);
    if (counts.touched == 0)
        count_untouched(moments, counts.looked_up, rows->columns);
}

/* Do the busiest rows still differ? Asked once an epoch. */
static void look_for_collapse(struct summary *moments, const struct tensor_place *place,
                              const void *data, enum embmon_dtype dtype, struct tensor_tools *tools)
{
    const struct target *t = place->target;
    struct busy *busy = busy_take(&tools->busy, t->layer);
    int64_t ids[COLLAPSE_ROWS];
    struct collapse collapse;
    double *scratch;
    size_t n;

    if (!busy)
        return;
    if (busy_due(busy, place->epochs)) {
        n = busy_pick(busy, ids, COLLAPSE_ROWS);
        scratch = rows_scratch_take(&tools->scratch, COLLAPSE_SCRATCH);
        if (scratch &&
            collapse_measure(data, t->rows, t->columns, dtype, ids, n, scratch, &collapse)) {
            summary_set_extra(moments, EXTRA_COSINE, fmax(collapse.cosine, 0));
            summary_set_extra(moments, EXTRA_SPREAD, collapse.spread);
        }
        if (scratch)
            rows_scratch_give(&tools->scratch, scratch, COLLAPSE_SCRATCH);
    }
    busy_give(busy);
}

/* ---- outputs */

static void look_at_units(struct summary *moments, const struct tensor_place *place,
                          const void *data, size_t count, enum embmon_dtype dtype,
                          struct tensor_tools *tools)
{
    const struct target *layer = place->layer;
    enum unit_function function = units_function(layer->activation);
    struct unit_counts counts =
        units_measure(data, count, dtype, units_shape(layer->shape, layer->rank, count), function,
                      &tools->scratch);

    if (counts.units == 0)
        return;
    summary_set_extra(moments, EXTRA_EXAMPLES, (double)counts.examples);
    summary_set_extra(moments, EXTRA_UNITS, (double)counts.units);
    summary_set_extra(moments, EXTRA_UNITS_DEAD, (double)counts.dead);
    if (function != UNITS_ANY)
        summary_set_extra(moments, EXTRA_SATURATED, (double)counts.saturated);
    if (!isnan(counts.variance))
        summary_set_extra(moments, EXTRA_VARIANCE, counts.variance);
}

/* Another sample for each tensor of each step. */
static void add_sampled(struct tally *tally, struct summary *moments,
                        const struct tensor_place *place, const void *data, size_t count,
                        enum embmon_dtype dtype)
{
    uint64_t seed = place->step << 24 ^ (uint64_t)place->target->id << 4 ^ (uint64_t)place->signal;
    double error = sample_add(tally, data, count, dtype, seed);

    tally_moments(tally, moments);
    if (error > 0)
        summary_set_extra(moments, EXTRA_BUCKET_ERROR, error);
}

static void add_whole(struct tally *tally, struct summary *moments, const void *data, size_t count,
                      enum embmon_dtype dtype, struct tensor_tools *tools)
{
    if (count >= PAIRS_FROM && dtype_is_float(dtype))
        tally->pairs = pairs_take(&tools->pairs);
    tally_add(tally, data, count, dtype);
    pairs_give(tally->pairs);
    tally->pairs = NULL;
    tally_moments(tally, moments);
}

void tensor_whole(struct tally *tally, struct summary *moments, const struct tensor_place *place,
                  const void *data, size_t count, enum embmon_dtype dtype,
                  struct tensor_tools *tools)
{
    bool whole_table = is_whole_table(place, count);

    if (whole_table && (place->signal == EMBMON_GRADIENT || place->signal == EMBMON_UPDATE)) {
        touched_rows(tally, moments, place, data, dtype, tools);
        return;
    }
    if (tools->sampled)
        add_sampled(tally, moments, place, data, count, dtype);
    else
        add_whole(tally, moments, data, count, dtype, tools);
    if (place->phase != EMBMON_TRAIN || !dtype_is_float(dtype))
        return;
    if (whole_table && place->signal == EMBMON_WEIGHT)
        look_for_collapse(moments, place, data, dtype, tools);
    if (place->signal == EMBMON_ACTIVATION && place->layer->kind != EMBMON_EMBEDDING)
        look_at_units(moments, place, data, count, dtype, tools);
}

void tensor_measure(struct tally *tally, struct summary *moments, const struct tensor_place *place,
                    const struct tensor *tensor, struct tensor_tools *tools)
{
    if (tensor->sparse)
        tensor_sparse(tally, moments, place, &tensor->rows, tools);
    else
        tensor_whole(tally, moments, place, tensor->data, tensor->count, tensor->dtype, tools);
    tally_span(tally, true, &moments->negative.first, &moments->negative.length);
    tally_span(tally, false, &moments->positive.first, &moments->positive.length);
}
