#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/unit/event_files.h"

/* The power has failed, and the checkpoint of a later embmond is lost: its file is there. */
static void steps_in_files_that_are_newer_are_known(void **state)
{
    struct event_file *file = opened(1700000000);
    struct carry saved, loaded;
    const char *problem;

    (void)state;
    assert_true(event_file_scalar(file, 1, 3, "loss", 1));
    assert_true(event_file_flush(file));
    carry_save(&saved, 1 << 20);
    event_file_carry(&saved, file);
    event_file_close(file);
    file = opened(1700000001);
    assert_true(event_file_scalar(file, 1, 5, "loss", 1));
    event_file_close(file);

    file = event_file_begin(folder_path, 1700000002, &problem);
    assert_non_null(file);
    carry_load(&loaded, saved.data, saved.length);
    event_file_carry(&loaded, file);
    assert_null(loaded.problem);
    assert_true(event_file_create(file, &problem));
    assert_int_equal(event_file_last_step(file, "loss"), 5);
    assert_false(event_file_scalar(file, 1, 5, "loss", 1));
    assert_true(event_file_scalar(file, 1, 6, "loss", 1));
    event_file_close(file);
    carry_free(&saved);
}

/* Killed before it had written what was queued, the next one wrote it, and its checkpoint is lost.
 */
static void what_a_newer_file_has_is_not_written_a_third_time(void **state)
{
    struct carry saved, loaded;
    const char *problem;
    size_t waiting;

    (void)state;
    struct event_file *file = opened(1700000000);
    event_file_hold(file);
    assert_true(event_file_scalar(file, 1, 3, "loss", 1));
    assert_true(event_file_scalar(file, 1, 4, "loss", 1));
    carry_save(&saved, 1 << 20);
    event_file_carry(&saved, file);
    waiting = stats_of(file).bytes_pending;
    disk_is_full_at(0);
    event_file_close(file);
    disk_has_room();
    for (int next = 1; next <= 2; next++) {
        file = event_file_begin(folder_path, 1700000000 + next, &problem);
        assert_non_null(file);
        event_file_hold(file);
        carry_load(&loaded, saved.data, saved.length);
        event_file_carry(&loaded, file);
        assert_null(loaded.problem);
        assert_true(event_file_create(file, &problem));
        assert_int_equal(stats_of(file).bytes_pending, next == 1 ? waiting : 0);
        assert_true(event_file_scalar(file, 1, 5 + (uint64_t)next, "loss", 1));
        event_file_close(file);
    }
    carry_free(&saved);
}

static struct carry saved_of(struct event_file *file)
{
    struct carry saved;

    carry_save(&saved, 1 << 20);
    event_file_carry(&saved, file);
    assert_null(saved.problem);
    return saved;
}

static const char *load(struct event_file *file, const struct carry *saved)
{
    struct carry loaded;

    carry_load(&loaded, saved->data, saved->length);
    event_file_carry(&loaded, file);
    return loaded.problem;
}

static void fill(const char *name, uint64_t from, uint64_t until, uint8_t byte)
{
    int fd = open(folder_file(name), O_WRONLY);

    assert_true(fd >= 0);
    for (uint64_t at = from; at < until; at++)
        assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
    close(fd);
}

/* A file of three values: the first is synced, the second written, the third queued when it is
 * saved, and written then. ends[i]: where they end. */
static struct carry saved_in_the_middle(char name[256], uint64_t ends[3])
{
    struct event_file *file = opened(1700000000);
    struct carry saved;

    event_file_hold(file);
    assert_true(event_file_scalar(file, 1, 3, "loss", 1));
    assert_true(event_file_flush(file));
    ends[0] = stats_of(file).bytes_written;
    event_file_synced(file, event_file_mark(file));
    assert_true(event_file_scalar(file, 1, 4, "loss", 1));
    assert_true(event_file_flush(file));
    ends[1] = stats_of(file).bytes_written;
    assert_true(event_file_scalar(file, 1, 5, "loss", 1));
    saved = saved_of(file);
    assert_true(event_file_flush(file));
    ends[2] = stats_of(file).bytes_written;
    (void)snprintf(name, 256, "%s", stats_of(file).name);
    event_file_close(file);
    return saved;
}

static size_t waiting_after(const struct carry *saved, const char **problem)
{
    const char *why = "";
    struct event_file *file = event_file_begin(folder_path, 1700000009, &why);
    size_t waiting;

    assert_non_null(file);
    event_file_hold(file);
    *problem = load(file, saved);
    waiting = event_file_pending(file);
    event_file_close(file);
    return waiting;
}

static void what_was_queued_and_reads_as_zeros_is_queued_again(void **state)
{
    const char *problem;
    uint64_t ends[3];
    char name[256];
    struct carry saved = saved_in_the_middle(name, ends);

    (void)state;
    assert_int_equal(waiting_after(&saved, &problem), 0);
    assert_null(problem);
    for (uint64_t from = ends[2] - 1; from >= ends[1]; from--) {
        fill(name, from, from + 1, 0xff); /* no byte of it may stay as it was */
        assert_int_equal(waiting_after(&saved, &problem), ends[2] - ends[1]);
        assert_null(problem);
        fill(name, from, ends[2], 0);
        (void)waiting_after(&saved, &problem);
        assert_null(problem);
    }
    assert_int_equal(waiting_after(&saved, &problem), ends[2] - ends[1]);
    carry_free(&saved);
}

static void a_file_that_has_lost_what_was_written_is_refused(void **state)
{
    const char *problem;
    uint64_t ends[3];
    char name[256];
    struct carry saved = saved_in_the_middle(name, ends);

    (void)state;
    fill(name, ends[1] - 1, ends[1], 0xff);
    (void)waiting_after(&saved, &problem);
    assert_string_equal(problem, "the event file is not as it was left");
    fill(name, ends[0], ends[1], 0);
    (void)waiting_after(&saved, &problem);
    assert_string_equal(problem, "the event file is not as it was left");
    carry_free(&saved);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(steps_in_files_that_are_newer_are_known),
        TEST(what_a_newer_file_has_is_not_written_a_third_time),
        TEST(what_was_queued_and_reads_as_zeros_is_queued_again),
        TEST(a_file_that_has_lost_what_was_written_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
