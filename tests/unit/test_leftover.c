#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <unistd.h>

#include "daemon/tensorboard/leftover.h"
#include "daemon/tensorboard/tfrecord.h"
#include "tests/unit/folder.h"

enum { RECORDS = 4, RECORD = TFRECORD_HEADER + 5 + TFRECORD_FOOTER };

static struct tag_table *tags;
static uint8_t all[RECORDS * RECORD]; /* what should come to be in the files */

static int start(void **state)
{
    for (uint8_t i = 0; i < RECORDS; i++) {
        uint8_t *record = all + i * RECORD;

        memcpy(record + TFRECORD_HEADER, (const uint8_t[]){0x10, i, 0x10, i, 0}, 4);
        record[TFRECORD_HEADER + 4] = i;
        tfrecord_seal(record, 5);
    }
    tags = tag_table_new();
    return tags ? folder_make(state) : -1;
}

static int stop(void **state)
{
    tag_table_free(tags);
    return folder_remove(state);
}

/* The old file with this many bytes of them. */
static int old_file(size_t n)
{
    int fd = open(folder_file("old"), O_RDWR | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, all, n), n);
    return fd;
}

/* Kept when the file had `length` bytes and all the others were queued; killed when it had `n`. */
static void both_files_hold_all_once(size_t length, size_t n)
{
    struct pending to = PENDING_INIT;
    size_t whole = n / RECORD * RECORD;
    int fd = old_file(n);

    assert_null(leftover_records(fd, length, all + length, sizeof all - length, &to, tags));
    assert_int_equal(to.length, sizeof all - whole);
    assert_memory_equal(to.data, all + whole, to.length);
    close(fd);
    pending_close(&to);
}

static void wherever_it_was_killed_the_rest_goes_into_the_new_file(void **state)
{
    (void)state;
    for (size_t length = 0; length < sizeof all; length++) /* a full disk cuts anywhere */
        for (size_t n = length; n <= sizeof all; n++)
            both_files_hold_all_once(length, n);
}

static void nothing_is_queued_where_nothing_was(void **state)
{
    struct pending to = PENDING_INIT;
    int fd = old_file(sizeof all);

    (void)state;
    assert_null(leftover_records(fd, sizeof all, NULL, 0, &to, tags));
    assert_int_equal(to.length, 0);
    close(fd);
}

static void another_file_than_it_was_is_refused(void **state)
{
    struct pending to = PENDING_INIT;
    int fd = old_file(RECORD);

    (void)state;
    assert_non_null(leftover_records(fd, RECORD + 1, all, 0, &to, tags));      /* shorter */
    assert_non_null(leftover_records(fd, 0, all + RECORD, RECORD, &to, tags)); /* something else */
    assert_int_equal(to.length, 0);
    close(fd);
}

static void a_file_that_goes_on_behind_it_needs_nothing(void **state)
{
    struct pending to = PENDING_INIT;
    int fd = old_file(sizeof all);

    (void)state;
    assert_null(leftover_records(fd, RECORD, all + RECORD, RECORD, &to, tags));
    assert_int_equal(to.length, 0);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(wherever_it_was_killed_the_rest_goes_into_the_new_file,
                                        start, stop),
        cmocka_unit_test_setup_teardown(nothing_is_queued_where_nothing_was, start, stop),
        cmocka_unit_test_setup_teardown(a_file_that_goes_on_behind_it_needs_nothing, start, stop),
        cmocka_unit_test_setup_teardown(another_file_than_it_was_is_refused, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
