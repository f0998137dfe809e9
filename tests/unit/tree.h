/* A temporary folder for a test, removed with all that is below it. */
#ifndef EMBMON_TESTS_UNIT_TREE_H
#define EMBMON_TESTS_UNIT_TREE_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static char tree_path[64];

static inline int tree_make(void **state)
{
    (void)state;
    strcpy(tree_path, "/tmp/embmon-test-XXXXXX");
    return mkdtemp(tree_path) ? 0 : -1;
}

static inline int tree_remove_one(const char *path, const struct stat *status, int type,
                                  struct FTW *walk)
{
    (void)status, (void)type, (void)walk;
    return remove(path);
}

static inline int tree_remove(void **state)
{
    (void)state;
    return nftw(tree_path, tree_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* The path of something in it; one of four buffers in turn. */
static inline const char *tree_file(const char *name)
{
    static char paths[4][1024];
    static unsigned next;
    char *path = paths[next++ % 4];

    (void)snprintf(path, sizeof paths[0], "%s/%s", tree_path, name);
    return path;
}

#endif
