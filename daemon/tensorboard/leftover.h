/* What an ended writer had queued for a file, and how much of it the file got: a checkpoint says
 * how long the file was and what was to follow; behind that length lies as much of it as was
 * written before the end. */
#ifndef EMBMON_TENSORBOARD_LEFTOVER_H
#define EMBMON_TENSORBOARD_LEFTOVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/pending.h"
#include "daemon/tensorboard/tag_table.h"

/* Queues for another file the records that are not whole in this one: a record that was torn is
 * queued from its first byte on, also where the power has failed and it reads as zeros, or as
 * anything else. Where the file goes on behind all of them, because a later
 * checkpoint was lost with the machine's power, nothing is queued, and the tags' last steps are
 * raised to what it holds. Returns NULL, or a static sentence. */
const char *leftover_records(int fd, uint64_t length, const uint8_t *queued, size_t n,
                             struct pending *to, struct tag_table *tags);

#endif
