/* The recorder over restarts: whatever was queued is in the files once. */
#include "tests/unit/training.h"
/* after it: that brings cmocka */
#include <sys/stat.h>

#include "daemon/tensorboard/folder.h"
#include "daemon/tensorboard/tfrecord.h"
#include "tests/unit/again.h"
#include "tests/unit/folder.h"

static size_t layer_a;
static double wall;

static int begin(void **state)
{
    if (folder_make(state) < 0 || training_begin(state) < 0)
        return -1;
    layer_a = embedding("a");
    wall = 1.7e9;
    return 0;
}

static int end(void **state)
{
    (void)training_end(state);
    return folder_remove(state);
}

static void open_record(void)
{
    const char *problem = "";
    struct moment now = {.wall = wall};

    wall += 10;
    training.record = record_begin(folder_path, &training.model, now, &problem);
    if (!training.record)
        fail_msg("%s", problem);
    record_hold(training.record);
}

static struct carry saved_record(void)
{
    struct carry c;

    carry_save(&c, 64 << 20);
    record_carry(&c, training.record);
    assert_null(c.problem);
    return c;
}

/* As after kill -9: nothing is written any more, and the lock goes. */
static void kill_record(void)
{
    int null = open("/dev/null", O_WRONLY);
    struct event_file_stats stats;
    char path[400];
    int file;

    record_stats(training.record, &stats);
    (void)snprintf(path, sizeof path, "%s", folder_file(stats.name));
    file = open(path, O_RDONLY);
    for (int fd = 3; fd < 64; fd++) { /* whose descriptor is the file's */
        struct stat a, b;

        if (fd != file && fstat(fd, &a) == 0 && fstat(file, &b) == 0 && a.st_ino == b.st_ino &&
            a.st_dev == b.st_dev)
            assert_true(dup2(null, fd) == fd);
    }
    close(file);
    close(null);
    record_close(training.record);
    training.record = NULL;
}

static const char *load_record(const struct carry *saved)
{
    const char *problem = "";
    struct carry c;

    carry_load(&c, saved->data, saved->length);
    record_carry(&c, training.record);
    assert_true(c.problem || (c.at == c.end && record_create(training.record, &problem)));
    return c.problem;
}

/* Records in all files but their version lines. */
static size_t records(void)
{
    struct folder_files files;
    const char *problem;
    size_t count = 0;
    int folder = open(folder_path, O_RDONLY | O_DIRECTORY);

    assert_true(folder >= 0 && folder_list(folder, &files, &problem));
    for (size_t i = 0; i < files.count; i++) {
        static uint8_t data[1 << 20];
        const uint8_t *payload;
        size_t length, used, at = 0, in_file = 0;
        int fd = folder_read(folder, files.names[i]);
        ssize_t n = read(fd, data, sizeof data);

        while (tfrecord_read(data + at, (size_t)n - at, &payload, &length, &used) == TFRECORD_OK) {
            at += used;
            in_file++;
        }
        close(fd);
        count += in_file ? in_file - 1 : 0;
    }
    folder_files_free(&files);
    close(folder);
    return count;
}

static void step(void)
{
    gradient(layer_a, 0.5);
    loss(1);
    step_done();
}

/* 100 steps, restarted after each of them; written before the end as `how` says. */
static size_t records_of_100_steps(int how)
{
    for (int i = 0; i < 100; i++) {
        struct carry saved;

        step();
        if (how == 0)
            continue;
        saved = saved_record();
        if (how == 2 || (how == 3 && i % 2))
            assert_true(record_flush(training.record));
        kill_record();
        open_record();
        assert_null(load_record(&saved));
        carry_free(&saved);
    }
    record_finish(training.record, training.alerts, training.now);
    assert_true(record_flush(training.record));
    return records();
}

static void begin_record(void)
{
    const char *problem;

    open_record();
    assert_true(record_create(training.record, &problem));
}

static void nothing_is_missing_and_nothing_there_twice(void **state)
{
    size_t expected;

    begin_record();
    expected = records_of_100_steps(0);
    assert_true(expected > 500);
    for (int how = 1; how <= 3; how++) {
        end(state);
        begin(state);
        begin_record();
        assert_int_equal(records_of_100_steps(how), expected);
        assert_int_equal(record_last_step(training.record, EMBMON_TRAIN), 99);
    }
}

static void a_file_that_is_not_as_it_was_left_is_refused(void **state)
{
    struct carry saved;
    struct event_file_stats stats;
    char path[400];

    (void)state;
    begin_record();
    step();
    assert_true(record_flush(training.record));
    saved = saved_record();
    record_stats(training.record, &stats);
    (void)snprintf(path, sizeof path, "%s", folder_file(stats.name));
    kill_record();
    assert_int_equal(truncate(path, 40), 0);
    open_record();
    assert_string_equal(load_record(&saved), "the event file is not as it was left");
    record_close(training.record);
    assert_int_equal(unlink(path), 0);
    open_record();
    assert_string_equal(load_record(&saved), "the event file cannot be opened");
    carry_free(&saved);
}

static void windows_that_are_written_early_go_on(void **state)
{
    struct carry saved;

    (void)state;
    begin_record();
    for (int i = 0; i < 601; i++) /* strides of two steps and more */
        step();
    record_windows(training.record, training.now);
    saved = saved_record();
    kill_record();
    open_record();
    assert_null(load_record(&saved));
    carry_free(&saved);
    assert_int_equal(record_last_step(training.record, EMBMON_TRAIN), 600);
    for (int i = 0; i < 20; i++)
        step();
    record_finish(training.record, training.alerts, training.now);
    assert_true(record_flush(training.record));
}

#define test_in(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_in(nothing_is_missing_and_nothing_there_twice),
        test_in(a_file_that_is_not_as_it_was_left_is_refused),
        test_in(windows_that_are_written_early_go_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
