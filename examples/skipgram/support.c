#include "support.h"

#include <stdarg.h>
#include <stdlib.h>

void die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("skipgram: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count ? count : 1, size);
    if (!memory)
        die("out of memory");
    return memory;
}

FILE *open_file(const char *path, const char *mode)
{
    FILE *file = path ? fopen(path, mode) : NULL;
    if (path && !file)
        die("%s: %m", path);
    return file;
}

uint64_t random_next(struct random *random)
{
    uint64_t z = random->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

float random_float(struct random *random)
{
    return (float)(random_next(random) >> 40) * 0x1p-24f;
}

size_t random_below(struct random *random, size_t limit)
{
    return (size_t)((random_next(random) >> 32) * limit >> 32);
}
