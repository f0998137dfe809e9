/* Numbers as a line of blocks, one a number, by their logarithm. Pure. */
#ifndef EMBMON_DAEMON_CTL_SPARK_H
#define EMBMON_DAEMON_CTL_SPARK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Writes the last of the numbers, the newest at the right end of so many columns. Lowest and
 * highest block are the least and greatest of what is shown, at least two decades apart, so that
 * ordinary noise stays flat; zero is '0', what is not finite '!'. Without UTF-8 the levels are
 * .:-=+*#@ */
void spark_put(FILE *out, const double *numbers, size_t count, size_t columns, bool utf8);

#endif
