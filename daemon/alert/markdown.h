/* Alerts as Markdown for TensorBoard's Text page. Names come from outside: they go into code spans,
 * with what could leave one (backticks, pipes) replaced; in sentences, what Markdown or HTML would
 * read as more than text is escaped. */
#ifndef EMBMON_ALERT_MARKDOWN_H
#define EMBMON_ALERT_MARKDOWN_H

#include <stdbool.h>
#include <stddef.h>

#include "daemon/alert/alert.h"
#include "daemon/carry.h"

enum { MARKDOWN_ROWS = 20 };

/* A growing text; a zeroed one is empty. */
struct markdown {
    char *text; /* owned, NUL-terminated; NULL while empty */
    size_t length, capacity;
    bool failed; /* out of memory: the text lacks something */
};
void markdown_free(struct markdown *m);
void markdown_clear(struct markdown *m);

/* Appends one change with its hint, as a paragraph and a quote. */
void markdown_change(struct markdown *m, const struct alert_change *change);

/* Says that n more were left out, and where they are. */
void markdown_more(struct markdown *m, uint64_t n);

/* Appends the table of a phase's alerts: firing ones first, then pending, then resolved ones, at
 * most MARKDOWN_ROWS, of each kind the newest; and how many more there are. */
void markdown_table(struct markdown *m, const struct alerts *alerts, uint32_t phase);

void markdown_carry(struct carry *c, struct markdown *m); /* over a restart */

#endif
