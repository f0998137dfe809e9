#include "daemon/advice.h"

#include <errno.h>

const char *advice_for(int error)
{
    switch (error) {
    case ENOSPC:
        return "make some space on that disk, and writing goes on by itself";
    case EDQUOT:
        return "make some space within your quota, and writing goes on by itself";
    case EROFS:
        return "make that disk writable again, and writing goes on by itself";
    case EACCES:
    case EPERM:
        return "let embmond's user write there, and writing goes on by itself";
    case EIO:
        return "look at the kernel's log (dmesg); where the disk is broken, start embmond again "
               "with "
               "another logdir";
    case EMFILE:
    case ENFILE:
        return "let embmond open more files (ulimit -n)";
    case EFBIG:
        return "let embmond write longer files (ulimit -f)";
    case ENOENT:
    case ENOTDIR:
    case ELOOP:
        return "put the folders above it back, and writing goes on by itself";
    default:
        return "writing goes on by itself once that is over";
    }
}
