#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "daemon/state_file.h"
#include "tests/unit/folder.h"

static int folder = -1;

static int start(void **state)
{
    if (folder_make(state) != 0)
        return -1;
    folder = open(folder_path, O_RDONLY | O_DIRECTORY);
    return folder < 0 ? -1 : 0;
}

static int stop(void **state)
{
    close(folder);
    return folder_remove(state);
}

static int put(const char *text)
{
    size_t half = strlen(text) / 2;
    char *bytes = (char *)(uintptr_t)text;
    const struct iovec parts[] = {{bytes, half}, {NULL, 0}, {bytes + half, strlen(text) - half}};

    return state_file_write(folder, parts, 3);
}

static void assert_holds(const char *text)
{
    uint8_t *data;
    size_t n = 0;

    assert_int_equal(state_file_read(folder, STATE_FILE, 1000, &data, &n), 0);
    assert_int_equal(n, strlen(text));
    assert_memory_equal(data, text, n);
    free(data);
}

static int read_error(size_t most)
{
    uint8_t *data;
    size_t n;
    int error = state_file_read(folder, STATE_FILE, most, &data, &n);

    if (!error)
        free(data);
    return error;
}

static void what_was_written_last_is_read(void **state)
{
    (void)state;
    assert_int_equal(read_error(1000), ENOENT);
    assert_int_equal(put("first"), 0);
    assert_holds("first");
    assert_int_equal(put("2nd"), 0);
    assert_holds("2nd");
    assert_int_equal(put(""), 0);
    assert_holds("");
    assert_int_equal(faccessat(folder, "state.new", F_OK, 0), -1);
}

static void what_a_killed_writer_left_is_in_nobodys_way(void **state)
{
    (void)state;
    assert_int_equal(put("whole"), 0);
    assert_int_equal(folder_touch("state.new"), 0);
    assert_holds("whole");
    assert_int_equal(put("next"), 0);
    assert_holds("next");
}

static void links_are_replaced_and_not_followed(void **state)
{
    (void)state;
    assert_int_equal(folder_touch("elsewhere"), 0);
    assert_int_equal(symlinkat("elsewhere", folder, "state"), 0);
    assert_int_equal(symlinkat("elsewhere", folder, "state.new"), 0);
    assert_int_equal(read_error(1000), ELOOP);
    assert_int_equal(put("mine"), 0);
    assert_holds("mine");
    assert_int_equal(unlinkat(folder, "state", 0), 0);
    assert_int_equal(renameat(folder, "elsewhere", folder, "state"), 0);
    assert_holds(""); /* nothing came through the links */
}

static void what_is_no_file_or_too_long_is_not_read(void **state)
{
    (void)state;
    assert_int_equal(put("0123456789"), 0);
    assert_int_equal(read_error(10), 0);
    assert_int_equal(read_error(9), EFBIG);
    assert_int_equal(unlinkat(folder, "state", 0), 0);
    assert_int_equal(mkfifoat(folder, "state", 0600), 0); /* nobody is waited for */
    assert_int_equal(read_error(1000), EINVAL);
    assert_int_equal(unlinkat(folder, "state", 0), 0);
    assert_int_equal(mkdirat(folder, "state", 0700), 0);
    assert_int_equal(put("x"), EISDIR);
    assert_int_equal(faccessat(folder, "state.new", F_OK, 0), -1);
}

static void on_a_full_disk_the_old_one_stays(void **state)
{
    struct rlimit limit, before;

    (void)state;
    assert_int_equal(put("old"), 0);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = 4;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_int_equal(put("longer than that"), EFBIG);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_holds("old");
    assert_int_equal(faccessat(folder, "state.new", F_OK, 0), -1); /* its room is given back */
}

static void its_beginning_is_read_with_its_age(void **state)
{
    uint8_t *data;
    double wall;
    size_t n;

    (void)state;
    assert_int_equal(state_file_peek(folder, STATE_FILE, 4, &data, &n, &wall), ENOENT);
    assert_int_equal(put("0123456789"), 0);
    state_file_touch(folder, 1.7e9 + 0.5);
    assert_int_equal(state_file_peek(folder, STATE_FILE, 4, &data, &n, &wall), 0);
    assert_int_equal(n, 4);
    assert_memory_equal(data, "0123", 4);
    assert_true(wall >= 1.7e9 && wall <= 1.7e9 + 0.5);
    free(data);
    assert_int_equal(state_file_peek(folder, STATE_FILE, 100, &data, &n, &wall), 0);
    assert_int_equal(n, 10);
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_written_last_is_read, start, stop),
        cmocka_unit_test_setup_teardown(what_a_killed_writer_left_is_in_nobodys_way, start, stop),
        cmocka_unit_test_setup_teardown(links_are_replaced_and_not_followed, start, stop),
        cmocka_unit_test_setup_teardown(what_is_no_file_or_too_long_is_not_read, start, stop),
        cmocka_unit_test_setup_teardown(its_beginning_is_read_with_its_age, start, stop),
        cmocka_unit_test_setup_teardown(on_a_full_disk_the_old_one_stays, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
