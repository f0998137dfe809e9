/* Writes event files through event_file.h as stdin says, one command a line, fields between tabs;
 * every command is answered with one line. For tests of what TensorBoard's readers make of it.
 *
 *     open DIR WALL | start WALL STEP | flush | stats | last TAG | close
 *     scalar WALL STEP TAG VALUE
 *     text WALL STEP TAG MARKDOWN
 *     linear|log10 WALL STEP TAG FILE      FILE: raw little-endian f64 values
 *     bench N                              N histograms of 64 buckets
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "daemon/tensorboard/event_file.h"
#include "tests/unit/values.h"

enum { FIELDS = 5, LINE = 1 << 16 };

static bool read_values(const char *path, struct summary *s)
{
    FILE *stream = fopen(path, "rb");
    double *values = NULL;
    bool fine = false;
    struct stat status;

    if (!stream)
        return false;
    if (fstat(fileno(stream), &status) == 0) {
        size_t n = (size_t)status.st_size / sizeof *values;

        values = malloc(n * sizeof *values + 1);
        fine = values && fread(values, sizeof *values, n, stream) == n &&
               values_summarise(s, values, n);
    }
    free(values);
    fclose(stream);
    return fine;
}

static void histogram(struct event_file *file, char **f)
{
    struct summary s;
    struct histogram h;

    if (!read_values(f[4], &s)) {
        printf("cannot read %s\n", f[4]);
        return;
    }
    if (f[0][1] == 'i' ? histogram_linear(&s, &h) : histogram_log10(&s, &h))
        printf("%d\n", event_file_histogram(file, atof(f[1]), strtoull(f[2], NULL, 10), f[3], &h));
    else
        printf("nothing\n");
    summary_free(&s);
}

static void bench(struct event_file *file, unsigned long n)
{
    struct histogram h = {.length = HISTOGRAM_BUCKETS_MAX};
    struct timespec a, b;

    for (size_t i = 0; i < h.length; i++) {
        h.left[i] = (double)i;
        h.right[i] = (double)(i + 1);
        h.count[i] = 1e3;
    }
    clock_gettime(CLOCK_MONOTONIC, &a);
    for (unsigned long i = 0; i < n; i++) {
        char tag[32];

        snprintf(tag, sizeof tag, "gradients/layer_%lu", i % 1000);
        event_file_histogram(file, 1e9, i, tag, &h);
    }
    event_file_flush(file);
    clock_gettime(CLOCK_MONOTONIC, &b);
    printf("%.0f histograms/s\n",
           (double)n / ((double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec)));
}

static void print_stats(const struct event_file *file)
{
    struct event_file_stats s;

    event_file_get_stats(file, &s);
    printf("{\"name\": \"%s\", \"events\": %llu, \"written\": %llu, \"pending\": %zu, "
           "\"late\": %llu, \"invalid\": %llu, \"dropped\": [%llu, %llu, %llu], \"error\": %d, "
           "\"fresh\": %d}\n",
           s.name, (unsigned long long)s.events, (unsigned long long)s.bytes_written,
           s.bytes_pending, (unsigned long long)s.late, (unsigned long long)s.invalid,
           (unsigned long long)s.dropped_histograms, (unsigned long long)s.dropped_scalars,
           (unsigned long long)s.dropped_texts, s.error, event_file_fresh(file));
}

static void command(struct event_file *file, char **f)
{
    double wall = atof(f[1]);
    uint64_t step = strtoull(f[2], NULL, 10);

    if (strcmp(f[0], "start") == 0) {
        event_file_start(file, wall, step);
        printf("1\n");
    } else if (strcmp(f[0], "scalar") == 0) {
        printf("%d\n", event_file_scalar(file, wall, step, f[3], strtod(f[4], NULL)));
    } else if (strcmp(f[0], "text") == 0) {
        printf("%d\n", event_file_text(file, wall, step, f[3], f[4]));
    } else if (strcmp(f[0], "linear") == 0 || strcmp(f[0], "log10") == 0) {
        histogram(file, f);
    } else if (strcmp(f[0], "flush") == 0) {
        printf("%d\n", event_file_flush(file));
    } else if (strcmp(f[0], "last") == 0) {
        printf("%lld\n", (long long)event_file_last_step(file, f[1]));
    } else if (strcmp(f[0], "bench") == 0) {
        bench(file, strtoul(f[1], NULL, 10));
    } else if (strcmp(f[0], "stats") == 0) {
        print_stats(file);
    } else {
        printf("unknown command %s\n", f[0]);
    }
}

/* Cuts the line at its tabs; fields that are not there are "". */
static void split(char *line, char **f)
{
    line[strcspn(line, "\n")] = '\0';
    for (int i = 0; i < FIELDS; i++) {
        f[i] = line;
        line += strcspn(line, "\t");
        if (*line)
            *line++ = '\0';
    }
}

int main(void)
{
    static char line[LINE];
    struct event_file *file = NULL;
    const char *problem;

    setvbuf(stdout, NULL, _IOLBF, 0);
    while (fgets(line, sizeof line, stdin)) {
        char *f[FIELDS];

        split(line, f);
        if (strcmp(f[0], "open") == 0 && !file) {
            file = event_file_open(f[1], atof(f[2]), &problem);
            printf("%s\n", file ? "1" : problem);
        } else if (strcmp(f[0], "close") == 0) {
            printf("%zu\n", event_file_close(file));
            file = NULL;
        } else if (file) {
            command(file, f);
        } else {
            printf("no file is open\n");
        }
    }
    event_file_close(file);
    return 0;
}
