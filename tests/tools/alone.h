/* A thread that may not call the system: for the tests of what posting does to its caller. One that
 * does, by a lock that is waited for or memory that is asked for, never goes on. */
#ifndef EMBMON_TESTS_ALONE_H
#define EMBMON_TESTS_ALONE_H

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static _Atomic int alone_call = -1;

static void alone_on_call(int number, siginfo_t *info, void *context)
{
    (void)number, (void)context;
    atomic_store(&alone_call, info->si_syscall);
    for (;;) /* to return, and to end, are system calls too: the main thread ends us */
        ;
}

/* From here on this thread may end, and read the clock of its own processor time, which the library
 * never reads. All other clocks are read without the kernel, by the vDSO, or not at all. */
static void alone_begin(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clock_gettime, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, CLOCK_THREAD_CPUTIME_ID, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
    };
    struct sock_fprog program = {sizeof filter / sizeof filter[0], filter};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
        fputs("no seccomp here\n", stderr);
        _exit(77);
    }
}

/* pthread_exit() frees the thread's stack, which is a call. */
_Noreturn static void alone_end(void)
{
    for (;;)
        syscall(SYS_exit, 0);
}

/* Runs it in a thread of its own to its end; it calls the two above. Every millisecond meanwhile:
 * watch(). Status 3: it called the system. */
static void alone_run(void *(*run)(void *), void (*watch)(void *), void *context)
{
    struct sigaction action = {.sa_sigaction = alone_on_call, .sa_flags = SA_SIGINFO};
    struct timespec time = {0, 1000000};
    pthread_t thread;

    sigaction(SIGSYS, &action, NULL);
    if (pthread_create(&thread, NULL, run, context) != 0) {
        fputs("no thread\n", stderr);
        _exit(1);
    }
    while (pthread_tryjoin_np(thread, NULL) == EBUSY) {
        int number = atomic_load(&alone_call);

        if (number >= 0) {
            fprintf(stderr, "system call %d on the posting thread\n", number);
            _exit(3);
        }
        watch(context);
        nanosleep(&time, NULL);
    }
}

#endif
