/* Reading what an earlier writer left: the last step of each tag of an event file. Memory is
 * bounded by the longest record; a torn or damaged tail ends the file and nothing else. */
#ifndef EMBMON_TENSORBOARD_RESUME_H
#define EMBMON_TENSORBOARD_RESUME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/tensorboard/tag_table.h"

/* Raises the last steps in `tags` to what the serialised Event in data[0 ... n) says. Any bytes are
 * fine: those that are no Event change nothing, or what was whole before the damage. */
void resume_event(struct tag_table *tags, const uint8_t *data, size_t n);

/* The same for all records of a file, from its position on. *whole: bytes of whole records read.
 * What cannot be read ends the file. False: out of memory. */
bool resume_file(struct tag_table *tags, int fd, uint64_t *whole);

#endif
