/* An event file of 64 KiB whose writer died: cut at each of its 65,536 offsets, and with a tail of
 * zeros or garbage. Whoever comes next knows the last step of every whole record, writes into a new
 * file and leaves the old one as it is; a checkpoint's queue brings the rest.
 *
 *     build/tests/test_torn_file        every 41st offset
 *     build/tests/test_torn_file all    all of them, for tests/faults/test_torn_file.py
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/pending.h"
#include "daemon/tensorboard/event.h"
#include "daemon/tensorboard/event_file.h"
#include "daemon/tensorboard/leftover.h"
#include "daemon/tensorboard/tfrecord.h"
#include "tests/unit/folder.h"

enum { FILE_BYTES = 64 << 10, TAIL = 4096, TAGS = 7, RECORDS_MAX = 2048, LAST = 600 };

static const char old_name[] = "events.out.tfevents.0000000001.host.1.0";
static const char *const tags[TAGS] = {
    "loss", "gradients/a", "gradients/inner/b", "gradient_norm/a", "alerts/log", "x/y/z", "text"};

/* What each record is, and where it ends. */
static struct {
    size_t end;
    int tag; /* -1: of no tag */
    int64_t step;
} records[RECORDS_MAX];

static struct pending whole = PENDING_INIT; /* the file as it was to become */
static size_t record_count, stride = 41, done;
static int old;

static void note(int tag, int64_t step)
{
    assert_true(record_count < RECORDS_MAX);
    records[record_count].end = whole.length;
    records[record_count].tag = tag;
    records[record_count++].step = step;
}

static void add(int64_t step, int tag)
{
    struct event_head head = {1.0 + (double)step, (uint64_t)step, tags[tag], step < TAGS};
    struct histogram h = {2, {-1, 0}, {0, 1}, {3, (double)step}};

    if (tag == 1 || tag == 2)
        assert_true(event_histogram(&whole, SIZE_MAX, &head, &h));
    else if (tag == 4)
        assert_true(event_text(&whole, SIZE_MAX, &head, "**an alert** and its hint", 25));
    else
        assert_true(event_scalar(&whole, SIZE_MAX, &head, 0.25));
    note(tag, step);
}

/* Fills it up to the last byte with a text of the right length. */
static void add_last(void)
{
    static char text[2 * LAST];
    struct event_head head = {1e9, 1, tags[TAGS - 1], true};
    size_t before = whole.length;

    memset(text, 'x', sizeof text);
    for (size_t n = 1; n < sizeof text && whole.length != FILE_BYTES; n++) {
        whole.length = before;
        assert_true(event_text(&whole, SIZE_MAX, &head, text, n));
    }
    assert_int_equal(whole.length, FILE_BYTES);
    note(TAGS - 1, 1);
}

static int make_bytes(void **state)
{
    struct event_head head = {.wall = 1};

    (void)state;
    assert_true(event_version(&whole, SIZE_MAX, &head));
    note(-1, 0);
    for (int64_t step = 0; whole.length < FILE_BYTES - LAST; step++)
        add(step, (int)(step % (TAGS - 1)));
    add_last();
    return 0;
}

static int free_bytes(void **state)
{
    (void)state;
    (void)pending_close(&whole);
    return 0;
}

static int start(void **state)
{
    if (folder_make(state) != 0)
        return -1;
    done = 0;
    old = open(folder_file(old_name), O_RDWR | O_CREAT, 0600);
    return old >= 0 && pwrite(old, whole.data, FILE_BYTES, 0) == FILE_BYTES ? 0 : -1;
}

static int stop(void **state)
{
    close(old);
    return folder_remove(state);
}

/* Records of which nothing is missing in the first n bytes. */
static size_t whole_records(size_t n)
{
    size_t count = 0;

    while (count < record_count && records[count].end <= n)
        count++;
    return count;
}

/* Whoever comes next, where the first `count` records of the old file are whole. */
static void must_go_on(size_t count)
{
    struct event_file_stats stats;
    struct stat before, after;
    const char *problem;
    struct event_file *file;
    int64_t last[TAGS];

    memset(last, -1, sizeof last);
    for (size_t i = 0; i < count; i++)
        if (records[i].tag >= 0)
            last[records[i].tag] = records[i].step;
    assert_int_equal(fstat(old, &before), 0);
    file = event_file_open(folder_path, 0, &problem);
    assert_non_null(file);
    for (int tag = 0; tag < TAGS; tag++)
        assert_int_equal(event_file_last_step(file, tags[tag]), last[tag]);
    assert_false(last[0] >= 0 && event_file_scalar(file, 1, (uint64_t)last[0], tags[0], 1));
    assert_true(event_file_scalar(file, 1, (uint64_t)(last[0] + 1), tags[0], 1));
    assert_true(event_file_flush(file));
    event_file_get_stats(file, &stats);
    assert_true(strcmp(stats.name, old_name) > 0);
    assert_int_equal(unlink(folder_file(stats.name)), 0);
    assert_int_equal(event_file_close(file), 0);
    assert_int_equal(fstat(old, &after), 0);
    assert_int_equal(after.st_size, before.st_size);
}

/* And where a checkpoint knows what was to follow behind its record number `kept`. */
static void must_queue_the_rest(size_t kept, size_t count)
{
    size_t length = kept > 0 ? records[kept - 1].end : 0, from = count ? records[count - 1].end : 0;
    struct pending rest = PENDING_INIT;
    struct tag_table *table = tag_table_new();

    assert_non_null(table);
    assert_null(
        leftover_records(old, length, whole.data + length, FILE_BYTES - length, &rest, table));
    assert_int_equal(rest.length, FILE_BYTES - from);
    assert_memory_equal(rest.data, whole.data + from, rest.length);
    (void)pending_close(&rest);
    tag_table_free(table);
}

static void cut_anywhere_it_keeps_every_whole_record(void **state)
{
    (void)state;
    for (size_t n = FILE_BYTES; n-- > 0;) {
        size_t count = whole_records(n);

        if (n % stride != 0 && count > 0 && records[count - 1].end != n)
            continue; /* where records end is tried always */
        assert_int_equal(ftruncate(old, (off_t)n), 0);
        must_go_on(count);
        must_queue_the_rest(count, count);
        must_queue_the_rest(count / 2, count);
        done++;
    }
    print_message("cut: %zu of %d offsets\n", done, FILE_BYTES);
}

static uint8_t garbage(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint8_t)(*seed >> 56);
}

/* The last n bytes are something else: how many are still as they were. */
static size_t spoil(size_t n, bool zeros, uint64_t *seed)
{
    uint8_t tail[TAIL];
    const uint8_t *was = whole.data + FILE_BYTES - n;
    size_t same = 0;

    for (size_t i = 0; i < n; i++)
        tail[i] = zeros ? 0 : garbage(seed);
    assert_int_equal(pwrite(old, tail, n, (off_t)(FILE_BYTES - n)), n);
    while (same < n && tail[same] == was[same])
        same++;
    return FILE_BYTES - n + same;
}

static void a_spoilt_tail_costs_the_records_in_it(void **state)
{
    uint64_t seed = 1;

    (void)state;
    for (int zeros = 0; zeros < 2; zeros++) {
        for (size_t n = 1; n <= TAIL; n += stride / 8 + 1) {
            size_t count = whole_records(spoil(n, zeros, &seed));

            must_go_on(count);
            must_queue_the_rest(count, count);
            must_queue_the_rest(count / 2, count);
            done++;
            assert_int_equal(pwrite(old, whole.data + FILE_BYTES - n, n, (off_t)(FILE_BYTES - n)),
                             n);
        }
    }
    print_message("spoilt: %zu of %d tails of zeros and of garbage\n", done, 2 * TAIL);
}

static void what_follows_behind_its_end_is_not_read(void **state)
{
    uint64_t seed = 2;
    uint8_t tail[TAIL];

    (void)state;
    for (int zeros = 0; zeros < 2; zeros++) {
        for (size_t n = 1; n <= TAIL; n += stride / 8 + 1) {
            for (size_t i = 0; i < n; i++)
                tail[i] = zeros ? 0 : garbage(&seed);
            assert_int_equal(pwrite(old, tail, n, FILE_BYTES), n);
            must_go_on(record_count);
            assert_int_equal(ftruncate(old, FILE_BYTES), 0);
            done++;
        }
    }
    print_message("longer: %zu of %d tails of zeros and of garbage\n", done, 2 * TAIL);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(cut_anywhere_it_keeps_every_whole_record, start, stop),
        cmocka_unit_test_setup_teardown(a_spoilt_tail_costs_the_records_in_it, start, stop),
        cmocka_unit_test_setup_teardown(what_follows_behind_its_end_is_not_read, start, stop),
    };

    if (argc > 1 && strcmp(argv[1], "all") == 0)
        stride = 1;
    return cmocka_run_group_tests(tests, make_bytes, free_bytes);
}
