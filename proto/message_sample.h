/* Samples decoded by hand: nearly all that a daemon takes in are Samples, and protobuf-c, which can
 * decode anything, takes five times as long for one. What is not as our own senders write it, each
 * field at most once and in ascending order, is left to protobuf-c: so there is one judge of what
 * is odd, and the two can only differ where a test compares them. */
#ifndef EMBMON_PROTO_MESSAGE_SAMPLE_H
#define EMBMON_PROTO_MESSAGE_SAMPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/arena.h"
#include "proto/message.h"

/* Decodes a Sample's payload into *sample, which is zeroed; its counts are the arena's. False: not
 * by hand, and *sample is not to be used. Fields are not validated: see message_check(). */
bool message_sample(struct arena *arena, const uint8_t *payload, size_t n,
                    struct msg_sample *sample);

/* The span of n counts from bucket `first` on, borrowed and without zeros at the ends, in *to,
 * which is zeroed. False: it reaches beyond the table. */
bool message_span(struct summary_span *to, uint32_t first, uint64_t *counts, size_t n);

#endif
