/* The file `state` in a run's folder: replaced as a whole, never through a link, so that a reader
 * finds the old one or the new one whenever its writer was killed. */
#ifndef EMBMON_DAEMON_STATE_FILE_H
#define EMBMON_DAEMON_STATE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* Writes the parts, one behind the other, as `state.new` and renames it. 0, or an errno; the old
 * file is then as it was. */
int state_file_write(int folder, const struct iovec *parts, size_t count);

/* Marks the file as it is now: a second link to it, STATE_MARKED, which outlives its replacement;
 * returns a descriptor of it, -1 with errno. A file system without links has none: *linked. */
int state_file_mark(int folder, bool *linked);

/* The file, that link, and what it is to be called once it has reached the disk. */
extern const char STATE_FILE[], STATE_MARKED[], STATE_DURABLE[];

/* Reads all of it, at most `most` bytes. 0 and *data (the caller frees it), or an errno: ENOENT
 * where there is none. */
int state_file_read(int folder, const char *name, size_t most, uint8_t **data, size_t *n);

/* The same of its beginning alone; *wall: when it was written, or last said to be new. */
int state_file_peek(int folder, const char *name, size_t most, uint8_t **data, size_t *n,
                    double *wall);

/* Says that the file is as new as that. */
void state_file_touch(int folder, double wall);

#endif
