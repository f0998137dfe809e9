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

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(steps_in_files_that_are_newer_are_known),
        TEST(what_a_newer_file_has_is_not_written_a_third_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
