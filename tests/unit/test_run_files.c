/* What becomes of a run whose files somebody deletes. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <unistd.h>

#include "daemon/run_state.h"
#include "tests/unit/one_run.h"

static bool is_there(const char *name)
{
    return access(tree_file(name), F_OK) == 0;
}

/* Event files in the run's folder; all of them are deleted where told. */
static size_t event_files(bool delete)
{
    DIR *stream = opendir(tree_file("run/embmon"));
    struct dirent *entry;
    size_t count = 0;

    while (stream && (entry = readdir(stream))) {
        if (!strstr(entry->d_name, "tfevents"))
            continue;
        count++;
        assert_true(!delete || unlinkat(dirfd(stream), entry->d_name, 0) == 0);
    }
    if (stream)
        closedir(stream);
    return count;
}

static void what_is_there_is_left_alone(void **state)
{
    (void)state;
    peer_step(&peer, 0, 1, 10);
    tick(1000);
    assert_false(run_files_deleted(run));
    assert_int_equal(event_files(false), 1);
    assert_int_equal(status().deleted, 0);
}

static void with_the_logdir_deleted_a_run_goes_on_in_a_new_one(void **state)
{
    (void)state;
    peer_step(&peer, 0, 1, 10);
    tick(1000);
    assert_int_equal(peer.heard.kept, 3);
    assert_int_equal(tree_remove(NULL), 0);
    assert_true(run_files_deleted(run));
    peer_step(&peer, 1, 1, 1010);
    tick(2000);
    assert_int_equal(peer.heard.kept, 6);
    assert_false(run_files_deleted(run));
    assert_int_equal(status().deleted, 3); /* what was acknowledged before */
    assert_string_equal(status().write_error, "");
    assert_int_equal(event_files(false), 1);
    assert_true(is_there("run/embmon/state"));
    assert_true(is_there("run/embmon/alerts.jsonl"));
    tick(3000);
    assert_int_equal(event_files(false), 1);
}

static void an_event_file_that_is_deleted_is_followed_by_a_new_one(void **state)
{
    (void)state;
    peer_step(&peer, 0, 1, 10);
    tick(1000);
    assert_int_equal(event_files(true), 1);
    peer_step(&peer, 1, 1, 1010);
    tick(2000);
    assert_int_equal(peer.heard.kept, 6);
    assert_int_equal(event_files(false), 1);
    assert_int_equal(status().deleted, 3);
}

static void an_alerts_file_that_is_deleted_costs_no_more_than_that(void **state)
{
    (void)state;
    peer_step(&peer, 0, 1, 10);
    tick(1000);
    assert_int_equal(unlink(tree_file("run/embmon/alerts.jsonl")), 0);
    peer_step(&peer, 1, 1, 1010);
    tick(2000);
    assert_true(is_there("run/embmon/alerts.jsonl"));
    assert_int_equal(event_files(false), 1);
    assert_int_equal(status().deleted, 0);
}

static void where_no_folder_can_be_made_it_is_said_and_tried_again(void **state)
{
    (void)state;
    peer_step(&peer, 0, 1, 10);
    tick(1000);
    assert_int_equal(tree_remove(NULL), 0);
    assert_int_equal(symlink("nowhere", tree_path), 0);
    peer_step(&peer, 1, 1, 1010);
    tick(2000);
    assert_int_equal(peer.heard.kept, 3);
    assert_string_equal(status().write_error, strerror(EEXIST));
    assert_non_null(strstr(status().trouble, "run/embmon"));
    assert_true(strlen(status().advice) > 0);
    assert_int_equal(unlink(tree_path), 0);
    tick(3000);
    assert_int_equal(peer.heard.kept, 6);
    assert_string_equal(status().write_error, "");
    assert_string_equal(status().trouble, "");
    assert_int_equal(status().deleted, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        one_run_test(what_is_there_is_left_alone),
        one_run_test(with_the_logdir_deleted_a_run_goes_on_in_a_new_one),
        one_run_test(an_event_file_that_is_deleted_is_followed_by_a_new_one),
        one_run_test(an_alerts_file_that_is_deleted_costs_no_more_than_that),
        one_run_test(where_no_folder_can_be_made_it_is_said_and_tried_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
