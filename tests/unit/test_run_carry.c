#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "daemon/checkpoint.h"
#include "daemon/run_state.h"
#include "daemon/state_file.h"
#include "tests/unit/again.h"
#include "tests/unit/one_run.h"

static void train(void)
{
    struct peer other = peer_join(registry, 2, (struct hello){.world = 2, .rank = 1}, 0);

    for (uint64_t step = 0; step < 40; step++) {
        peer_step(&peer, step, step == 20 ? NAN : 1, step);
        peer_step(&other, step, 2, step);
        peer_scalar(&peer, "loss", step + 1, 0.5, step);
    }
    peer_post(&peer, 0, 41, 1, 50); /* open steps, and one that rank 1 has ended */
    peer_end(&other, 41, 50);
    peer_settle(&peer, 1000);
    peer_close(&other, 1001);
}

/* What lies in the run's folder. */
static uint8_t *state_bytes(size_t *n)
{
    uint8_t *data = NULL;
    int folder = open(tree_file("run/embmon"), O_RDONLY | O_DIRECTORY);

    assert_true(folder >= 0);
    assert_int_equal(state_file_read(folder, STATE_FILE, 1 << 20, &data, n), 0);
    close(folder);
    return data;
}

static void all_that_is_asked_about_comes_back(void **state)
{
    struct run_status before, after;
    uint64_t open;

    (void)state;
    train();
    run_suspend(run);
    open = steps_bytes(run->steps);
    run_get_status(run, &before);
    peer_close(&peer, 1002);
    registry_free(registry, at(1003));
    one_run_return((struct hello){.world = 2, .given = "run"});
    run_get_status(run, &after);
    assert_int_equal(peer.heard.sequence, 40 * 4 + 1);
    assert_int_equal(after.step, before.step);
    assert_int_equal(after.steps, before.steps);
    assert_int_equal(after.posts.acked, before.posts.acked);
    assert_int_equal(after.posts.rejected, before.posts.rejected);
    assert_int_equal(after.ranks, 2);
    assert_int_equal(after.layers, before.layers);
    assert_true(after.loss_posted && after.loss == before.loss);
    assert_true(steps_bytes(run->steps) > 0 && steps_bytes(run->steps) <= open);
    assert_int_equal(run->every, 1);
    assert_string_equal(run->wanted, "run");
    assert_int_equal(run->member_count, 2);
}

static void a_state_with_a_byte_changed_is_refused(void **state)
{
    uint8_t *data;
    size_t n;

    (void)state;
    train();
    data = state_bytes(&n);
    for (size_t i = 0; i < n; i += 1 + n / 5000) {
        struct carry c;

        data[i] ^= 0x10;
        assert_false(checkpoint_open(&c, data, n));
        data[i] ^= 0x10;
        assert_false(checkpoint_open(&c, data, i));
    }
    free(data);
}

/* Somebody has copied a folder. */
static void a_state_of_another_run_is_refused(void **state)
{
    (void)state;
    train();
    peer_close(&peer, 1002);
    registry_free(registry, at(1003));
    assert_int_equal(rename(tree_file("run"), tree_file("other")), 0);
    one_run_return((struct hello){.world = 2, .given = "other"});
    assert_string_equal(peer.heard.run, "other");
    assert_int_equal(peer.heard.sequence, 0);
    assert_int_equal(peer.heard.next_step, 42); /* what the event files say */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        one_run_test_of_2(all_that_is_asked_about_comes_back),
        one_run_test_of_2(a_state_with_a_byte_changed_is_refused),
        one_run_test_of_2(a_state_of_another_run_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
