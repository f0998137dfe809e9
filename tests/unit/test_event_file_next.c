#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "tests/unit/event_files.h"

enum { WAITS_MAX = 4 << 20 };

static const struct histogram HISTOGRAM = {
    .length = 2, .left = {-1, 0}, .right = {0, 1}, .count = {2, 3}};

static struct event_file *file;

static off_t size_of(const char *name)
{
    struct stat status;

    return stat(folder_file(name), &status) == 0 ? status.st_size : -1;
}

static uint64_t length(void)
{
    return stats_of(file).file_bytes;
}

/* Values of a step, one of each kind. */
static void put(uint64_t step)
{
    assert_true(event_file_scalar(file, 1, step, "loss", 1));
    assert_true(event_file_histogram(file, 1, step, "gradients/a", &HISTOGRAM));
}

static void put_and_write(uint64_t step)
{
    put(step);
    assert_true(event_file_flush(file));
}

static void sync_it(void)
{
    event_file_synced(file, event_file_mark(file));
}

static void make_anew(void)
{
    assert_int_equal(folder_remove(NULL), 0);
    assert_int_equal(folder_make(NULL), 0);
}

/* A file that is full, with steps 0 and 1. */
static const char *full(char name[256])
{
    file = opened(1700000000);
    event_file_hold(file);
    put_and_write(0);
    event_file_limit(file, length());
    put_and_write(1);
    assert_true(event_file_unsealed(file));
    event_file_limit(file, 0); /* those that follow are not */
    return strcpy(name, stats_of(file).name);
}

static void the_limit_is_reached_to_the_byte(void **state)
{
    uint64_t step = 1;

    (void)state;
    for (int above = -1; above <= 1; above++) {
        uint64_t two;

        file = opened(1700000000);
        put_and_write(step++);
        put_and_write(step++);
        two = length();
        event_file_close(file);
        file = opened(1700000000);
        event_file_limit(file, (uint64_t)((int64_t)two + above));
        put_and_write(step++);
        assert_false(event_file_unsealed(file));
        put_and_write(step++);
        assert_int_equal(length(), two);
        assert_int_equal(event_file_unsealed(file), above <= 0);
        event_file_close(file);
    }
}

static void without_a_limit_it_goes_on(void **state)
{
    (void)state;
    file = opened(1700000000);
    for (uint64_t step = 0; step < 1000; step++)
        put_and_write(step);
    assert_false(event_file_unsealed(file));
    assert_int_equal(stats_of(file).files, 1);
    event_file_close(file);
}

static void the_next_file_begins_when_all_of_the_last_is_on_the_disk(void **state)
{
    char first[256];
    off_t size;

    (void)state;
    full(first);
    size = size_of(first);
    put(2);
    assert_false(event_file_flush(file));
    assert_int_equal(stats_of(file).error, 0);
    assert_string_equal(stats_of(file).name, first);
    sync_it();
    assert_false(event_file_unsealed(file));
    assert_true(event_file_flush(file));
    assert_true(strcmp(stats_of(file).name, first) > 0);
    assert_int_equal(size_of(first), size); /* not touched again */
    assert_int_equal(records_in(stats_of(file).name), 3);
    assert_int_equal(stats_of(file).files, 2);
    assert_int_equal(stats_of(file).bytes_written, (uint64_t)size + length());
    assert_int_equal(event_file_close(file), 0);
}

/* As the first values in the first file do: a reader that begins here knows what they are. */
static void its_values_have_their_metadata(void **state)
{
    uint64_t described, plain;
    char first[256];

    (void)state;
    full(first);
    sync_it();
    put_and_write(2);
    described = length();
    put_and_write(3);
    plain = length() - described;
    assert_true(described - (12 + 35 + 4) > plain + 20);
    event_file_close(file);
}

static void a_file_that_gets_no_more_values_has_no_next_one(void **state)
{
    char first[256];

    (void)state;
    full(first);
    sync_it();
    assert_true(event_file_flush(file));
    assert_string_equal(stats_of(file).name, first);
    event_file_close(file);
}

static void only_a_sync_of_all_of_it_counts(void **state)
{
    struct event_file_mark mark, before;
    char first[256];

    (void)state;
    full(first);
    before = mark = event_file_mark(file);
    mark.length--;
    event_file_synced(file, mark);
    assert_true(event_file_unsealed(file));
    assert_int_equal(event_file_durable(file), mark.length);
    sync_it();
    put_and_write(2);
    event_file_limit(file, 1);
    put(3);
    assert_true(event_file_flush(file));
    assert_true(event_file_unsealed(file));
    before.length = length();
    event_file_synced(file, before); /* of the file before */
    assert_true(event_file_unsealed(file));
    assert_int_equal(event_file_durable(file), 0);
    event_file_close(file);
}

static void where_the_disk_does_not_sync_the_old_file_is_written_on(void **state)
{
    struct event_file_stats stats;
    char first[256];
    uint64_t step = 2;

    (void)state;
    full(first);
    do {
        put(step++);
        stats = stats_of(file);
    } while (stats.bytes_pending < WAITS_MAX && !event_file_flush(file));
    assert_true(stats_of(file).bytes_pending >= WAITS_MAX);
    assert_true(event_file_flush(file));
    assert_string_equal(stats_of(file).name, first);
    assert_int_equal(records_in(first), 1 + 2 * step);
    event_file_limit(file, 1);
    put(step++);
    assert_true(event_file_flush(file));
    assert_true(event_file_unsealed(file)); /* and is full again */
    put(step);
    assert_false(event_file_flush(file));
    sync_it();
    assert_true(event_file_flush(file));
    assert_int_equal(records_in(stats_of(file).name), 3);
    event_file_close(file);
}

static void closing_does_not_wait_for_the_disk(void **state)
{
    char first[256];

    (void)state;
    full(first);
    put(2);
    assert_int_equal(event_file_close(file), 0);
    assert_int_equal(records_in(first), 1 + 2 * 3);
}

static void a_disk_that_is_full_at_the_change_tears_nothing(void **state)
{
    char first[256];

    (void)state;
    for (rlim_t room = 0; room < 120; room += 13, make_anew()) {
        full(first);
        put(2);
        sync_it();
        disk_is_full_at(room);
        assert_false(event_file_flush(file));
        assert_int_equal(stats_of(file).error, EFBIG);
        assert_false(event_file_flush(file));
        disk_has_room();
        assert_true(event_file_flush(file));
        assert_int_equal(records_in(stats_of(file).name), 3);
        assert_int_equal(stats_of(file).files, 2);
        event_file_close(file);
    }
}

static void where_no_file_can_be_made_it_is_tried_again(void **state)
{
    char first[256];

    (void)state;
    full(first);
    put(2);
    sync_it();
    assert_int_equal(folder_touch("events.out.tfevents.zzz"), 0); /* nothing sorts behind it */
    assert_false(event_file_flush(file));
    assert_true(stats_of(file).error != 0);
    assert_string_equal(stats_of(file).name, first);
    assert_int_equal(unlink(folder_file("events.out.tfevents.zzz")), 0);
    assert_true(event_file_flush(file));
    assert_int_equal(records_in(stats_of(file).name), 3);
    event_file_close(file);
}

/* ---- over a restart */

/* What the next writer has queued, after what was saved: records of 50 to 200 bytes. */
static size_t queued_by_the_next(struct carry *saved)
{
    const char *problem;
    struct carry loaded;
    struct event_file *next = event_file_begin(folder_path, 1700000000, &problem);
    size_t waiting;

    assert_non_null(next);
    event_file_hold(next);
    carry_load(&loaded, saved->data, saved->length);
    event_file_carry(&loaded, next);
    assert_null(loaded.problem);
    assert_true(event_file_create(next, &problem));
    waiting = stats_of(next).bytes_pending;
    assert_true(event_file_last_step(next, "loss") == 2);
    event_file_close(next);
    return waiting;
}

static void save(struct carry *saved)
{
    carry_save(saved, 1 << 20);
    event_file_carry(saved, file);
}

/* Killed between its checkpoint and the file, at any byte of what the new file gets. */
static void killed_at_the_change_nothing_is_lost_or_there_twice(void **state)
{
    size_t version = 12 + 35 + 4, waiting;
    struct carry saved;
    char first[256];

    (void)state;
    for (rlim_t room = 0; room < 300; room += 7) {
        size_t there;

        full(first);
        put(2);
        waiting = stats_of(file).bytes_pending;
        sync_it();
        save(&saved);
        disk_is_full_at(room);
        (void)event_file_flush(file);
        there = (size_t)size_of(stats_of(file).name);
        event_file_close(file);
        disk_has_room();
        if (there < version)
            assert_int_equal(queued_by_the_next(&saved), waiting);
        else if (there == version + waiting)
            assert_int_equal(queued_by_the_next(&saved), 0);
        else
            assert_in_range(queued_by_the_next(&saved), 1, waiting);
        carry_free(&saved);
        make_anew();
    }
}

static void killed_while_a_full_file_is_synced_all_that_waits_is_taken_up(void **state)
{
    struct carry saved;
    char first[256];
    size_t waiting;

    (void)state;
    full(first);
    put(2);
    save(&saved);
    waiting = stats_of(file).bytes_pending;
    disk_is_full_at(0);
    assert_int_equal(event_file_close(file), waiting);
    disk_has_room();
    assert_int_equal(queued_by_the_next(&saved), waiting);
    carry_free(&saved);
}

/* ---- deleted */

static void a_file_that_is_deleted_is_followed_by_the_next_one(void **state)
{
    const char *problem;
    uint64_t described;
    char first[256];

    (void)state;
    file = opened(1700000000);
    event_file_hold(file);
    put_and_write(1);
    described = length();
    put_and_write(2);
    strcpy(first, stats_of(file).name);
    assert_false(event_file_deleted(file));
    put(3);
    assert_int_equal(unlink(folder_file(first)), 0);
    assert_true(event_file_deleted(file));
    assert_true(event_file_again(file, folder_path, &problem));
    assert_false(event_file_deleted(file));
    assert_true(event_file_flush(file));
    assert_int_equal(size_of(first), -1);
    assert_int_equal(records_in(stats_of(file).name), 3);
    assert_int_equal(length(), described);
    assert_int_equal(event_file_close(file), 0);
}

static void a_folder_that_is_deleted_is_taken_up_where_it_is_made_again(void **state)
{
    const char *problem;
    char first[256];

    (void)state;
    full(first);
    put(2);
    assert_int_equal(folder_remove(NULL), 0);
    assert_true(event_file_deleted(file));
    assert_false(event_file_again(file, folder_path, &problem));
    assert_non_null(strstr(problem, "No such file or directory"));
    assert_int_equal(mkdir(folder_path, 0700), 0);
    assert_true(event_file_again(file, folder_path, &problem));
    assert_true(event_file_fresh(file));
    put_and_write(3);
    assert_int_equal(records_in(stats_of(file).name), 1 + 2 * 2);
    assert_int_equal(event_file_last_step(file, "loss"), 3);
    assert_null(event_file_open(folder_path, 1800000000, &problem)); /* it is locked */
    event_file_close(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_limit_is_reached_to_the_byte),
        TEST(without_a_limit_it_goes_on),
        TEST(the_next_file_begins_when_all_of_the_last_is_on_the_disk),
        TEST(its_values_have_their_metadata),
        TEST(a_file_that_gets_no_more_values_has_no_next_one),
        TEST(only_a_sync_of_all_of_it_counts),
        TEST(where_the_disk_does_not_sync_the_old_file_is_written_on),
        TEST(closing_does_not_wait_for_the_disk),
        TEST(a_disk_that_is_full_at_the_change_tears_nothing),
        TEST(where_no_file_can_be_made_it_is_tried_again),
        TEST(killed_at_the_change_nothing_is_lost_or_there_twice),
        TEST(killed_while_a_full_file_is_synced_all_that_waits_is_taken_up),
        TEST(a_file_that_is_deleted_is_followed_by_the_next_one),
        TEST(a_folder_that_is_deleted_is_taken_up_where_it_is_made_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
