/* The folder of a run's event files: who may write to it, what is in it, and the name of the next
 * file. Readers take files in the order of their names and leave an older one for good. */
#ifndef EMBMON_TENSORBOARD_FOLDER_H
#define EMBMON_TENSORBOARD_FOLDER_H

#include <stdbool.h>
#include <stddef.h>

enum { FOLDER_NAME_MAX = 256, FOLDER_FILES_MAX = 65536 };

/* Opens and locks the folder, no part of whose path is a link. -1 and *problem when it cannot be
 * opened or has another writer. The lock goes with the descriptor. */
int folder_open(const char *directory, const char **problem);

struct folder_files {
    char **names; /* owned, ascending */
    size_t count;
};

/* All names that a reader takes for event files. False and *problem on failure; *files is then
 * empty. */
bool folder_list(int folder, struct folder_files *files, const char **problem);
void folder_files_free(struct folder_files *files);

/* True when none of them holds an event: there is none, or its writer was killed before the first.
 */
bool folder_vacant(int folder);

/* Opens a file for reading, -1 with errno; never waits for a pipe and never follows a link. */
int folder_read(int folder, const char *name);

/* Creates a file whose name sorts after all of `files`, however the clock stands, and opens it for
 * appending. In name[FOLDER_NAME_MAX]: its name. -1 and *problem on failure. */
int folder_create(int folder, const struct folder_files *files, double wall, char *name,
                  const char **problem);

#endif
