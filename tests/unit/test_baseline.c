#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>

#include "daemon/baseline.h"
#include "tests/unit/random.h"

static struct baseline b;

static int start(void **state)
{
    (void)state;
    baseline_init(&b);
    return baseline_resize(&b, 2, 3) ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    baseline_free(&b);
    return 0;
}

static void add(struct norm_baseline *n, double norm, int times)
{
    for (int i = 0; i < times; i++)
        norm_baseline_add(n, norm);
}

static void the_level_is_the_median_of_the_first_25(void **state)
{
    struct norm_baseline n = {0};

    (void)state;
    for (int i = 0; i < 24; i++) {
        norm_baseline_add(&n, i < 12 ? 1 : 1e6);
        assert_true(isnan(norm_baseline_level(&n)));
    }
    norm_baseline_add(&n, 50);
    assert_true(fabs(norm_baseline_level(&n) - 50) < 1e-9);
}

static void the_level_rises_by_at_most_a_hundredth_a_step(void **state)
{
    struct norm_baseline n = {0};

    (void)state;
    add(&n, 1, 25);
    add(&n, 1e30, 100); /* an explosion */
    assert_true(fabs(log(norm_baseline_level(&n)) - 1) < 1e-9);
}

static void the_level_falls_as_an_exponential_average(void **state)
{
    struct norm_baseline n = {0};

    (void)state;
    add(&n, 1, 25);
    norm_baseline_add(&n, exp(-10));
    assert_true(fabs(n.level + 0.3) < 1e-9);
    norm_baseline_add(&n, exp(-10));
    assert_true(fabs(n.level + 0.591) < 1e-9);
    assert_true(fabs(log(norm_baseline_level(&n))) < 1e-9); /* compared with: what was usual */
}

static void zeros_and_nonfinite_norms_never_enter(void **state)
{
    struct norm_baseline n = {0};

    (void)state;
    add(&n, 2, 25);
    add(&n, 0, 100);
    add(&n, NAN, 100);
    add(&n, INFINITY, 100);
    add(&n, -1, 1);
    assert_true(fabs(norm_baseline_level(&n) - 2) < 1e-12);
    assert_true(norm_baseline_recent_max(&n) == 2);
}

static void the_recent_maximum_is_of_the_last_ten(void **state)
{
    struct norm_baseline n = {0};

    (void)state;
    norm_baseline_add(&n, 100);
    add(&n, 1, 8);
    assert_true(isnan(norm_baseline_recent_max(&n)));
    add(&n, 3, 1);
    assert_true(norm_baseline_recent_max(&n) == 100);
    add(&n, 2, 1);
    assert_true(norm_baseline_recent_max(&n) == 3);
    norm_baseline_reset(&n);
    assert_true(isnan(norm_baseline_recent_max(&n)));
    assert_true(isnan(norm_baseline_level(&n)));
}

static void the_recent_maximum_is_that_of_a_loop(void **state)
{
    struct norm_baseline n = {0};
    uint64_t seed = 1;

    (void)state;
    for (int i = 0; i < 2000; i++) {
        double max = 0;

        norm_baseline_add(&n, (double)(1 + random_below(&seed, 12)));
        for (size_t k = 0; k < BASELINE_RECENT; k++)
            max = fmax(max, n.recent[k]);
        assert_true(n.recent_max == max);
    }
}

static void the_first_loss_is_the_median_of_five_finite_ones(void **state)
{
    (void)state;
    assert_true(isnan(baseline_first_loss(&b)));
    baseline_loss(&b, NAN);
    baseline_loss(&b, INFINITY);
    assert_true(isnan(baseline_first_loss(&b)));
    baseline_loss(&b, 4);
    assert_true(baseline_first_loss(&b) == 4);
    baseline_loss(&b, 8);
    assert_true(baseline_first_loss(&b) == 6);
    baseline_loss(&b, 1);
    baseline_loss(&b, 2);
    baseline_loss(&b, 3);
    assert_true(baseline_first_loss(&b) == 3);
    baseline_loss(&b, 1000);
    assert_true(baseline_first_loss(&b) == 3);
}

static void a_loss_that_diverged_at_once_is_no_first_loss(void **state)
{
    (void)state;
    baseline_loss(&b, 1.5);
    baseline_loss(&b, 1358);
    baseline_loss(&b, -194213);
    baseline_loss(&b, 15.5); /* above 10 x 1.5 */
    assert_true(baseline_first_loss(&b) == 1.5);
    baseline_loss(&b, 14.5);
    assert_true(baseline_first_loss(&b) == 8);
}

static void the_first_loss_is_at_least_a_tenth_with_its_sign(void **state)
{
    (void)state;
    baseline_loss(&b, -0.001);
    assert_true(baseline_first_loss(&b) == -0.1);
    baseline_restart(&b);
    baseline_loss(&b, -7);
    baseline_loss(&b, -8);
    assert_true(baseline_first_loss(&b) == -7);
}

static void a_restart_forgets_all_but_the_first_loss(void **state)
{
    (void)state;
    baseline_loss(&b, 3);
    add(&b.model, 1, 25);
    add(&b.layers[1], 1, 25);
    b.variables[2].weighed = true;
    baseline_batch(&b, 128);
    (void)baseline_rate(&b, 0.1);
    baseline_restart(&b);
    assert_true(baseline_first_loss(&b) == 3);
    assert_true(isnan(norm_baseline_level(&b.model)));
    assert_true(isnan(b.rate));
    assert_false(baseline_short_batch(&b, 1));
    assert_true(baseline_resize(&b, 2, 3));
    assert_true(isnan(norm_baseline_level(&b.layers[1])));
    assert_false(b.variables[2].weighed);
}

static void the_rate_warms_up_for_three_steps_after_each_rise(void **state)
{
    (void)state;
    assert_false(baseline_warming_up(&b));
    assert_false(baseline_rate(&b, 0.1));
    assert_false(baseline_warming_up(&b));
    assert_false(baseline_rate(&b, 0.2));
    assert_true(baseline_warming_up(&b));
    (void)baseline_rate(&b, 0.2);
    (void)baseline_rate(&b, NAN); /* a step without one */
    assert_true(baseline_warming_up(&b));
    (void)baseline_rate(&b, 0.1);
    assert_false(baseline_warming_up(&b));
}

static void a_rate_that_jumps_threefold_is_told_once(void **state)
{
    (void)state;
    assert_false(baseline_rate(&b, 0));
    assert_false(baseline_rate(&b, 0.1)); /* from 0: the first step of a warm-up */
    assert_false(baseline_rate(&b, 0.3));
    assert_true(baseline_rate(&b, 0.91));
    assert_false(baseline_rate(&b, 0.91));
    assert_false(baseline_rate(&b, NAN));
    assert_false(baseline_rate(&b, INFINITY));
    assert_false(baseline_rate(&b, 1));
}

static void a_batch_below_nine_tenths_of_the_usual_is_short(void **state)
{
    (void)state;
    assert_false(baseline_short_batch(&b, 32));
    for (int i = 0; i < 8; i++)
        baseline_batch(&b, 100);
    assert_false(baseline_short_batch(&b, 90));
    assert_true(baseline_short_batch(&b, 89.9));
    assert_false(baseline_short_batch(&b, NAN));
    assert_false(baseline_short_batch(&b, 1000));
}

static void one_huge_batch_does_not_make_all_others_short(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        baseline_batch(&b, 100);
    baseline_batch(&b, 1e6);
    baseline_batch(&b, INFINITY);
    baseline_batch(&b, NAN);
    baseline_batch(&b, -5);
    assert_false(baseline_short_batch(&b, 100));
    for (int i = 0; i < 25; i++) /* a new size for good */
        baseline_batch(&b, 50);
    assert_false(baseline_short_batch(&b, 50));
    assert_true(baseline_short_batch(&b, 44));
}

static void growing_keeps_what_is_known(void **state)
{
    (void)state;
    add(&b.layers[1], 5, 25);
    b.variables[2].weight_squares = 9;
    assert_true(baseline_resize(&b, 4096, 16384));
    assert_true(fabs(norm_baseline_level(&b.layers[1]) - 5) < 1e-9);
    assert_true(isnan(norm_baseline_level(&b.layers[4095])));
    assert_true(b.variables[2].weight_squares == 9);
    assert_false(b.variables[16383].weighed);
    assert_true(baseline_resize(&b, 1, 1)); /* never shrinks */
    assert_int_equal(b.layer_count, 4096);
    baseline_forget_levels(&b);
    assert_true(isnan(norm_baseline_level(&b.layers[1])));
}

/* A model that fits: its norms fall by decades, and a hard batch is what it was at the start. */
static void what_was_usual_once_is_no_explosion_later(void **state)
{
    struct norm_baseline n = {0};

    (void)state;
    add(&n, 0.3, 100);
    add(&n, 0.001, 2000);
    assert_true(exp(n.level) < 0.0011);
    assert_true(fabs(norm_baseline_level(&n) - 0.3) < 1e-9);
    assert_true(fabs(norm_baseline_recent_max(&n) - 0.3) < 1e-9);
    norm_baseline_reset(&n);
    assert_true(isnan(norm_baseline_level(&n)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_level_is_the_median_of_the_first_25, start, stop),
        cmocka_unit_test_setup_teardown(the_level_rises_by_at_most_a_hundredth_a_step, start, stop),
        cmocka_unit_test_setup_teardown(the_level_falls_as_an_exponential_average, start, stop),
        cmocka_unit_test_setup_teardown(what_was_usual_once_is_no_explosion_later, start, stop),
        cmocka_unit_test_setup_teardown(zeros_and_nonfinite_norms_never_enter, start, stop),
        cmocka_unit_test_setup_teardown(the_recent_maximum_is_of_the_last_ten, start, stop),
        cmocka_unit_test(the_recent_maximum_is_that_of_a_loop),
        cmocka_unit_test_setup_teardown(the_first_loss_is_the_median_of_five_finite_ones, start,
                                        stop),
        cmocka_unit_test_setup_teardown(a_loss_that_diverged_at_once_is_no_first_loss, start, stop),
        cmocka_unit_test_setup_teardown(the_first_loss_is_at_least_a_tenth_with_its_sign, start,
                                        stop),
        cmocka_unit_test_setup_teardown(a_restart_forgets_all_but_the_first_loss, start, stop),
        cmocka_unit_test_setup_teardown(the_rate_warms_up_for_three_steps_after_each_rise, start,
                                        stop),
        cmocka_unit_test_setup_teardown(a_rate_that_jumps_threefold_is_told_once, start, stop),
        cmocka_unit_test_setup_teardown(a_batch_below_nine_tenths_of_the_usual_is_short, start,
                                        stop),
        cmocka_unit_test_setup_teardown(one_huge_batch_does_not_make_all_others_short, start, stop),
        cmocka_unit_test_setup_teardown(growing_keeps_what_is_known, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
