/* Threads for what may take long and must not keep the loop: waiting for a disk, counting files. */
#ifndef EMBMON_DAEMON_THREAD_H
#define EMBMON_DAEMON_THREAD_H

#include <stdbool.h>

/* work(argument) in a thread that nobody waits for: the process may end before it does. All its
 * signals are blocked, they are the loop's; its stack is 128 KiB. False: there is none to be had,
 * and the argument stays the caller's. */
bool thread_start(void *(*work)(void *argument), void *argument);

#endif
