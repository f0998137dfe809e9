#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/run_claim.h"
#include "tests/unit/logdir.h"

static const struct hello FIRST = {.world = 2, .key = "k"};

/* The run of a launch of two, which one rank has joined when embmond ends. */
static void leave_half_a_launch(uint64_t ms)
{
    struct peer first = peer_join(registry, 1, FIRST, ms);

    assert_string_equal(first.heard.run, "run");
    registry_suspend(registry);
    peer_close(&first, ms);
    logdir_restart(ms);
}

/* As told to a session of this id; ms: when it asks. */
static enum run_claim claim(uint8_t id, struct hello with, uint64_t ms)
{
    struct msg_hello hello = {.name = with.name ? with.name : "run",
                              .given = "",
                              .key = with.key ? with.key : "",
                              .rank = with.rank,
                              .world_size = with.world ? with.world : 1,
                              .resume = with.resume};

    memset(hello.session, id, SESSION_BYTES);
    return run_claim(tree_path, "run", &hello, at(ms));
}

static void the_rest_of_a_launch_belongs_to_it(void **state)
{
    (void)state;
    leave_half_a_launch(1000);
    assert_int_equal(claim(2, (struct hello){.world = 2, .rank = 1, .key = "k"}, 2000),
                     CLAIM_LAUNCH);
    assert_int_equal(claim(2, (struct hello){.world = 2, .rank = 1}, 2000), CLAIM_LAUNCH);
    assert_int_equal(claim(1, FIRST, 2000), CLAIM_SESSION);
}

static void others_do_not(void **state)
{
    (void)state;
    leave_half_a_launch(1000);
    assert_int_equal(claim(2, FIRST, 2000), CLAIM_OTHERS); /* this rank was held */
    assert_int_equal(claim(2, (struct hello){.world = 3, .rank = 1, .key = "k"}, 2000),
                     CLAIM_OTHERS);
    assert_int_equal(claim(2, (struct hello){.world = 2, .rank = 1, .key = "l"}, 2000),
                     CLAIM_OTHERS);
    assert_int_equal(claim(2, (struct hello){.name = "x", .world = 2, .rank = 1}, 2000),
                     CLAIM_OTHERS);
    /* It takes over this rank of the run it names, and of no other. */
    assert_int_equal(claim(2, (struct hello){.world = 2, .key = "k", .resume = true}, 2000),
                     CLAIM_OTHERS);
}

static void who_comes_ten_minutes_later_is_of_another_launch(void **state)
{
    const struct hello rest = {.world = 2, .rank = 1, .key = "k"};

    (void)state;
    leave_half_a_launch(1000);
    assert_int_equal(claim(2, rest, 600000), CLAIM_LAUNCH);
    assert_int_equal(claim(2, rest, 602000), CLAIM_OTHERS);
    assert_int_equal(claim(1, FIRST, 602000), CLAIM_OTHERS);
}

/* All its trainers had gone when embmond was killed. */
static void where_nobody_may_come_back_a_minute_is_the_limit(void **state)
{
    struct peer first = peer_join(registry, 1, FIRST, 1000);

    (void)state;
    peer_close(&first, 2000);
    registry_tick(registry, at(3000));
    registry_flush(registry);
    assert_int_equal(rename(tree_file("run"), tree_file("old")), 0); /* without its lock */
    assert_int_equal(mkdir(tree_file("run"), 0700), 0);
    assert_int_equal(mkdir(tree_file("run/embmon"), 0700), 0);
    assert_int_equal(rename(tree_file("old/embmon/state"), tree_file("run/embmon/state")), 0);
    assert_int_equal(claim(2, (struct hello){.world = 2, .rank = 1}, 62000), CLAIM_LAUNCH);
    assert_int_equal(claim(2, (struct hello){.world = 2, .rank = 1}, 64000), CLAIM_OTHERS);
}

static void a_run_that_has_ended_is_joined_by_nobody_else(void **state)
{
    struct peer first = peer_join(registry, 1, FIRST, 1000);

    (void)state;
    peer_bye(&first, 1001);
    peer_close(&first, 1001);
    logdir_restart(1002);
    assert_int_equal(claim(2, (struct hello){.world = 2, .rank = 1, .key = "k"}, 2000),
                     CLAIM_OTHERS);
    assert_int_equal(claim(1, FIRST, 2000), CLAIM_SESSION);
}

static void a_folder_that_another_embmond_writes_to_is_left_alone(void **state)
{
    const struct hello rest = {.world = 2, .rank = 1, .key = "k"};
    int folder;

    (void)state;
    leave_half_a_launch(1000);
    folder = open(tree_file("run/embmon"), O_RDONLY | O_DIRECTORY);
    assert_int_equal(flock(folder, LOCK_EX | LOCK_NB), 0);
    assert_int_equal(claim(2, rest, 2000), CLAIM_OTHERS);
    close(folder);
    assert_int_equal(claim(2, rest, 2000), CLAIM_LAUNCH);
}

static void make_file(const char *name, const char *content)
{
    FILE *stream = fopen(tree_file(name), "wb");

    assert_non_null(stream);
    assert_int_equal(fwrite(content, 1, strlen(content), stream), strlen(content));
    fclose(stream);
}

/* Killed before it had told anybody. */
static void a_folder_without_any_record_is_free(void **state)
{
    (void)state;
    assert_int_equal(claim(1, FIRST, 0), CLAIM_FREE);
    assert_int_equal(mkdir(tree_file("run"), 0700), 0);
    assert_int_equal(claim(1, FIRST, 0), CLAIM_FREE);
    assert_int_equal(mkdir(tree_file("run/embmon"), 0700), 0);
    assert_int_equal(claim(1, FIRST, 0), CLAIM_FREE);
    make_file("run/embmon/alerts.jsonl", "");
    make_file("run/embmon/events.out.tfevents.1700000000.h.1.0", "0123456789012345678901234567890");
    assert_int_equal(claim(1, FIRST, 0), CLAIM_FREE);
}

static void what_holds_anything_is_not(void **state)
{
    char values[128];

    (void)state;
    memset(values, 'v', sizeof values - 1);
    values[sizeof values - 1] = '\0';
    assert_int_equal(mkdir(tree_file("run"), 0700), 0);
    assert_int_equal(mkdir(tree_file("run/embmon"), 0700), 0);
    make_file("run/embmon/events.out.tfevents.1700000000.h.1.0", values);
    assert_int_equal(claim(1, FIRST, 0), CLAIM_OTHERS);
    assert_int_equal(unlink(tree_file("run/embmon/events.out.tfevents.1700000000.h.1.0")), 0);
    make_file("run/embmon/alerts.jsonl", "{}\n");
    assert_int_equal(claim(1, FIRST, 0), CLAIM_OTHERS);
    assert_int_equal(unlink(tree_file("run/embmon/alerts.jsonl")), 0);
    make_file("run/embmon/state", "damaged");
    assert_int_equal(claim(1, FIRST, 0), CLAIM_OTHERS);
}

/* Any bytes are fine: what is damaged says nothing, or what it said before. */
static void a_damaged_checkpoint_does_no_harm(void **state)
{
    const struct hello rest = {.world = 2, .rank = 1, .key = "k"};
    static uint8_t data[1 << 16];
    FILE *stream;
    size_t n;

    (void)state;
    leave_half_a_launch(1000);
    stream = fopen(tree_file("run/embmon/state"), "rb");
    assert_non_null(stream);
    n = fread(data, 1, sizeof data, stream);
    fclose(stream);
    for (size_t i = 0; i < n && i < 400; i++) {
        struct timespec times[] = {{0, UTIME_OMIT}, {1000000001, 0}};

        data[i] ^= 0x55;
        stream = fopen(tree_file("run/embmon/state"), "wb");
        assert_non_null(stream);
        assert_int_equal(fwrite(data, 1, i % 2 ? n : i, stream), i % 2 ? n : i);
        fclose(stream);
        assert_int_equal(utimensat(AT_FDCWD, tree_file("run/embmon/state"), times, 0), 0);
        assert_true(claim(2, rest, 1000) != CLAIM_FREE);
        data[i] ^= 0x55;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        logdir_test(the_rest_of_a_launch_belongs_to_it),
        logdir_test(others_do_not),
        logdir_test(who_comes_ten_minutes_later_is_of_another_launch),
        logdir_test(where_nobody_may_come_back_a_minute_is_the_limit),
        logdir_test(a_run_that_has_ended_is_joined_by_nobody_else),
        logdir_test(a_folder_that_another_embmond_writes_to_is_left_alone),
        logdir_test(a_folder_without_any_record_is_free),
        logdir_test(what_holds_anything_is_not),
        logdir_test(a_damaged_checkpoint_does_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
