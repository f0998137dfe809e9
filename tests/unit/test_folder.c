#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <sys/stat.h>

#include "daemon/tensorboard/folder.h"
#include "tests/unit/folder.h"

/* Creates the next file beside those there are; its name, or NULL and *problem. */
static const char *next(double wall, const char **problem)
{
    static char name[FOLDER_NAME_MAX];
    struct folder_files files;
    int folder = folder_open(folder_path, problem), fd = -1;

    assert_true(folder >= 0);
    assert_true(folder_list(folder, &files, problem));
    fd = folder_create(folder, &files, wall, name, problem);
    if (fd >= 0)
        close(fd);
    folder_files_free(&files);
    close(folder);
    return fd >= 0 ? name : NULL;
}

static void assert_next(double wall, const char *start)
{
    const char *problem, *name = next(wall, &problem);

    assert_non_null(name);
    assert_memory_equal(name, start, strlen(start));
}

static void a_name_has_seconds_host_process_and_number(void **state)
{
    (void)state;
    const char *problem, *name = next(1700000000.9, &problem);
    char end[32];
    struct stat status;

    snprintf(end, sizeof end, ".%d.0", getpid());
    assert_non_null(name);
    assert_memory_equal(name, "events.out.tfevents.1700000000.", 31);
    assert_string_equal(name + strlen(name) - strlen(end), end);
    assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789._-"),
                     strlen(name));
    assert_int_equal(stat(folder_file(name), &status), 0);
    assert_int_equal(status.st_mode & 0137, 0);
    assert_int_equal(status.st_size, 0);
}

static void the_next_name_sorts_behind_whatever_the_clock_says(void **state)
{
    (void)state;
    assert_next(1700000000, "events.out.tfevents.1700000000.");
    assert_next(1700000000, "events.out.tfevents.1700000001.");
    assert_next(5, "events.out.tfevents.1700000002.");
    assert_next(-1e300, "events.out.tfevents.1700000003.");
    assert_next(0.0 / 0.0 * 1, "events.out.tfevents.1700000004.");
    assert_next(1800000000, "events.out.tfevents.1800000000.");
}

static void a_name_of_few_digits_is_sorted_behind_too(void **state)
{
    (void)state;
    folder_touch("events.out.tfevents.5.host");
    assert_next(1700000000, "events.out.tfevents.5000000001.");
}

static void files_of_other_programs_are_seen(void **state)
{
    (void)state;
    folder_touch("a-run.tfevents");
    folder_touch("events.out.tfevents.1750000000.keras.1.0.v2");
    folder_touch("alerts.jsonl");
    assert_next(1700000000, "events.out.tfevents.1750000001.");
}

static void a_name_that_nothing_sorts_behind_is_a_clear_problem(void **state)
{
    (void)state;
    const char *problem = "";

    folder_touch("run1.tfevents");
    assert_null(next(1700000000, &problem));
    assert_memory_equal(problem, "the event file run1.tfevents sorts after any new one", 52);
    unlink(folder_file("run1.tfevents"));
    folder_touch("events.out.tfevents.9999999999.zzz");
    assert_null(next(1700000000, &problem));
    assert_non_null(strstr(problem, "move it away"));
}

static void one_folder_has_one_writer(void **state)
{
    (void)state;
    const char *problem = "";
    int first = folder_open(folder_path, &problem), second;
    char expected[128];

    assert_true(first >= 0);
    assert_int_equal(folder_open(folder_path, &problem), -1);
    snprintf(expected, sizeof expected, "%s is being written by another process", folder_path);
    assert_memory_equal(problem, expected, strlen(expected));
    close(first);
    second = folder_open(folder_path, &problem);
    assert_true(second >= 0);
    close(second);
}

static void a_missing_folder_is_a_clear_problem(void **state)
{
    (void)state;
    const char *problem = "";

    assert_int_equal(folder_open("/tmp/embmon-no-such-folder", &problem), -1);
    assert_string_equal(problem,
                        "cannot open /tmp/embmon-no-such-folder: No such file or directory");
}

static void a_link_in_its_place_is_not_followed(void **state)
{
    (void)state;
    const char *problem = "";

    assert_int_equal(mkdir(folder_file("real"), 0700), 0);
    assert_int_equal(symlink("real", folder_file("link")), 0);
    assert_int_equal(folder_open(folder_file("link"), &problem), -1);
    assert_non_null(strstr(problem, "cannot open"));
    assert_int_equal(folder_open(folder_file("link/deeper"), &problem), -1);
}

static void files_are_listed_in_the_readers_order(void **state)
{
    (void)state;
    const char *problem;
    struct folder_files files;
    int folder = folder_open(folder_path, &problem);

    folder_touch("events.out.tfevents.2.b");
    folder_touch("events.out.tfevents.10.a");
    folder_touch("x.tfevents.y");
    folder_touch("state");
    assert_true(folder_list(folder, &files, &problem));
    assert_int_equal(files.count, 3);
    assert_string_equal(files.names[0], "events.out.tfevents.10.a");
    assert_string_equal(files.names[1], "events.out.tfevents.2.b");
    assert_string_equal(files.names[2], "x.tfevents.y");
    folder_files_free(&files);
    assert_int_equal(files.count, 0);
    close(folder);
}

static void many_files_are_listed(void **state)
{
    (void)state;
    const char *problem;
    struct folder_files files;
    int folder = folder_open(folder_path, &problem);
    char name[64];

    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "events.out.tfevents.%010d.h", 299 - i);
        folder_touch(name);
    }
    assert_true(folder_list(folder, &files, &problem));
    assert_int_equal(files.count, 300);
    assert_string_equal(files.names[299], "events.out.tfevents.0000000299.h");
    folder_files_free(&files);
    close(folder);
}

static void pipes_links_and_folders_are_not_read(void **state)
{
    (void)state;
    const char *problem;
    int folder = folder_open(folder_path, &problem), fd;

    assert_int_equal(mkfifo(folder_file("pipe.tfevents"), 0600), 0);
    assert_int_equal(symlink("/etc/passwd", folder_file("link.tfevents")), 0);
    assert_int_equal(mkdir(folder_file("folder.tfevents"), 0700), 0);
    folder_touch("file.tfevents");
    assert_int_equal(folder_read(folder, "pipe.tfevents"), -1);
    assert_int_equal(folder_read(folder, "link.tfevents"), -1);
    assert_int_equal(folder_read(folder, "folder.tfevents"), -1);
    fd = folder_read(folder, "file.tfevents");
    assert_true(fd >= 0);
    close(fd);
    close(folder);
}

static void a_planted_name_is_never_followed(void **state)
{
    (void)state;
    const char *problem;
    struct folder_files none = {0};
    char name[FOLDER_NAME_MAX], again[FOLDER_NAME_MAX];
    int folder = folder_open(folder_path, &problem), fd;

    fd = folder_create(folder, &none, 1700000000, name, &problem);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(unlink(folder_file(name)), 0);
    assert_int_equal(symlink("/tmp/embmon-planted", folder_file(name)), 0);
    fd = folder_create(folder, &none, 1700000000, again, &problem);
    assert_true(fd >= 0);
    close(fd);
    assert_true(strcmp(again, name) > 0);
    assert_int_equal(access("/tmp/embmon-planted", F_OK), -1);
    close(folder);
}

static void fill(const char *name, size_t n)
{
    static const char bytes[128];
    int fd = open(folder_file(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, n), n);
    close(fd);
}

static void it_is_vacant_until_there_is_more_than_a_version(void **state)
{
    int folder = open(folder_path, O_RDONLY | O_DIRECTORY);

    (void)state;
    assert_true(folder_vacant(folder));
    fill("events.out.tfevents.1700000000.h.1.0", 40);
    fill("state", 128);
    assert_true(folder_vacant(folder));
    fill("events.out.tfevents.1700000001.h.1.0", 80);
    assert_false(folder_vacant(folder));
    assert_int_equal(unlinkat(folder, "events.out.tfevents.1700000001.h.1.0", 0), 0);
    assert_int_equal(symlinkat("state", folder, "events.out.tfevents.1700000001.h.1.0"), 0);
    assert_false(folder_vacant(folder)); /* not ours */
    close(folder);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, folder_make, folder_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_is_vacant_until_there_is_more_than_a_version),
        TEST(a_name_has_seconds_host_process_and_number),
        TEST(the_next_name_sorts_behind_whatever_the_clock_says),
        TEST(a_name_of_few_digits_is_sorted_behind_too),
        TEST(files_of_other_programs_are_seen),
        TEST(a_name_that_nothing_sorts_behind_is_a_clear_problem),
        TEST(one_folder_has_one_writer),
        TEST(a_missing_folder_is_a_clear_problem),
        TEST(a_link_in_its_place_is_not_followed),
        TEST(files_are_listed_in_the_readers_order),
        TEST(many_files_are_listed),
        TEST(pipes_links_and_folders_are_not_read),
        TEST(a_planted_name_is_never_followed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
