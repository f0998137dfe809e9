/* Layers as a tree: their paths split at '/'. Pure. */
#ifndef EMBMON_DAEMON_CTL_TREE_H
#define EMBMON_DAEMON_CTL_TREE_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/name.h"

enum {
    TREE_DEPTH_MAX = 8,    /* what is deeper stands in one line, with its slashes */
    TREE_NONE = -1,        /* a branch that is no layer itself */
    TREE_INDENT_BYTES = 4, /* of a level: a line of the tree and a blank */
    TREE_TEXT_BYTES = TREE_DEPTH_MAX * TREE_INDENT_BYTES + NAME_LAYER_MAX + 1
};

struct tree_line {
    char text[TREE_TEXT_BYTES];
    int layer; /* index of its path, or TREE_NONE */
};

/* The tree of the paths: a branch stands where the first of its layers does, one that leads to a
 * single place in one line with it. Returns the lines it takes and, unless lines is NULL or that is
 * more than most, writes them. (size_t)-1: out of memory. */
size_t tree_draw(const char *const *paths, size_t count, bool utf8, struct tree_line *lines,
                 size_t most);

#endif
