#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "daemon/run_state.h"
#include "tests/unit/logdir.h"

static struct run_options options(uint32_t world)
{
    return (struct run_options){
        .logdir = tree_path, .name = "run", .wanted = "run", .key = "", .world_size = world};
}

/* A run of one rank and one step, and its embmond gone. */
static void leave_a_run_of(double value)
{
    struct peer peer = peer_join(registry, 1, (struct hello){0}, 1000);

    peer_step(&peer, 0, value, 1001);
    registry_suspend(registry);
    peer_close(&peer, 1002);
    logdir_restart(1003);
}

static void leave_a_run(void)
{
    leave_a_run_of(1);
}

static void leave_a_run_with_an_alert(void)
{
    leave_a_run_of(NAN);
}

static size_t event_files(void)
{
    DIR *stream = opendir(tree_file("run/embmon"));
    struct dirent *entry;
    size_t count = 0;

    assert_non_null(stream);
    while ((entry = readdir(stream)))
        count += strstr(entry->d_name, "tfevents") != NULL;
    closedir(stream);
    return count;
}

static void damage(const char *name)
{
    FILE *stream = fopen(tree_file(name), "r+b");

    assert_non_null(stream);
    assert_int_equal(fseek(stream, 100, SEEK_SET), 0);
    assert_int_equal(fputc(0x7f, stream), 0x7f);
    assert_int_equal(fputc(0x7f, stream), 0x7f);
    fclose(stream);
}

static void what_was_kept_goes_on_in_one_new_file(void **state)
{
    const struct run_options with = options(1);
    const char *problem = "";
    struct run *run;

    (void)state;
    leave_a_run();
    run = run_open(&with, at(2000), &problem);
    assert_non_null(run);
    assert_int_equal(run_next_step(run), 1);
    assert_int_equal(run->member_count, 1);
    assert_int_equal(event_files(), 2);
    run_close(run, at(2001));
}

static void one_of_another_world_size_is_left_as_it_is(void **state)
{
    const struct run_options with = options(2);
    const char *problem = "";

    (void)state;
    leave_a_run();
    assert_null(run_open(&with, at(2000), &problem));
    assert_string_equal(problem, "the run of this name has another world size");
    assert_int_equal(event_files(), 1);
}

static void damaged_checkpoints_make_no_empty_files(void **state)
{
    const struct run_options with = options(1);
    const char *problem = "";
    struct run *run;

    (void)state;
    leave_a_run();
    assert_int_equal(link(tree_file("run/embmon/state"), tree_file("run/embmon/state.durable")), 0);
    damage("run/embmon/state"); /* both are one file */
    run = run_open(&with, at(2000), &problem);
    assert_non_null(run);
    assert_int_equal(run->member_count, 0);
    assert_int_equal(run_next_step(run), 1); /* behind what is recorded */
    assert_int_equal(event_files(), 2);
    run_close(run, at(2001));
}

/* Somebody has removed it while no embmond was there: nothing else is given up for that. */
static void without_its_alerts_a_run_goes_on_all_the_same(void **state)
{
    const struct run_options with = options(1);
    const char *problem = "";
    struct run *run;

    (void)state;
    leave_a_run_with_an_alert();
    assert_int_equal(unlink(tree_file("run/embmon/alerts.jsonl")), 0);
    run = run_open(&with, at(2000), &problem);
    assert_non_null(run);
    assert_int_equal(run->member_count, 1);
    assert_int_equal(run_next_step(run), 1);
    run_close(run, at(2001));
}

static void a_folder_that_cannot_be_made_is_said(void **state)
{
    struct run_options with = options(1);
    const char *problem = "";
    FILE *stream = fopen(tree_file("file"), "w");

    (void)state;
    assert_non_null(stream);
    fclose(stream);
    with.name = "file/run";
    assert_null(run_open(&with, at(0), &problem));
    assert_string_equal(problem, "a part of the run's name is not a folder below the logdir");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        logdir_test(what_was_kept_goes_on_in_one_new_file),
        logdir_test(one_of_another_world_size_is_left_as_it_is),
        logdir_test(damaged_checkpoints_make_no_empty_files),
        logdir_test(without_its_alerts_a_run_goes_on_all_the_same),
        logdir_test(a_folder_that_cannot_be_made_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
