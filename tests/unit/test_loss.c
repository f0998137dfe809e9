#include "tests/unit/training.h"

static void must_be_fine(double value)
{
    loss(value);
    must_pass(loss_nonfinite, DETECT_MODEL);
    must_pass(loss_diverged, DETECT_MODEL);
    step_done();
}

static void a_loss_of_nan_or_infinity_is_flagged(void **state)
{
    (void)state;
    must_be_fine(2);
    loss(NAN);
    struct finding f = must_flag(loss_nonfinite, DETECT_MODEL);
    assert_true(isnan(f.value));
    assert_true(isnan(f.threshold));
    must_near(f.baseline, 2, 0);
    assert_string_equal(f.summary, "the loss is NaN at step 1");
    must_be_silent(loss_diverged, DETECT_MODEL, "no finite loss at this step");
    step_done();
    loss(-INFINITY);
    assert_string_equal(must_flag(loss_nonfinite, DETECT_MODEL).summary,
                        "the loss is infinite at step 2");
}

static void without_a_loss_both_are_silent(void **state)
{
    (void)state;
    rate(0.1);
    must_be_silent(loss_nonfinite, DETECT_MODEL, "no loss was posted");
    must_be_silent(loss_diverged, DETECT_MODEL, "no loss was posted");
}

static void a_step_without_a_loss_is_silent(void **state)
{
    (void)state;
    must_be_fine(1);
    must_be_silent(loss_nonfinite, DETECT_MODEL, "no loss was posted");
    must_be_silent(loss_diverged, DETECT_MODEL, "no finite loss at this step");
}

static void divergence_is_above_5_times_the_median_of_the_first_5(void **state)
{
    (void)state;
    static const double first[] = {2.2, 2.1, 2.0, 1.9, 1.8};

    for (size_t i = 0; i < 5; i++)
        must_be_fine(first[i]);
    must_be_fine(10);
    loss(10.01);
    struct finding f = must_flag(loss_diverged, DETECT_MODEL);
    must_near(f.value, 10.01, 0);
    must_near(f.baseline, 2, 0);
    must_near(f.threshold, 10, 0);
}

static void a_negative_loss_counts_by_its_size(void **state)
{
    (void)state;
    must_be_fine(-3);
    must_be_fine(-300); /* a likelihood that grows */
    must_be_fine(-3);
    must_be_fine(-3);
    must_be_fine(-3);
    must_be_fine(15);
    loss(15.1);
    must_flag(loss_diverged, DETECT_MODEL);
}

static void a_first_loss_near_0_counts_as_a_tenth(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++)
        must_be_fine(1e-6);
    must_be_fine(0.49);
    loss(0.51);
    must_near(must_flag(loss_diverged, DETECT_MODEL).threshold, 0.5, 1e-12);
}

static void what_is_not_finite_is_no_first_loss(void **state)
{
    (void)state;
    loss(NAN);
    step_done();
    must_be_fine(1);
    loss(5.1);
    must_pass(loss_diverged, DETECT_MODEL); /* of two, the median is their mean */
    must_near(baseline_first_loss(&training.baseline), 3.05, 1e-12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        training_test(a_loss_of_nan_or_infinity_is_flagged),
        training_test(without_a_loss_both_are_silent),
        training_test(a_step_without_a_loss_is_silent),
        training_test(divergence_is_above_5_times_the_median_of_the_first_5),
        training_test(a_negative_loss_counts_by_its_size),
        training_test(a_first_loss_near_0_counts_as_a_tenth),
        training_test(what_is_not_finite_is_no_first_loss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
