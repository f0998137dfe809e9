/* What one post says of a tensor: a tally and the moments of a summary with its extras. Chooses
 * what is looked at: the touched rows of a table's gradient or update, the units of an output, now
 * and then the busiest rows of a table's weights.
 */
#ifndef EMBMON_CLIENT_TENSOR_H
#define EMBMON_CLIENT_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/busy.h"
#include "client/model.h"
#include "client/rows.h"
#include "client/sample.h"
#include "client/summarize.h"

struct tensor_place {
    const struct target *target;
    const struct target *layer; /* whose target it is; the same for a layer's own */
    int signal, phase;
    uint64_t step;
};

/* What the client keeps for it. */
struct tensor_tools {
    struct rows_scratch scratch;
    struct busy_tables busy;
    _Atomic uint32_t epochs; /* complete */
    bool sampled;            /* buckets of large tensors; set before the first post */
};

/* A gradient or update that came as rows of a table. */
struct tensor_rows {
    const void *ids, *values;
    enum embmon_dtype id_dtype, dtype;
    size_t rows, columns;
};

/* The tally comes started. */
void tensor_whole(struct tally *tally, struct summary *moments, const struct tensor_place *place,
                  const void *data, size_t count, enum embmon_dtype dtype,
                  struct tensor_tools *tools);
void tensor_sparse(struct tally *tally, struct summary *moments, const struct tensor_place *place,
                   const struct tensor_rows *rows, struct tensor_tools *tools);

#endif
