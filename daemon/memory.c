#include "daemon/memory.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <unistd.h>

void memory_tune(void)
{
    /* By itself glibc keeps pieces of up to 32 MiB in its heap once one such was freed, and then
     * nearly as much again at its end. */
    (void)mallopt(M_MMAP_THRESHOLD, 256 << 10);
    (void)mallopt(M_TRIM_THRESHOLD, 2 << 20);
}

uint64_t memory_resident(void)
{
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    unsigned long long size, resident = 0;
    char text[128];
    ssize_t n = 0;

    if (fd >= 0) {
        n = read(fd, text, sizeof text - 1);
        (void)close(fd);
    }
    text[n > 0 ? n : 0] = '\0';
    if (sscanf(text, "%llu %llu", &size, &resident) != 2)
        return 0;
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t memory_trimmed(void)
{
    (void)malloc_trim(0);
    return memory_resident();
}
