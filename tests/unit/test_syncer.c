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
    int fd = open(folder_file(name), O_RDWR | O_CREAT, 0600);

    assert_true(fd >= 0);
    return fd;
}

static void files_are_synced_and_the_mark_gets_its_name(void **state)
{
    int fds[] = {file_of("a"), file_of("mark")};

    (void)state;
    assert_int_equal(awaited(syncer_start(syncer, fds, 2, folder, 0, "mark", "durable")), 0);
    assert_int_equal(access(folder_file("durable"), F_OK), 0);
    assert_int_equal(access(folder_file("mark"), F_OK), -1);
    assert_int_equal(awaited(syncer_start(syncer, fds, 2, folder, 0, NULL, NULL)), 0);
    assert_int_equal(fcntl(fds[0], F_GETFD), 0); /* they stay the caller's */
    close(fds[0]);
    close(fds[1]);
}

static void what_fails_is_told_and_the_old_mark_stays(void **state)
{
    int fds[] = {file_of("durable"), -1}, pipes[2];

    (void)state;
    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(folder_touch("mark"), 0);
    fds[1] = pipes[1]; /* nothing that can be synced */
    assert_int_equal(awaited(syncer_start(syncer, fds, 2, folder, 0, "mark", "durable")), EINVAL);
    assert_int_equal(access(folder_file("mark"), F_OK), 0);
    assert_int_equal(awaited(syncer_start(syncer, fds, 1, folder, 0, "missing", "durable")),
                     ENOENT);
    close(fds[0]);
    close(pipes[0]);
    close(pipes[1]);
}

static void descriptors_that_are_none_are_no_job(void **state)
{
    const int none = -1;

    (void)state;
    assert_null(syncer_start(syncer, &none, 1, folder, 0, NULL, NULL));
    assert_null(syncer_start(syncer, NULL, 0, -1, 0, NULL, NULL));
}

/* Whatever lies there: it is synced, or passed over. */
static void all_files_around_and_the_folders_above_are_synced(void **state)
{
    int fd = file_of("a"), pipe_fd;

    (void)state;
    assert_int_equal(folder_touch("b"), 0);
    assert_int_equal(mkfifo(folder_file("fifo"), 0600), 0);
    assert_int_equal(symlink("nowhere", folder_file("link")), 0);
    assert_int_equal(mkdir(folder_file("folder"), 0700), 0);
    assert_int_equal(folder_touch("mark"), 0);
    pipe_fd = open(folder_file("fifo"), O_RDONLY | O_NONBLOCK);
    assert_int_equal(awaited(syncer_start(syncer, &fd, 1, folder, 2, "mark", "durable")), 0);
    assert_int_equal(access(folder_file("durable"), F_OK), 0);
    assert_int_equal(awaited(syncer_start(syncer, &fd, 1, folder, SIZE_MAX, NULL, NULL)), 0);
    close(pipe_fd);
    close(fd);
}

static void many_jobs_come_to_their_end_in_turn(void **state)
{
    struct sync *jobs[50];
    int fd = file_of("a");

    (void)state;
    for (size_t i = 0; i < 50; i++)
        jobs[i] = syncer_start(syncer, &fd, 1, folder, 0, NULL, NULL);
    for (size_t i = 0; i < 50; i++) {
        if (i % 2)
            syncer_forget(syncer, jobs[i]);
        else
            assert_int_equal(awaited(jobs[i]), 0);
    }
    close(fd);
}

/* Whoever has forgotten a job may put another mark there. */
static void a_forgotten_job_renames_nothing_any_more(void **state)
{
    struct sync *job;
    int fd = file_of("a");

    (void)state;
    for (size_t i = 0; i < 200; i++) {
        assert_int_equal(folder_touch("mark"), 0);
        job = syncer_start(syncer, &fd, 1, folder, 0, "mark", "durable");
        assert_non_null(job);
        syncer_forget(syncer, job);
        assert_int_equal(folder_touch("mark"), 0);
        assert_int_equal(awaited(syncer_start(syncer, &fd, 1, folder, 0, NULL, NULL)), 0);
        assert_int_equal(access(folder_file("mark"), F_OK), 0);
    }
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(files_are_synced_and_the_mark_gets_its_name, start, stop),
        cmocka_unit_test_setup_teardown(what_fails_is_told_and_the_old_mark_stays, start, stop),
        cmocka_unit_test_setup_teardown(descriptors_that_are_none_are_no_job, start, stop),
        cmocka_unit_test_setup_teardown(all_files_around_and_the_folders_above_are_synced, start,
                                        stop),
        cmocka_unit_test_setup_teardown(many_jobs_come_to_their_end_in_turn, start, stop),
        cmocka_unit_test_setup_teardown(a_forgotten_job_renames_nothing_any_more, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
