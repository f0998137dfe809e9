#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "daemon/census.h"
#include "tests/unit/tree.h"

static struct census *census;

static int start(void **state)
{
    return tree_make(state) == 0 && (census = census_new(tree_path)) ? 0 : -1;
}

static int stop(void **state)
{
    census_free(census);
    return tree_remove(state);
}

static void look(uint64_t ms, bool soon, uint64_t written)
{
    census_look(census, (struct moment){.ms = ms}, soon, written);
}

/* Looks at that time until so many counts are done. */
static void look_until(uint64_t counts, uint64_t ms, bool soon, uint64_t written)
{
    const struct timespec moment = {0, 1000000};

    for (look(ms, soon, written); census_count(census) < counts; look(ms, soon, written))
        nanosleep(&moment, NULL);
}

static void file(const char *name, off_t size)
{
    int fd = open(tree_file(name), O_WRONLY | O_CREAT, 0600);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, size), 0);
    close(fd);
}

static void folders(void)
{
    static const char *const names[] = {"a",       "a/embmon",       "b", "b/c", "b/c/embmon",
                                        "a/train", "a/embmon/embmon"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_int_equal(mkdir(tree_file(names[i]), 0700), 0);
}

static void event_files_of_all_runs_are_added_up(void **state)
{
    (void)state;
    folders();
    file("a/embmon/events.out.tfevents.1.x", 1000);
    file("a/embmon/events.out.tfevents.2.x", 200);
    file("b/c/embmon/events.out.tfevents.1.x", 30);
    file("a/embmon/embmon/events.out.tfevents.1.x", 4); /* of a run called a/embmon */
    look_until(1, 0, false, 0);
    assert_int_equal(census_bytes(census, 0), 1234);
}

static void what_is_not_ours_does_not_count(void **state)
{
    (void)state;
    folders();
    file("a/train/events.out.tfevents.1.x", 1 << 20); /* what the framework writes */
    file("a/embmon/state", 1 << 20);
    file("elsewhere", 1 << 20);
    assert_int_equal(symlink("../../elsewhere", tree_file("a/embmon/events.out.tfevents.9")), 0);
    assert_int_equal(symlink("../a", tree_file("b/again")), 0);
    file("a/embmon/events.out.tfevents.1.x", 7);
    look_until(1, 0, false, 0);
    assert_int_equal(census_bytes(census, 0), 7);
}

static void what_is_written_since_is_added(void **state)
{
    (void)state;
    folders();
    file("a/embmon/events.out.tfevents.1.x", 100);
    assert_int_equal(census_bytes(census, 5), 5); /* before the first count */
    look_until(1, 0, false, 5);
    assert_int_equal(census_bytes(census, 5), 100);
    assert_int_equal(census_bytes(census, 25), 120);
    file("a/embmon/events.out.tfevents.1.x", 120);
    look_until(2, 70000, false, 25);
    assert_int_equal(census_bytes(census, 25), 120);
}

static void it_is_counted_once_a_minute_and_sooner_where_somebody_waits(void **state)
{
    (void)state;
    folders();
    file("a/embmon/events.out.tfevents.1.x", 100);
    look_until(1, 1000, false, 0);
    assert_int_equal(unlink(tree_file("a/embmon/events.out.tfevents.1.x")), 0);
    look(60999, false, 0);
    look(60999, false, 0);
    look(5999, true, 0);
    assert_int_equal(census_bytes(census, 0), 100);
    look_until(2, 6000, true, 0);
    assert_int_equal(census_bytes(census, 0), 0);
    file("a/embmon/events.out.tfevents.1.x", 50);
    look_until(3, 66000, false, 0);
    assert_int_equal(census_bytes(census, 0), 50);
}

static void a_count_that_takes_long_is_not_repeated_soon(void **state)
{
    const struct timespec moment = {0, 50000000};

    (void)state;
    folders();
    look(0, true, 0);
    nanosleep(&moment, NULL);
    look_until(1, 2000, true, 0); /* more than a second, so far as it knows: none for 50 s */
    look(51999, true, 0);
    nanosleep(&moment, NULL);
    look(51999, true, 0);
    assert_int_equal(census_count(census), 1);
    look_until(2, 52000, true, 0);
}

static void a_logdir_that_is_not_there_is_empty(void **state)
{
    (void)state;
    census_free(census);
    census = census_new("/nonexistent/logdir");
    assert_non_null(census);
    look_until(1, 0, false, 3);
    assert_int_equal(census_bytes(census, 4), 1);
}

static void one_that_is_given_up_ends_by_itself(void **state)
{
    (void)state;
    folders();
    for (int i = 0; i < 100; i++) {
        look(0, false, 0);
        census_free(census);
        census = census_new(tree_path);
        assert_non_null(census);
    }
    census_free(NULL);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(event_files_of_all_runs_are_added_up),
        TEST(what_is_not_ours_does_not_count),
        TEST(what_is_written_since_is_added),
        TEST(it_is_counted_once_a_minute_and_sooner_where_somebody_waits),
        TEST(a_count_that_takes_long_is_not_repeated_soon),
        TEST(a_logdir_that_is_not_there_is_empty),
        TEST(one_that_is_given_up_ends_by_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
