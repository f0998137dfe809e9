/* Memory for libuv when there is none: it ends the process where a few bytes for its own lists are
 * refused, and nothing a peer or a full machine does may end the daemon. What libuv asks for in
 * vain comes from a reserve, which is never used otherwise. */
#ifndef EMBMON_DAEMON_RESERVE_H
#define EMBMON_DAEMON_RESERVE_H

#include <stdbool.h>
#include <stddef.h>

enum { RESERVE_BYTES = 256 << 10 }; /* a list of 8,192 descriptors is 64 KiB, and is doubled */

/* As malloc() and its kin. What comes from the reserve is not used again when it is freed. One
 * thread. */
void *reserve_malloc(size_t n);
void *reserve_calloc(size_t count, size_t n);
void *reserve_realloc(void *memory, size_t n);
void reserve_free(void *memory);

/* Bytes of the reserve that are gone. */
size_t reserve_used(void);

#endif
