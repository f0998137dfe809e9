/* support.h: what every file of the trainer uses: an end with a message, memory, random numbers. */
#ifndef SKIPGRAM_SUPPORT_H
#define SKIPGRAM_SUPPORT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Says why on stderr and ends the program with status 1. */
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Zeroed memory, or the program's end. */
void *allocate(size_t count, size_t size);

/* fopen(), or the program's end; NULL for a path of NULL. */
FILE *open_file(const char *path, const char *mode);

/* splitmix64: any state is a good seed. */
struct random {
    uint64_t state;
};

uint64_t random_next(struct random *random);
float random_float(struct random *random);                /* in [0, 1) */
size_t random_below(struct random *random, size_t limit); /* limit < 2^32 */

#endif
