/* Event files at full speed, for tests/bench/daemon.py.
 *
 *     events FOLDER N     N histograms of 64 buckets through daemon/tensorboard/event_file.h, then
 *                         as many bytes by plain write(), then by memcpy() alone
 *
 * Says the seconds of each and the bytes. All ends in the page cache, in a folder of the caller's.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "daemon/tensorboard/event_file.h"

enum { TAGS = 1000, CHUNK = 1 << 20 };

static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

_Noreturn static void die(const char *what)
{
    perror(what);
    exit(1);
}

static double write_events(const char *folder, unsigned long n, uint64_t *bytes)
{
    const char *problem = "";
    struct event_file *file = event_file_open(folder, 1e9, &problem);
    struct histogram h = {.length = HISTOGRAM_BUCKETS_MAX};
    struct event_file_stats stats;
    static char tags[TAGS][40];
    double began;

    if (!file) {
        fprintf(stderr, "events: %s\n", problem);
        exit(1);
    }
    for (size_t i = 0; i < h.length; i++) {
        h.left[i] = (double)i;
        h.right[i] = (double)(i + 1);
        h.count[i] = 1e3;
    }
    for (size_t i = 0; i < TAGS; i++)
        snprintf(tags[i], sizeof tags[i], "gradients/tower/dense_%zu/kernel", i);
    began = seconds();
    for (unsigned long i = 0; i < n; i++)
        if (!event_file_histogram(file, 1e9, i, tags[i % TAGS], &h))
            die("an event");
    if (!event_file_flush(file))
        die("the event file");
    began = seconds() - began;
    event_file_get_stats(file, &stats);
    *bytes = stats.bytes_written;
    if (event_file_close(file) != 0)
        die("the event file");
    return began;
}

static double write_raw(const char *folder, uint64_t bytes, const uint8_t *data)
{
    char path[4096];
    double began;
    int fd;

    snprintf(path, sizeof path, "%s/raw", folder);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        die(path);
    began = seconds();
    for (uint64_t done = 0, n; done < bytes; done += n) {
        n = bytes - done < CHUNK ? bytes - done : CHUNK;
        if (write(fd, data, (size_t)n) != (ssize_t)n)
            die(path);
    }
    began = seconds() - began;
    close(fd);
    return began;
}

static double copy(uint64_t bytes, const uint8_t *data, uint8_t *to)
{
    double began = seconds();

    for (uint64_t done = 0, n; done < bytes; done += n) {
        n = bytes - done < CHUNK ? bytes - done : CHUNK;
        memcpy(to, data, (size_t)n);
        __asm__ volatile("" : : "r"(to) : "memory");
    }
    return seconds() - began;
}

int main(int argc, char **argv)
{
    uint8_t *data = calloc(2, CHUNK);
    uint64_t bytes = 0;
    double events, raw;

    if (argc != 3 || !data) {
        fprintf(stderr, "usage: events FOLDER N\n");
        return 2;
    }
    memset(data, 1, (size_t)2 * CHUNK);
    events = write_events(argv[1], strtoul(argv[2], NULL, 10), &bytes);
    raw = write_raw(argv[1], bytes, data);
    printf("%.9f %.9f %.9f %llu\n", events, raw, copy(bytes, data, data + CHUNK),
           (unsigned long long)bytes);
    free(data);
    return 0;
}
