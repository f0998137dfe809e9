#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>

#include "daemon/pace.h"

static struct moment at(double seconds)
{
    return (struct moment){.ms = (uint64_t)(seconds * 1e3)};
}

/* A step of training that is posted and closes at this time. */
static void step(struct pace *pace, uint64_t number, double seconds)
{
    pace_post(pace, at(seconds));
    pace_step(pace, number, at(seconds));
}

static void the_first_step_says_nothing_about_the_pace(void **state)
{
    struct pace pace = {0};

    (void)state;
    assert_true(isnan(pace_silence(&pace, 1, at(1000))));
    step(&pace, 0, 300); /* it was compiled */
    assert_true(isnan(pace_step_seconds(&pace)));
    assert_true(isnan(pace_silence(&pace, 1, at(1000))));
    step(&pace, 1, 302);
    assert_true(pace_step_seconds(&pace) == 2);
    assert_true(pace_silence(&pace, 1, at(312)) == 10);
}

static void a_step_takes_the_median_of_the_last_ones(void **state)
{
    struct pace pace = {0};
    double now = 0;

    (void)state;
    for (uint64_t i = 0; i < 40; i++)
        step(&pace, i, now += i % 10 == 3 ? 100 : 1);
    assert_true(pace_step_seconds(&pace) == 1);
    for (uint64_t i = 40; i < 80; i++)
        step(&pace, i, now += 5);
    assert_true(pace_step_seconds(&pace) == 5);
}

static void steps_that_are_not_sampled_take_their_share(void **state)
{
    struct pace pace = {0};

    (void)state;
    step(&pace, 0, 0);
    step(&pace, 64, 128);
    assert_true(pace_step_seconds(&pace) == 2);
    /* The next sample is due at 256. */
    assert_true(pace_silence(&pace, 64, at(250)) == 0);
    assert_true(pace_silence(&pace, 64, at(128 + 126 + 30)) == 30);
}

static void another_phase_takes_no_time_from_training(void **state)
{
    struct pace pace = {0};

    (void)state;
    step(&pace, 0, 0);
    step(&pace, 1, 1);
    pace_pause(&pace);
    assert_true(isnan(pace_silence(&pace, 1, at(500))));
    pace_post(&pace, at(600)); /* the first step after it may have been long, too */
    assert_true(pace_silence(&pace, 1, at(610)) == 10);
    pace_step(&pace, 2, at(610));
    assert_true(pace_step_seconds(&pace) == 1);
    step(&pace, 3, 613);
    assert_true(pace.count == 2);
}

static void a_step_that_comes_again_is_no_step_on(void **state)
{
    struct pace pace = {0};

    (void)state;
    step(&pace, 5, 1);
    step(&pace, 5, 2);
    step(&pace, 3, 3);
    assert_int_equal(pace.count, 0);
    step(&pace, 4, 5);
    assert_true(pace_step_seconds(&pace) == 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_step_says_nothing_about_the_pace),
        cmocka_unit_test(a_step_takes_the_median_of_the_last_ones),
        cmocka_unit_test(steps_that_are_not_sampled_take_their_share),
        cmocka_unit_test(another_phase_takes_no_time_from_training),
        cmocka_unit_test(a_step_that_comes_again_is_no_step_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
