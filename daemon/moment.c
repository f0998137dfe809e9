#include "daemon/moment.h"

#include <time.h>

struct moment moment_now(void)
{
    struct timespec steady, wall;
    clock_gettime(CLOCK_MONOTONIC, &steady);
    clock_gettime(CLOCK_REALTIME, &wall);
    return (struct moment){
        .ms = (uint64_t)steady.tv_sec * 1000 + (uint64_t)(steady.tv_nsec / 1000000),
        .wall = (double)wall.tv_sec + (double)wall.tv_nsec / 1e9,
    };
}
