#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/supervisor.h"

/* A supervisor's end of the talk. */
static int ear = -1;
static char path[64];

static int start(void **state)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};

    (void)state;
    snprintf(path, sizeof path, "/tmp/embmon-supervisor-%ld", (long)getpid());
    strcpy(name.sun_path, path);
    unlink(path);
    ear = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return bind(ear, (struct sockaddr *)&name, sizeof name);
}

static int stop(void **state)
{
    (void)state;
    close(ear);
    unlink(path);
    unsetenv("NOTIFY_SOCKET");
    return 0;
}

static const char *heard(void)
{
    static char text[64];
    ssize_t n = recv(ear, text, sizeof text - 1, MSG_DONTWAIT);

    text[n > 0 ? n : 0] = '\0';
    return text;
}

static void it_is_told_and_the_environment_is_clean(void **state)
{
    struct supervisor s;

    (void)state;
    setenv("NOTIFY_SOCKET", path, 1);
    supervisor_open(&s);
    assert_null(getenv("NOTIFY_SOCKET"));
    supervisor_ready(&s);
    assert_string_equal(heard(), "READY=1");
    supervisor_stopping(&s);
    assert_string_equal(heard(), "STOPPING=1");
    supervisor_close(&s);
}

static void an_abstract_socket_will_do(void **state)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    struct supervisor s;
    char text[64];

    (void)state;
    close(ear);
    snprintf(text, sizeof text, "@embmon-supervisor-%ld", (long)getpid());
    memcpy(name.sun_path + 1, text + 1, strlen(text) - 1);
    ear = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(ear, (struct sockaddr *)&name,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(text))),
                     0);
    setenv("NOTIFY_SOCKET", text, 1);
    supervisor_open(&s);
    supervisor_ready(&s);
    assert_string_equal(heard(), "READY=1");
    supervisor_close(&s);
}

static void the_watchdog_is_fed_at_half_its_time(void **state)
{
    struct supervisor s;

    (void)state;
    setenv("NOTIFY_SOCKET", path, 1);
    setenv("WATCHDOG_USEC", "20000000", 1);
    supervisor_open(&s);
    supervisor_turns(&s, 10000);
    assert_string_equal(heard(), "WATCHDOG=1");
    supervisor_turns(&s, 19999);
    assert_string_equal(heard(), "");
    supervisor_turns(&s, 20000);
    assert_string_equal(heard(), "WATCHDOG=1");
    supervisor_close(&s);
}

static void another_process_watchdog_is_not_ours(void **state)
{
    struct supervisor s;

    (void)state;
    setenv("NOTIFY_SOCKET", path, 1);
    setenv("WATCHDOG_USEC", "20000000", 1);
    setenv("WATCHDOG_PID", "1", 1);
    supervisor_open(&s);
    supervisor_turns(&s, 100000);
    assert_string_equal(heard(), "");
    supervisor_close(&s);
}

static void nobody_there_is_fine(void **state)
{
    static const char *const wrong[] = {"", "x", "relative/path", "/tmp/embmon-nobody-is-here",
                                        "/a/path/that/is/far/too/long/for/the/name/of/a/socket/"
                                        "which/has/at/most/one/hundred/and/eight/bytes/of/it/all"};
    struct supervisor s;

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        setenv("NOTIFY_SOCKET", wrong[i], 1);
        setenv("WATCHDOG_USEC", "-5", 1);
        supervisor_open(&s);
        assert_int_equal(s.socket, -1);
        assert_int_equal(s.watchdog_ms, 0);
        supervisor_ready(&s);
        supervisor_turns(&s, 1000000);
        supervisor_close(&s);
    }
}

static void only_sockets_that_listen_and_are_for_us_are_taken(void **state)
{
    struct supervisor s;
    char pid[32];
    int listening = socket(AF_UNIX, SOCK_STREAM, 0), saved = dup(SUPERVISOR_FIRST_FD);

    (void)state;
    snprintf(pid, sizeof pid, "%ld", (long)getpid());
    assert_int_equal(listen(listening, 1), -1); /* not bound yet */
    setenv("LISTEN_PID", pid, 1);
    setenv("LISTEN_FDS", "1", 1);
    assert_int_equal(dup2(listening, SUPERVISOR_FIRST_FD), SUPERVISOR_FIRST_FD);
    supervisor_open(&s);
    assert_int_equal(s.listeners, 0);

    struct sockaddr_un name = {.sun_family = AF_UNIX}; /* the kernel picks an abstract name */
    assert_int_equal(bind(listening, (struct sockaddr *)&name, sizeof(sa_family_t)), 0);
    assert_int_equal(listen(listening, 1), 0);
    setenv("LISTEN_PID", "1", 1);
    setenv("LISTEN_FDS", "1", 1);
    supervisor_open(&s);
    assert_int_equal(s.listeners, 0);
    setenv("LISTEN_PID", pid, 1);
    setenv("LISTEN_FDS", "1", 1);
    supervisor_open(&s);
    assert_int_equal(s.listeners, 1);
    assert_null(getenv("LISTEN_FDS"));
    assert_true(fcntl(SUPERVISOR_FIRST_FD, F_GETFD) & FD_CLOEXEC);
    close(listening);
    if (saved >= 0)
        dup2(saved, SUPERVISOR_FIRST_FD);
    else
        close(SUPERVISOR_FIRST_FD);
    close(saved);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_is_told_and_the_environment_is_clean, start, stop),
        cmocka_unit_test_setup_teardown(an_abstract_socket_will_do, start, stop),
        cmocka_unit_test_setup_teardown(the_watchdog_is_fed_at_half_its_time, start, stop),
        cmocka_unit_test_setup_teardown(another_process_watchdog_is_not_ours, start, stop),
        cmocka_unit_test_setup_teardown(nobody_there_is_fine, start, stop),
        cmocka_unit_test_setup_teardown(only_sockets_that_listen_and_are_for_us_are_taken, start,
                                        stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
