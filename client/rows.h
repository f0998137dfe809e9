/* Sparse gradients: rows of one id are added up first, in f64, and only touched rows are counted:
 * those that are not all zero. Dense gradients of a table go over their touched rows too, so that
 * both look alike.
 *
 * Work and scratch are O(rows), never O(vocabulary): chains.h finds the rows of each id. The
 * scratch is one reservation made when the client is opened; its pages appear when first used and
 * are kept. Threads take units of it without a lock; one that finds too few left summarises
 * uncoalesced and says so, as one with more than CHAINS_ROWS_MAX rows does.
 */
#ifndef EMBMON_CLIENT_ROWS_H
#define EMBMON_CLIENT_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/busy.h"
#include "client/summarize.h"

enum { ROWS_SCRATCH = 64 << 20, ROWS_UNITS = 16, ROWS_UNIT = ROWS_SCRATCH / ROWS_UNITS };

struct rows_scratch {
    uint8_t *memory;        /* owned: ROWS_SCRATCH bytes, or NULL: nothing is coalesced */
    _Atomic uint32_t taken; /* a bit per unit */
};

/* False when the system refuses the reservation; the scratch is then valid and empty. */
bool rows_scratch_open(struct rows_scratch *scratch);
void rows_scratch_close(struct rows_scratch *scratch);

/* Takes whole units for n bytes in one piece; NULL where there are not as many left. */
void *rows_scratch_take(struct rows_scratch *scratch, size_t n);
void rows_scratch_give(struct rows_scratch *scratch, void *memory, size_t n);

struct row_set {
    const void *ids; /* of dtype I32 or I64 */
    enum embmon_dtype id_dtype;
    const void *values; /* rows x columns, row-major, no integers */
    enum embmon_dtype dtype;
    size_t rows, columns;
    bool has_padding;
    int64_t padding_id; /* looking it up is no look-up: it never gets a gradient */
    struct busy *busy;  /* held; counts the look-ups of each row; NULL: nobody does */
};

struct row_counts {
    uint64_t looked_up;     /* distinct ids but the padding's */
    uint64_t touched;       /* rows with a non-zero element */
    uint64_t ids;           /* as they came, but the padding's */
    uint64_t busiest;       /* of these the most that one row has */
    double padding_squares; /* sum of squares of the padding's row, its finite elements */
    bool uncoalesced;       /* the others are 0 then */
};

/* Adds the touched rows to the tally, coalesced. */
struct row_counts rows_add_sparse(struct tally *t, const struct row_set *set,
                                  struct rows_scratch *scratch);

/* Adds the touched rows of a dense rows x columns tensor: the set's ids are not read, a row is its
 * place. Nothing is known of look-ups. */
struct row_counts rows_add_dense(struct tally *t, const struct row_set *set);

#endif
