#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "client/sampling.h"

static bool wants(const struct sampling *s, int signal, uint64_t step)
{
    return sampling_wanted(s, 3, signal, step);
}

static void every_is_rounded_up_to_a_power_of_two(void **state)
{
    (void)state;
    assert_int_equal(sampling_round(0), 0);
    assert_int_equal(sampling_round(1), 1);
    assert_int_equal(sampling_round(3), 4);
    assert_int_equal(sampling_round(64), 64);
    assert_int_equal(sampling_round(65), 128);
    assert_int_equal(sampling_round(UINT32_MAX), 1 << 20);
}

static void steps_that_are_multiples_are_sampled(void **state)
{
    struct sampling s;

    (void)state;
    assert_true(sampling_open(&s, 3, 8));
    assert_true(wants(&s, EMBMON_GRADIENT, 0));
    assert_false(wants(&s, EMBMON_GRADIENT, 3));
    assert_true(wants(&s, EMBMON_ACTIVATION, 4));
    assert_true(wants(&s, EMBMON_IDS, 4));
    assert_false(wants(&s, EMBMON_IDS, 5));
    assert_true(wants(&s, 0, 8));
    sampling_close(&s);
}

static void what_the_daemon_asks_begins_with_the_next_step(void **state)
{
    struct sampling s;

    (void)state;
    assert_true(sampling_open(&s, 0, 8));
    sampling_ask(&s, 16);
    assert_true(wants(&s, EMBMON_GRADIENT, 5)); /* the present step stays as it was decided */
    sampling_step(&s, EMBMON_VALIDATE, 0);
    assert_true(wants(&s, EMBMON_GRADIENT, 5));
    sampling_step(&s, EMBMON_TRAIN, 5);
    assert_false(wants(&s, EMBMON_GRADIENT, 6));
    assert_true(wants(&s, EMBMON_GRADIENT, 16));
    assert_int_equal(sampling_current(&s, EMBMON_TRAIN), 6);
    assert_int_equal(sampling_current(&s, EMBMON_VALIDATE), 1);
    sampling_close(&s);
}

static void weights_and_updates_are_wanted_25_times_then_one_of_ten(void **state)
{
    struct sampling s;
    int wanted = 0;

    (void)state;
    assert_true(sampling_open(&s, 4, 8));
    for (uint64_t step = 0; step < 4000; step++) {
        assert_int_equal(wants(&s, EMBMON_WEIGHT, step), wants(&s, EMBMON_UPDATE, step));
        wanted += wants(&s, EMBMON_WEIGHT, step);
    }
    assert_int_equal(wanted, 25 + 97); /* 0 ... 24, then 30, 40, ... 990 */
    assert_true(wants(&s, EMBMON_WEIGHT, 24 * 4));
    assert_false(wants(&s, EMBMON_WEIGHT, 25 * 4));
    assert_true(wants(&s, EMBMON_WEIGHT, 30 * 4));
    assert_false(wants(&s, EMBMON_WEIGHT, 30 * 4 + 1));
    sampling_close(&s);
}

static void a_wish_covers_so_many_steps_from_the_next_on(void **state)
{
    struct sampling s;

    (void)state;
    assert_true(sampling_open(&s, 64, 8));
    sampling_step(&s, EMBMON_TRAIN, 100);
    assert_true(sampling_wish(&s, 2, 3));
    assert_false(wants(&s, EMBMON_GRADIENT, 101));
    sampling_step(&s, EMBMON_TRAIN, 101);
    for (uint64_t step = 102; step <= 103; step++) {
        assert_true(wants(&s, EMBMON_GRADIENT, step));
        assert_true(wants(&s, 0, step));
        assert_true(wants(&s, EMBMON_ACTIVATION, step));
        assert_true(wants(&s, EMBMON_WEIGHT, step));
        assert_true(wants(&s, EMBMON_IDS, step));
        assert_true(sampling_wanted(&s, 4, EMBMON_GRADIENT, step)); /* another layer */
        assert_false(sampling_wanted(&s, 4, EMBMON_ACTIVATION, step));
        assert_false(sampling_wanted(&s, 4, EMBMON_WEIGHT, step));
        assert_false(sampling_wanted(&s, 4, EMBMON_IDS, step));
        sampling_step(&s, EMBMON_TRAIN, step);
    }
    assert_false(wants(&s, EMBMON_GRADIENT, 104));
    assert_false(wants(&s, EMBMON_WEIGHT, 104));
    sampling_close(&s);
}

static void wishes_for_several_layers_are_in_force_together(void **state)
{
    struct sampling s;

    (void)state;
    assert_true(sampling_open(&s, 64, 8));
    assert_true(sampling_wish(&s, 1, 3));
    assert_true(sampling_wish(&s, 3, 4));
    assert_true(sampling_wish(&s, 1, SAMPLING_NO_LAYER));
    assert_true(sampling_wish(&s, 1, 8)); /* a layer that is not there */
    sampling_step(&s, EMBMON_TRAIN, 0);
    assert_true(sampling_wanted(&s, 3, EMBMON_WEIGHT, 1));
    assert_true(sampling_wanted(&s, 4, EMBMON_WEIGHT, 1));
    sampling_step(&s, EMBMON_TRAIN, 1);
    assert_false(sampling_wanted(&s, 3, EMBMON_WEIGHT, 2));
    assert_true(sampling_wanted(&s, 4, EMBMON_WEIGHT, 2));
    assert_true(sampling_wanted(&s, 3, EMBMON_GRADIENT, 2));
    sampling_close(&s);
}

static void too_many_wishes_at_once_are_refused(void **state)
{
    struct sampling s;

    (void)state;
    assert_true(sampling_open(&s, 1, 8));
    for (int i = 0; i < SAMPLING_WISHES; i++)
        assert_true(sampling_wish(&s, 1, 0));
    assert_false(sampling_wish(&s, 1, 0));
    sampling_decide(&s);
    assert_true(sampling_wish(&s, 1, 0));
    sampling_close(&s);
}

/* How many of the next steps are wished ones. */
static int wished_of(struct sampling *s, enum embmon_phase phase, int steps)
{
    int wished = 0;

    for (int i = 0; i < steps; i++) {
        uint64_t step = sampling_current(s, phase);

        wished += wants(s, EMBMON_GRADIENT, step) && step % atomic_load(&s->every) != 0;
        sampling_step(s, phase, step);
    }
    return wished;
}

static void
whoever_wishes_for_ever_is_given_512_steps_and_a_quarter_of_the_sampled_ones(void **state)
{
    struct sampling s;
    int wished = 0;

    (void)state;
    assert_true(sampling_open(&s, 16, 8));
    for (int i = 0; i < 400; i++) {
        sampling_wish(&s, 1 << 16, i % 8);
        wished += wished_of(&s, EMBMON_TRAIN, 100);
    }
    assert_true(wished <= 512 + 40000 / 16 / 4);
    assert_true(wished >= 512 * 15 / 16); /* the rest were to be sampled anyway */
    sampling_close(&s);
}

static void wished_steps_are_earned_again_while_nothing_is_wished_for(void **state)
{
    struct sampling s;

    (void)state;
    assert_true(sampling_open(&s, 2, 8));
    sampling_wish(&s, 1 << 16, 0);
    wished_of(&s, EMBMON_TRAIN, (1 << 16) + 8);
    assert_int_equal(wished_of(&s, EMBMON_TRAIN, 100), 0); /* the wish is over */
    sampling_wish(&s, 64, 0);
    assert_in_range(wished_of(&s, EMBMON_TRAIN, 100), 5, 20);
    wished_of(&s, EMBMON_TRAIN, 512 * 2 * 4);
    sampling_wish(&s, 64, 0);
    assert_int_equal(wished_of(&s, EMBMON_TRAIN, 100), 32);
    sampling_close(&s);
}

static void a_wish_that_a_validation_interrupts_does_not_sample_all_of_it(void **state)
{
    struct sampling s;

    (void)state;
    assert_true(sampling_open(&s, 64, 8));
    sampling_wish(&s, 64, 3);
    wished_of(&s, EMBMON_TRAIN, 10);
    assert_in_range(wished_of(&s, EMBMON_VALIDATE, 100000), 400, 512 + 100000 / 64 / 4);
    sampling_close(&s);
}

static void of_what_the_client_and_the_daemon_say_the_rarer_holds(void **state)
{
    struct sampling s;

    (void)state;
    assert_true(sampling_open(&s, 0, 8));
    sampling_own(&s, 16);
    assert_true(wants(&s, EMBMON_GRADIENT, 1));
    sampling_step(&s, EMBMON_TRAIN, 1);
    assert_false(wants(&s, EMBMON_GRADIENT, 8));
    assert_true(wants(&s, EMBMON_GRADIENT, 16));
    sampling_ask(&s, 64);
    sampling_step(&s, EMBMON_TRAIN, 2);
    assert_false(wants(&s, EMBMON_GRADIENT, 16));
    sampling_ask(&s, 1);
    sampling_own(&s, 4);
    sampling_step(&s, EMBMON_TRAIN, 3);
    assert_true(wants(&s, EMBMON_GRADIENT, 4));
    assert_false(wants(&s, EMBMON_GRADIENT, 5));
    sampling_close(&s);
}

static void what_is_urged_is_wanted_at_once_and_for_some_steps(void **state)
{
    struct sampling s;

    (void)state;
    assert_true(sampling_open(&s, 64, 8));
    sampling_step(&s, EMBMON_TRAIN, 100);
    assert_false(wants(&s, EMBMON_GRADIENT, 101));
    sampling_urge(&s);
    for (uint64_t step = 101; step < 101 + SAMPLING_URGED; step++) {
        assert_true(wants(&s, 0, step));
        assert_true(wants(&s, EMBMON_GRADIENT, step));
        assert_true(wants(&s, EMBMON_ACTIVATION, step));
        assert_true(wants(&s, EMBMON_IDS, step));
        assert_false(wants(&s, EMBMON_WEIGHT, step));
        sampling_step(&s, EMBMON_TRAIN, step);
    }
    assert_false(wants(&s, EMBMON_GRADIENT, 101 + SAMPLING_URGED));
    sampling_urge(&s); /* a loss that stays lost does not have every step sampled */
    assert_false(wants(&s, EMBMON_GRADIENT, 101 + SAMPLING_URGED));
    for (uint64_t step = 0; step < SAMPLING_REST; step++)
        sampling_step(&s, EMBMON_TRAIN, 101 + SAMPLING_URGED + step);
    sampling_urge(&s);
    assert_true(wants(&s, EMBMON_GRADIENT, 101 + SAMPLING_URGED + SAMPLING_REST));
    sampling_step(&s, EMBMON_VALIDATE, 0); /* however long a validation is */
    assert_false(wants(&s, EMBMON_GRADIENT, 1));
    sampling_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_is_rounded_up_to_a_power_of_two),
        cmocka_unit_test(steps_that_are_multiples_are_sampled),
        cmocka_unit_test(what_the_daemon_asks_begins_with_the_next_step),
        cmocka_unit_test(weights_and_updates_are_wanted_25_times_then_one_of_ten),
        cmocka_unit_test(a_wish_covers_so_many_steps_from_the_next_on),
        cmocka_unit_test(wishes_for_several_layers_are_in_force_together),
        cmocka_unit_test(too_many_wishes_at_once_are_refused),
        cmocka_unit_test(
            whoever_wishes_for_ever_is_given_512_steps_and_a_quarter_of_the_sampled_ones),
        cmocka_unit_test(wished_steps_are_earned_again_while_nothing_is_wished_for),
        cmocka_unit_test(a_wish_that_a_validation_interrupts_does_not_sample_all_of_it),
        cmocka_unit_test(of_what_the_client_and_the_daemon_say_the_rarer_holds),
        cmocka_unit_test(what_is_urged_is_wanted_at_once_and_for_some_steps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
