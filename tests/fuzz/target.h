/* A fuzz target: one file with LLVMFuzzerTestOneInput(), which ends the process by abort() when
 * what it was given breaks a promise. Built with clang's libFuzzer by `make fuzz`, and with gcc and
 * replay.c by `make test`, which runs all that is kept in tests/corpus/<target>/. */
#ifndef EMBMON_TESTS_FUZZ_TARGET_H
#define EMBMON_TESTS_FUZZ_TARGET_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A promise: holds in every build, NDEBUG or not. */
#define PROMISE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #condition);                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* A copy of exactly n bytes on the heap, so that a sanitizer sees the first byte read too many. */
static inline uint8_t *exactly(const uint8_t *data, size_t n)
{
    uint8_t *copy = malloc(n ? n : 1);

    PROMISE(copy);
    for (size_t i = 0; i < n; i++)
        copy[i] = data[i];
    return copy;
}

#endif
