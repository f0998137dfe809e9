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
#include "tests/unit/peer.h"
#include "tests/unit/tree.h"

static struct registry *registry;
static struct peer peer;
static struct run *run;

static int start(void **state)
{
    if (tree_make(state) != 0)
        return -1;
    registry = registry_new(tree_path, at(0));
    peer = peer_join(registry, 1, (struct hello){0}, 0);
    run = registry_find(registry, "run");
    return run ? 0 : -1;
}

static int stop(void **state)
{
    if (peer.session)
        peer_close(&peer, 1 << 20);
    registry_free(registry, at(1 << 20));
    return tree_remove(state);
}

static void tick(uint64_t ms)
{
    registry_tick(registry, at(ms));
    registry_flush(registry);
    peer_listen(&peer);
}

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

static struct run_status status(void)
{
    struct run_status s;

    run_get_status(run, &s);
    return s;
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

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_there_is_left_alone),
        TEST(with_the_logdir_deleted_a_run_goes_on_in_a_new_one),
        TEST(an_event_file_that_is_deleted_is_followed_by_a_new_one),
        TEST(an_alerts_file_that_is_deleted_costs_no_more_than_that),
        TEST(where_no_folder_can_be_made_it_is_said_and_tried_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
