#include "tests/unit/training.h"

#define DIMS(...) (const int64_t[]){__VA_ARGS__}, sizeof((const int64_t[]){__VA_ARGS__}) / 8
#define output(of, ...)                                                                            \
    shape_at(of, (struct posted_shape){.role = EMBMON_SHAPE_OUTPUT}, DIMS(__VA_ARGS__))
#define input(of, at, n, ...)                                                                      \
    shape_at(of, (struct posted_shape){.role = EMBMON_SHAPE_INPUT, .index = at, .inputs = n},      \
             DIMS(__VA_ARGS__))

static void reads(size_t of, const size_t *inputs, size_t count)
{
    assert_true(model_inputs(&training.model, of, inputs, count));
}

static size_t declared(const char *path, uint32_t kind, const int64_t *dims, size_t count)
{
    return layer_like((struct msg_layer){
        .path = path, .kind = kind, .trainable = true, .shape = dims, .shape_length = count});
}

static size_t table_like(const char *path, uint64_t rows, uint64_t columns)
{
    return layer_like((struct msg_layer){.path = path,
                                         .kind = EMBMON_EMBEDDING,
                                         .trainable = true,
                                         .rows = rows,
                                         .columns = columns});
}

/* ---- shape_mismatch */

/* Two tables, one of them flattened, and where they meet. */
static size_t two_tables(uint32_t kind)
{
    size_t one = table_like("inner_model/embedding", 100, 50);
    size_t two = table_like("inner_model/embedding_1", 100, 30);
    size_t flat = layer("inner_model/flatten", EMBMON_OTHER), joins = layer("merged", kind);

    reads(flat, &one, 1);
    reads(joins, (size_t[]){flat, two}, 2);
    output(one, 32, 10, 50);
    output(two, 32, 10, 30);
    output(flat, 32, 500);
    return joins;
}

static void inputs_that_cannot_be_joined_are_told_with_every_shape_on_the_way(void **state)
{
    (void)state;
    size_t joins = two_tables(EMBMON_CONCATENATE);

    input(joins, 0, 2, 32, 500);
    must_be_quiet();
    input(joins, 1, 2, 32, 10, 30);
    must_be("shape_mismatch", "merged", EMBMON_FIRING, 0);
    const struct told *told = last_told("shape_mismatch", "merged");
    assert_int_equal(told->severity, EMBMON_CRITICAL);
    assert_string_equal(told->summary, "inputs 0 and 1 of merged do not fit at step 0: (32, 500) "
                                       "and (32, 10, 30)");
    assert_non_null(strstr(told->hint,
                           "Shapes on the way: inner_model/embedding (32, 10, 50) -> "
                           "inner_model/flatten (32, 500); inner_model/embedding_1 (32, 10, 30)."));
    step_done();
    assert_int_equal(training.told_count, 1);
}

static void concatenate(size_t joins, int64_t axis, const int64_t *one, const int64_t *two,
                        size_t count)
{
    struct posted_shape posted = {.role = EMBMON_SHAPE_INPUT, .inputs = 2, .axis = axis};

    shape_at(joins, posted, one, count);
    posted.index = 1;
    shape_at(joins, posted, two, count);
}

static void only_the_axis_of_a_concatenation_may_differ(void **state)
{
    (void)state;
    const int64_t one[] = {32, 10, 50}, two[] = {32, 10, 30}, unknown[] = {-1, -1, 30};
    size_t joins = layer("joins", EMBMON_CONCATENATE);

    concatenate(joins, -1, one, two, 3);
    step_done();
    concatenate(joins, 2, one, two, 3);
    step_done();
    concatenate(joins, -1, one, unknown, 3);
    must_pass(shape_mismatch, joins);
    assert_int_equal(times_told("shape_mismatch"), 0);
    step_done();
    concatenate(joins, 1, one, two, 3);
    must_flag(shape_mismatch, joins);
    must_be("shape_mismatch", "joins", EMBMON_FIRING, 3);
}

static void inputs_of_different_calls_are_not_compared(void **state)
{
    (void)state;
    const int64_t title[] = {32, 20, 8}, body[] = {32, 200, 8};
    size_t joins = layer("joins", EMBMON_CONCATENATE);

    concatenate(joins, 2, title, title, 3);
    concatenate(joins, 2, body, body, 3);
    step_done();
    must_be_quiet();
}

static void inputs_of_a_merge_broadcast(void **state)
{
    (void)state;
    const struct {
        int64_t one[3], two[3];
        size_t n1, n2;
        bool sick;
    } cases[] = {
        {{32, 10, 16}, {32, 10, 16}, 3, 3, false}, {{32, 10, 16}, {32, 1, 16}, 3, 3, false},
        {{32, 10, 16}, {10, 16}, 3, 2, false},     {{32, 10, 16}, {32, 16}, 3, 2, false},
        {{32, 10, 16}, {32, 10, 17}, 3, 3, true},  {{32, 10, 16}, {31, 10, 16}, 3, 3, true},
        {{32, 10, 16}, {31, 16}, 3, 2, true},
    };
    size_t adds = layer("adds", EMBMON_MERGE);

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct posted_shape posted = {.role = EMBMON_SHAPE_INPUT, .inputs = 2};

        shape_at(adds, posted, cases[i].one, cases[i].n1);
        posted.index = 1;
        shape_at(adds, posted, cases[i].two, cases[i].n2);
        if (cases[i].sick)
            must_flag(shape_mismatch, adds);
        else
            must_pass(shape_mismatch, adds);
        step_done();
    }
}

static void inputs_of_other_layers_may_be_anything(void **state)
{
    (void)state;
    size_t a = layer("a", EMBMON_OTHER);

    input(a, 0, 2, 32, 5);
    input(a, 1, 2, 32, 7, 7);
    must_pass(shape_mismatch, a);
}

static void an_output_as_wide_as_declared_passes(void **state)
{
    (void)state;
    size_t a = table_like("a", 100, 50);

    must_be_silent(shape_mismatch, a, "no shape was posted for this layer");
    step_done();
    output(a, 32, 10, 50);
    must_pass(shape_mismatch, a);
    must_be_quiet();
    step_done();
    output(a, 32, 10, 49);
    must_be("shape_mismatch", "a", EMBMON_FIRING, 2);
    assert_string_equal(last_told("shape_mismatch", "a")->summary,
                        "the output of a is (32, 10, 49) at step 2, its rows have 50 columns");
}

static void gradient_shape(size_t layer_of, size_t of, const int64_t *dims, size_t count)
{
    shape_at(layer_of, (struct posted_shape){.role = EMBMON_SHAPE_GRADIENT, .variable = of}, dims,
             count);
}

static void a_gradient_has_the_shape_of_its_variable(void **state)
{
    (void)state;
    const int64_t right[] = {20, 5}, wrong[] = {5, 20};
    size_t d = dense("d"), kernel = variable(d, "kernel"), bias = variable(d, "bias");

    model_shape(&training.model, kernel, right, 2);
    gradient_shape(d, kernel, right, 2);
    gradient_shape(d, bias, wrong, 2); /* its shape was not declared */
    must_pass(shape_mismatch, d);
    step_done();
    gradient_shape(d, kernel, wrong, 2);
    must_be("shape_mismatch", "d", EMBMON_FIRING, 1);
    const struct told *told = last_told("shape_mismatch", "d");
    assert_string_equal(told->variable, "kernel");
    assert_string_equal(told->summary,
                        "the gradient of d/kernel is (5, 20) at step 1, the variable is (20, 5)");
}

static void a_tables_gradient_has_its_rows_and_columns(void **state)
{
    (void)state;
    const int64_t right[] = {100, 50}, wrong[] = {32, 50};
    size_t a = table_like("a", 100, 50);

    gradient_shape(a, table(a), right, 2);
    must_pass(shape_mismatch, a);
    step_done();
    gradient_shape(a, table(a), wrong, 2);
    must_flag(shape_mismatch, a);
    assert_string_equal(last_told("shape_mismatch", "a")->variable, "");
}

static void inputs_that_follow_may_still_be_of_the_step_before(void **state)
{
    (void)state;
    size_t joins = layer("joins", EMBMON_CONCATENATE);

    concatenate(joins, -1, (int64_t[]){32, 50}, (int64_t[]){32, 30}, 2);
    step_done();
    concatenate(joins, -1, (int64_t[]){7, 50}, (int64_t[]){7, 30}, 2); /* a short batch */
    step_done();
    must_be_quiet();
    shape_at(joins,
             (struct posted_shape){.role = EMBMON_SHAPE_INPUT, .index = 0, .inputs = 2, .axis = -1},
             (int64_t[]){7, 9, 50}, 3);
    assert_int_equal(times_told("shape_mismatch"), 0); /* the other may change, too */
    step_done();                                       /* it has not */
    must_be("shape_mismatch", "joins", EMBMON_FIRING, 2);
}

static void a_shape_that_is_not_posted_again_is_as_it_was(void **state)
{
    (void)state;
    size_t a = table_like("a", 100, 50), b = dense("b");

    output(a, 32, 49);
    output(b, 32, 10);
    step_done();
    output(b, 32, 11);
    for (int i = 0; i < 20; i++)
        step_done();
    must_be("shape_mismatch", "a", EMBMON_FIRING, 0); /* it lasts */
    must_be("shape_changed", "b", EMBMON_RESOLVED, 11);
    output(a, 32, 50);
    for (int i = 0; i < 10; i++)
        step_done();
    must_be("shape_mismatch", "a", EMBMON_RESOLVED, 30);
}

static void only_the_first_layer_is_named(void **state)
{
    (void)state;
    size_t a = table_like("a", 100, 50), b = table_like("b", 100, 50);

    output(a, 32, 49);
    output(b, 32, 49);
    step_done();
    assert_int_equal(times_told("shape_mismatch"), 1);
    must_be("shape_mismatch", "a", EMBMON_FIRING, 0);
    assert_string_equal(alerts_silent(training.alerts, detector_find("shape_mismatch"), b),
                        "muted: another layer is named already");
}

static void a_mismatch_resolves_after_10_clear_steps(void **state)
{
    (void)state;
    size_t a = table_like("a", 100, 50);

    output(a, 32, 49);
    step_done();
    for (int i = 0; i < 10; i++) {
        output(a, 32, 50);
        step_done();
    }
    must_be("shape_mismatch", "a", EMBMON_RESOLVED, 10);
}

static void a_trace_ends_where_the_hint_does(void **state)
{
    (void)state;
    char path[256];
    size_t joins, last = 0;
    size_t inputs[40];

    for (uint32_t i = 0; i < 40; i++) {
        memset(path, 'x', 250);
        (void)snprintf(path + 250, 6, "%u", i);
        last = layer(path, EMBMON_OTHER);
        inputs[i] = last;
        output(last, 32, 1, 2, 3, 4, 5, 6, 7);
    }
    joins = layer("joins", EMBMON_MERGE);
    reads(joins, inputs, 40);
    input(joins, 0, 2, 32, 5);
    input(joins, 1, 2, 32, 7);
    const struct told *told = last_told("shape_mismatch", "joins");
    assert_int_equal(told->state, EMBMON_FIRING);
    assert_true(strlen(told->hint) < FINDING_HINT);
}

/* ---- shape_changed */

static void a_dimension_that_changes_is_told_at_once(void **state)
{
    (void)state;
    size_t a = dense("a");

    output(a, 32, 10);
    must_be_silent(shape_changed, a, "no earlier shape to compare with");
    step_done();
    output(a, 16, 10); /* the batch may */
    must_pass(shape_changed, a);
    step_done();
    output(a, 16, 11);
    must_be("shape_changed", "a", EMBMON_FIRING, 2);
    const struct told *told = last_told("shape_changed", "a");
    assert_int_equal(told->severity, EMBMON_WARNING);
    assert_string_equal(told->summary,
                        "the output of a is (16, 11) at step 2; before it was (16, 10)");
    must_near(told->value, 11, 0);
    must_near(told->baseline, 10, 0);
    for (int i = 0; i < 11; i++) {
        step_done();
        output(a, 16, 11);
    }
    must_be("shape_changed", "a", EMBMON_RESOLVED, 12);
}

static void what_is_declared_to_vary_may(void **state)
{
    (void)state;
    const int64_t open[] = {-1, -1, 8}, without_batch[] = {-1, 8};
    size_t a = declared("a", EMBMON_OTHER, open, 3);
    size_t b = declared("b", EMBMON_OTHER, without_batch, 2);

    output(a, 32, 10, 8);
    output(b, 32, 10, 8);
    step_done();
    output(a, 32, 12, 8);
    output(b, 32, 12, 8);
    step_done();
    must_be_quiet();
    output(b, 32, 12, 9);
    must_be("shape_changed", "b", EMBMON_FIRING, 2);
}

static void inference_that_differs_from_training_is_told_as_long_as_it_does(void **state)
{
    (void)state;
    size_t a = table_like("a", 100, 8);

    input(a, 0, 1, 32, 10);
    output(a, 32, 10, 8);
    step_done();
    training.phase = EMBMON_INFER;
    training.number = 0;
    input(a, 0, 1, 1, 10);
    output(a, 1, 10, 8);
    step_done();
    must_be_quiet();
    for (int i = 0; i < 12; i++) {
        input(a, 0, 1, 1, 7);
        output(a, 1, 7, 8);
        step_done();
    }
    must_be("shape_changed", "a", EMBMON_FIRING, 1);
    assert_int_equal(training.told_count, 1);
    const struct told *told = last_told("shape_changed", "a");
    assert_string_equal(told->summary,
                        "the input of a is (1, 7) at step 1; in training it was (32, 10)");
    assert_non_null(strstr(told->hint, "another maxlen"));
}

static void the_number_of_dimensions_counts_and_is_no_length(void **state)
{
    (void)state;
    size_t a = table_like("a", 100, 8);

    output(a, 32, 10, 8);
    step_done();
    output(a, 32, 8);
    const struct told *told = last_told("shape_changed", "a");
    assert_int_equal(told->state, EMBMON_FIRING);
    assert_null(strstr(told->hint, "maxlen"));
}

static void a_layer_called_twice_in_a_step_has_no_usual_shape(void **state)
{
    (void)state;
    size_t shared = table_like("shared", 100, 8);

    for (int i = 0; i < 3; i++) {
        output(shared, 32, 20, 8);
        output(shared, 32, 200, 8);
        step_done();
    }
    must_be_quiet();
    output(shared, 32, 20, 8);
    must_be_silent(shape_changed, shared, "no earlier shape to compare with");
}

static void ranks_are_compared_with_what_was_usual(void **state)
{
    (void)state;
    size_t a = dense("a");
    struct posted_shape posted = {.role = EMBMON_SHAPE_OUTPUT};

    for (posted.rank = 0; posted.rank < 4; posted.rank++)
        shape_at(a, posted, (int64_t[]){32, 10}, 2);
    step_done();
    posted.rank = 3;
    shape_at(a, posted, (int64_t[]){32, 11}, 2);
    must_be("shape_changed", "a", EMBMON_FIRING, 1);
    posted.rank = 0;
    shape_at(a, posted, (int64_t[]){32, 10}, 2);
    step_done();
    assert_int_equal(training.told_count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        training_test(inputs_that_cannot_be_joined_are_told_with_every_shape_on_the_way),
        training_test(only_the_axis_of_a_concatenation_may_differ),
        training_test(inputs_of_different_calls_are_not_compared),
        training_test(inputs_of_a_merge_broadcast),
        training_test(inputs_of_other_layers_may_be_anything),
        training_test(an_output_as_wide_as_declared_passes),
        training_test(a_gradient_has_the_shape_of_its_variable),
        training_test(a_tables_gradient_has_its_rows_and_columns),
        training_test(inputs_that_follow_may_still_be_of_the_step_before),
        training_test(a_shape_that_is_not_posted_again_is_as_it_was),
        training_test(only_the_first_layer_is_named),
        training_test(a_mismatch_resolves_after_10_clear_steps),
        training_test(a_trace_ends_where_the_hint_does),
        training_test(a_dimension_that_changes_is_told_at_once),
        training_test(what_is_declared_to_vary_may),
        training_test(inference_that_differs_from_training_is_told_as_long_as_it_does),
        training_test(the_number_of_dimensions_counts_and_is_no_length),
        training_test(a_layer_called_twice_in_a_step_has_no_usual_shape),
        training_test_of_4(ranks_are_compared_with_what_was_usual),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
