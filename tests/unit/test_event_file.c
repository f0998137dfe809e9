#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <float.h>
#include <math.h>

#include "daemon/tensorboard/folder.h"
#include "tests/unit/event_files.h"

enum { MIB = 1 << 20 };

static const struct histogram HISTOGRAM = {
    .length = 2, .left = {-1, 0}, .right = {0, 1}, .count = {2, 3}};

static void a_new_file_begins_with_its_version_at_once(void **state)
{
    (void)state;
    struct event_file *file = opened(1700000000);
    struct event_file_stats stats = stats_of(file);

    assert_true(event_file_fresh(file));
    assert_int_equal(stats.events, 1);
    assert_int_equal(stats.bytes_pending, 0);
    assert_int_equal(stats.bytes_written, 12 + 35 + 4);
    assert_int_equal(records_in(stats.name), 1);
    assert_int_equal(event_file_close(file), 0);
}

static void values_wait_for_a_flush(void **state)
{
    (void)state;
    struct event_file *file = opened(1700000000);
    const char *name = stats_of(file).name;

    event_file_start(file, 1, 0);
    assert_true(event_file_scalar(file, 1, 0, "loss", 1));
    assert_true(event_file_histogram(file, 1, 0, "gradients/a", &HISTOGRAM));
    assert_true(event_file_text(file, 1, 0, "alerts/log", "a\n\tb\r\n"));
    assert_int_equal(records_in(name), 1);
    assert_true(stats_of(file).bytes_pending > 0);
    assert_true(event_file_flush(file));
    assert_int_equal(records_in(name), 5);
    assert_int_equal(stats_of(file).events, 5);
    assert_int_equal(stats_of(file).bytes_pending, 0);
    event_file_close(file);
}

static void closing_writes_what_waits(void **state)
{
    (void)state;
    struct event_file *file = opened(1700000000);
    char name[256];

    snprintf(name, sizeof name, "%s", stats_of(file).name);
    assert_true(event_file_scalar(file, 1, 0, "loss", 1));
    assert_int_equal(event_file_close(file), 0);
    assert_int_equal(records_in(name), 2);
    assert_int_equal(event_file_close(NULL), 0);
}

static void the_steps_of_a_tag_strictly_increase(void **state)
{
    (void)state;
    struct event_file *file = opened(1700000000);

    assert_int_equal(event_file_last_step(file, "loss"), -1);
    assert_true(event_file_scalar(file, 1, 5, "loss", 1));
    assert_false(event_file_scalar(file, 1, 5, "loss", 1));
    assert_false(event_file_text(file, 1, 4, "loss", "late"));
    assert_true(event_file_scalar(file, 1, 4, "other", 1));
    assert_true(event_file_scalar(file, 1, 6, "loss", 1));
    assert_int_equal(event_file_last_step(file, "loss"), 6);
    assert_int_equal(event_file_last_step(file, "other"), 4);
    assert_int_equal(stats_of(file).late, 2);
    assert_int_equal(stats_of(file).events, 4);
    event_file_close(file);
}

static void what_no_reader_bears_is_refused_and_counted(void **state)
{
    (void)state;
    struct event_file *file = opened(NAN);
    struct histogram h = HISTOGRAM;

    assert_false(event_file_scalar(file, 1, 1, "", 1));
    assert_false(event_file_scalar(file, 1, 1, "\xff\xfe", 1));
    assert_false(event_file_scalar(file, 1, (uint64_t)INT64_MAX + 1, "loss", 1));
    assert_false(event_file_text(file, 1, 1, "alerts/log", "a \xc3( b"));
    h.right[1] = INFINITY;
    assert_false(event_file_histogram(file, 1, 1, "g", &h));
    h.right[1] = -1;
    assert_false(event_file_histogram(file, 1, 1, "g", &h));
    h = HISTOGRAM;
    h.left[0] = NAN;
    assert_false(event_file_histogram(file, 1, 1, "g", &h));
    h.length = 0;
    assert_false(event_file_histogram(file, 1, 1, "g", &h));
    assert_int_equal(stats_of(file).invalid, 8);
    assert_int_equal(stats_of(file).events, 1);
    assert_true(event_file_histogram(file, NAN, 1, "g", &HISTOGRAM));
    event_file_close(file);
}

/* The plain way, bucket by bucket. */
static bool is_valid(const struct histogram *h)
{
    for (size_t i = 0; i < h->length; i++) {
        if (!isfinite(h->left[i]) || !isfinite(h->right[i]) || !isfinite(h->count[i]) ||
            h->left[i] > h->right[i] || h->count[i] < 0)
            return false;
    }
    return true;
}

static void each_bucket_is_looked_at(void **state)
{
    static const double values[] = {NAN, -NAN, INFINITY, -INFINITY, DBL_MAX, -DBL_MAX,
                                    0.0, -0.0, -5e-324,  5e-324,    1,       -1};
    static const size_t lengths[] = {1, 2, 3, 63, 64};
    struct event_file *file = opened(1);
    uint64_t step = 0, refused = 0;

    (void)state;
    for (size_t n = 0; n < sizeof lengths / sizeof *lengths; n++)
        for (size_t i = 0; i < 3 * lengths[n]; i++)
            for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
                struct histogram h = {.length = lengths[n]};
                double *place[] = {&h.left[i / 3], &h.right[i / 3], &h.count[i / 3]};
                bool valid;

                *place[i % 3] = values[v];
                valid = is_valid(&h);
                assert_int_equal(event_file_histogram(file, 1, ++step, "g", &h), valid);
                refused += !valid;
            }
    assert_true(refused > step / 3 && refused < step);
    assert_int_equal(stats_of(file).invalid, refused);
    event_file_close(file);
}

static void add_steps(void *context, const char *tag, int64_t last_step)
{
    int64_t *sum = context;

    (void)tag;
    *sum += last_step;
}

static void the_next_writer_knows_the_last_steps(void **state)
{
    (void)state;
    struct event_file *file = opened(1700000000);
    char first[256];
    int64_t sum = 0;

    snprintf(first, sizeof first, "%s", stats_of(file).name);
    event_file_scalar(file, 1, 100, "loss", 1);
    event_file_histogram(file, 1, 70, "gradients/a", &HISTOGRAM);
    event_file_close(file);
    file = opened(1);
    assert_false(event_file_fresh(file));
    assert_true(strcmp(stats_of(file).name, first) > 0);
    assert_false(event_file_scalar(file, 1, 100, "loss", 1));
    assert_true(event_file_scalar(file, 1, 101, "loss", 1));
    assert_int_equal(event_file_last_step(file, "gradients/a"), 70);
    event_file_close(file);
    file = opened(1);
    event_file_tags(file, add_steps, &sum);
    assert_int_equal(sum, 171);
    event_file_close(file);
}

static void a_trimmed_one_goes_on(void **state)
{
    const char *problem;
    struct event_file *file = event_file_open(folder_path, 1.7e9, &problem);
    struct event_file_stats stats;

    (void)state;
    assert_non_null(file);
    assert_true(event_file_scalar(file, 1.7e9, 1, "a", 1));
    event_file_trim(file); /* what waits is kept */
    event_file_get_stats(file, &stats);
    assert_true(stats.bytes_pending > 0);
    assert_true(event_file_flush(file));
    event_file_trim(file);
    assert_true(event_file_scalar(file, 1.7e9, 2, "a", 1));
    assert_true(event_file_flush(file));
    assert_int_equal(event_file_last_step(file, "a"), 2);
    assert_int_equal(event_file_close(file), 0);
}

static void a_second_writer_is_refused(void **state)
{
    (void)state;
    struct event_file *file = opened(1700000000);
    const char *problem = "";

    assert_null(event_file_open(folder_path, 1700000000, &problem));
    assert_non_null(strstr(problem, "is being written by another process"));
    event_file_close(file);
    assert_null(event_file_open("/tmp/embmon-no-such-folder", 1, &problem));
    assert_non_null(strstr(problem, "No such file"));
}

static void a_burst_does_not_wait_for_the_owner(void **state)
{
    (void)state;
    struct event_file *file = opened(1700000000);

    for (uint64_t step = 0; step < 100000; step++)
        assert_true(event_file_scalar(file, 1, step, "loss", 1));
    assert_true(stats_of(file).bytes_pending < MIB);
    assert_true(stats_of(file).bytes_written > 2 * MIB);
    event_file_close(file);
}

/* ---- a limit on the size of files stands in for a full disk */

static void a_full_disk_tears_no_record(void **state)
{
    (void)state;
    struct event_file *file = opened(1700000000);
    bool flushed, again;

    disk_is_full_at(200);
    for (uint64_t step = 0; step < 20; step++)
        event_file_scalar(file, 1, step, "loss", 1);
    flushed = event_file_flush(file);
    again = event_file_flush(file);
    disk_has_room();
    assert_false(flushed);
    assert_false(again);
    assert_int_equal(stats_of(file).bytes_written, 200);
    assert_int_equal(stats_of(file).error, EFBIG);
    assert_true(event_file_flush(file));
    assert_int_equal(stats_of(file).error, 0);
    assert_int_equal(records_in(stats_of(file).name), 21);
    assert_int_equal(event_file_close(file), 0);
}

/* One text of n bytes under a tag of its own. */
static bool put_text(struct event_file *file, uint64_t step, size_t n)
{
    char *text = malloc(n + 1);
    bool queued;

    assert_non_null(text);
    memset(text, 'x', n);
    text[n] = '\0';
    queued = event_file_text(file, 1, step, "alerts/log", text);
    free(text);
    return queued;
}

static void histograms_go_first_then_scalars_then_texts(void **state)
{
    (void)state;
    struct event_file *file = opened(1700000000);
    uint64_t step = 0;
    struct event_file_stats stats;
    int seen = 0;

    disk_is_full_at(100);
    put_text(file, step++, 100);
    event_file_flush(file);
    while (stats_of(file).bytes_pending < 28 * (size_t)MIB - 2000) {
        size_t room = 28 * (size_t)MIB - 1000 - stats_of(file).bytes_pending;

        put_text(file, step++, room < MIB ? room : MIB - 100);
    }
    seen |= event_file_histogram(file, 1, 1, "gradients/a", &HISTOGRAM) ? 1 : 0;
    put_text(file, step++, 2000);
    seen |= event_file_histogram(file, 1, 2, "gradients/a", &HISTOGRAM) ? 2 : 0;
    seen |= event_file_scalar(file, 1, 1, "loss", 1) ? 4 : 0;
    for (int i = 0; i < 2; i++)
        put_text(file, step++, MIB - 100);
    seen |= event_file_scalar(file, 1, 2, "loss", 1) ? 8 : 0;
    while (put_text(file, step++, MIB - 100))
        continue;
    stats = stats_of(file);
    disk_has_room();

    assert_int_equal(seen, 1 | 4);
    assert_int_equal(stats.dropped_histograms, 1);
    assert_int_equal(stats.dropped_scalars, 1);
    assert_int_equal(stats.dropped_texts, 1);
    assert_in_range(stats.bytes_pending, 30 * MIB, 32 * MIB);
    assert_int_equal(event_file_last_step(file, "loss"), 1);
    assert_true(event_file_flush(file));
    assert_true(event_file_scalar(file, 1, 2, "loss", 1));
    assert_true(event_file_histogram(file, 1, 2, "gradients/a", &HISTOGRAM));
    assert_true(event_file_flush(file));
    stats = stats_of(file);
    assert_int_equal(records_in(stats.name), stats.events);
    event_file_close(file);
}

static void what_never_fitted_is_returned_as_lost(void **state)
{
    (void)state;
    struct event_file *file = opened(1700000000);
    size_t pending, lost;

    disk_is_full_at(60);
    event_file_scalar(file, 1, 0, "loss", 1);
    pending = stats_of(file).bytes_pending;
    lost = event_file_close(file);
    disk_has_room();
    assert_int_equal(lost, pending - (60 - 51));
}

static size_t files_in_the_folder(void)
{
    struct folder_files files;
    const char *problem;
    size_t count;
    int folder = open(folder_path, O_RDONLY | O_DIRECTORY);

    assert_true(folder >= 0 && folder_list(folder, &files, &problem));
    count = files.count;
    folder_files_free(&files);
    close(folder);
    return count;
}

static void who_looks_and_goes_leaves_no_file(void **state)
{
    const char *problem;
    struct event_file *file = event_file_begin(folder_path, 1700000000, &problem);

    (void)state;
    assert_non_null(file);
    assert_true(event_file_learn(file, &problem));
    event_file_close(file);
    assert_int_equal(files_in_the_folder(), 0);
}

static void where_only_a_version_was_written_the_run_is_still_to_begin(void **state)
{
    struct event_file *file = opened(1700000000);

    (void)state;
    event_file_close(file);
    file = opened(1700000001);
    assert_true(event_file_fresh(file));
    assert_true(event_file_scalar(file, 1, 3, "loss", 1));
    event_file_close(file);
    file = opened(1700000002);
    assert_false(event_file_fresh(file));
    event_file_close(file);
    assert_int_equal(files_in_the_folder(), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_new_file_begins_with_its_version_at_once),
        TEST(values_wait_for_a_flush),
        TEST(closing_writes_what_waits),
        TEST(the_steps_of_a_tag_strictly_increase),
        TEST(what_no_reader_bears_is_refused_and_counted),
        TEST(each_bucket_is_looked_at),
        TEST(the_next_writer_knows_the_last_steps),
        TEST(a_trimmed_one_goes_on),
        TEST(a_second_writer_is_refused),
        TEST(a_burst_does_not_wait_for_the_owner),
        TEST(a_full_disk_tears_no_record),
        TEST(histograms_go_first_then_scalars_then_texts),
        TEST(what_never_fitted_is_returned_as_lost),
        TEST(who_looks_and_goes_leaves_no_file),
        TEST(where_only_a_version_was_written_the_run_is_still_to_begin),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
