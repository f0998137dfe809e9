#include "daemon/file_system.h"

#include <stddef.h>
#include <sys/vfs.h>

#include "daemon/log.h"

/* Those of <linux/magic.h>, and of kernels that are not in it. What is on another machine may be
 * late, or have been there only for us; of FUSE nobody knows what is behind it. */
static const struct file_system doubted[] = {
    {0x6969, "NFS", false},        {0x65735546, "FUSE", false}, /* virtiofs, too */
    {0x0bd00bd3, "Lustre", false}, {0xff534d42, "CIFS", false}, {0xfe534d42, "SMB", false},
    {0x517b, "SMB", false},        {0x00c36400, "Ceph", false}, {0x47504653, "GPFS", false},
    {0x19830326, "BeeGFS", false}, {0x5346414f, "AFS", false},  {0x6b414653, "AFS", false},
    {0x73757245, "Coda", false},   {0x01021997, "9P", false},   {0x7461636f, "OCFS2", false},
    {0x01161970, "GFS2", false},   {0x01021994, "tmpfs", true}, {0x858458f6, "ramfs", true},
};

const struct file_system *file_system_doubted(uint32_t magic)
{
    for (size_t i = 0; i < sizeof doubted / sizeof *doubted; i++)
        if (doubted[i].magic == magic)
            return &doubted[i];
    return NULL;
}

void file_system_say(const char *folder)
{
    const struct file_system *found;
    struct statfs at;

    /* The type is signed, and wider than the number on some machines. */
    if (statfs(folder, &at) != 0 || !(found = file_system_doubted((uint32_t)at.f_type)))
        return;
    if (found->in_memory)
        log_info("the logdir %s is in memory (%s): what is written there is gone with the machine",
                 folder, found->name);
    else
        log_warn("the logdir %s is on %s: whether what is acknowledged survives a crash is up to "
                 "it; only a local file system is sure to keep it",
                 folder, found->name);
}
