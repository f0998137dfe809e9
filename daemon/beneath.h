/* Folders beneath another one: no part of the way may be a symbolic link, nor lead up. Whoever may
 * write to a logdir cannot have files made elsewhere. */
#ifndef EMBMON_DAEMON_BENEATH_H
#define EMBMON_DAEMON_BENEATH_H

/* Opens the folder `path`, parts joined by '/'. -1 with errno: ELOOP or ENOTDIR where a part is a
 * link, EXDEV where one leads up. */
int beneath_open(int folder, const char *path);

/* The same part by part, where the kernel has no openat2(2) or a sandbox forbids it. */
int beneath_walk(int folder, const char *path);

/* The same, and makes what is not there. */
int beneath_make(int folder, const char *path);

/* Opens a folder by its whole path, in which no part is a link. */
int beneath_root(const char *path);

#endif
