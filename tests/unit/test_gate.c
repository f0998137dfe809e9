#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "client/client_struct.h"
#include "tests/unit/post_world.h"

static struct embmon_gate *gate_of(struct world *w)
{
    struct embmon_gate *gate = NULL;

    assert_int_equal(embmon_gate_new(w->client, &gate), 0);
    assert_non_null(gate);
    return gate;
}

static void it_leads_to_the_client_while_a_step_is_under_way(void **state)
{
    struct world *w = *state;
    struct embmon_gate *gate = gate_of(w);
    int64_t step = -7;

    assert_null(gate_enter(gate, &step));
    assert_int_equal(embmon_gate_open(gate, -1), EMBMON_EINVAL);
    assert_null(gate_enter(gate, &step));
    assert_int_equal(embmon_gate_open(gate, 12), 0);
    assert_ptr_equal(gate_enter(gate, &step), w->client);
    assert_int_equal(step, 12);
    gate_leave(gate);
    assert_int_equal(embmon_gate_shut(gate), 0);
    assert_null(gate_enter(gate, &step));
    assert_ptr_equal(gate_hold(gate), w->client); /* step or not */
    gate_leave(gate);
}

static void the_next_step_is_under_way_sampled_or_not(void **state)
{
    struct world *w = *state;
    struct embmon_client_stats stats = EMBMON_CLIENT_STATS_INIT;
    struct embmon_gate *gate = gate_of(w);
    struct message m;
    int64_t step;

    assert_int_equal(embmon_gate_next(gate, 1000), EMBMON_ECLOSED);
    sampling_ask(&w->client->state.sampling, 4);
    sampling_decide(&w->client->state.sampling);
    embmon_gate_open(gate, 4);
    assert_int_equal(embmon_gate_next(gate, 1000), 0);
    fake_expect(w->fake, FRAME_STEP_END, &m);
    assert_int_equal(m.step_end.step, 4);
    for (int64_t expected = 5; expected <= 7; expected++) {
        assert_non_null(gate_enter(gate, &step));
        assert_int_equal(step, expected);
        gate_leave(gate);
        assert_int_equal(embmon_gate_next(gate, 1000), expected == 7);
    }
    assert_int_equal(embmon_stats(w->client, &stats), 0);
    assert_true(stats.post_ns >= 4000); /* what it was told, of four steps */
    assert_non_null(gate_enter(gate, &step));
    assert_int_equal(step, 8);
    gate_leave(gate);
    embmon_close(w->client, 0);
    w->client = NULL;
    assert_int_equal(embmon_gate_next(gate, 0), EMBMON_ECLOSED);
}

static void what_is_kept_goes_by_the_slot(void **state)
{
    struct embmon_gate *gate = gate_of(*state), *other = gate_of(*state);
    struct moved *first = gate_moved(gate, 3);

    assert_non_null(first);
    assert_ptr_equal(gate_moved(gate, 3), first);
    assert_ptr_not_equal(gate_moved(gate, 4), first);
    assert_ptr_not_equal(gate_moved(other, 3), first);
    assert_ptr_equal(gate_moved(gate, 3), first);
}

static _Atomic int inside, left;

static void *stay_inside(void *argument)
{
    struct embmon_gate *gate = argument;
    int64_t step;

    assert_non_null(gate_enter(gate, &step));
    atomic_store(&inside, 1);
    nanosleep(&(struct timespec){0, 50000000}, NULL);
    atomic_store(&left, 1);
    gate_leave(gate);
    return NULL;
}

static void closing_waits_for_who_is_inside(void **state)
{
    struct world *w = *state;
    struct embmon_gate *gate = gate_of(w), *second = gate_of(w);
    pthread_t thread;
    int64_t step;

    atomic_store(&inside, 0);
    atomic_store(&left, 0);
    embmon_gate_open(gate, 1);
    embmon_gate_open(second, 1);
    assert_int_equal(pthread_create(&thread, NULL, stay_inside, gate), 0);
    while (!atomic_load(&inside))
        sched_yield();
    embmon_close(w->client, 2000);
    assert_int_equal(atomic_load(&left), 1);
    w->client = NULL;
    pthread_join(thread, NULL);
    assert_null(gate_enter(gate, &step)); /* for ever */
    assert_null(gate_enter(second, &step));
    assert_null(gate_hold(gate));
}

/* Whoever was inside when the process forked is in the parent alone. */
static void a_fork_does_not_wait(void **state)
{
    struct world *w = *state;
    struct embmon_gate *gate = gate_of(w);
    int64_t step;
    int status;
    pid_t child;

    embmon_gate_open(gate, 1);
    assert_non_null(gate_enter(gate, &step));
    child = fork();
    if (child == 0) {
        struct embmon_gate *none = NULL;

        alarm(5);
        if (embmon_gate_new(w->client, &none) != EMBMON_ECLOSED || embmon_close(w->client, 0) != 0)
            _exit(1);
        _exit(gate_enter(gate, &step) ? 2 : 0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    gate_leave(gate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_leads_to_the_client_while_a_step_is_under_way,
                                        open_world, close_world),
        cmocka_unit_test_setup_teardown(the_next_step_is_under_way_sampled_or_not, open_world,
                                        close_world),
        cmocka_unit_test_setup_teardown(what_is_kept_goes_by_the_slot, open_world, close_world),
        cmocka_unit_test_setup_teardown(closing_waits_for_who_is_inside, open_world, close_world),
        cmocka_unit_test_setup_teardown(a_fork_does_not_wait, open_world, close_world),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
