#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/rundir.h"
#include "tests/unit/logdir.h"

/* The name the daemon gives, "" when it refuses; the session is left open. */
static struct peer joined(uint8_t id, struct hello with, uint64_t ms)
{
    struct peer peer = peer_open(registry, id, ms);

    peer_hello(&peer, with, ms);
    return peer;
}

#define assert_run(peer, name) assert_string_equal((peer).heard.run, name)

static void assert_refused(const struct peer *peer, const char *why)
{
    assert_int_equal(peer->heard.count[FRAME_WELCOME], 0);
    assert_int_equal(peer->heard.nack_reason, NACK_REFUSED);
    if (!strstr(peer->heard.nack_detail, why))
        fail_msg("'%s' does not say '%s'", peer->heard.nack_detail, why);
}

static void ranks_of_one_launch_join_one_run(void **state)
{
    struct peer a = joined(1, (struct hello){.world = 2, .key = "k"}, 0);
    struct peer b = joined(2, (struct hello){.world = 2, .rank = 1, .key = "k"}, 100);

    (void)state;
    assert_run(a, "run");
    assert_run(b, "run");
    assert_int_equal(registry_runs(registry), 1);
    peer_close(&a, 200);
    peer_close(&b, 200);
}

static void the_same_name_again_gets_a_suffix(void **state)
{
    (void)state;
    for (int i = 1; i <= 11; i++) {
        char name[16];
        struct peer peer = joined((uint8_t)i, (struct hello){0}, (uint64_t)i);

        (void)snprintf(name, sizeof name, i == 1 ? "run" : "run-%d", i);
        assert_run(peer, name);
        peer_bye(&peer, (uint64_t)i);
        peer_close(&peer, (uint64_t)i);
    }
    assert_int_equal(registry_runs(registry), 11);
}

/* The daemon ends while trainers are connected, and another one begins. */
static void restart_beneath(struct peer *peer, uint64_t ms)
{
    registry_suspend(registry);
    peer_close(peer, ms);
    logdir_restart(ms);
}

static void a_launch_is_one_run_whoever_comes_first_after_a_restart(void **state)
{
    const struct hello zero = {.world = 2, .key = "k"}, one = {.world = 2, .rank = 1, .key = "k"};
    struct hello back = zero;
    struct peer a, b;

    (void)state;
    back.given = "run";
    for (int first = 0; first < 2; first++) {
        a = joined(1, zero, 0);
        assert_run(a, "run");
        restart_beneath(&a, 10);
        if (first == 0)
            a = joined(1, back, 20);
        b = joined(2, one, 30);
        if (first == 1)
            a = joined(1, back, 40);
        assert_run(a, "run");
        assert_run(b, "run");
        assert_int_equal(registry_runs(registry), 1);
        peer_bye(&a, 50);
        peer_close(&a, 50);
        peer_bye(&b, 50);
        peer_close(&b, 50);
        logdir_restart(60);
        assert_int_equal(rename(tree_file("run"), tree_file(first ? "second" : "first")), 0);
    }
    assert_false(rundir_exists(tree_path, "run-2"));
}

/* Its Welcome was lost with the daemon. */
static void a_session_finds_its_run_again_without_its_name(void **state)
{
    struct peer a = joined(1, (struct hello){0}, 0);

    (void)state;
    restart_beneath(&a, 10);
    a = joined(1, (struct hello){0}, 20);
    assert_run(a, "run");
    assert_false(rundir_exists(tree_path, "run-2"));
    peer_close(&a, 30);
}

static void the_newest_run_that_admits_it_is_found_again(void **state)
{
    struct peer a = joined(1, (struct hello){.world = 2, .key = "k"}, 0);
    struct peer b = joined(2, (struct hello){.world = 2, .key = "l"}, 0), c, d;

    (void)state;
    assert_run(b, "run-2");
    registry_suspend(registry);
    peer_close(&a, 10);
    peer_close(&b, 10);
    logdir_restart(10);
    c = joined(3, (struct hello){.world = 2, .rank = 1}, 20);
    assert_run(c, "run-2");
    d = joined(4, (struct hello){.world = 2, .rank = 1, .key = "k"}, 20);
    assert_run(d, "run");
    peer_close(&c, 30);
    peer_close(&d, 30);
}

static void what_a_killed_daemon_had_not_begun_is_begun(void **state)
{
    struct peer a;

    (void)state;
    free(rundir_make(tree_path, "run"));
    a = joined(1, (struct hello){0}, 0);
    assert_run(a, "run");
    peer_close(&a, 1);
}

static void a_folder_of_an_earlier_daemon_is_not_written_over(void **state)
{
    struct peer first = joined(1, (struct hello){.name = "a/b"}, 0), second;

    (void)state;
    peer_close(&first, 1);
    logdir_restart(2);
    second = joined(2, (struct hello){.name = "a/b"}, 3);
    assert_run(second, "a/b-2");
    peer_close(&second, 4);
}

static void what_the_framework_writes_below_the_name_is_no_run(void **state)
{
    struct peer peer;

    (void)state;
    assert_int_equal(mkdir(tree_file("run"), 0700), 0);
    assert_int_equal(mkdir(tree_file("run/train"), 0700), 0);
    peer = joined(1, (struct hello){0}, 0);
    assert_run(peer, "run");
    peer_close(&peer, 1);
}

static void another_key_name_or_world_is_another_run(void **state)
{
    struct peer a = joined(1, (struct hello){.world = 2, .key = "k"}, 0);
    struct peer key = joined(2, (struct hello){.world = 2, .rank = 1, .key = "l"}, 0);
    struct peer none = joined(3, (struct hello){.world = 3, .rank = 1}, 0);
    struct peer name = joined(4, (struct hello){.name = "x", .world = 2, .rank = 1}, 0);

    (void)state;
    assert_run(a, "run");
    assert_run(key, "run-2");
    assert_run(none, "run-3");
    assert_run(name, "x");
    peer_close(&a, 1);
    peer_close(&key, 1);
    peer_close(&none, 1);
    peer_close(&name, 1);
}

static void a_missing_key_is_no_obstacle(void **state)
{
    struct peer a = joined(1, (struct hello){.world = 3, .key = "k"}, 0);
    struct peer b = joined(2, (struct hello){.world = 3, .rank = 1}, 0);
    struct peer c = joined(3, (struct hello){.world = 3, .rank = 2, .key = "k"}, 0);

    (void)state;
    assert_run(b, "run");
    assert_run(c, "run");
    peer_close(&a, 1);
    peer_close(&b, 1);
    peer_close(&c, 1);
}

static void a_run_is_joined_for_60_seconds_after_it_was_heard(void **state)
{
    struct peer a = joined(1, (struct hello){.world = 3}, 0), b, c;

    (void)state;
    peer_beat(&a, 0, 1000);
    peer_close(&a, 1000);
    b = joined(2, (struct hello){.world = 3, .rank = 1}, 60999);
    assert_run(b, "run");
    peer_close(&b, 61000);
    c = joined(3, (struct hello){.world = 3, .rank = 2}, 121000);
    assert_run(c, "run-2");
    peer_close(&c, 121001);
}

static void a_rank_that_was_held_once_is_never_given_again(void **state)
{
    struct peer a = joined(1, (struct hello){.world = 2}, 0), again, second;

    (void)state;
    peer_bye(&a, 1);
    again = joined(2, (struct hello){.world = 2}, 2);
    assert_run(again, "run-2");
    second = joined(3, (struct hello){.world = 2, .rank = 1}, 3);
    assert_run(second, "run-2"); /* the newest that admits it */
    peer_close(&a, 4);
    peer_close(&again, 4);
    peer_close(&second, 4);
}

static void given_continues_the_folder_without_a_suffix(void **state)
{
    struct peer a = peer_join(registry, 1, (struct hello){0}, 0), back;

    (void)state;
    peer_step(&a, 41, 1, 1);
    peer_close(&a, 2);
    logdir_restart(3);
    back = joined(1, (struct hello){.given = "run"}, 4);
    assert_run(back, "run");
    assert_int_equal(back.heard.next_step, 42);
    assert_int_equal(back.heard.sequence, 3); /* what was kept is not sent again */
    peer_close(&back, 5);
}

static void all_ranks_of_a_given_run_meet_in_it_again(void **state)
{
    struct peer a = joined(1, (struct hello){.name = "x", .world = 2}, 0);
    struct peer b = joined(2, (struct hello){.name = "x", .world = 2, .rank = 1}, 0), late;

    (void)state;
    peer_close(&a, 1);
    peer_close(&b, 1);
    logdir_restart(2);
    b = joined(2, (struct hello){.name = "x", .given = "x", .world = 2, .rank = 1}, 3);
    a = joined(1, (struct hello){.name = "x", .given = "x", .world = 2}, 4);
    assert_run(a, "x");
    assert_run(b, "x");
    assert_int_equal(registry_runs(registry), 1);
    late = joined(3, (struct hello){.name = "x", .world = 2}, 5);
    assert_run(late, "x-2");
    peer_close(&a, 6);
    peer_close(&b, 6);
    peer_close(&late, 6);
}

static void given_does_not_take_a_rank_from_a_session_that_is_there(void **state)
{
    struct peer a = joined(1, (struct hello){0}, 0);
    struct peer thief = joined(2, (struct hello){.given = "run"}, 1);
    struct peer world = joined(3, (struct hello){.given = "run", .world = 2, .rank = 1}, 1);

    (void)state;
    assert_refused(&thief, "held by another session");
    assert_refused(&world, "world size differs");
    peer_close(&a, 2);
    peer_close(&thief, 2);
    peer_close(&world, 2);
}

/* A name is no secret: only the session that was given it, or who resumes, goes on as that rank. */
static void given_does_not_take_a_rank_of_a_session_that_is_away(void **state)
{
    struct peer a = joined(1, (struct hello){0}, 0), thief, heir;

    (void)state;
    peer_close(&a, 1);
    thief = joined(2, (struct hello){.given = "run"}, 2);
    assert_refused(&thief, "held by another session");
    peer_close(&thief, 2);
    logdir_restart(3);
    thief = joined(2, (struct hello){.given = "run"}, 4);
    assert_refused(&thief, "held by another session");
    peer_close(&thief, 4);
    a = joined(1, (struct hello){.given = "run"}, 5);
    assert_run(a, "run");
    peer_close(&a, 6);
    heir = joined(3, (struct hello){.given = "run", .resume = true}, 7);
    assert_run(heir, "run");
    peer_close(&heir, 8);
}

/* What is kept of a run is not given up for somebody who only knows its name. */
static void given_with_another_world_size_leaves_the_checkpoint(void **state)
{
    struct peer a = peer_join(registry, 1, (struct hello){0}, 0), thief;

    (void)state;
    peer_step(&a, 0, 1, 1);
    peer_close(&a, 2);
    logdir_restart(3);
    thief = joined(2, (struct hello){.given = "run", .world = 2, .rank = 1}, 4);
    assert_refused(&thief, "has another world size");
    peer_close(&thief, 4);
    a = joined(1, (struct hello){.given = "run"}, 5);
    assert_run(a, "run");
    assert_int_equal(a.heard.sequence, 3); /* what was kept still is */
    peer_close(&a, 6);
}

static void resume_continues_an_existing_folder(void **state)
{
    struct peer a = peer_join(registry, 1, (struct hello){0}, 0), b;

    (void)state;
    peer_step(&a, 9, 1, 1);
    peer_bye(&a, 2);
    peer_close(&a, 2);
    logdir_restart(3);
    b = joined(2, (struct hello){.resume = true}, 4);
    assert_run(b, "run");
    assert_int_equal(b.heard.next_step, 10);
    peer_close(&b, 5);
}

static void resume_continues_a_loaded_run_however_long_it_was_quiet(void **state)
{
    struct peer a = peer_join(registry, 1, (struct hello){.key = "monday"}, 0), b;

    (void)state;
    peer_step(&a, 9, 1, 1);
    peer_bye(&a, 2);
    peer_close(&a, 2);
    b = joined(2, (struct hello){.resume = true, .key = "tuesday"}, 3000000);
    assert_run(b, "run");
    assert_int_equal(b.heard.next_step, 10);
    assert_int_equal(registry_runs(registry), 1);
    peer_close(&b, 3000001);
}

static void all_ranks_of_a_resumed_launch_meet(void **state)
{
    struct peer a = joined(1, (struct hello){.world = 2, .key = "monday"}, 0);
    struct peer b = joined(2, (struct hello){.world = 2, .rank = 1, .key = "monday"}, 0);

    (void)state;
    peer_close(&a, 10);
    peer_close(&b, 10);
    b = joined(3, (struct hello){.world = 2, .rank = 1, .key = "tuesday", .resume = true}, 5000);
    a = joined(4, (struct hello){.world = 2, .key = "tuesday", .resume = true}, 6000);
    assert_run(a, "run");
    assert_run(b, "run");
    assert_int_equal(registry_runs(registry), 1);
    peer_close(&a, 7000);
    peer_close(&b, 7000);
}

static void resume_does_not_take_a_rank_that_is_held(void **state)
{
    struct peer a = joined(1, (struct hello){0}, 0);
    struct peer b = joined(2, (struct hello){.resume = true}, 1);

    (void)state;
    assert_refused(&b, "held by another session");
    peer_close(&a, 2);
    peer_close(&b, 2);
}

static void resume_with_another_world_size_begins_the_run_anew_in_its_folder(void **state)
{
    struct peer a = peer_join(registry, 1, (struct hello){0}, 0), b;

    (void)state;
    peer_step(&a, 9, 1, 1);
    peer_bye(&a, 2);
    peer_close(&a, 2);
    b = joined(2, (struct hello){.resume = true, .world = 4, .rank = 3}, 3);
    assert_run(b, "run");
    assert_int_equal(b.heard.next_step, 10);
    assert_int_equal(registry_runs(registry), 1);
    peer_close(&b, 5);
}

static void resume_of_what_is_not_there_begins_it(void **state)
{
    struct peer a = joined(1, (struct hello){.name = "new", .resume = true}, 0);

    (void)state;
    assert_run(a, "new");
    assert_int_equal(a.heard.next_step, 0);
    peer_close(&a, 1);
}

static void a_name_too_long_for_a_suffix_is_refused(void **state)
{
    char name[129];
    struct peer a, b;

    (void)state;
    memset(name, 'n', 128);
    name[128] = '\0';
    a = joined(1, (struct hello){.name = name}, 0);
    b = joined(2, (struct hello){.name = name}, 1);
    assert_run(a, name);
    assert_refused(&b, "no name is free");
    peer_close(&a, 2);
    peer_close(&b, 2);
}

static void a_logdir_that_went_away_is_made_again_or_said(void **state)
{
    struct peer a;

    (void)state;
    assert_int_equal(rmdir(tree_path), 0);
    assert_int_equal(symlink("nowhere", tree_path), 0);
    a = joined(1, (struct hello){0}, 0);
    assert_refused(&a, "folder cannot be made");
    peer_close(&a, 2);
    assert_int_equal(unlink(tree_path), 0);
    a = joined(2, (struct hello){0}, 10);
    assert_run(a, "run");
    peer_close(&a, 12);
}

static void an_idle_run_is_unloaded_after_an_hour(void **state)
{
    struct peer a = joined(1, (struct hello){0}, 0),
                live = joined(2, (struct hello){.name = "b"}, 0);

    (void)state;
    peer_close(&a, 1000);
    registry_tick(registry, at(3599999));
    assert_int_equal(registry_runs(registry), 2);
    registry_tick(registry, at(3600000));
    assert_int_equal(registry_runs(registry), 1);
    assert_null(registry_find(registry, "run"));
    assert_non_null(registry_find(registry, "b")); /* its session is connected */
    peer_close(&live, 3600001);
}

static void fewer_runs_than_before_unload_the_quiet_ones(void **state)
{
    struct ceilings ceilings = CEILINGS_DEFAULT;
    struct peer live = joined(1, (struct hello){.name = "live"}, 0), quiet, more;

    (void)state;
    for (int i = 0; i < 4; i++) {
        char name[16];

        (void)snprintf(name, sizeof name, "q%d", i);
        quiet = joined((uint8_t)(2 + i), (struct hello){.name = name}, 1);
        peer_close(&quiet, 2);
    }
    assert_int_equal(registry_runs(registry), 5);
    ceilings.runs = 2;
    registry_configure(registry, &ceilings, NULL);
    assert_int_equal(registry_runs(registry), 5); /* until one more wants in */
    more = joined(9, (struct hello){.name = "more"}, 3);
    assert_int_equal(registry_runs(registry), 2);
    assert_non_null(registry_find(registry, "live"));
    assert_run(more, "more");
    quiet = joined(10, (struct hello){.name = "late"}, 4);
    assert_refused(&quiet, "as many as the daemon's limits.runs allows");
    peer_close(&quiet, 5);
    peer_close(&more, 5);
    peer_close(&live, 5);
}

static void an_idle_run_is_unloaded_when_the_configuration_says(void **state)
{
    struct ceilings ceilings = CEILINGS_DEFAULT;
    struct peer a = joined(1, (struct hello){0}, 0), b;

    (void)state;
    ceilings.idle_seconds = 60;
    registry_configure(registry, &ceilings, NULL);
    b = joined(2, (struct hello){.name = "b"}, 0); /* before and after: both know it */
    peer_close(&a, 1000);
    peer_close(&b, 1000);
    registry_tick(registry, at(59999));
    assert_int_equal(registry_runs(registry), 2);
    registry_tick(registry, at(60000));
    assert_int_equal(registry_runs(registry), 0);
}

static void beyond_256_runs_a_quiet_one_makes_room(void **state)
{
    struct peer live = joined(1, (struct hello){.name = "live"}, 0), last;
    char name[16];

    (void)state;
    for (int i = 1; i < 256; i++) {
        (void)snprintf(name, sizeof name, "r%d", i);
        struct peer peer = joined(2, (struct hello){.name = name}, 1);

        assert_run(peer, name);
        peer_close(&peer, 2);
    }
    assert_int_equal(registry_runs(registry), 256);
    last = joined(3, (struct hello){.name = "last"}, 3);
    assert_run(last, "last");
    assert_int_equal(registry_runs(registry), 256);
    assert_non_null(registry_find(registry, "live"));
    assert_null(registry_find(registry, "r1"));
    peer_close(&live, 4);
    peer_close(&last, 4);
}

static void a_world_of_1024_ranks_joins_one_run(void **state)
{
    static struct peer peers[1024];
    struct run_status status;

    (void)state;
    for (uint32_t rank = 0; rank < 1024; rank++) {
        struct message m = {.type = FRAME_HELLO,
                            .hello = {.protocol_min = 1,
                                      .protocol_max = 1,
                                      .name = "run",
                                      .rank = rank,
                                      .world_size = 1024}};

        peers[rank] = peer_open(registry, 0, 1);
        m.hello.session[0] = (uint8_t)rank;
        m.hello.session[1] = (uint8_t)(rank >> 8);
        peer_say(&peers[rank], &m, 1);
        assert_run(peers[rank], "run");
    }
    for (uint32_t rank = 0; rank < 1024; rank++)
        peer_end(&peers[rank], 0, 2);
    run_get_status(registry_find(registry, "run"), &status);
    assert_int_equal(status.ranks, 1024);
    assert_int_equal(status.step, 0);
    assert_int_equal(status.posts.acked, 1024);
    for (uint32_t rank = 0; rank < 1024; rank++)
        peer_close(&peers[rank], 3);
}

/* However often a big launch is resumed, its ranks are let in, and what the sessions before have
 * posted is not forgotten. */
static void a_world_of_1024_ranks_is_resumed_again_and_again(void **state)
{
    enum { LAUNCHES = 6 };
    static struct peer peers[1024];
    struct run_status status;

    (void)state;
    for (uint64_t launch = 0; launch < LAUNCHES; launch++) {
        for (uint32_t rank = 0; rank < 1024; rank++) {
            struct message m = {.type = FRAME_HELLO,
                                .hello = {.protocol_min = 1,
                                          .protocol_max = 1,
                                          .name = "run",
                                          .rank = rank,
                                          .resume = true,
                                          .world_size = 1024}};

            peers[rank] = peer_open(registry, 0, launch);
            m.hello.session[0] = (uint8_t)rank;
            m.hello.session[1] = (uint8_t)(rank >> 8);
            m.hello.session[2] = (uint8_t)launch;
            peer_say(&peers[rank], &m, launch);
            assert_run(peers[rank], "run");
        }
        peer_beat(&peers[7], 3, launch); /* it has dropped three */
        for (uint32_t rank = 0; rank < 1024; rank++)
            peer_end(&peers[rank], launch, launch);
        for (uint32_t rank = 0; rank < 1024; rank++)
            peer_close(&peers[rank], launch);
    }
    run_get_status(registry_find(registry, "run"), &status);
    assert_int_equal(status.ranks, 1024);
    assert_int_equal(status.step, LAUNCHES - 1);
    assert_int_equal(status.posts.acked, LAUNCHES * 1024);
    assert_int_equal(status.posts.dropped, LAUNCHES * 3);
    assert_int_equal(status.posts.produced,
                     status.posts.acked + status.posts.dropped + status.posts.in_flight);
    assert_int_equal(status.here.acked, status.posts.acked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        logdir_test(ranks_of_one_launch_join_one_run),
        logdir_test(the_same_name_again_gets_a_suffix),
        logdir_test(a_folder_of_an_earlier_daemon_is_not_written_over),
        logdir_test(a_launch_is_one_run_whoever_comes_first_after_a_restart),
        logdir_test(a_session_finds_its_run_again_without_its_name),
        logdir_test(the_newest_run_that_admits_it_is_found_again),
        logdir_test(what_a_killed_daemon_had_not_begun_is_begun),
        logdir_test(what_the_framework_writes_below_the_name_is_no_run),
        logdir_test(another_key_name_or_world_is_another_run),
        logdir_test(a_missing_key_is_no_obstacle),
        logdir_test(a_run_is_joined_for_60_seconds_after_it_was_heard),
        logdir_test(a_rank_that_was_held_once_is_never_given_again),
        logdir_test(given_continues_the_folder_without_a_suffix),
        logdir_test(all_ranks_of_a_given_run_meet_in_it_again),
        logdir_test(given_does_not_take_a_rank_from_a_session_that_is_there),
        logdir_test(given_does_not_take_a_rank_of_a_session_that_is_away),
        logdir_test(given_with_another_world_size_leaves_the_checkpoint),
        logdir_test(resume_continues_an_existing_folder),
        logdir_test(resume_continues_a_loaded_run_however_long_it_was_quiet),
        logdir_test(all_ranks_of_a_resumed_launch_meet),
        logdir_test(resume_does_not_take_a_rank_that_is_held),
        logdir_test(resume_with_another_world_size_begins_the_run_anew_in_its_folder),
        logdir_test(resume_of_what_is_not_there_begins_it),
        logdir_test(a_name_too_long_for_a_suffix_is_refused),
        logdir_test(a_logdir_that_went_away_is_made_again_or_said),
        logdir_test(an_idle_run_is_unloaded_after_an_hour),
        logdir_test(beyond_256_runs_a_quiet_one_makes_room),
        logdir_test(a_world_of_1024_ranks_joins_one_run),
        logdir_test(a_world_of_1024_ranks_is_resumed_again_and_again),
        logdir_test(fewer_runs_than_before_unload_the_quiet_ones),
        logdir_test(an_idle_run_is_unloaded_when_the_configuration_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
