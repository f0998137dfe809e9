/* Patterns of layers, as people write them: `*` is any characters (it crosses '/'), `?` one
 * character of UTF-8, all else itself. */
#ifndef EMBMON_DAEMON_GLOB_H
#define EMBMON_DAEMON_GLOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/name.h"

/* Does the whole text match? No recursion, no allocation; time at most the product of both
 * lengths. */
bool glob_match(const char *pattern, const char *text);

/* The same for a layer's path: a pattern without a '/' is of the path's last part. The whole model
 * has the path "", which only patterns of nothing but `*` match. */
bool glob_match_path(const char *pattern, const char *path);

/* The same for many paths: a pattern of at most GLOB_MAX bytes made ready. Time is the path's
 * length, whatever the pattern. */
enum { GLOB_WORDS = (GLOB_MAX + 1) / 64 };
struct glob {
    uint64_t takes[256][GLOB_WORDS]; /* by byte: bits of the states that it takes one further */
    uint64_t lasts[2][GLOB_WORDS];   /* of those that stay: first bytes of characters, others */
    size_t length;
    bool whole; /* of the whole path */
};
_Static_assert(GLOB_WORDS * 64 > GLOB_MAX, "there is a bit behind the last character");

void glob_compile(struct glob *glob, const char *pattern);
bool glob_matches_path(const struct glob *glob, const char *path);

#endif
