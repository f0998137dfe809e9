/* Which rows of each table were looked up: one bit per row.
 *
 * All tables share one reservation made when the client is opened; a table gets its part when it is
 * declared, and a page is there once a row on it was looked up. Threads set bits without a lock; a
 * bit that is set costs a load. Beyond SEEN_ROWS, in all tables together, a table has none.
 */
#ifndef EMBMON_CLIENT_SEEN_H
#define EMBMON_CLIENT_SEEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SEEN_ROWS ((uint64_t)1 << 31)

struct seen {
    uint8_t *memory; /* owned, or NULL: no table has bits */
    _Atomic uint64_t used;
};

struct seen_rows; /* opaque: those of one table */

/* False when the system refuses the reservation; it is then valid and empty. */
bool seen_open(struct seen *seen);
void seen_close(struct seen *seen);

/* The bits of a table of so many rows, all unset; valid until seen_close(). NULL: there is no
 * room. */
struct seen_rows *seen_reserve(struct seen *seen, uint64_t rows);

/* Row `row`, below the table's rows, was looked up. */
void seen_mark(struct seen_rows *rows, uint64_t row);

void seen_mark_all(struct seen_rows *rows, const uint64_t *row, size_t n);

/* The same for all rows of a word: row 64 * word + i where bit i of `bits` is set. */
void seen_mark_word(struct seen_rows *rows, uint64_t word, uint64_t bits);

/* How many rows were, since the last seen_clear(). */
uint64_t seen_count(const struct seen_rows *rows);

/* Takes time by the pages in use. What other threads mark meanwhile is either kept or cleared, and
 * counted so. */
void seen_clear(struct seen_rows *rows);

#endif
