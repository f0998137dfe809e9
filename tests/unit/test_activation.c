#include "tests/unit/training.h"

static void a_finite_output_passes(void **state)
{
    (void)state;
    size_t a = dense("a");

    activation(a, 1e38);
    must_near(must_pass(activation_nonfinite, a).value, 0, 0);
}

static void one_nan_or_infinity_is_flagged(void **state)
{
    (void)state;
    size_t a = dense("a"), b = dense("b");

    activation(a, NAN);
    activation(b, -INFINITY);
    struct finding f = must_flag(activation_nonfinite, a);
    must_near(f.value, 1, 0);
    must_near(f.threshold, 0, 0);
    assert_true(isnan(f.baseline));
    assert_string_equal(f.summary, "the output of a is not finite (values: 1) at step 0");
    must_flag(activation_nonfinite, b);
}

static void only_the_ranks_that_hold_it_are_named(void **state)
{
    (void)state;
    size_t a = dense("a");
    const double fine[] = {1}, broken[] = {NAN};

    post_values(0, table(a), EMBMON_ACTIVATION, fine, 1);
    post_values(1, table(a), EMBMON_ACTIVATION, broken, 1);
    post_values(2, table(a), EMBMON_ACTIVATION, broken, 1);
    struct finding f = must_flag(activation_nonfinite, a);
    assert_int_equal(f.ranks->length, 2);
    assert_int_equal(f.ranks->ranks[0], 1);
    assert_int_equal(f.ranks->ranks[1], 2);
}

static void without_an_output_it_is_silent(void **state)
{
    (void)state;
    size_t a = dense("a");

    gradient_with(a, NAN);
    must_be_silent(activation_nonfinite, a, "no activation was posted for this layer");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        training_test(a_finite_output_passes),
        training_test(one_nan_or_infinity_is_flagged),
        training_test(without_an_output_it_is_silent),
        training_test_of_4(only_the_ranks_that_hold_it_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
