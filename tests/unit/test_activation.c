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

/* ---- what is known of an output's units */

/* Before the first sick step there is no word of it, after it and before the fifth it is pending.
 */
static void must_hold_until(int sick, const char *detector, const char *path)
{
    assert_int_equal(last_told(detector, path)->state, sick == 0 ? UINT32_MAX : EMBMON_PENDING);
}

struct extra {
    uint32_t key;
    double value;
};

/* An output of these values with these extras, up to the one of key 0. */
static void output(size_t of, const double *values, size_t n, const struct extra *extras)
{
    struct summary s;

    summarise(&s, values, n);
    for (; extras->key; extras++)
        assert_true(summary_set_extra(&s, extras->key, extras->value));
    post_summary(0, table(of), EMBMON_ACTIVATION, &s);
    summary_free(&s);
}

#define OUTPUT(of, values, ...)                                                                    \
    output(of, values, sizeof(values) / sizeof *(values),                                          \
           (const struct extra[]){__VA_ARGS__, {0, 0}})

static const double ones[10] = {1, 1, 1, 1, 1, -1, -1, -1, -1, -1}; /* mean square 1 */

static size_t layer_with(const char *path, uint32_t kind, const char *function)
{
    return layer_like(
        (struct msg_layer){.path = path, .kind = kind, .trainable = true, .activation = function});
}

/* ---- activation_dead */

static void an_output_of_zeros_is_dead_at_the_fifth_step(void **state)
{
    (void)state;
    size_t a = dense("a");
    double values[1000] = {0};

    for (size_t i = 0; i < 11; i++)
        values[i] = 1;
    post_values(0, table(a), EMBMON_ACTIVATION, values, 1000);
    must_near(must_pass(activation_dead_zeros, a).value, 0.989, 1e-12);
    step_done();
    must_be_quiet();
    values[0] = 0;
    for (int i = 0; i < 5; i++) {
        post_values(0, table(a), EMBMON_ACTIVATION, values, 1000);
        must_hold_until(i, "activation_dead", "a");
        step_done();
    }
    must_be("activation_dead", "a", EMBMON_FIRING, 5);
    assert_int_equal(last_told("activation_dead", "a")->severity, EMBMON_WARNING);
    for (int i = 0; i < 10; i++) {
        activation(a, 1);
        step_done();
    }
    must_be("activation_dead", "a", EMBMON_RESOLVED, 15);
}

static void nineteen_of_twenty_units_without_a_value_are_dead_too(void **state)
{
    (void)state;
    size_t a = dense("a");

    OUTPUT(a, ones, {EXTRA_UNITS, 100}, {EXTRA_UNITS_DEAD, 94});
    (void)must_pass(activation_dead_units, a);
    step_done();
    OUTPUT(a, ones, {EXTRA_UNITS, 100}, {EXTRA_UNITS_DEAD, 95});
    struct finding f = must_flag(activation_dead_units, a);
    must_near(f.value, 0.95, 1e-12);
    assert_string_equal(f.summary, "95 of the 100 units of a are 0 in the whole batch of step 1");
    step_done();
    for (int i = 0; i < 4; i++) {
        OUTPUT(a, ones, {EXTRA_UNITS, 100}, {EXTRA_UNITS_DEAD, 100});
        step_done();
    }
    must_be("activation_dead", "a", EMBMON_FIRING, 5);
}

static void where_zeros_may_be_meant_it_is_silent(void **state)
{
    (void)state;
    size_t t = embedding("t"), one_hot = layer("one_hot", EMBMON_OTHER),
           relu = layer_with("relu", EMBMON_OTHER, "relu"),
           softmax = layer_with("softmax", EMBMON_DENSE, "softmax"), a = dense("a"), b = dense("b");
    const double zeros[100] = {0};

    post_values(0, table(t), EMBMON_ACTIVATION, zeros, 100);
    post_values(0, table(one_hot), EMBMON_ACTIVATION, zeros, 100);
    post_values(0, table(relu), EMBMON_ACTIVATION, zeros, 100);
    post_values(0, table(softmax), EMBMON_ACTIVATION, zeros, 100);
    post_values(0, table(b), EMBMON_ACTIVATION, zeros, 100);
    must_be_silent(activation_dead_zeros, t,
                   "not judged for embeddings: rows that were not trained yet may be 0");
    must_be_silent(activation_dead_zeros, one_hot,
                   "neither its kind nor its activation function is known: zeros may be meant");
    must_be_silent(activation_dead_zeros, softmax,
                   "not judged for softmax: a sure one is nearly all 0");
    must_be_silent(activation_dead_zeros, a, "no activation was posted for this layer");
    must_be_silent(activation_dead_units, b,
                   "units are not known: no shape was declared, or the output came as a summary");
    (void)must_flag(activation_dead_zeros, relu);
}

/* ---- activation_saturated */

static void more_than_half_at_the_limit_is_saturated_at_the_fifth_step(void **state)
{
    (void)state;
    size_t a = layer_with("a", EMBMON_DENSE, "tanh");

    dense("out");
    OUTPUT(a, ones, {EXTRA_SATURATED, 5});
    (void)must_pass(activation_saturated, a);
    step_done();
    for (int i = 0; i < 5; i++) {
        OUTPUT(a, ones, {EXTRA_SATURATED, 6});
        must_hold_until(i, "activation_saturated", "a");
        step_done();
    }
    must_be("activation_saturated", "a", EMBMON_FIRING, 5);
    assert_int_equal(last_told("activation_saturated", "a")->severity, EMBMON_WARNING);
    assert_string_equal(last_told("activation_saturated", "a")->summary,
                        "60 % of the output of a is at the limit of tanh (within 1e-4) at step 5");
    for (int i = 0; i < 10; i++) {
        OUTPUT(a, ones, {EXTRA_SATURATED, 5});
        step_done();
    }
    must_be("activation_saturated", "a", EMBMON_RESOLVED, 15);
}

static void outputs_and_functions_without_a_limit_are_silent(void **state)
{
    (void)state;
    size_t relu = layer_with("relu", EMBMON_DENSE, "relu"),
           gate = layer_with("gate", EMBMON_DENSE, "sigmoid"),
           head = layer_with("head", EMBMON_DENSE, "sigmoid"),
           out = layer_with("out", EMBMON_DENSE, "sigmoid");
    static const char is_output[] = "not judged for an output: a sure one is at its limit";

    OUTPUT(gate, ones, {EXTRA_UNITS, 1});
    OUTPUT(head, ones, {EXTRA_SATURATED, 10});
    OUTPUT(out, ones, {EXTRA_SATURATED, 10});
    must_be_silent(activation_saturated, relu,
                   "its activation function is neither tanh nor sigmoid");
    must_be_silent(activation_saturated, gate,
                   "units are not known: no shape was declared, or the output came as a summary");
    must_be_silent(activation_saturated, out, is_output); /* declared last */
    (void)must_flag(activation_saturated, head);
    /* Once inputs are known, what nobody reads is an output. */
    assert_true(model_inputs(&training.model, out, &gate, 1));
    must_be_silent(activation_saturated, head, is_output);
    must_be_silent(activation_saturated, out, is_output);
    must_be_silent(activation_saturated, gate,
                   "units are not known: no shape was declared, or the output came as a summary");
}

/* ---- activation_collapsed */

static void an_output_that_is_the_same_for_all_examples_fires_at_the_fifth_step(void **state)
{
    (void)state;
    size_t a = dense("a");

    OUTPUT(a, ones, {EXTRA_EXAMPLES, 8}, {EXTRA_VARIANCE, 1.01e-12});
    (void)must_pass(activation_collapsed, a);
    step_done();
    for (int i = 0; i < 5; i++) {
        OUTPUT(a, ones, {EXTRA_EXAMPLES, 8}, {EXTRA_VARIANCE, 0.99e-12});
        must_hold_until(i, "activation_collapsed", "a");
        step_done();
    }
    must_be("activation_collapsed", "a", EMBMON_FIRING, 5);
    assert_int_equal(last_told("activation_collapsed", "a")->severity, EMBMON_WARNING);
    must_near(last_told("activation_collapsed", "a")->value, 0.99e-12, 1e-18);
    for (int i = 0; i < 10; i++) {
        OUTPUT(a, ones, {EXTRA_EXAMPLES, 8}, {EXTRA_VARIANCE, 0.5});
        step_done();
    }
    must_be("activation_collapsed", "a", EMBMON_RESOLVED, 15);
}

static void the_variances_of_ranks_are_averaged(void **state)
{
    (void)state;
    size_t a = dense("a");

    for (uint32_t rank = 0; rank < 4; rank++) {
        struct summary s;

        summarise(&s, ones, 10);
        assert_true(summary_set_extra(&s, EXTRA_EXAMPLES, 8));
        assert_true(summary_set_extra(&s, EXTRA_VARIANCE, 0.25));
        post_summary(rank, table(a), EMBMON_ACTIVATION, &s);
        summary_free(&s);
    }
    must_near(must_pass(activation_collapsed, a).value, 0.25, 1e-12);
}

static void small_batches_tables_and_outputs_of_0_are_silent(void **state)
{
    (void)state;
    size_t t = embedding("t"), a = dense("a"), b = dense("b"), c = dense("c");
    const double zeros[10] = {0};

    OUTPUT(t, ones, {EXTRA_EXAMPLES, 8}, {EXTRA_VARIANCE, 0});
    OUTPUT(a, ones, {EXTRA_EXAMPLES, 7}, {EXTRA_VARIANCE, 0});
    OUTPUT(b, zeros, {EXTRA_EXAMPLES, 8}, {EXTRA_VARIANCE, 0});
    OUTPUT(c, ones, {EXTRA_EXAMPLES, 8});
    must_be_silent(activation_collapsed, t,
                   "not judged for embeddings: all examples may have the same id");
    must_be_silent(activation_collapsed, a, "fewer than 8 examples in the batch");
    must_be_silent(activation_collapsed, b, "the output is all 0");
    must_be_silent(activation_collapsed, c,
                   "units are not known: no shape was declared, or the output came as a summary");
    step_done();
    must_be_silent(activation_collapsed, a, "no activation was posted for this layer");
    step_done();
    batch(7); /* 8 positions of 7 examples whose length was not declared */
    OUTPUT(a, ones, {EXTRA_EXAMPLES, 56}, {EXTRA_VARIANCE, 0});
    must_be_silent(activation_collapsed, a, "fewer than 8 examples in the batch");
}

static void what_never_differed_may_be_meant_to_be_constant(void **state)
{
    static const char why[] =
        "it never differed within a batch: its input may be the same for all examples";
    size_t positions = layer("positions", EMBMON_OTHER), queries = dense("queries"),
           deep = dense("deep");

    (void)state;
    OUTPUT(positions, ones, {EXTRA_EXAMPLES, 8}, {EXTRA_VARIANCE, 5e-13});
    OUTPUT(queries, ones, {EXTRA_EXAMPLES, 8}, {EXTRA_VARIANCE, 1e-14});
    OUTPUT(deep, ones, {EXTRA_EXAMPLES, 8}, {EXTRA_VARIANCE, 5e-13});
    must_be_silent(activation_collapsed, positions, why);
    must_be_silent(activation_collapsed, queries, why); /* rounding */
    (void)must_flag(activation_collapsed, deep);
    step_done();
    OUTPUT(positions, ones, {EXTRA_EXAMPLES, 8}, {EXTRA_VARIANCE, 0.1});
    step_done();
    OUTPUT(positions, ones, {EXTRA_EXAMPLES, 8}, {EXTRA_VARIANCE, 0});
    (void)must_flag(activation_collapsed, positions);
}

static void what_reads_only_what_differs_must_differ_from_the_start(void **state)
{
    (void)state;
    size_t t = embedding("t"), a = dense("a"), b = dense("b");
    const size_t of_a[] = {a}, of_both[] = {a, t};

    OUTPUT(a, ones, {EXTRA_EXAMPLES, 8}, {EXTRA_VARIANCE, 0.1});
    OUTPUT(b, ones, {EXTRA_EXAMPLES, 8}, {EXTRA_VARIANCE, 0});
    assert_true(model_inputs(&training.model, b, of_both, 2)); /* of the table nobody knows */
    must_be_silent(activation_collapsed, b,
                   "it never differed within a batch: its input may be the same for all examples");
    assert_true(model_inputs(&training.model, b, of_a, 1));
    (void)must_flag(activation_collapsed, b);
}

static void behind_a_collapsed_layer_it_is_silent(void **state)
{
    (void)state;
    size_t t = embedding("t"), a = dense("a"), b = dense("b");
    const size_t of_a[] = {a}, of_both[] = {a, t};

    OUTPUT(a, ones, {EXTRA_EXAMPLES, 8}, {EXTRA_VARIANCE, 0.1});
    OUTPUT(b, ones, {EXTRA_EXAMPLES, 8}, {EXTRA_VARIANCE, 0.1});
    step_done();
    OUTPUT(a, ones, {EXTRA_EXAMPLES, 8}, {EXTRA_VARIANCE, 0});
    OUTPUT(b, ones, {EXTRA_EXAMPLES, 8}, {EXTRA_VARIANCE, 0});
    (void)must_flag(activation_collapsed, b);
    assert_true(model_inputs(&training.model, b, of_a, 1));
    must_be_silent(activation_collapsed, b, "what it reads does not differ within the batch");
    (void)must_flag(activation_collapsed, a);
    assert_true(model_inputs(&training.model, b, of_both, 2)); /* of the table nobody knows */
    (void)must_flag(activation_collapsed, b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        training_test(a_finite_output_passes),
        training_test(one_nan_or_infinity_is_flagged),
        training_test(without_an_output_it_is_silent),
        training_test(an_output_of_zeros_is_dead_at_the_fifth_step),
        training_test(nineteen_of_twenty_units_without_a_value_are_dead_too),
        training_test(where_zeros_may_be_meant_it_is_silent),
        training_test(more_than_half_at_the_limit_is_saturated_at_the_fifth_step),
        training_test(outputs_and_functions_without_a_limit_are_silent),
        training_test(an_output_that_is_the_same_for_all_examples_fires_at_the_fifth_step),
        training_test_of_4(the_variances_of_ranks_are_averaged),
        training_test(small_batches_tables_and_outputs_of_0_are_silent),
        training_test(what_never_differed_may_be_meant_to_be_constant),
        training_test(what_reads_only_what_differs_must_differ_from_the_start),
        training_test(behind_a_collapsed_layer_it_is_silent),
        training_test_of_4(only_the_ranks_that_hold_it_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
