#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "daemon/run_state.h"
#include "tests/unit/one_run.h"

/* The thread works in its own time. */
static void tick_until_synced(uint64_t ms)
{
    const struct timespec moment = {0, 1000000};

    for (tick(ms); run->sync; tick(ms))
        nanosleep(&moment, NULL);
}

static void what_is_kept_becomes_durable(void **state)
{
    (void)state;
    peer_step(&peer, 0, 1, 10);
    tick_until_synced(2000);
    assert_int_equal(peer.heard.kept, 3);
    assert_int_equal(run_member_durable(run->members[0]), 3);
    assert_int_equal(access(tree_file("run/embmon/state.durable"), F_OK), 0);
    assert_int_equal(access(tree_file("run/embmon/state.sync"), F_OK), -1);
    peer_step(&peer, 1, 1, 2010);
    assert_int_equal(run_member_durable(run->members[0]), 3);
    tick_until_synced(4000);
    assert_int_equal(run_member_durable(run->members[0]), 6);
}

static void it_is_synced_twice_a_second_and_only_where_something_has_changed(void **state)
{
    uint64_t synced;

    (void)state;
    peer_step(&peer, 0, 1, 10);
    tick_until_synced(2000);
    synced = run->synced_ms;
    tick(5000);
    assert_int_equal(run->synced_ms, synced);
    peer_step(&peer, 1, 1, 5010);
    peer_settle(&peer, 5100);
    tick_until_synced(5200);
    assert_int_equal(run->synced_ms, 5200);
    peer_step(&peer, 2, 1, 5210);
    peer_settle(&peer, 5300);
    tick_until_synced(5400);
    assert_int_equal(run->synced_ms, 5200); /* kept, and not yet on its way again */
    tick_until_synced(6200);
    assert_int_equal(run->synced_ms, 6200);
}

/* Where `state` cannot be read, and so not be synced. */
static void a_failure_is_counted_and_told(void **state)
{
    struct run_status s;

    (void)state;
    peer_step(&peer, 0, 1, 10);
    tick_until_synced(2000);
    peer_step(&peer, 1, 1, 2100);
    registry_tick(registry, at(4000));
    run_flush(run, at(4000));
    assert_int_equal(unlink(tree_file("run/embmon/state")), 0);
    tick_until_synced(4000);
    run_get_status(run, &s);
    assert_int_equal(s.write_failures, 1);
    assert_string_equal(s.write_error, "No such file or directory");
    assert_int_equal(run_member_durable(run->members[0]), 3);
    peer_step(&peer, 2, 1, 5000); /* makes a new one */
    tick_until_synced(6000);
    run_get_status(run, &s);
    assert_string_equal(s.write_error, "");
    assert_int_equal(run_member_durable(run->members[0]), 9);
}

/* As after a power failure: the checkpoint that was renamed last never reached the disk. */
static void the_durable_one_is_taken_up_where_the_last_is_lost(void **state)
{
    int fd;

    (void)state;
    peer_step(&peer, 0, 1, 10);
    tick_until_synced(2000);
    run_suspend(run);
    peer_close(&peer, 2100);
    registry_free(registry, at(2200));
    fd = open(tree_file("run/embmon/state"), O_WRONLY | O_TRUNC);
    assert_true(fd >= 0);
    close(fd);
    one_run_return((struct hello){.given = "run"});
    assert_int_equal(peer.heard.sequence, 3);
    assert_int_equal(peer.heard.next_step, 1);
}

static ino_t state_inode(void)
{
    struct stat status;

    assert_int_equal(stat(tree_file("run/embmon/state"), &status), 0);
    return status.st_ino;
}

/* Else what is written next might outlive in a power failure what it follows. */
static void what_was_taken_up_is_synced_before_more_is_written(void **state)
{
    ino_t before;

    (void)state;
    peer_step(&peer, 0, 1, 10);
    tick_until_synced(2000);
    run_suspend(run);
    peer_close(&peer, 2100);
    registry_free(registry, at(2200));
    one_run_return((struct hello){.given = "run"});
    peer.sequence = 3;
    before = state_inode();
    peer_step(&peer, 1, 1, 10);
    registry_tick(registry, at(2000));
    run_flush(run, at(2000)); /* without run_sync() */
    peer_listen(&peer);
    assert_int_equal(state_inode(), before);
    assert_int_equal(peer.heard.kept, 0);
    tick_until_synced(2100);
    assert_true(run->settled && !run->settling);
    assert_int_equal(state_inode(), before);
    tick(2200);
    assert_int_equal(peer.heard.kept, 6);
    assert_int_not_equal(state_inode(), before);
}

/* A goodbye is answered all the same: its trainer does not wait. */
static void who_says_goodbye_meanwhile_is_answered(void **state)
{
    (void)state;
    peer_step(&peer, 0, 1, 10);
    tick_until_synced(2000);
    run_suspend(run);
    peer_close(&peer, 2100);
    registry_free(registry, at(2200));
    one_run_return((struct hello){.given = "run"});
    peer.sequence = 3;
    peer_step(&peer, 1, 1, 10);
    assert_true(run->settling);
    peer_bye(&peer, 11);
    assert_int_equal(peer.heard.kept, 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        one_run_test(what_is_kept_becomes_durable),
        one_run_test(it_is_synced_twice_a_second_and_only_where_something_has_changed),
        one_run_test(a_failure_is_counted_and_told),
        one_run_test(the_durable_one_is_taken_up_where_the_last_is_lost),
        one_run_test(what_was_taken_up_is_synced_before_more_is_written),
        one_run_test(who_says_goodbye_meanwhile_is_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
