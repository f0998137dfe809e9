#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <signal.h>

#include <jansson.h>

#include "daemon/alert/jsonl.h"
#include "embmon/embmon.h"
#include "tests/unit/folder.h"

static const uint32_t RANKS[] = {0, 3, 1023};

static struct alert_change a_change(void)
{
    return (struct alert_change){
        .time = 1.7e9 + 0.5,
        .run = "tower/run-2",
        .phase = EMBMON_TRAIN,
        .layer = "inner \"model\"/\\embedding\xc3\xa4",
        .variable = "",
        .signal = "gradient",
        .detector = "gradient_exploding",
        .severity = EMBMON_CRITICAL,
        .state = EMBMON_FIRING,
        .before = EMBMON_PENDING,
        .step = 4711,
        .first_step = 4709,
        .value = 1e30,
        .threshold = 30,
        .baseline = 0.1,
        .value_given = true,
        .threshold_given = true,
        .baseline_given = true,
        .ranks = RANKS,
        .rank_count = 3,
        .reason = "",
        .summary = "a sentence",
        .hint = "line\nbreak",
    };
}

static char *content(void)
{
    FILE *stream = fopen(folder_file("alerts.jsonl"), "rb");
    char *text = calloc(1, 1 << 16);

    assert_non_null(stream);
    assert_non_null(text);
    (void)!fread(text, 1, (1 << 16) - 1, stream);
    fclose(stream);
    return text;
}

static void leave(const char *text)
{
    FILE *stream = fopen(folder_file("alerts.jsonl"), "wb");

    assert_non_null(stream);
    fputs(text, stream);
    fclose(stream);
}

static void write_one(const struct alert_change *change)
{
    struct jsonl *jsonl = jsonl_open(folder_path);

    assert_non_null(jsonl);
    (void)jsonl_write(jsonl, change);
    assert_int_equal(jsonl_lost(jsonl), 0);
    jsonl_close(jsonl);
}

static json_t *only_line(void)
{
    char *text = content(), *end = strchr(text, '\n');
    json_t *object;

    assert_non_null(end);
    assert_int_equal(end[1], '\0');
    object = json_loads(text, 0, NULL);
    assert_non_null(object);
    free(text);
    return object;
}

static void must_say(const json_t *object, const char *key, const char *value)
{
    assert_string_equal(json_string_value(json_object_get(object, key)), value);
}

static void a_change_is_one_object_on_one_line_with_every_field(void **state)
{
    (void)state;
    struct alert_change change = a_change();
    json_t *object, *ranks;

    write_one(&change);
    object = only_line();
    assert_int_equal(json_object_size(object), 18);
    assert_true(json_real_value(json_object_get(object, "time")) > 1.7e9 + 0.4);
    must_say(object, "run", "tower/run-2");
    must_say(object, "phase", "training");
    must_say(object, "layer", change.layer);
    must_say(object, "variable", "");
    must_say(object, "signal", "gradient");
    must_say(object, "detector", "gradient_exploding");
    must_say(object, "severity", "critical");
    must_say(object, "state", "firing");
    assert_int_equal(json_integer_value(json_object_get(object, "step")), 4711);
    assert_int_equal(json_integer_value(json_object_get(object, "first_step")), 4709);
    assert_true(json_number_value(json_object_get(object, "value")) > 0.99e30);
    assert_true(json_number_value(json_object_get(object, "threshold")) > 29);
    assert_true(json_number_value(json_object_get(object, "baseline")) < 0.2);
    ranks = json_object_get(object, "ranks");
    assert_int_equal(json_array_size(ranks), 3);
    assert_int_equal(json_integer_value(json_array_get(ranks, 2)), 1023);
    must_say(object, "reason", "");
    must_say(object, "summary", "a sentence");
    must_say(object, "hint", "line\nbreak");
    json_decref(object);
}

static void numbers_that_json_has_not_are_words_or_null(void **state)
{
    (void)state;
    struct alert_change change = a_change();
    json_t *object;

    change.value = NAN;
    change.threshold = -INFINITY;
    change.baseline_given = false;
    change.rank_count = 0;
    change.state = EMBMON_RESOLVED;
    change.reason = "new level";
    write_one(&change);
    object = only_line();
    must_say(object, "value", "nan");
    must_say(object, "threshold", "-inf");
    assert_true(json_is_null(json_object_get(object, "baseline")));
    assert_int_equal(json_array_size(json_object_get(object, "ranks")), 0);
    must_say(object, "state", "resolved");
    must_say(object, "reason", "new level");
    json_decref(object);
}

static void what_is_there_is_kept_and_a_torn_line_is_cut_off(void **state)
{
    (void)state;
    struct alert_change change = a_change();
    char *text;

    leave("{\"whole\": 1}\n{\"torn\": ");
    write_one(&change);
    text = content();
    assert_memory_equal(text, "{\"whole\": 1}\n{\"time\":", 21);
    free(text);
}

/* Blocks that were not synced when the power failed, and one behind them that was written. */
static void zeros_and_what_is_behind_them_are_cut_off(void **state)
{
    (void)state;
    struct alert_change change = a_change();
    static const char left[] = "{}\n{\"a\": \0\0\0\0 1}\n{}\n";
    FILE *stream = fopen(folder_file("alerts.jsonl"), "wb");
    char *text;

    assert_non_null(stream);
    assert_int_equal(fwrite(left, 1, sizeof left - 1, stream), sizeof left - 1);
    fclose(stream);
    write_one(&change);
    text = content();
    assert_memory_equal(text, "{}\n{\"time\":", 11);
    free(text);
}

static void whole_lines_get_no_empty_one_after_them(void **state)
{
    (void)state;
    struct alert_change change = a_change();
    char *text;

    leave("{}\n");
    write_one(&change);
    text = content();
    assert_memory_equal(text, "{}\n{\"time\":", 11);
    free(text);
}

static void a_change_is_in_the_file_once_it_is_flushed(void **state)
{
    (void)state;
    struct alert_change change = a_change();
    struct jsonl *jsonl = jsonl_open(folder_path);
    char *text;

    assert_non_null(jsonl);
    (void)jsonl_write(jsonl, &change);
    text = content();
    assert_string_equal(text, "");
    assert_true(jsonl_waiting(jsonl) > 0);
    free(text);
    assert_true(jsonl_flush(jsonl));
    assert_int_equal(jsonl_waiting(jsonl), 0);
    text = content();
    assert_non_null(strchr(text, '\n'));
    free(text);
    jsonl_close(jsonl);
}

/* What a checkpoint holds whose file got one line more than it knows of. */
static struct carry kept_before_the_last_line(size_t *line)
{
    struct alert_change change = a_change();
    struct jsonl *jsonl = jsonl_open(folder_path);
    struct carry saved;

    assert_non_null(jsonl);
    (void)jsonl_write(jsonl, &change);
    assert_true(jsonl_flush(jsonl));
    change.step++;
    (void)jsonl_write(jsonl, &change);
    *line = jsonl_waiting(jsonl);
    carry_save(&saved, 1 << 20);
    jsonl_carry(&saved, jsonl);
    change.step++;
    (void)jsonl_write(jsonl, &change);
    jsonl_close(jsonl);
    return saved;
}

/* NULL, or the problem; *waiting: what is queued then. It is written. */
static const char *load(const struct carry *saved, bool forgive, size_t *waiting)
{
    struct jsonl *jsonl = jsonl_begin(folder_path);
    struct carry loaded;

    assert_non_null(jsonl);
    if (forgive)
        jsonl_forgive(jsonl);
    carry_load(&loaded, saved->data, saved->length);
    jsonl_carry(&loaded, jsonl);
    *waiting = jsonl_waiting(jsonl);
    jsonl_close(jsonl);
    return loaded.problem;
}

static size_t lines(void)
{
    char *text = content(), *at = text;
    size_t count = 0;

    for (char *end; (end = strchr(at, '\n')); at = end + 1, count++) {
        json_t *object = json_loadb(at, (size_t)(end - at), 0, NULL);

        assert_non_null(object);
        json_decref(object);
    }
    assert_int_equal(*at, '\0');
    free(text);
    return count;
}

/* Killed anywhere: what the file lacks is written, what it has is not. And after a power failure
 * that took a later checkpoint what that had written is cut off: it is said again. */
static void the_file_holds_each_line_once_that_the_checkpoint_knows(void **state)
{
    size_t line, waiting;
    struct carry saved = kept_before_the_last_line(&line);
    char *whole = content();
    size_t n = strlen(whole), first = (size_t)(strchr(whole, '\n') - whole) + 1;

    (void)state;
    assert_int_equal(lines(), 3);
    for (size_t cut = first; cut <= n; cut++) {
        FILE *stream = fopen(folder_file("alerts.jsonl"), "wb");
        char *after;

        assert_non_null(stream);
        assert_int_equal(fwrite(whole, 1, cut, stream), cut);
        fclose(stream);
        assert_null(load(&saved, false, &waiting));
        assert_int_equal(waiting, cut < first + line ? first + line - cut : 0);
        assert_int_equal(lines(), 2);
        after = content();
        assert_memory_equal(after, whole, first + line);
        free(after);
    }
    free(whole);
    carry_free(&saved);
}

static void zeros_in_what_was_queued_are_written_over(void **state)
{
    size_t line, waiting;
    struct carry saved = kept_before_the_last_line(&line);
    char *whole = content(), *after;
    size_t first = (size_t)(strchr(whole, '\n') - whole) + 1;
    int fd = open(folder_file("alerts.jsonl"), O_WRONLY);

    (void)state;
    assert_int_equal(pwrite(fd, "\0\0\0\0", 4, (off_t)first + 10), 4);
    assert_null(load(&saved, false, &waiting));
    assert_int_equal(waiting, line - 10);
    assert_int_equal(lines(), 2);
    after = content();
    assert_memory_equal(after, whole, first + line);
    free(after);
    free(whole);
    close(fd);
    carry_free(&saved);
}

static void a_file_that_lacks_what_it_had_is_a_problem_unless_it_is_forgiven(void **state)
{
    size_t line, waiting;
    struct carry saved = kept_before_the_last_line(&line);
    int fd = open(folder_file("alerts.jsonl"), O_WRONLY);

    (void)state;
    assert_int_equal(pwrite(fd, "\0\0\0\0", 4, 10), 4); /* it is as long as it was */
    assert_ptr_equal(load(&saved, false, &waiting), jsonl_changed);
    assert_int_equal(ftruncate(fd, 10), 0);
    assert_ptr_equal(load(&saved, false, &waiting), jsonl_changed);
    assert_int_equal(unlink(folder_file("alerts.jsonl")), 0);
    assert_ptr_equal(load(&saved, false, &waiting), jsonl_changed);
    assert_null(load(&saved, true, &waiting));
    assert_int_equal(waiting, line);
    assert_int_equal(lines(), 1);
    close(fd);
    carry_free(&saved);
}

/* Only what may not be on the disk is looked at: a file may be long. */
static void what_was_synced_is_trusted(void **state)
{
    struct alert_change change = a_change();
    struct jsonl *jsonl = jsonl_open(folder_path);
    struct carry saved;
    size_t waiting;
    int fd;

    (void)state;
    assert_non_null(jsonl);
    (void)jsonl_write(jsonl, &change);
    assert_true(jsonl_flush(jsonl));
    jsonl_sync_begins(jsonl);
    (void)jsonl_write(jsonl, &change);
    assert_true(jsonl_flush(jsonl));
    jsonl_synced(jsonl);
    carry_save(&saved, 1 << 20);
    jsonl_carry(&saved, jsonl);
    jsonl_close(jsonl);
    fd = open(folder_file("alerts.jsonl"), O_WRONLY);
    assert_int_equal(pwrite(fd, "x", 1, 10), 1);
    assert_null(load(&saved, false, &waiting));
    assert_int_equal(pwrite(fd, "\0", 1, lseek(fd, 0, SEEK_END) - 10), 1);
    assert_ptr_equal(load(&saved, false, &waiting), jsonl_changed);
    close(fd);
    carry_free(&saved);
}

/* A limit on the size of files stands in for a full disk. */
static void limit_files(rlim_t bytes)
{
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void on_a_full_disk_lines_wait_whole_and_beyond_8_mib_they_are_counted(void **state)
{
    (void)state;
    struct alert_change change = a_change();
    struct jsonl *jsonl = jsonl_open(folder_path);
    static char hint[FILENAME_MAX];
    struct stat status;
    uint64_t lines = 0, found = 0;

    memset(hint, 'h', 1000);
    change.hint = hint;
    assert_non_null(jsonl);
    signal(SIGXFSZ, SIG_IGN);
    limit_files(100);
    for (; jsonl_lost(jsonl) == 0; lines++) {
        assert_true(lines < 20000);
        (void)jsonl_write(jsonl, &change);
    }
    assert_in_range(lines, 8000000 / 1500, 8500000 / 1000);
    assert_false(jsonl_flush(jsonl));
    assert_int_equal(stat(folder_file("alerts.jsonl"), &status), 0);
    assert_int_equal(status.st_size, 100);
    limit_files(RLIM_INFINITY);
    assert_true(jsonl_flush(jsonl));
    jsonl_close(jsonl);
    FILE *stream = fopen(folder_file("alerts.jsonl"), "rb");
    static char line[4096];
    while (fgets(line, sizeof line, stream)) {
        json_t *object = json_loads(line, 0, NULL);
        assert_non_null(object);
        json_decref(object);
        found++;
    }
    fclose(stream);
    assert_int_equal(found, lines - 1);
}

static void it_neither_follows_a_link_nor_waits_for_a_reader_of_a_fifo(void **state)
{
    (void)state;
    assert_int_equal(symlink("/etc/hostname", folder_file("alerts.jsonl")), 0);
    assert_null(jsonl_open(folder_path));
    assert_int_equal(unlink(folder_file("alerts.jsonl")), 0);
    assert_int_equal(mkfifo(folder_file("alerts.jsonl"), 0600), 0);
    assert_null(jsonl_open(folder_path));
    assert_int_equal(mkdir(folder_file("real"), 0700), 0);
    assert_int_equal(symlink("real", folder_file("link")), 0);
    assert_null(jsonl_open(folder_file("link"))); /* somebody has put it in the folder's place */
}

static void without_its_folder_it_does_not_open(void **state)
{
    (void)state;
    assert_null(jsonl_open("/nonexistent/embmon"));
    jsonl_close(NULL);
}

#define in_a_folder(test) cmocka_unit_test_setup_teardown(test, folder_make, folder_remove)

/* With lines of 1,000 bytes. */
static void fill(off_t bytes)
{
    FILE *stream = fopen(folder_file("alerts.jsonl"), "wb");

    assert_non_null(stream);
    for (; bytes > 0; bytes -= 1000)
        fprintf(stream, "%*s\n", bytes < 1000 ? (int)bytes - 1 : 999, "x");
    fclose(stream);
}

/* Alerts that flap for ever: the file ends, and a new one begins when it is deleted. */
static void a_file_of_64_mib_is_not_continued(void **state)
{
    struct alert_change change = a_change();
    struct jsonl *jsonl;
    struct stat status;
    const off_t nearly = JSONL_FILE_MAX - 2000;

    (void)state;
    fill(nearly);
    jsonl = jsonl_open(folder_path);
    assert_non_null(jsonl);
    for (int i = 0; i < 50; i++)
        (void)jsonl_write(jsonl, &change);
    assert_true(jsonl_flush(jsonl));
    assert_in_range(jsonl_lost(jsonl), 40, 49);
    assert_int_equal(stat(folder_file("alerts.jsonl"), &status), 0);
    assert_in_range(status.st_size, nearly + 1000, JSONL_FILE_MAX);
    assert_int_equal(unlink(folder_file("alerts.jsonl")), 0);
    assert_true(jsonl_again(jsonl, folder_path));
    (void)jsonl_write(jsonl, &change);
    jsonl_close(jsonl);
    assert_int_equal(stat(folder_file("alerts.jsonl"), &status), 0);
    assert_in_range(status.st_size, 300, 2000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_a_folder(a_file_of_64_mib_is_not_continued),
        in_a_folder(a_change_is_one_object_on_one_line_with_every_field),
        in_a_folder(numbers_that_json_has_not_are_words_or_null),
        in_a_folder(what_is_there_is_kept_and_a_torn_line_is_cut_off),
        in_a_folder(zeros_and_what_is_behind_them_are_cut_off),
        in_a_folder(whole_lines_get_no_empty_one_after_them),
        in_a_folder(a_change_is_in_the_file_once_it_is_flushed),
        in_a_folder(the_file_holds_each_line_once_that_the_checkpoint_knows),
        in_a_folder(zeros_in_what_was_queued_are_written_over),
        in_a_folder(a_file_that_lacks_what_it_had_is_a_problem_unless_it_is_forgiven),
        in_a_folder(what_was_synced_is_trusted),
        in_a_folder(on_a_full_disk_lines_wait_whole_and_beyond_8_mib_they_are_counted),
        in_a_folder(it_neither_follows_a_link_nor_waits_for_a_reader_of_a_fifo),
        cmocka_unit_test(without_its_folder_it_does_not_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
