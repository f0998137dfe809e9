/* The memory of this process. */
#ifndef EMBMON_DAEMON_MEMORY_H
#define EMBMON_DAEMON_MEMORY_H

#include <stdint.h>

/* Bytes that are resident; 0 where the system does not say. */
uint64_t memory_resident(void);

/* The same, after what the allocator keeps for itself was given back. Takes up to some 10 ms. */
uint64_t memory_trimmed(void);

#endif
