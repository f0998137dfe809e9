/* How many fields a payload has: counted before it is unpacked, for that is slow and takes memory
 * by the field, and two bytes can be one. */
#ifndef EMBMON_PROTO_FIELDS_H
#define EMBMON_PROTO_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Twice as many as a Layers of all that a run may have. */
enum { FIELDS_MAX = 1 << 16 };

/* False: there are more than `most` outermost fields. Stops at what is no protobuf: that is for who
 * unpacks it to say. */
bool fields_few(const uint8_t *data, size_t n, size_t most);

#endif
