#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/forks.h"
#include "embmon/embmon.h"

static int exit_of(pid_t child)
{
    int status;

    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void the_child_has_no_socket_and_another_generation(void **state)
{
    _Atomic int watched = open("/dev/null", O_RDONLY);
    int fd = watched, token = forks_watch(&watched);
    uint32_t generation = forks_generation();
    pid_t child;

    (void)state;
    assert_true(token >= 0);
    child = fork();
    if (child == 0) {
        bool closed = watched == -1 && fcntl(fd, F_GETFD) == -1;

        _exit(closed && forks_generation() != generation ? 0 : 1);
    }
    assert_int_equal(exit_of(child), 0);
    assert_int_equal(watched, fd);
    assert_true(fcntl(fd, F_GETFD) >= 0);
    assert_int_equal(forks_generation(), generation);
    forks_forget(token);
    close(fd);
}

static void what_is_forgotten_is_left_alone(void **state)
{
    _Atomic int watched = open("/dev/null", O_RDONLY);
    int fd = watched, token = forks_watch(&watched);
    pid_t child;

    (void)state;
    forks_forget(token);
    child = fork();
    if (child == 0)
        _exit(fcntl(fd, F_GETFD) >= 0 ? 0 : 1);
    assert_int_equal(exit_of(child), 0);
    close(fd);
}

static void there_is_a_limit_of_what_is_watched(void **state)
{
    static _Atomic int sockets[FORKS_WATCHED_MAX + 1];
    int tokens[FORKS_WATCHED_MAX];

    (void)state;
    for (int i = 0; i < FORKS_WATCHED_MAX; i++) {
        sockets[i] = -1;
        tokens[i] = forks_watch(&sockets[i]);
        assert_true(tokens[i] >= 0);
    }
    assert_int_equal(forks_watch(&sockets[FORKS_WATCHED_MAX]), EMBMON_ELIMIT);
    for (int i = 0; i < FORKS_WATCHED_MAX; i++)
        forks_forget(tokens[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_child_has_no_socket_and_another_generation),
        cmocka_unit_test(what_is_forgotten_is_left_alone),
        cmocka_unit_test(there_is_a_limit_of_what_is_watched),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
