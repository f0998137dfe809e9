/* A checkpoint: all that a run remembers, as the bytes of its file `state`. Pure: no file, no
 * clock.
 *
 *     8 bytes "embmon\r\n" | u32 version | u32 CRC-32C of the rest | u64 length of the rest | rest
 *
 * little-endian, as is the rest (carry.h). The version is raised whenever a noun_carry() changes
 * what it reads: another version's checkpoint is refused, and the run goes on without it. */
#ifndef EMBMON_DAEMON_CHECKPOINT_H
#define EMBMON_DAEMON_CHECKPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/carry.h"

enum { CHECKPOINT_VERSION = 7, CHECKPOINT_HEAD = 24, CHECKPOINT_BYTES_MAX = 512 << 20 };

/* Begins to save one; what is carried then, until the seal, is its content. */
void checkpoint_begin(struct carry *c);

/* Completes it: c->data[0 ... c->length) is what belongs into the file, or carry_parts() after
 * carry_borrow(). */
void checkpoint_seal(struct carry *c);

/* Begins to load the content. False: c->problem says why these bytes are none. */
bool checkpoint_open(struct carry *c, const uint8_t *data, size_t n);

/* Begins to load the beginning of one, of which n bytes are there, unchecked. */
bool checkpoint_peek(struct carry *c, const uint8_t *data, size_t n);

/* The content must be used up now. */
void checkpoint_end(struct carry *c);

#endif
