#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <sys/stat.h>
#include <time.h>

#include "daemon/syncer.h"
#include "tests/unit/folder.h"

static struct syncer *syncer;
static int folder = -1;

static int start(void **state)
{
    if (folder_make(state) != 0)
        return -1;
    syncer = syncer_new();
    folder = open(folder_path, O_RDONLY | O_DIRECTORY);
    return syncer && folder >= 0 ? 0 : -1;
}

static int stop(void **state)
{
    close(folder);
    syncer_free(syncer);
    return folder_remove(state);
}

/* The error of the job once it is done. */
static int awaited(struct sync *sync)
{
    const struct timespec moment = {0, 1000000};
    int error = -1;

    assert_non_null(sync);
    while (!syncer_done(syncer, sync, &error))
        nanosleep(&moment, NULL);
    return error;
}

static int file_of(const char *name)
{
    int fd = open(folder_file(name), O_RDWR | O_CREAT | O_APPEND, 0600);

    assert_true(fd >= 0);
    return fd;
}

static void files_are_synced_and_the_mark_gets_its_name(void **state)
{
    struct sync_file files[] = {{file_of("a"), SYNC_NOTHING_AGAIN},
                                {file_of("mark"), SYNC_NOTHING_AGAIN}};

    (void)state;
    assert_int_equal(awaited(syncer_start(syncer, files, 2, folder, 0, "mark", "durable")), 0);
    assert_int_equal(access(folder_file("durable"), F_OK), 0);
    assert_int_equal(access(folder_file("mark"), F_OK), -1);
    assert_int_equal(awaited(syncer_start(syncer, files, 2, folder, 0, NULL, NULL)), 0);
    assert_int_equal(fcntl(files[0].fd, F_GETFD), 0); /* they stay the caller's */
    close(files[0].fd);
    close(files[1].fd);
}

static void what_fails_is_told_and_the_old_mark_stays(void **state)
{
    struct sync_file files[] = {{file_of("durable"), SYNC_NOTHING_AGAIN}, {-1, SYNC_NOTHING_AGAIN}};
    int pipes[2];

    (void)state;
    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(folder_touch("mark"), 0);
    files[1].fd = pipes[1]; /* nothing that can be synced */
    assert_int_equal(awaited(syncer_start(syncer, files, 2, folder, 0, "mark", "durable")), EINVAL);
    assert_int_equal(access(folder_file("mark"), F_OK), 0);
    assert_int_equal(awaited(syncer_start(syncer, files, 1, folder, 0, "missing", "durable")),
                     ENOENT);
    close(files[0].fd);
    close(pipes[0]);
    close(pipes[1]);
}

/* What the disk has lost is written once more: nothing of the file changes but when it was written.
 */
static void a_file_is_written_again_from_an_offset_on(void **state)
{
    static const uint64_t offsets[] = {SYNC_NOTHING_AGAIN, 70000, 40000, 0};
    static char bytes[70000], found[sizeof bytes + 1];
    struct sync_file a = {file_of("a"), 0};

    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i * 2654435761u >> 24);
    assert_int_equal(write(a.fd, bytes, sizeof bytes), sizeof bytes);
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
        const struct timespec long_ago[2] = {{1, 0}, {1, 0}};
        struct stat status;

        assert_int_equal(futimens(a.fd, long_ago), 0);
        a.again = offsets[i];
        assert_int_equal(awaited(syncer_start(syncer, &a, 1, folder, 0, NULL, NULL)), 0);
        assert_int_equal(fstat(a.fd, &status), 0);
        assert_int_equal(status.st_mtime != 1, offsets[i] < sizeof bytes);
        assert_int_equal(pread(a.fd, found, sizeof found, 0), sizeof bytes);
        assert_memory_equal(found, bytes, sizeof bytes);
    }
    close(a.fd);
}

static void descriptors_that_are_none_are_no_job(void **state)
{
    const struct sync_file none = {-1, SYNC_NOTHING_AGAIN};

    (void)state;
    assert_null(syncer_start(syncer, &none, 1, folder, 0, NULL, NULL));
    assert_null(syncer_start(syncer, NULL, 0, -1, 0, NULL, NULL));
}

/* Whatever lies there: it is synced, or passed over. */
static void all_files_around_and_the_folders_above_are_synced(void **state)
{
    struct sync_file a = {file_of("a"), SYNC_NOTHING_AGAIN};
    int pipe_fd;

    (void)state;
    assert_int_equal(folder_touch("b"), 0);
    assert_int_equal(mkfifo(folder_file("fifo"), 0600), 0);
    assert_int_equal(symlink("nowhere", folder_file("link")), 0);
    assert_int_equal(mkdir(folder_file("folder"), 0700), 0);
    assert_int_equal(folder_touch("mark"), 0);
    pipe_fd = open(folder_file("fifo"), O_RDONLY | O_NONBLOCK);
    assert_int_equal(awaited(syncer_start(syncer, &a, 1, folder, 2, "mark", "durable")), 0);
    assert_int_equal(access(folder_file("durable"), F_OK), 0);
    assert_int_equal(awaited(syncer_start(syncer, &a, 1, folder, SIZE_MAX, NULL, NULL)), 0);
    close(pipe_fd);
    close(a.fd);
}

static void many_jobs_come_to_their_end_in_turn(void **state)
{
    struct sync *jobs[50];
    struct sync_file a = {file_of("a"), SYNC_NOTHING_AGAIN};

    (void)state;
    for (size_t i = 0; i < 50; i++)
        jobs[i] = syncer_start(syncer, &a, 1, folder, 0, NULL, NULL);
    for (size_t i = 0; i < 50; i++) {
        if (i % 2)
            syncer_forget(syncer, jobs[i]);
        else
            assert_int_equal(awaited(jobs[i]), 0);
    }
    close(a.fd);
}

/* Whoever has forgotten a job may put another mark there. */
static void a_forgotten_job_renames_nothing_any_more(void **state)
{
    struct sync *job;
    struct sync_file a = {file_of("a"), SYNC_NOTHING_AGAIN};

    (void)state;
    for (size_t i = 0; i < 200; i++) {
        assert_int_equal(folder_touch("mark"), 0);
        job = syncer_start(syncer, &a, 1, folder, 0, "mark", "durable");
        assert_non_null(job);
        syncer_forget(syncer, job);
        assert_int_equal(folder_touch("mark"), 0);
        assert_int_equal(awaited(syncer_start(syncer, &a, 1, folder, 0, NULL, NULL)), 0);
        assert_int_equal(access(folder_file("mark"), F_OK), 0);
    }
    close(a.fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(files_are_synced_and_the_mark_gets_its_name, start, stop),
        cmocka_unit_test_setup_teardown(what_fails_is_told_and_the_old_mark_stays, start, stop),
        cmocka_unit_test_setup_teardown(a_file_is_written_again_from_an_offset_on, start, stop),
        cmocka_unit_test_setup_teardown(descriptors_that_are_none_are_no_job, start, stop),
        cmocka_unit_test_setup_teardown(all_files_around_and_the_folders_above_are_synced, start,
                                        stop),
        cmocka_unit_test_setup_teardown(many_jobs_come_to_their_end_in_turn, start, stop),
        cmocka_unit_test_setup_teardown(a_forgotten_job_renames_nothing_any_more, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
