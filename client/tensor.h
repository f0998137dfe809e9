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
#include "client/pairs.h"
#include "client/rows.h"
#include "client/sample.h"
#include "client/summarize.h"

struct tensor_place {
    const struct target *target;
    const struct target *layer; /* whose target it is; the same for a layer's own */
    int signal, phase;
    uint64_t step;
    uint32_t epochs; /* complete when it was posted */
};

/* What the client keeps for it. */
struct tensor_tools {
    struct rows_scratch scratch;
    struct busy_tables busy;
    struct pairs_boards pairs;
    _Atomic uint32_t epochs; /* complete now */
    bool sampled;            /* buckets of large tensors; set before the first post */
};

/* A gradient or update that came as rows of a table. */
struct tensor_rows {
    const void *ids, *values;
    enum embmon_dtype id_dtype, dtype;
    size_t rows, columns;
};

/* Either of both, as it came; borrowed. */
struct tensor {
    bool sparse;
    const void *data; /* of a whole one, with count and dtype */
    size_t count;
    enum embmon_dtype dtype;
    struct tensor_rows rows; /* of a sparse one */
};

/* 0 and the bytes of memory that it takes, or EMBMON_EDTYPE, EMBMON_EINVAL. */
int tensor_check(const struct tensor *tensor, int signal, size_t *bytes);

/* The tally comes started. Writes the spans, too, without their counts. */
void tensor_measure(struct tally *tally, struct summary *moments, const struct tensor_place *place,
                    const struct tensor *tensor, struct tensor_tools *tools);

/* The same, but the spans. */
void tensor_whole(struct tally *tally, struct summary *moments, const struct tensor_place *place,
                  const void *data, size_t count, enum embmon_dtype dtype,
                  struct tensor_tools *tools);
void tensor_sparse(struct tally *tally, struct summary *moments, const struct tensor_place *place,
                   const struct tensor_rows *rows, struct tensor_tools *tools);

#endif
