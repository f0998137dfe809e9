/* The memory of this process. */
#ifndef EMBMON_DAEMON_MEMORY_H
#define EMBMON_DAEMON_MEMORY_H

#include <stdint.h>

/* Before there are threads: large pieces of memory go back to the system at once, however many
 * there were before. What is resident is then what is used, nearly. */
void memory_tune(void);

/* Bytes that are resident; 0 where the system does not say. */
uint64_t memory_resident(void);

/* The same, after what the allocator keeps for itself was given back. Takes up to some 10 ms. */
uint64_t memory_trimmed(void);

#endif
