#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include "daemon/listen.h"
#include "daemon/log.h"

static char folder[64];
static char problem[LISTEN_PROBLEM_MAX];

static struct address in_folder(const char *name)
{
    struct address address = {0};
    snprintf(address.path, sizeof address.path, "%s/%s", folder, name);
    return address;
}

static bool exists(const char *name)
{
    struct stat st;
    return lstat(in_folder(name).path, &st) == 0;
}

static void write_file(const char *name)
{
    int fd = open(in_folder(name).path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
}

/* A socket whose owner died. */
static void leave_stale(const char *name)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct address address = in_folder(name);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    memcpy(a.sun_path, address.path, strlen(address.path) + 1);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(fd, 1), 0);
    close(fd);
}

static bool connects(const struct address *address)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    memcpy(a.sun_path, address->path, strlen(address->path) + 1);
    int result = connect(fd, (struct sockaddr *)&a, sizeof a);
    close(fd);
    return result == 0;
}

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/test_listen-XXXXXX");
    log_configure(LOG_LEVEL_ERROR, false);
    return mkdtemp(folder) ? 0 : -1;
}

/* Only what was made through this test's names is removed; a test that leaves more fails here. */
static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

static void a_socket_listens_for_its_owner_alone(void **state)
{
    (void)state;
    struct listener listener;
    struct address address = in_folder("s");
    struct stat st;
    assert_int_equal(listener_open(&listener, &address, problem), 0);
    assert_int_equal(stat(address.path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_true(connects(&address));
    assert_int_equal(fcntl(listener.fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(fcntl(listener.lock_fd, F_GETFD), FD_CLOEXEC);
    listener_close(&listener);
    assert_false(exists("s"));
    assert_false(exists("s.lock"));
}

static void a_served_address_is_taken(void **state)
{
    (void)state;
    struct listener first, second;
    struct address address = in_folder("s");
    assert_int_equal(listener_open(&first, &address, problem), 0);
    assert_int_equal(listener_open(&second, &address, problem), EX_UNAVAILABLE);
    assert_non_null(strstr(problem, "already served"));
    assert_true(connects(&address));
    listener_close(&first);
    assert_int_equal(listener_open(&second, &address, problem), 0);
    listener_close(&second);
}

static void a_lock_keeps_a_second_starter_out_before_the_socket_is_there(void **state)
{
    (void)state;
    struct listener first, second;
    struct address address = in_folder("s");
    assert_int_equal(listener_open(&first, &address, problem), 0);
    unlink(address.path); /* the moment between lock and bind */
    assert_int_equal(listener_open(&second, &address, problem), EX_UNAVAILABLE);
    assert_false(exists("s"));
    listener_close(&first);
    assert_false(exists("s.lock"));
}

static void a_socket_served_without_a_lock_is_taken_too(void **state)
{
    (void)state;
    struct listener first, second;
    struct address address = in_folder("s");
    assert_int_equal(listener_open(&first, &address, problem), 0);
    unlink(in_folder("s.lock").path);
    assert_int_equal(listener_open(&second, &address, problem), EX_UNAVAILABLE);
    assert_true(connects(&address));
    listener_close(&first);
    unlink(in_folder("s.lock").path);
}

static void a_socket_nobody_answers_is_replaced(void **state)
{
    (void)state;
    struct listener listener;
    struct address address = in_folder("s");
    leave_stale("s");
    assert_false(connects(&address));
    assert_int_equal(listener_open(&listener, &address, problem), 0);
    assert_true(connects(&address));
    listener_close(&listener);
}

static void what_is_not_a_socket_is_never_removed(void **state)
{
    (void)state;
    struct listener listener;
    struct address address = in_folder("file");
    write_file("file");
    assert_int_equal(listener_open(&listener, &address, problem), EX_CANTCREAT);
    assert_non_null(strstr(problem, "not a socket of ours"));
    assert_true(exists("file"));
    unlink(address.path);
    assert_int_equal(symlink("elsewhere", address.path), 0);
    assert_int_equal(listener_open(&listener, &address, problem), EX_CANTCREAT);
    assert_true(exists("file"));
    unlink(address.path);
}

static void a_successor_s_socket_is_not_removed(void **state)
{
    (void)state;
    struct listener listener;
    struct address address = in_folder("s");
    assert_int_equal(listener_open(&listener, &address, problem), 0);
    unlink(address.path);
    leave_stale("other");
    assert_int_equal(rename(in_folder("other").path, address.path), 0);
    listener_close(&listener);
    assert_true(exists("s"));
    unlink(address.path);
}

static void a_missing_folder_is_said(void **state)
{
    (void)state;
    struct listener listener;
    struct address address = in_folder("no/s");
    assert_int_equal(listener_open(&listener, &address, problem), EX_CANTCREAT);
    assert_non_null(strstr(problem, address.path));
    assert_non_null(strstr(problem, "No such file or directory"));
    listener_close(&listener); /* of one that is not open: nothing */
}

static void the_first_usable_default_is_served(void **state)
{
    (void)state;
    struct listener first, second;
    setenv("XDG_RUNTIME_DIR", folder, 1);
    setenv("HOME", folder, 1);
    assert_int_equal(listener_open_default(&first, problem), 0);
    assert_true(exists("embmond.sock"));
    assert_false(exists(".embmond"));
    assert_int_equal(listener_open_default(&second, problem), EX_UNAVAILABLE);
    listener_close(&first);
}

static void any_default_that_is_served_is_enough_to_refuse(void **state)
{
    (void)state;
    struct listener home, second;
    struct address addresses[ADDRESS_DEFAULTS_MAX];
    setenv("HOME", folder, 1);
    setenv("XDG_RUNTIME_DIR", "/nonexistent", 1);
    size_t count = address_defaults(addresses);
    assert_int_equal(mkdir(in_folder(".embmond").path, 0700), 0);
    assert_int_equal(listener_open(&home, &addresses[count - 1], problem), 0);
    setenv("XDG_RUNTIME_DIR", folder, 1);
    assert_int_equal(listener_open_default(&second, problem), EX_UNAVAILABLE);
    assert_non_null(strstr(problem, "/.embmond/"));
    assert_false(exists("embmond.sock"));
    listener_close(&home);
    rmdir(in_folder(".embmond").path);
}

static void a_private_socket_takes_its_folder_with_it(void **state)
{
    (void)state;
    struct listener listener;
    struct stat st;
    setenv("XDG_RUNTIME_DIR", folder, 1);
    assert_int_equal(listener_open_private(&listener, problem), 0);
    assert_memory_equal(listener.address.path, folder, strlen(folder));
    assert_true(connects(&listener.address));
    struct address parent = listener.address;
    *strrchr(parent.path, '/') = '\0';
    assert_int_equal(stat(parent.path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    listener_close(&listener);
    assert_int_equal(stat(parent.path, &st), -1);
}

static void a_private_socket_goes_elsewhere_when_the_path_is_too_long(void **state)
{
    (void)state;
    struct listener listener;
    char deep[160];
    memset(deep, 'd', sizeof deep);
    deep[0] = '/';
    deep[sizeof deep - 1] = '\0';
    setenv("XDG_RUNTIME_DIR", deep, 1);
    setenv("TMPDIR", folder, 1);
    assert_int_equal(listener_open_private(&listener, problem), 0);
    assert_memory_equal(listener.address.path, folder, strlen(folder));
    listener_close(&listener);
}

static void our_own_user_is_admitted(void **state)
{
    (void)state;
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_true(listener_admits(pair[0]));
    assert_false(listener_admits(-1));
    close(pair[0]);
    close(pair[1]);
}

#define LISTEN_TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LISTEN_TEST(a_socket_listens_for_its_owner_alone),
        LISTEN_TEST(a_served_address_is_taken),
        LISTEN_TEST(a_lock_keeps_a_second_starter_out_before_the_socket_is_there),
        LISTEN_TEST(a_socket_served_without_a_lock_is_taken_too),
        LISTEN_TEST(a_socket_nobody_answers_is_replaced),
        LISTEN_TEST(what_is_not_a_socket_is_never_removed),
        LISTEN_TEST(a_successor_s_socket_is_not_removed),
        LISTEN_TEST(a_missing_folder_is_said),
        LISTEN_TEST(the_first_usable_default_is_served),
        LISTEN_TEST(any_default_that_is_served_is_enough_to_refuse),
        LISTEN_TEST(a_private_socket_takes_its_folder_with_it),
        LISTEN_TEST(a_private_socket_goes_elsewhere_when_the_path_is_too_long),
        LISTEN_TEST(our_own_user_is_admitted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
