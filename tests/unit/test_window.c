#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>

#include "daemon/tensorboard/window.h"
#include "tests/unit/values.h"

static void must_near(double value, double expected)
{
    assert_true(fabs(value - expected) < 1e-12);
}

/* Adds steps from *step on until one is due; returns how many there were. */
static uint64_t steps_until_due(struct scalar_window *w, uint64_t *step)
{
    uint64_t before = *step;

    while (!scalar_window_add(w, *step, 1))
        ++*step;
    ++*step;
    scalar_window_clear(w);
    return *step - before;
}

static void the_first_512_scalars_are_windows_of_their_own_then_strides_double(void **state)
{
    (void)state;
    struct scalar_window w = {0};
    uint64_t step = 0;

    for (uint64_t stride = 1; stride <= 8; stride *= 2) {
        for (int i = 0; i < LADDER_SCALARS; i++)
            assert_int_equal(steps_until_due(&w, &step), stride);
    }
}

static void a_scalar_window_has_the_mean_and_band_of_its_steps(void **state)
{
    (void)state;
    struct scalar_window w = {0};

    assert_true(isnan(scalar_window_mean(&w)));
    w.ladder.limit = LADDER_SCALARS;
    w.ladder.stride = 4;
    assert_false(scalar_window_add(&w, 10, 3));
    assert_false(scalar_window_add(&w, 12, -1));
    assert_false(scalar_window_add(&w, 13, 5));
    assert_true(scalar_window_add(&w, 17, 1));
    assert_int_equal(w.steps, 4);
    assert_int_equal(w.last_step, 17);
    must_near(scalar_window_mean(&w), 2);
    must_near(w.min, -1);
    must_near(w.max, 5);
    scalar_window_clear(&w);
    assert_int_equal(w.steps, 0);
    assert_false(scalar_window_add(&w, 18, 9)); /* the ladder goes on */
    must_near(w.min, 9);
    must_near(scalar_window_mean(&w), 9);
}

static void a_step_without_a_value_does_not_hide_the_others(void **state)
{
    (void)state;
    struct scalar_window w = {0};

    scalar_window_add(&w, 0, NAN);
    assert_true(isnan(scalar_window_mean(&w)));
    assert_int_equal(w.steps, 1);
    scalar_window_add(&w, 1, 1);
    scalar_window_add(&w, 2, 3);
    scalar_window_add(&w, 3, NAN);
    must_near(scalar_window_mean(&w), 2);
    must_near(w.min, 1);
    must_near(w.max, 3);
    assert_int_equal(w.last_step, 3);
}

static void a_running_total_shows_its_last_value(void **state)
{
    (void)state;
    struct scalar_window w = {.running_total = true};

    scalar_window_add(&w, 0, 1);
    scalar_window_add(&w, 1, 10);
    must_near(scalar_window_value(&w), 10);
    w.running_total = false;
    must_near(scalar_window_value(&w), 5.5);
}

static struct summary summary_of(double value, uint64_t times)
{
    struct summary s;

    assert_true(values_summarise(&s, &value, 1));
    s.count = times;
    s.positive.counts[0] = times;
    return s;
}

static void a_window_that_rests_keeps_its_width_alone(void **state)
{
    (void)state;
    struct histogram_window w = {0};
    struct summary s = summary_of(2, 3);

    for (uint64_t i = 0; i < LADDER_HISTOGRAMS; i++) {
        assert_true(histogram_window_add(&w, i, &s));
        histogram_window_clear(&w);
    }
    assert_non_null(w.summary);
    histogram_window_rest(&w);
    assert_null(w.summary);
    histogram_window_clear(&w);
    assert_null(w.summary);
    assert_false(histogram_window_add(&w, 64, &s)); /* two steps wide by now */
    assert_true(histogram_window_add(&w, 65, &s));
    assert_int_equal(w.summary->count, 6);
    summary_free(&s);
    histogram_window_free(&w);
}

static void the_first_64_histograms_are_windows_of_their_own_then_they_merge(void **state)
{
    (void)state;
    struct histogram_window w = {0};
    struct summary s = summary_of(2, 3);

    for (uint64_t i = 0; i < LADDER_HISTOGRAMS; i++) {
        assert_true(histogram_window_add(&w, i, &s));
        assert_int_equal(w.summary->count, 3);
        histogram_window_clear(&w);
    }
    assert_false(histogram_window_add(&w, 64, &s));
    assert_true(histogram_window_add(&w, 65, &s));
    assert_int_equal(w.steps, 2);
    assert_int_equal(w.last_step, 65);
    assert_int_equal(w.summary->count, 6);
    assert_int_equal(w.summary->parts, 2);
    assert_int_equal(w.summary->positive.counts[0], 6);
    summary_free(&s);
    histogram_window_free(&w);
}

static void a_step_that_cannot_be_merged_does_not_hold_up_the_window(void **state)
{
    (void)state;
    struct histogram_window w = {0};
    struct summary huge = summary_of(1, UINT64_MAX), s = summary_of(1, 5);
    uint64_t step = 0;

    for (; step < LADDER_HISTOGRAMS; step++) {
        assert_true(histogram_window_add(&w, step, &s));
        histogram_window_clear(&w);
    }
    assert_false(histogram_window_add(&w, step++, &huge));
    assert_true(histogram_window_add(&w, step, &s)); /* the count would wrap: left out */
    assert_int_equal(w.steps, 1);
    assert_int_equal(w.last_step, step - 1);
    assert_true(w.summary->count == UINT64_MAX);
    histogram_window_clear(&w);
    assert_false(histogram_window_add(&w, ++step, &s));
    assert_true(histogram_window_add(&w, ++step, &s));
    assert_int_equal(w.summary->count, 10);
    summary_free(&huge);
    summary_free(&s);
    histogram_window_free(&w);
    assert_int_equal(w.steps, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_512_scalars_are_windows_of_their_own_then_strides_double),
        cmocka_unit_test(a_scalar_window_has_the_mean_and_band_of_its_steps),
        cmocka_unit_test(a_step_without_a_value_does_not_hide_the_others),
        cmocka_unit_test(a_running_total_shows_its_last_value),
        cmocka_unit_test(a_window_that_rests_keeps_its_width_alone),
        cmocka_unit_test(the_first_64_histograms_are_windows_of_their_own_then_they_merge),
        cmocka_unit_test(a_step_that_cannot_be_merged_does_not_hold_up_the_window),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
