/* What is under the logdir: what embmond promises of posts that are kept, and durable, a local file
 * system has to keep. */
#ifndef EMBMON_DAEMON_FILE_SYSTEM_H
#define EMBMON_DAEMON_FILE_SYSTEM_H

#include <stdbool.h>
#include <stdint.h>

struct file_system {
    uint32_t magic; /* as statfs() gives it */
    const char *name;
    bool in_memory; /* local, and gone with the machine */
};

/* The one of this number, NULL where nothing speaks against it. */
const struct file_system *file_system_doubted(uint32_t magic);

/* Says in the log what speaks against the folder's. */
void file_system_say(const char *folder);

#endif
