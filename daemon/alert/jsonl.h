/* The sink `<run>/embmon/alerts.jsonl`: each change one JSON object on a line. A full disk keeps
 * the lines waiting (at most 8 MiB, then they are counted as lost), and so is what does not fit in
 * 64 MiB of the file: alerts that flap for ever fill no disk. */
#ifndef EMBMON_ALERT_JSONL_H
#define EMBMON_ALERT_JSONL_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/alert/change.h"
#include "daemon/carry.h"

enum { JSONL_FILE_MAX = 64 << 20 };

struct jsonl; /* opaque */

/* Opens alerts.jsonl in the folder for appending; a torn last line is cut off first. NULL on
 * failure, errno says why. */
struct jsonl *jsonl_open(const char *directory);
void jsonl_close(struct jsonl *jsonl);

/* The same in two steps, for who knows what the torn line was to become. */
struct jsonl *jsonl_begin(const char *directory);
void jsonl_mend(struct jsonl *jsonl);

/* Over a restart; loading: into one that has begun. The file then holds what the checkpoint knows
 * of and no more: what follows is said again when it comes again. Lines that are in the file
 * already are not queued again, and one that was torn is continued. A file that is shorter than it
 * was, or holds something else, is a problem, jsonl_changed, but after jsonl_forgive(). */
extern const char jsonl_changed[];
void jsonl_carry(struct carry *c, struct jsonl *jsonl);
void jsonl_forgive(struct jsonl *jsonl);

/* A sync of the file begins; one has ended well. */
void jsonl_sync_begins(struct jsonl *jsonl);
void jsonl_synced(struct jsonl *jsonl);

/* Queues the line: it is written by jsonl_flush(), once it is in a checkpoint. False: it is lost.
 */
bool jsonl_write(struct jsonl *jsonl, const struct alert_change *change);

/* Writes what waits. True when nothing is left. */
bool jsonl_flush(struct jsonl *jsonl);
size_t jsonl_waiting(const struct jsonl *jsonl); /* bytes queued */
int jsonl_file(const struct jsonl *jsonl);       /* its descriptor, borrowed */
int jsonl_error(const struct jsonl *jsonl);      /* errno of the last write, 0 when it succeeded */
/* Gives back what memory the empty queue keeps. */
void jsonl_trim(struct jsonl *jsonl);

/* Lines that could not be kept. */
uint64_t jsonl_lost(const struct jsonl *jsonl);

/* Somebody has deleted the file. Then: goes on in a new one, in the folder of this name; false with
 * errno: all is as it was. */
bool jsonl_deleted(const struct jsonl *jsonl);
bool jsonl_again(struct jsonl *jsonl, const char *directory);

#endif
