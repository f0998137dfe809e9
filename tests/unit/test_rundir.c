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
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/rundir.h"
#include "tests/unit/tree.h"

static bool is_folder(const char *name)
{
    struct stat status;

    return lstat(tree_file(name), &status) == 0 && S_ISDIR(status.st_mode);
}

static void a_run_gets_its_folder_with_all_parents(void **state)
{
    char *path = rundir_make(tree_path, "team/x.1/run-3");
    int fd;

    (void)state;
    assert_non_null(path);
    assert_string_equal(path, tree_file("team/x.1/run-3/embmon"));
    assert_true(is_folder("team/x.1/run-3/embmon"));
    assert_true(rundir_exists(tree_path, "team/x.1/run-3"));
    free(path);
    fd = rundir_open(tree_path, "team/x.1/run-3");
    assert_true(fd >= 0 && faccessat(fd, "../embmon", F_OK, 0) == 0);
    close(fd);
    assert_int_equal(rundir_open(tree_path, "team/x.1/run-4"), -1);
    assert_int_equal(errno, ENOENT);
    path = rundir_make(tree_path, "team/x.1/run-3"); /* once more */
    assert_non_null(path);
    free(path);
}

static void a_folder_without_records_is_no_run(void **state)
{
    (void)state;
    assert_false(rundir_exists(tree_path, "keras"));
    assert_int_equal(mkdir(tree_file("keras"), 0700), 0);
    assert_int_equal(mkdir(tree_file("keras/train"), 0700), 0);
    assert_false(rundir_exists(tree_path, "keras"));
    free(rundir_make(tree_path, "team/y"));
    assert_true(rundir_exists(tree_path, "team/y"));
    assert_false(rundir_exists(tree_path, "team"));
}

static void names_that_leave_the_logdir_are_refused(void **state)
{
    static const char *const names[] = {"..", "a/../b", "/a", "a//b", "", ".", "a/", "a b", "-a"};

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        errno = 0;
        assert_null(rundir_make(tree_path, names[i]));
        assert_int_equal(errno, EINVAL);
    }
}

static void a_symbolic_link_below_the_logdir_is_not_followed(void **state)
{
    (void)state;
    assert_int_equal(mkdir(tree_file("outside"), 0700), 0);
    assert_int_equal(symlink(tree_file("outside"), tree_file("link")), 0);
    assert_null(rundir_make(tree_path, "link"));
    assert_true(errno == ELOOP || errno == ENOTDIR);
    assert_null(rundir_make(tree_path, "link/run"));
    assert_false(is_folder("outside/embmon"));
    assert_true(rundir_exists(tree_path, "link")); /* not to be written over either */

    assert_int_equal(mkdir(tree_file("run"), 0700), 0);
    assert_int_equal(symlink(tree_file("outside"), tree_file("run/embmon")), 0);
    assert_null(rundir_make(tree_path, "run"));
    assert_true(rundir_exists(tree_path, "run"));
}

static void a_link_as_the_logdir_is_the_users_own_wish(void **state)
{
    char logdir[80];

    (void)state;
    assert_int_equal(mkdir(tree_file("real"), 0700), 0);
    assert_int_equal(symlink(tree_file("real"), tree_file("alias")), 0);
    (void)snprintf(logdir, sizeof logdir, "%s", tree_file("alias"));
    free(rundir_make(logdir, "run"));
    assert_true(is_folder("real/run/embmon"));
}

static void a_file_in_the_way_is_said(void **state)
{
    FILE *file = fopen(tree_file("file"), "w");

    (void)state;
    assert_non_null(file);
    (void)fclose(file);
    assert_null(rundir_make(tree_path, "file/run"));
    assert_int_equal(errno, ENOTDIR);
    assert_true(rundir_exists(tree_path, "file"));
    assert_null(rundir_make("/nonexistent/logdir", "run"));
    assert_int_equal(errno, ENOENT);
    assert_false(rundir_exists("/nonexistent/logdir", "run"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_run_gets_its_folder_with_all_parents, tree_make,
                                        tree_remove),
        cmocka_unit_test_setup_teardown(a_folder_without_records_is_no_run, tree_make, tree_remove),
        cmocka_unit_test_setup_teardown(names_that_leave_the_logdir_are_refused, tree_make,
                                        tree_remove),
        cmocka_unit_test_setup_teardown(a_symbolic_link_below_the_logdir_is_not_followed, tree_make,
                                        tree_remove),
        cmocka_unit_test_setup_teardown(a_link_as_the_logdir_is_the_users_own_wish, tree_make,
                                        tree_remove),
        cmocka_unit_test_setup_teardown(a_file_in_the_way_is_said, tree_make, tree_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
