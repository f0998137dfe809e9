#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/beneath.h"
#include "tests/unit/tree.h"

static int base;

static int start(void **state)
{
    if (tree_make(state) != 0)
        return -1;
    base = open(tree_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return base >= 0 && mkdirat(base, "logs", 0700) == 0 && mkdirat(base, "logs/a", 0700) == 0 &&
                   mkdirat(base, "logs/a/b", 0700) == 0 && mkdirat(base, "outside", 0700) == 0 &&
                   symlinkat("../outside", base, "logs/link") == 0 &&
                   symlinkat("a", base, "logs/inner") == 0 &&
                   symlinkat("../../outside", base, "logs/a/end") == 0 &&
                   mknodat(base, "logs/file", S_IFREG | 0600, 0) == 0
               ? 0
               : -1;
}

static int stop(void **state)
{
    (void)close(base);
    return tree_remove(state);
}

typedef int opener(int folder, const char *path);

/* 0 when the path is opened as it is to be, else what is wrong with it. */
static int wrong_with(opener *open_folder, const char *path, const char *expected)
{
    int logs = openat(base, "logs", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int fd = open_folder(logs, path), error = errno, wrong = 0;
    struct stat its, other;

    if (!expected)
        wrong = fd >= 0 ? 1 : error == ELOOP || error == ENOTDIR || error == EXDEV ? 0 : error;
    else if (fd < 0 || fstat(fd, &its) != 0 || fstatat(base, expected, &other, 0) != 0)
        wrong = error ? error : 2;
    else
        wrong = its.st_ino == other.st_ino && (fcntl(fd, F_GETFD) & FD_CLOEXEC) ? 0 : 3;
    if (fd >= 0)
        (void)close(fd);
    (void)close(logs);
    return wrong;
}

static const struct {
    const char *path, *expected; /* NULL: it must not be opened */
} cases[] = {
    {"a", "logs/a"},      {"a/b", "logs/a/b"},       {"a//b/", "logs/a/b"},
    {".", "logs"},        {"a/./b", "logs/a/b"},     {"link", NULL},
    {"link/x", NULL},     {"inner", NULL}, /* nor one that stays beneath */
    {"inner/b", NULL},    {"a/end", NULL},           {"..", NULL},
    {"../outside", NULL}, {"a/../../outside", NULL}, {"file", NULL},
    {"file/x", NULL},
};

static void must_all_be_fine(opener *open_folder)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int wrong = wrong_with(open_folder, cases[i].path, cases[i].expected);

        if (wrong)
            fail_msg("%s: %d", cases[i].path, wrong);
    }
}

static void no_link_and_no_way_up(void **state)
{
    (void)state;
    must_all_be_fine(beneath_open);
    must_all_be_fine(beneath_walk);
    must_all_be_fine(beneath_make);
}

/* From here on the kernel answers openat2(2) with this error. */
static int forbid_openat2(int error)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof code[0], code};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
                   prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0
               ? 0
               : -1;
}

static void where_openat2_is_missing_or_forbidden_it_is_the_same(void **state)
{
    static const int errors[] = {ENOSYS, EPERM, EAGAIN};

    (void)state;
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        int status = 0;
        pid_t child = fork();

        if (child == 0) {
            if (forbid_openat2(errors[i]) != 0)
                _exit(100);
            for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++)
                if (wrong_with(beneath_open, cases[k].path, cases[k].expected))
                    _exit((int)k + 1);
            _exit(0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) == 100)
            skip(); /* a sandbox that does not let us have one of our own */
        assert_int_equal(WEXITSTATUS(status), 0);
    }
}

static void what_is_not_there_is_made_but_not_through_a_link(void **state)
{
    int fd = beneath_make(base, "logs/new/deep/er");

    (void)state;
    assert_true(fd >= 0);
    (void)close(fd);
    assert_int_equal(faccessat(base, "logs/new/deep/er", F_OK, 0), 0);
    assert_int_equal(beneath_make(base, "logs/link/new"), -1);
    assert_int_equal(beneath_make(base, "logs/../up"), -1);
    assert_int_equal(errno, EXDEV);
    assert_int_equal(faccessat(base, "outside/new", F_OK, 0), -1);
    assert_int_equal(faccessat(base, "up", F_OK, 0), -1);
    assert_int_equal(beneath_open(base, "logs/missing"), -1);
    assert_int_equal(errno, ENOENT);
}

static void a_whole_path_has_no_link_either(void **state)
{
    char path[128];
    int fd;

    (void)state;
    snprintf(path, sizeof path, "%s/logs/a", tree_path);
    fd = beneath_root(path);
    assert_true(fd >= 0);
    (void)close(fd);
    snprintf(path, sizeof path, "%s/logs/link", tree_path);
    assert_int_equal(beneath_root(path), -1);
    snprintf(path, sizeof path, "%s/logs/inner/b", tree_path);
    assert_int_equal(beneath_root(path), -1);
    fd = beneath_root("/");
    assert_true(fd >= 0);
    (void)close(fd);
    fd = beneath_root("daemon"); /* tests are run in the repository's root */
    assert_true(fd >= 0);
    (void)close(fd);
    assert_int_equal(beneath_root("/nonexistent/folder"), -1);
    assert_int_equal(errno, ENOENT);
}

static void a_path_has_an_end(void **state)
{
    static char path[8192];

    (void)state;
    memset(path, 'a', sizeof path - 1);
    assert_int_equal(beneath_walk(base, path), -1);
    assert_int_equal(errno, ENAMETOOLONG);
    assert_int_equal(beneath_open(base, path), -1);
    assert_int_equal(errno, ENAMETOOLONG);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(no_link_and_no_way_up),
        TEST(where_openat2_is_missing_or_forbidden_it_is_the_same),
        TEST(what_is_not_there_is_made_but_not_through_a_link),
        TEST(a_whole_path_has_no_link_either),
        TEST(a_path_has_an_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
