/* The sink `<run>/embmon/alerts.jsonl`: each change one JSON object on a line. A full disk keeps
 * the lines waiting (at most 8 MiB, then they are counted as lost); they always are in the log. */
#ifndef EMBMON_ALERT_JSONL_H
#define EMBMON_ALERT_JSONL_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/alert/change.h"

struct jsonl; /* opaque */

/* Opens alerts.jsonl in the folder for appending; a torn last line is ended first. NULL on failure,
 * errno says why. */
struct jsonl *jsonl_open(const char *directory);
void jsonl_close(struct jsonl *jsonl);

void jsonl_write(struct jsonl *jsonl, const struct alert_change *change);

/* Writes what waits. True when nothing is left. */
bool jsonl_flush(struct jsonl *jsonl);
/* Gives back what memory the empty queue keeps. */
void jsonl_trim(struct jsonl *jsonl);

/* Lines that could not be kept. */
uint64_t jsonl_lost(const struct jsonl *jsonl);

#endif
