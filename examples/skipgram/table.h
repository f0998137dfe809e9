/* table.h: an embedding table with the sparse gradient of one step. */
#ifndef SKIPGRAM_TABLE_H
#define SKIPGRAM_TABLE_H

#include "support.h"

struct table {
    const char *path;
    int layer; /* its id at the monitor */
    size_t rows, dim;
    float *weights;
    /* Of the step: the distinct rows looked up, and for each its gradient, summed over the batch,
     * and its weights as they were looked up. */
    size_t looked_up;
    int32_t *ids;
    float *gradient, *before;
    int32_t *slot_of; /* row -> its index in ids, or -1 */
};

/* A table of zeros. path: borrowed. */
void table_init(struct table *table, const char *path, size_t rows, size_t dim);
void table_free(struct table *table);
void table_randomise(struct table *table, struct random *random);

/* Forgets the rows looked up and their gradient. */
void table_begin_step(struct table *table);

/* Looks a row up: returns its place in the gradient, which starts at zero. */
float *table_look_up(struct table *table, int32_t row);

/* weights -= rate x gradient, in the rows looked up. */
void table_descend(struct table *table, float rate);

/* What the last descent changed, row by row as in ids. It is written over `before`. */
const float *table_update(struct table *table);

/* Writes tables and the step that comes next to path; reads them again and returns that step. */
void table_save(const char *path, const struct table *tables, size_t count, int64_t step);
int64_t table_load(const char *path, struct table *tables, size_t count);

/* A hash of all weights, to the bit. */
uint64_t table_checksum(const struct table *tables, size_t count);

/* Prints the words whose rows point most nearly the same way as that of `word`. */
struct corpus;
void table_print_neighbours(const struct table *table, const struct corpus *corpus,
                            const char *word);

#endif
