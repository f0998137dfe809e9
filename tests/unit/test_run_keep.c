#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/checkpoint.h"
#include "daemon/run_state.h"
#include "daemon/state_file.h"
#include "tests/unit/one_run.h"

static off_t size_of(const char *name)
{
    struct stat status;

    return stat(tree_file(name), &status) == 0 ? status.st_size : -1;
}

static time_t age_of_state(uint64_t ms)
{
    struct stat status;

    assert_int_equal(stat(tree_file("run/embmon/state"), &status), 0);
    return (time_t)at(ms).wall - status.st_mtime;
}

static void a_run_is_kept_before_its_first_member_knows_it(void **state)
{
    (void)state;
    assert_int_equal(peer.heard.count[FRAME_WELCOME], 1);
    assert_true(size_of("run/embmon/state") > 0); /* without a tick */
    assert_int_equal(age_of_state(0), 0);
}

/* The next embmond sees by it how lately the run was heard. */
static void while_somebody_is_connected_the_checkpoint_stays_young(void **state)
{
    (void)state;
    for (uint64_t ms = 1000; ms <= 100000; ms += 1000) {
        peer_beat(&peer, 0, ms);
        tick(ms);
        assert_in_range(age_of_state(ms), 0, 10);
    }
    peer_close(&peer, 100000);
    for (uint64_t ms = 101000; ms <= 130000; ms += 1000) {
        registry_tick(registry, at(ms));
        registry_flush(registry);
    }
    assert_in_range(age_of_state(130000), 29, 30);
}

static void posts_are_kept_once_a_second(void **state)
{
    (void)state;
    tick(100);
    peer_step(&peer, 0, 1, 110);
    tick(200);
    tick(1000);
    assert_int_equal(peer.heard.kept, 0);
    tick(1100);
    assert_int_equal(peer.heard.kept, 3);
    assert_true(size_of("run/embmon/state") > 0);
    assert_int_equal(size_of("run/embmon/state.new"), -1);
}

static void the_first_after_a_pause_is_kept_at_the_next_tick(void **state)
{
    (void)state;
    tick(100);
    peer_step(&peer, 0, 1, 5000);
    tick(5100);
    assert_int_equal(peer.heard.kept, 3);
}

static void who_waits_is_served_every_100_ms(void **state)
{
    (void)state;
    tick(1000);
    peer_step(&peer, 0, 1, 1001);
    peer_settle(&peer, 1050);
    assert_int_equal(peer.heard.kept, 0);
    tick(1100);
    assert_int_equal(peer.heard.kept, 3);
    peer_step(&peer, 1, 1, 1101);
    peer_settle(&peer, 1200); /* without a tick */
    assert_int_equal(peer.heard.kept, 6);
}

static void where_nothing_has_changed_nothing_is_written(void **state)
{
    struct stat before, after;

    (void)state;
    peer_step(&peer, 0, 1, 1);
    tick(2000);
    assert_int_equal(stat(tree_file("run/embmon/state"), &before), 0);
    for (uint64_t ms = 2100; ms < 10000; ms += 100)
        tick(ms);
    assert_int_equal(stat(tree_file("run/embmon/state"), &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
}

static void files_get_what_is_in_a_checkpoint_and_no_more(void **state)
{
    struct event_file_stats stats;

    (void)state;
    tick(1000);
    record_stats(run->record, &stats);
    peer_step(&peer, 0, NAN, 1010);
    record_stats(run->record, &stats);
    assert_true(stats.bytes_pending > 0);
    assert_int_equal(size_of("run/embmon/alerts.jsonl"), 0);
    tick(1100); /* an alert does not wait for a second */
    record_stats(run->record, &stats);
    assert_int_equal(stats.bytes_pending, 0);
    assert_true(size_of("run/embmon/alerts.jsonl") > 0);
}

/* Where `state` cannot be replaced: by a folder of its name. */
static void while_the_disk_refuses_nothing_is_acknowledged_and_status_says_why(void **state)
{
    struct event_file_stats stats;
    struct run_status s;

    (void)state;
    tick(1000);
    assert_int_equal(unlink(tree_file("run/embmon/state")), 0);
    assert_int_equal(mkdir(tree_file("run/embmon/state"), 0700), 0);
    peer_step(&peer, 0, 1, 1500);
    tick(2000);
    tick(2100);
    tick(3000);
    run_get_status(run, &s);
    assert_string_equal(s.write_error, "Is a directory");
    assert_int_equal(s.write_failures, 2);
    assert_int_equal(peer.heard.kept, 0);
    record_stats(run->record, &stats);
    assert_true(stats.bytes_pending > 0); /* not in a checkpoint: not in a file */
    assert_int_equal(rmdir(tree_file("run/embmon/state")), 0);
    tick(3900);
    assert_int_equal(peer.heard.kept, 0);
    tick(4000);
    assert_int_equal(peer.heard.kept, 3);
    run_get_status(run, &s);
    assert_string_equal(s.write_error, "");
    assert_int_equal(s.bytes_pending, 0);
}

static void goodbye_waits_for_nothing(void **state)
{
    (void)state;
    tick(1000);
    peer_step(&peer, 0, 1, 1001);
    peer_bye(&peer, 1002);
    assert_int_equal(peer.heard.kept, 3);
    assert_int_equal(peer.result, SESSION_CLOSE);
}

static void ranks_that_leave_need_a_checkpoint_together(void **state)
{
    struct peer others[8];
    struct stat before, after;

    (void)state;
    for (uint8_t i = 0; i < 8; i++)
        others[i] = peer_join(registry, (uint8_t)(i + 2),
                              (struct hello){.name = "r", .world = 9, .rank = i}, 0);
    for (uint32_t i = 0; i < 8; i++)
        peer_post(&others[i], 0, 1, 1, 1);
    tick(1000);
    assert_int_equal(stat(tree_file("r/embmon/state"), &before), 0);
    for (uint32_t i = 0; i < 7; i++) /* with the last one the run ends */
        peer_bye(&others[i], 1010 + i);
    assert_int_equal(stat(tree_file("r/embmon/state"), &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
    tick(1100);
    assert_int_equal(stat(tree_file("r/embmon/state"), &after), 0);
    assert_int_not_equal(before.st_ino, after.st_ino);
    for (uint32_t i = 0; i < 8; i++)
        peer_close(&others[i], 1200);
}

static void much_that_is_queued_does_not_wait_for_a_second(void **state)
{
    struct event_file_stats stats;

    (void)state;
    tick(1000);
    for (uint64_t step = 0; step < 40000; step++) {
        char name[16];

        (void)snprintf(name, sizeof name, "s%d", (int)(step % 200));
        peer_scalar(&peer, name, step / 200, (double)step, 1500);
        if (step % 200 == 199)
            peer_end(&peer, step / 200, 1500);
        record_stats(run->record, &stats);
        assert_true(stats.bytes_pending < 2 * EVENT_FILE_FULL);
    }
    assert_true(peer.heard.kept > 0);
}

/* What is queued is written from where it lies: the same bytes as of a copy of all. */
static void what_is_queued_is_in_the_checkpoint_as_if_it_were_copied(void **state)
{
    struct carry copied;
    uint8_t *written;
    size_t n;

    (void)state;
    tick(1000);
    for (uint64_t step = 0; record_waiting(run->record) < 100 << 10; step++) {
        peer_scalar(&peer, "loss", step, (double)step, 1000);
        peer_scalar(&peer, "another", step, (double)step, 1000);
        peer_end(&peer, step, 1000);
    }
    assert_int_equal(run_write_checkpoint(run, at(1000)), 0);
    checkpoint_begin(&copied);
    run_carry(&copied, run, at(1000));
    checkpoint_seal(&copied);
    assert_null(copied.problem);
    assert_true(copied.length > 100 << 10);
    assert_int_equal(
        state_file_read(record_folder(run->record), STATE_FILE, CHECKPOINT_BYTES_MAX, &written, &n),
        0);
    assert_int_equal(n, copied.length);
    assert_memory_equal(written, copied.data, n);
    free(written);
    carry_free(&copied);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        one_run_test(a_run_is_kept_before_its_first_member_knows_it),
        one_run_test(while_somebody_is_connected_the_checkpoint_stays_young),
        one_run_test(posts_are_kept_once_a_second),
        one_run_test(the_first_after_a_pause_is_kept_at_the_next_tick),
        one_run_test(who_waits_is_served_every_100_ms),
        one_run_test(where_nothing_has_changed_nothing_is_written),
        one_run_test(files_get_what_is_in_a_checkpoint_and_no_more),
        one_run_test(while_the_disk_refuses_nothing_is_acknowledged_and_status_says_why),
        one_run_test(goodbye_waits_for_nothing),
        one_run_test(ranks_that_leave_need_a_checkpoint_together),
        one_run_test(much_that_is_queued_does_not_wait_for_a_second),
        one_run_test(what_is_queued_is_in_the_checkpoint_as_if_it_were_copied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
