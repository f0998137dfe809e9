#include "tests/unit/training.h"

#include "client/rows.h"

/* ---- gradient_nonfinite */

static void a_finite_gradient_passes(void **state)
{
    (void)state;
    size_t a = dense("a");

    gradient(a, 1e30);
    must_near(must_pass(gradient_nonfinite, a).value, 0, 0);
}

static void one_nan_or_infinity_is_flagged_and_counted_where_it_is(void **state)
{
    (void)state;
    size_t a = dense("a"), kernel = variable(a, "kernel"), bias = variable(a, "bias");
    const double broken[] = {1, NAN, INFINITY, -INFINITY}, also[] = {NAN, 2};

    post_values(0, kernel, EMBMON_GRADIENT, broken, 4);
    post_values(0, bias, EMBMON_GRADIENT, also, 2);
    struct finding f = must_flag(gradient_nonfinite, a);
    must_near(f.value, 4, 0); /* of the layer */
    must_near(f.threshold, 0, 0);
    assert_string_equal(f.summary,
                        "the gradient of a/kernel is not finite in 3 of 4 values (1 NaN, "
                        "2 infinite) at step 0");
}

static void only_the_ranks_that_hold_it_are_named(void **state)
{
    (void)state;
    size_t a = dense("a");
    const double fine[] = {1, 2}, broken[] = {NAN};

    post_values(0, table(a), EMBMON_GRADIENT, fine, 2);
    post_values(3, table(a), EMBMON_GRADIENT, broken, 1);
    struct finding f = must_flag(gradient_nonfinite, a);
    assert_int_equal(f.ranks->length, 1);
    assert_int_equal(f.ranks->ranks[0], 3);
}

static void of_one_rank_only_its_own_variables_are_named(void **state)
{
    (void)state;
    size_t a = dense("a"), kernel = variable(a, "kernel"), bias = variable(a, "bias");
    const double broken[] = {NAN};
    struct finding f;

    post_values(1, kernel, EMBMON_GRADIENT, broken, 1);
    post_values(0, bias, EMBMON_GRADIENT, broken, 1);
    step_closed();
    measure_now(training.open, 0);
    assert_int_equal(verdict_of(gradient_nonfinite, a, &f), VERDICT_SICK);
    assert_non_null(strstr(f.summary, "of a/bias is not finite in 1 "));
    measure_now(training.open, 2);
    assert_int_equal(verdict_of(gradient_nonfinite, a, &f), VERDICT_CLEAR);
}

static void without_a_gradient_each_detector_is_silent(void **state)
{
    (void)state;
    static detect_fn *const all[] = {gradient_nonfinite, gradient_vanishing,
                                     gradient_exploding_norm, gradient_spike};
    size_t a = dense("a");

    activation(a, 1);
    for (size_t i = 0; i < 4; i++)
        must_be_silent(all[i], a, "no gradient was posted for this layer");
}

/* ---- gradient_vanishing: the ratio */

static void two_layers(double first, double last, size_t *a, size_t *b)
{
    *a = embedding("a");
    *b = dense("b");
    gradient(*a, first);
    gradient(*b, last);
}

static void small_in_ratio_and_small_by_itself_vanishes(void **state)
{
    (void)state;
    size_t a, b;

    two_layers(0.99e-4, 0.1, &a, &b); /* ratio 0.99e-3, norm below 1e-4 */
    struct finding f = must_flag(gradient_vanishing, a);
    must_near(f.value, 0.99e-4, 1e-12);
    must_near(f.threshold, 1e-4, 1e-12);
    assert_true(isnan(f.baseline));
    assert_false(f.hold_back);
    must_pass(gradient_vanishing, b);
}

static void small_in_ratio_alone_passes(void **state)
{
    (void)state;
    size_t a, b;

    two_layers(1.01e-4, 10, &a, &b);
    must_pass(gradient_vanishing, a);
}

static void small_by_itself_alone_passes(void **state)
{
    (void)state;
    size_t a, b;

    two_layers(1e-8, 0.99e-5, &a, &b); /* a whole model near its minimum */
    must_pass(gradient_vanishing, a);
}

static void a_loss_of_40_moves_the_threshold_to_4e_3(void **state)
{
    (void)state;
    size_t a, b;

    two_layers(3.9e-3, 10, &a, &b);
    loss(-40);
    must_near(must_flag(gradient_vanishing, a).threshold, 4e-3, 1e-9);
}

static void a_loss_below_1_does_not_move_it(void **state)
{
    (void)state;
    size_t a, b;

    two_layers(0.99e-4, 10, &a, &b);
    loss(0.001);
    must_near(must_flag(gradient_vanishing, a).threshold, 1e-4, 1e-12);
}

static void the_last_layer_with_a_gradient_is_what_others_are_compared_with(void **state)
{
    (void)state;
    size_t a = embedding("a"), b = dense("b"), zero = dense("zero"), broken = dense("broken");
    size_t frozen =
        layer_like((struct msg_layer){.path = "frozen", .kind = EMBMON_DENSE, .trainable = false});

    gradient(a, 1e-6);
    gradient(b, 1);
    gradient(zero, 0);
    gradient_with(broken, NAN);
    gradient(frozen, 1e-9);
    struct finding f = must_flag(gradient_vanishing, a);
    assert_non_null(strstr(f.summary, "of that of b (1)"));
}

static void norm_layers_and_frozen_layers_are_not_judged(void **state)
{
    (void)state;
    size_t norm = layer("norm", EMBMON_NORM);
    size_t frozen = layer_like(
        (struct msg_layer){.path = "frozen", .kind = EMBMON_EMBEDDING, .trainable = false});
    size_t b = dense("b");

    gradient(norm, 0);
    gradient(frozen, 0);
    gradient(b, 1);
    must_be_silent(gradient_vanishing, norm, "not judged for normalisation layers");
    must_be_silent(gradient_vanishing, frozen, "the layer is declared not trainable");
    assert_true(isnan(gradient_norm_low(step_closed(), norm, &training.baseline, &limits_default)));
    assert_true(!isnan(gradient_norm_low(step_closed(), b, &training.baseline, &limits_default)));
}

static void a_broken_gradient_is_not_called_vanished(void **state)
{
    (void)state;
    size_t a = embedding("a"), b = dense("b");
    const double broken[] = {NAN, 0};

    post_values(0, table(a), EMBMON_GRADIENT, broken, 2);
    gradient(b, 1);
    must_be_silent(gradient_vanishing, a, "the gradient is not finite");
}

static void while_the_rate_rises_it_holds_back(void **state)
{
    (void)state;
    static const double rates[] = {1e-3, 2e-3, 2e-3, 2e-3, 2e-3};
    static const bool held[] = {false, true, true, true, false};

    for (size_t i = 0; i < 5; i++) {
        size_t a, b;

        two_layers(1e-9, 1, &a, &b);
        rate(rates[i]);
        assert_int_equal(must_flag(gradient_vanishing, a).hold_back, held[i]);
        step_done();
    }
}

/* ---- gradient_vanishing: nothing at all */

static void rows_looked_up_and_none_touched_have_vanished(void **state)
{
    (void)state;
    size_t a = embedding("a"), b = dense("b");

    gradient_of_rows(a, 12, 0, 0);
    gradient(b, 1);
    struct finding f = must_flag(gradient_vanishing, a);
    must_near(f.value, 0, 0);
    must_near(f.threshold, 1e-4, 1e-12);
    assert_string_equal(f.summary, "12 rows of a were looked up at step 0 and not one got a "
                                   "gradient: the gradient is exactly 0");
}

static void no_row_looked_up_is_no_data(void **state)
{
    (void)state;
    size_t a = embedding("a"), b = dense("b");

    gradient_of_rows(a, 0, 0, 0);
    gradient(b, 1);
    must_be_silent(gradient_vanishing, a, "no gradient was posted for this layer");
}

static void an_empty_tensor_is_no_data(void **state)
{
    (void)state;
    size_t a = dense("a");

    post_values(0, table(a), EMBMON_GRADIENT, NULL, 0);
    must_be_silent(gradient_vanishing, a, "no gradient was posted for this layer");
}

static void a_gradient_of_zeros_has_vanished_even_when_no_other_layer_has_one(void **state)
{
    (void)state;
    size_t a = dense("a");

    post_even(table(a), EMBMON_GRADIENT, 8, 0);
    struct finding f = must_flag(gradient_vanishing, a);
    assert_true(isnan(f.threshold)); /* nothing to compare with */
    assert_string_equal(f.summary, "every element of the gradient of a is exactly 0 at step 0");
}

/* A table's gradient, summarised by the client's own code. */

static struct tally tally;

static void summary_of_tally(struct summary *s)
{
    uint64_t counts[BUCKETS];
    uint32_t first, length;

    *s = (struct summary){0};
    tally_moments(&tally, s);
    for (int negative = 0; negative < 2; negative++) {
        tally_span(&tally, negative, &first, &length);
        if (length > 0) {
            tally_counts(&tally, negative, first, length, counts);
            assert_true(
                summary_set_span(negative ? &s->negative : &s->positive, first, counts, length));
        }
    }
}

static void sparse_summary(struct summary *s, const int32_t *ids, const float *values, size_t rows)
{
    struct row_set set = {ids, EMBMON_I32, values, EMBMON_F32, rows, 2, false, 0, NULL};
    struct rows_scratch scratch;

    assert_true(rows_scratch_open(&scratch));
    tally_start(&tally);
    struct row_counts counts = rows_add_sparse(&tally, &set, &scratch);
    rows_scratch_close(&scratch);
    summary_of_tally(s);
    assert_true(summary_set_extra(s, EXTRA_ROWS_LOOKED_UP, (double)counts.looked_up));
    assert_true(summary_set_extra(s, EXTRA_ROWS_TOUCHED, (double)counts.touched));
}

static void dense_summary(struct summary *s, const float *values, size_t rows)
{
    tally_start(&tally);
    struct row_set set = {NULL, EMBMON_I32, values, EMBMON_F32, rows, 2, false, 0, NULL};
    uint64_t touched = rows_add_dense(&tally, &set).touched;
    summary_of_tally(s);
    assert_true(summary_set_extra(s, EXTRA_ROWS_TOUCHED, (double)touched));
}

/* Judges a table of 5 rows whose rows 1 and 3 have this gradient, in each of the three ways. */
static void judge_all_ways(float g, enum verdict expected)
{
    const float whole[10] = {0, 0, g, -g, 0, 0, 0, g};
    const float rows[] = {g, -g, 0, g}, doubled[] = {g / 2, -g / 2, 0, g, g / 2, -g / 2};
    const int32_t ids[] = {1, 3, 1};
    struct summary ways[3];
    size_t a = embedding("a"), b = dense("b");

    dense_summary(&ways[0], whole, 5);
    sparse_summary(&ways[1], ids, rows, 2);
    sparse_summary(&ways[2], ids, doubled, 3);
    for (size_t i = 0; i < 3; i++) {
        struct finding f;

        post_summary(0, table(a), EMBMON_GRADIENT, &ways[i]);
        gradient(b, 1);
        assert_int_equal(verdict_of(gradient_vanishing, a, &f), expected);
        must_near(f.value, sqrt(3) * (double)g, 1e-12);
        must_near(f.threshold, 1e-4, 1e-12);
        step_done();
        summary_free(&ways[i]);
    }
}

static void dense_sparse_and_uncoalesced_rows_get_one_verdict(void **state)
{
    (void)state;
    judge_all_ways(0, VERDICT_SICK);
    judge_all_ways(1e-6f, VERDICT_SICK);
    judge_all_ways(1e-2f, VERDICT_CLEAR);
}

static void rows_that_cancel_are_not_touched(void **state)
{
    (void)state;
    const int32_t ids[] = {4, 4};
    const float values[] = {1, -2, -1, 2};
    size_t a = embedding("a");
    struct summary s;

    sparse_summary(&s, ids, values, 2);
    post_summary(0, table(a), EMBMON_GRADIENT, &s);
    assert_non_null(strstr(must_flag(gradient_vanishing, a).summary, "1 rows of a were looked up"));
    summary_free(&s);
}

/* ---- gradient_vanishing: nowhere */

/* Two tables that are all there is, with norms of 3 and 4 times this; step 0 has the first loss. */
static size_t tables_alone(double norm, double first_loss, double next_loss)
{
    size_t a = embedding("a"), b = embedding("b");

    gradient(a, 3);
    gradient(b, 4);
    loss(first_loss);
    step_done();
    gradient(a, 3 * norm);
    gradient(b, 4 * norm);
    loss(next_loss);
    return a;
}

static void a_gradient_that_arrives_nowhere_has_vanished(void **state)
{
    (void)state;
    size_t a = tables_alone(0.19e-5, 10, 10); /* together 0.95e-5 */
    struct finding f = must_flag(gradient_vanishing, a);

    must_near(f.value, 0.57e-5, 1e-12);
    must_near(f.threshold, 1e-5, 1e-12);
    assert_non_null(strstr(f.summary, "that of the whole model 9.5e-06"));
}

static void a_small_gradient_that_arrives_somewhere_has_not(void **state)
{
    (void)state;
    must_pass(gradient_vanishing, tables_alone(0.21e-5, 10, 10));
}

static void a_model_that_has_learnt_may_come_to_rest(void **state)
{
    (void)state;
    must_pass(gradient_vanishing, tables_alone(1e-9, 10, 8));
}

static void with_a_loss_below_0_too(void **state)
{
    (void)state;
    must_pass(gradient_vanishing, tables_alone(1e-9, -10, -13));
    step_done();
    must_flag(gradient_vanishing, tables_alone(1e-9, -10, -10.9));
}

/* ---- gradient_exploding */

static const char ON_PLATEAU[] = "nothing is learnt yet and the loss does not rise: what is usual "
                                 "will change";

static void healthy_steps(size_t a, size_t b, int count)
{
    for (int i = 0; i < count; i++) {
        gradient(a, 0.3);
        gradient(b, 0.4);
        step_done();
    }
}

static void an_explosion_is_above_100_times_the_usual_norm(void **state)
{
    (void)state;
    size_t a = embedding("a"), b = dense("b");

    healthy_steps(a, b, 25);
    gradient(a, 30.3);
    gradient(b, 0.4);
    struct finding f = must_flag(gradient_exploding_norm, a);
    must_near(f.value, 30.3, 1e-9);
    must_near(f.baseline, 0.3, 1e-9);
    must_near(f.threshold, 30, 1e-7);
    must_pass(gradient_exploding_norm, b);
    step_done();
    gradient(a, 29.7);
    gradient(b, 0.4);
    must_pass(gradient_exploding_norm, a);
}

static void steps_with_loss(size_t a, size_t b, double norm, double loss, int count)
{
    for (int i = 0; i < count; i++) {
        gradient(a, norm);
        gradient(b, norm);
        scalar(SCALAR_LOSS, loss);
        step_done();
    }
}

/* A model that stood still at its first loss begins to learn. */
static void leaving_a_plateau_is_no_explosion(void **state)
{
    (void)state;
    size_t a = embedding("a"), b = dense("b");

    steps_with_loss(a, b, 0.001, 0.7, 30);
    gradient(a, 0.5);
    gradient(b, 0.5);
    scalar(SCALAR_LOSS, 0.69);
    must_be_silent(gradient_exploding_norm, a, ON_PLATEAU);
    must_be_silent(gradient_spike, a, ON_PLATEAU);
    step_done();
    steps_with_loss(a, b, 0.5, 0.4, 10); /* it has learnt: what was usual is not any more */
    gradient(a, 0.6);
    gradient(b, 0.6);
    scalar(SCALAR_LOSS, 0.4);
    must_near(must_pass(gradient_exploding_norm, a).baseline, 0.5, 1e-6);
    step_done();
    gradient(a, 60);
    gradient(b, 0.5);
    scalar(SCALAR_LOSS, 0.4);
    must_flag(gradient_exploding_norm, a);
}

/* The same with a loss that rises. */
static void an_explosion_on_a_plateau_raises_the_loss(void **state)
{
    (void)state;
    size_t a = embedding("a"), b = dense("b");

    steps_with_loss(a, b, 0.001, 0.7, 30);
    gradient(a, 0.5);
    gradient(b, 0.5);
    scalar(SCALAR_LOSS, 0.78);
    must_flag(gradient_exploding_norm, a);
    must_flag(gradient_spike, a);
}

/* Nothing is forgotten where the norms are what they were. */
static void who_learns_from_the_start_is_judged_all_the_time(void **state)
{
    (void)state;
    size_t a = embedding("a"), b = dense("b");

    steps_with_loss(a, b, 0.4, 0.7, 30);
    steps_with_loss(a, b, 0.3, 0.5, 10);
    gradient(a, 60);
    gradient(b, 0.5);
    scalar(SCALAR_LOSS, 0.5);
    must_flag(gradient_exploding_norm, a);
}

static void one_small_layer_alone_does_not_explode(void **state)
{
    (void)state;
    size_t a = dense("a"), b = dense("b");

    for (int i = 0; i < 25; i++) {
        gradient(a, 0.001);
        gradient(b, 1);
        step_done();
    }
    gradient(a, 1); /* 1,000 times its own, but the model's norm is what it was */
    gradient(b, 1);
    must_pass(gradient_exploding_norm, a);
}

static void the_usual_norm_takes_25_steps_to_learn(void **state)
{
    (void)state;
    size_t a = embedding("a"), b = dense("b");

    healthy_steps(a, b, 24);
    gradient(a, 1e6);
    must_be_silent(gradient_exploding_norm, a, "the usual norm is still being learnt (25 steps)");
}

static void update_with(size_t of, size_t elements, double weight, double update)
{
    post_even(table(of), EMBMON_WEIGHT, elements, weight);
    post_even(table(of), EMBMON_UPDATE, elements, update);
}

static void an_update_of_3_times_the_weights_is_the_limit(void **state)
{
    (void)state;
    size_t a = dense("a");

    update_with(a, 64, 0.5, 1.5);
    must_pass(gradient_exploding_update, a);
    step_done();
    update_with(a, 64, 0.5, -1.501);
    struct finding f = must_flag(gradient_exploding_update, a);
    must_near(f.value, 3.002, 1e-9);
    must_near(f.threshold, 3, 0);
}

/* From almost zero, the first steps of a warm-up multiply a table, and are meant to. */
static void an_overwriting_update_is_held_back_while_the_rate_rises(void **state)
{
    (void)state;
    size_t a = dense("a");

    update_with(a, 64, 1e-6, 1e-4);
    rate(1e-6);
    assert_false(must_flag(gradient_exploding_update, a).hold_back);
    step_done();
    update_with(a, 64, 1e-6, 1e-4);
    rate(2e-6);
    assert_true(must_flag(gradient_exploding_update, a).hold_back);
}

static void a_table_of_one_column_gets_its_size_first(void **state)
{
    (void)state;
    size_t a = embedding("a"), b = embedding("b");

    training.model.layers[a].columns = 1;
    training.model.layers[b].columns = 2;
    for (int step = 0; step < 25; step++) {
        update_with(a, 64, 0.5, 1.6);
        update_with(b, 64, 0.5, 1.6);
        must_be_silent(gradient_exploding_update, a,
                       "the first 25 steps give a table of one column its size");
        must_flag(gradient_exploding_update, b);
        step_done();
    }
    update_with(a, 64, 0.5, 1.6);
    must_flag(gradient_exploding_update, a);
}

/* Every triplet of the batch is far enough apart already. */
static void a_loss_of_nothing_leaves_no_gradient_and_no_alarm(void **state)
{
    (void)state;
    size_t a = embedding("a"), b = dense("b");

    gradient_of_rows(a, 12, 0, 0);
    gradient(b, 1);
    loss(1);
    must_flag(gradient_vanishing, a);
    step_done();
    gradient_of_rows(a, 12, 0, 0);
    gradient(b, 0);
    loss(0);
    must_be_silent(gradient_vanishing, a, "the loss is 0: there is no error to carry back");
}

static void fewer_than_64_weights_are_not_judged(void **state)
{
    (void)state;
    size_t a = dense("a");

    update_with(a, 63, 0.5, 50);
    must_be_silent(gradient_exploding_update, a, "too few weights for an update ratio");
}

static void the_variables_of_a_layer_are_pooled(void **state)
{
    (void)state;
    size_t a = dense("a"), kernel = variable(a, "kernel"), bias = variable(a, "bias");

    post_even(kernel, EMBMON_WEIGHT, 63, 1);
    post_even(kernel, EMBMON_UPDATE, 63, 0.1);
    post_even(bias, EMBMON_WEIGHT, 1, 1e-6); /* a bias that started at 0 */
    post_even(bias, EMBMON_UPDATE, 1, 0.1);
    must_near(must_pass(gradient_exploding_update, a).value, sqrt(0.64 / 63), 1e-6);
    must_near(measure_update_ratio(step_closed(), &training.baseline, bias), 1e5, 1e-3);
}

static void weights_of_an_earlier_step_serve_too_and_weights_of_0_do_not(void **state)
{
    (void)state;
    size_t a = dense("a");
    static const char why[] = "updates or weights were not posted, or the weights are 0";

    post_even(table(a), EMBMON_UPDATE, 100, 9);
    must_be_silent(gradient_exploding_update, a, why);
    step_done();
    update_with(a, 100, 0, 9);
    must_be_silent(gradient_exploding_update, a, why);
    step_done();
    post_even(table(a), EMBMON_WEIGHT, 100, 1);
    must_be_silent(gradient_exploding_update, a, why);
    step_done();
    post_even(table(a), EMBMON_UPDATE, 100, 9);
    must_near(must_flag(gradient_exploding_update, a).value, 9, 1e-9);
}

/* ---- gradient_spike */

static void a_spike_is_above_8_times_the_largest_of_the_last_10(void **state)
{
    (void)state;
    size_t a = embedding("a"), b = dense("b");

    healthy_steps(a, b, 5);
    gradient(a, 0.6);
    step_done();
    healthy_steps(a, b, 4);
    gradient(a, 4.79);
    gradient(b, 0.4);
    must_pass(gradient_spike, a);
    step_done();
    healthy_steps(a, b, 10);
    gradient(a, 2.5);
    gradient(b, 0.4);
    struct finding f = must_flag(gradient_spike, a);
    must_near(f.value, 2.5, 1e-12);
    must_near(f.baseline, 0.3, 1e-12);
    must_near(f.threshold, 2.4, 1e-12);
}

static void a_spike_needs_the_whole_model_to_jump(void **state)
{
    (void)state;
    size_t a = embedding("a"), b = dense("b");

    healthy_steps(a, b, 10);
    gradient(a, 2.5);
    gradient(b, 0.4);
    must_flag(gradient_spike, a);
    step_done();
    size_t big = dense("big");
    for (int i = 0; i < 30; i++) {
        gradient(a, 0.3);
        gradient(big, 100);
        step_done();
    }
    gradient(a, 2.5);
    gradient(big, 100);
    must_pass(gradient_spike, a);
}

static void a_spike_needs_10_steps_before_it(void **state)
{
    (void)state;
    size_t a = embedding("a"), b = dense("b");

    healthy_steps(a, b, 9);
    gradient(a, 1e6);
    must_be_silent(gradient_spike, a, "fewer than 10 steps to compare with");
}

static void a_short_batch_is_neither_a_spike_nor_among_the_10(void **state)
{
    (void)state;
    size_t a = embedding("a"), b = dense("b");

    for (int i = 0; i < 10; i++) {
        gradient(a, 0.3);
        gradient(b, 0.4);
        batch(32);
        step_done();
    }
    gradient(a, 200);
    gradient(b, 0.4);
    batch(28); /* 0.875 of the usual */
    must_be_silent(gradient_spike, a, "a short batch: its norm is no measure");
    step_done();
    gradient(a, 2.41);
    gradient(b, 0.4);
    batch(29);
    must_near(must_flag(gradient_spike, a).baseline, 0.3, 1e-12);
}

/* ---- gradient_underflow */

/* A step whose gradient has so many zeros of 10. */
static void zeros(size_t of, size_t n)
{
    double values[10] = {0};

    for (size_t i = n; i < 10; i++)
        values[i] = 0.1;
    post_values(0, table(of), EMBMON_GRADIENT, values, 10);
    loss(1);
}

static void steps_of_zeros(size_t of, size_t n, int count)
{
    for (int i = 0; i < count; i++) {
        zeros(of, n);
        step_done();
    }
}

static size_t half_layer(void)
{
    return layer_like((struct msg_layer){
        .path = "half", .kind = EMBMON_DENSE, .trainable = true, .dtype = EMBMON_F16});
}

static void zeros_that_rise_by_3_tenths_are_an_underflow_at_the_fifth_step(void **state)
{
    (void)state;
    size_t a = half_layer();

    steps_of_zeros(a, 2, 30);
    steps_of_zeros(a, 4, 10);
    must_be_quiet();
    zeros(a, 5);
    struct finding f = must_flag(gradient_underflow, a);
    must_near(f.value, 0.5, 1e-12);
    must_near(f.baseline, 0.2, 1e-12);
    step_done();
    steps_of_zeros(a, 9, 3);
    must_be("gradient_underflow", "half", EMBMON_PENDING, 40);
    steps_of_zeros(a, 9, 1);
    must_be("gradient_underflow", "half", EMBMON_FIRING, 44);
    assert_int_equal(last_told("gradient_underflow", "half")->severity, EMBMON_WARNING);
    steps_of_zeros(a, 2, 10);
    must_be("gradient_underflow", "half", EMBMON_RESOLVED, 54);
}

/* 1 zero more in 40 steps: the level must not go with them. */
static void zeros_that_creep_up_are_an_underflow_too(void **state)
{
    (void)state;
    size_t a = half_layer();

    for (size_t n = 2; n < 10; n++)
        steps_of_zeros(a, n, 40);
    assert_int_equal(last_told("gradient_underflow", "half")->state, EMBMON_FIRING);
}

static void where_it_is_not_f16_or_nothing_is_known_it_is_silent(void **state)
{
    (void)state;
    size_t a = dense("a"), b = half_layer();

    zeros(a, 5);
    must_be_silent(gradient_underflow, a, "neither the layer nor a variable of it is declared f16");
    must_be_silent(gradient_underflow, b, "no gradient was posted for this layer");
    model_variable_dtype(&training.model, variable(a, "kernel"), EMBMON_F16);
    must_be_silent(gradient_underflow, a,
                   "the usual share of zeros is still being learnt (25 steps)");
    step_done();
    gradient_with(b, INFINITY);
    must_be_silent(gradient_underflow, b, "the gradient is not finite");
    step_done();
    zeros(b, 10);
    loss(-1); /* the mean is 0 */
    must_be_silent(gradient_underflow, b, "the loss is 0: there is no error to carry back");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        training_test(a_finite_gradient_passes),
        training_test(one_nan_or_infinity_is_flagged_and_counted_where_it_is),
        training_test(without_a_gradient_each_detector_is_silent),
        training_test(small_in_ratio_and_small_by_itself_vanishes),
        training_test(small_in_ratio_alone_passes),
        training_test(small_by_itself_alone_passes),
        training_test(a_loss_of_40_moves_the_threshold_to_4e_3),
        training_test(a_loss_below_1_does_not_move_it),
        training_test(the_last_layer_with_a_gradient_is_what_others_are_compared_with),
        training_test(norm_layers_and_frozen_layers_are_not_judged),
        training_test(a_broken_gradient_is_not_called_vanished),
        training_test(while_the_rate_rises_it_holds_back),
        training_test(rows_looked_up_and_none_touched_have_vanished),
        training_test(no_row_looked_up_is_no_data),
        training_test(an_empty_tensor_is_no_data),
        training_test(a_gradient_of_zeros_has_vanished_even_when_no_other_layer_has_one),
        training_test(a_gradient_that_arrives_nowhere_has_vanished),
        training_test(a_small_gradient_that_arrives_somewhere_has_not),
        training_test(a_model_that_has_learnt_may_come_to_rest),
        training_test(with_a_loss_below_0_too),
        training_test(dense_sparse_and_uncoalesced_rows_get_one_verdict),
        training_test(rows_that_cancel_are_not_touched),
        training_test(an_explosion_is_above_100_times_the_usual_norm),
        training_test(leaving_a_plateau_is_no_explosion),
        training_test(an_explosion_on_a_plateau_raises_the_loss),
        training_test(who_learns_from_the_start_is_judged_all_the_time),
        training_test(one_small_layer_alone_does_not_explode),
        training_test(the_usual_norm_takes_25_steps_to_learn),
        training_test(an_update_of_3_times_the_weights_is_the_limit),
        training_test(an_overwriting_update_is_held_back_while_the_rate_rises),
        training_test(a_loss_of_nothing_leaves_no_gradient_and_no_alarm),
        training_test(a_table_of_one_column_gets_its_size_first),
        training_test(fewer_than_64_weights_are_not_judged),
        training_test(the_variables_of_a_layer_are_pooled),
        training_test(weights_of_an_earlier_step_serve_too_and_weights_of_0_do_not),
        training_test(a_spike_is_above_8_times_the_largest_of_the_last_10),
        training_test(a_spike_needs_the_whole_model_to_jump),
        training_test(a_spike_needs_10_steps_before_it),
        training_test(a_short_batch_is_neither_a_spike_nor_among_the_10),
        training_test(zeros_that_rise_by_3_tenths_are_an_underflow_at_the_fifth_step),
        training_test(zeros_that_creep_up_are_an_underflow_too),
        training_test(where_it_is_not_f16_or_nothing_is_known_it_is_silent),
        training_test_of_4(only_the_ranks_that_hold_it_are_named),
        training_test_of_4(of_one_rank_only_its_own_variables_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
