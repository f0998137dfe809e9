/* A temporary folder for a test, removed with its files. */
#ifndef EMBMON_TESTS_FOLDER_H
#define EMBMON_TESTS_FOLDER_H

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder_path[64];

static inline int folder_make(void **state)
{
    (void)state;
    strcpy(folder_path, "/tmp/embmon-test-XXXXXX");
    return mkdtemp(folder_path) ? 0 : -1;
}

static inline int folder_remove(void **state)
{
    DIR *stream = opendir(folder_path);
    struct dirent *entry;

    (void)state;
    while (stream && (entry = readdir(stream)))
        if (unlinkat(dirfd(stream), entry->d_name, 0) < 0)
            unlinkat(dirfd(stream), entry->d_name, AT_REMOVEDIR);
    if (stream)
        closedir(stream);
    return rmdir(folder_path);
}

static inline const char *folder_file(const char *name)
{
    static char path[400];

    snprintf(path, sizeof path, "%s/%s", folder_path, name);
    return path;
}

static inline int folder_touch(const char *name)
{
    int fd = open(folder_file(name), O_WRONLY | O_CREAT, 0600);

    return fd < 0 ? -1 : close(fd);
}

#endif
