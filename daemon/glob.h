/* Patterns of layers, as people write them: `*` is any characters (it crosses '/'), `?` one
 * character of UTF-8, all else itself. */
#ifndef EMBMON_DAEMON_GLOB_H
#define EMBMON_DAEMON_GLOB_H

#include <stdbool.h>

/* Does the whole text match? No recursion, no allocation; time at most the product of both
 * lengths. */
bool glob_match(const char *pattern, const char *text);

/* The same for a layer's path: a pattern without a '/' is of the path's last part. The whole model
 * has the path "", which only patterns of nothing but `*` match. */
bool glob_match_path(const char *pattern, const char *path);

#endif
