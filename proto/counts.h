/* Arrays of counts, in the vectors of 16 bytes that every processor we run on has. */
#ifndef EMBMON_PROTO_COUNTS_H
#define EMBMON_PROTO_COUNTS_H

#include <stddef.h>
#include <stdint.h>

/* to[i] += from[i]; they do not overlap. */
void counts_add(uint64_t *restrict to, const uint64_t *restrict from, size_t n);

/* Their sum, which may wrap; *any: the bits of all of them besides. */
uint64_t counts_sum(const uint64_t *counts, size_t n, uint64_t *any);

/* Takes counts as they lie in a message, varints one after the other, up to `end`. Stops early
 * where one takes three bytes or more, where the rest of the room is less than COUNTS_ROOM, and
 * takes none of fewer than eight bytes. Returns how many; *at: behind the last one. What it leaves
 * of the room may be written, too. */
enum { COUNTS_ROOM = 8 };
size_t counts_take(const uint8_t **at, const uint8_t *end, uint64_t *counts, size_t room);

#endif
