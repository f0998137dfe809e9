/* A queue of bytes that grows: written at its end, used up from its start. */
#ifndef EMBMON_DAEMON_BYTES_H
#define EMBMON_DAEMON_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    BYTES_KEPT = 16 << 10,  /* by an empty one */
    BYTES_AHEAD = 64 << 10, /* at most so many more than are asked for */
};

/* data[start ... length) is what is in it. A zeroed one is empty. */
struct bytes {
    uint8_t *data; /* owned */
    size_t start, length, capacity;
};

/* Room for n more bytes at data + length; what is there may move. False: out of memory. */
bool bytes_reserve(struct bytes *b, size_t n);

/* Empties it; memory is given back where it is more than BYTES_KEPT. */
void bytes_clear(struct bytes *b);
void bytes_free(struct bytes *b);

/* Gives back memory of a queue that has become much shorter. */
void bytes_shrink(struct bytes *b);

/* Memory it has beyond BYTES_KEPT. */
size_t bytes_held(const struct bytes *b);

#endif
