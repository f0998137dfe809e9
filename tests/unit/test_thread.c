#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/thread.h"

/* What the thread saw of itself. */
struct seen {
    sem_t done;
    sigset_t blocked;
    size_t stack;
    int detached;
    pthread_t thread;
};

static void *look(void *argument)
{
    struct seen *seen = argument;
    pthread_attr_t attributes;

    seen->thread = pthread_self();
    (void)pthread_sigmask(SIG_SETMASK, NULL, &seen->blocked);
    if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
        (void)pthread_attr_getstacksize(&attributes, &seen->stack);
        (void)pthread_attr_getdetachstate(&attributes, &seen->detached);
        pthread_attr_destroy(&attributes);
    }
    sem_post(&seen->done);
    return NULL;
}

static void it_has_no_signals_and_nobody_waits_for_it(void **state)
{
    static const int ours[] = {SIGTERM, SIGINT, SIGHUP, SIGCHLD, SIGUSR1, SIGPIPE};
    struct seen seen = {.detached = -1};
    sigset_t before, after;

    (void)state;
    assert_int_equal(sem_init(&seen.done, 0, 0), 0);
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    assert_true(thread_start(look, &seen));
    assert_int_equal(sem_wait(&seen.done), 0);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    assert_false(pthread_equal(seen.thread, pthread_self()));
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
        assert_int_equal(sigismember(&seen.blocked, ours[i]), 1);
        assert_int_equal(sigismember(&after, ours[i]), sigismember(&before, ours[i]));
    }
    assert_int_equal(seen.detached, PTHREAD_CREATE_DETACHED);
    assert_int_equal(seen.stack, 128 << 10);
    sem_destroy(&seen.done);
}

/* In a process of its own: it gives up its memory for good. Comes first: the stack of a thread that
 * has ended would do for the next one. */
static void where_none_is_to_be_had_that_is_said(void **state)
{
    pid_t child;
    int status;

    (void)state;
#ifdef __SANITIZE_ADDRESS__ /* ends the process where it has no memory for a thread's shadow */
    skip();
#endif
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct seen seen;
        const struct rlimit none = {0, 0};

        /* Root may have any number of threads; their stacks are memory. */
        _exit(setrlimit(RLIMIT_AS, &none) == 0 && !thread_start(look, &seen) ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(where_none_is_to_be_had_that_is_said),
        cmocka_unit_test(it_has_no_signals_and_nobody_waits_for_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
