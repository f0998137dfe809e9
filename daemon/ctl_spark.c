#include "daemon/ctl_spark.h"

#include <math.h>

enum { LEVELS = 8 };
static const double DECADES_MIN = 2;

static const char *const blocks[LEVELS] = {"\xe2\x96\x81", "\xe2\x96\x82", "\xe2\x96\x83",
                                           "\xe2\x96\x84", "\xe2\x96\x85", "\xe2\x96\x86",
                                           "\xe2\x96\x87", "\xe2\x96\x88"};
static const char *const signs[LEVELS] = {".", ":", "-", "=", "+", "*", "#", "@"};

void spark_put(FILE *out, const double *numbers, size_t count, size_t columns, bool utf8)
{
    size_t first = count > columns ? count - columns : 0;
    double low = INFINITY, high = -INFINITY;

    for (size_t i = first; i < count; i++) {
        if (isfinite(numbers[i]) && numbers[i] > 0) {
            low = fmin(low, log10(numbers[i]));
            high = fmax(high, log10(numbers[i]));
        }
    }
    if (high - low < DECADES_MIN) {
        /* What hardly moves is in the middle of a level, not on the edge of two. */
        low = (low + high) / 2 - DECADES_MIN * (LEVELS + 1) / (2 * LEVELS);
        high = low + DECADES_MIN;
    }
    for (size_t i = count - first; i < columns; i++)
        fputc(' ', out);
    for (size_t i = first; i < count; i++) {
        if (!isfinite(numbers[i])) {
            fputc('!', out);
        } else if (numbers[i] <= 0) {
            fputc('0', out);
        } else {
            double level = LEVELS * (log10(numbers[i]) - low) / (high - low);
            int at = level < LEVELS ? (int)level : LEVELS - 1;

            fputs((utf8 ? blocks : signs)[at < 0 ? 0 : at], out);
        }
    }
}
