#include "tests/unit/training.h"

static size_t t, a, b;

static void table_like(struct msg_layer declared)
{
    declared.path = "t";
    declared.kind = EMBMON_EMBEDDING;
    declared.columns = declared.columns ? declared.columns : 16;
    t = layer_like(declared);
    a = dense("a");
    b = dense("b");
}

static void table_of(uint64_t rows)
{
    table_like((struct msg_layer){.rows = rows, .trainable = true});
}

static void padded_table_of(uint64_t rows)
{
    table_like(
        (struct msg_layer){.rows = rows, .trainable = true, .has_padding = true, .padding_id = 3});
}

struct extra {
    uint32_t key;
    double value;
};

/* A tensor of the table's of norm 1 with these extras, up to the one of key 0. */
static void post_with(uint32_t signal, const struct extra *extras)
{
    const double values[] = {0.6, -0.8};
    struct summary s;

    summarise(&s, values, 2);
    for (; extras->key; extras++)
        assert_true(summary_set_extra(&s, extras->key, extras->value));
    post_summary(0, table(t), signal, &s);
    summary_free(&s);
}

#define POST(signal, ...) post_with(signal, (const struct extra[]){__VA_ARGS__, {0, 0}})

/* ---- padding_row_gradient */

static void any_gradient_of_the_padding_fires_at_once(void **state)
{
    (void)state;
    padded_table_of(1000);
    POST(EMBMON_GRADIENT, {EXTRA_ROWS_TOUCHED, 10}, {EXTRA_PADDING_SQUARES, 0});
    (void)must_pass(padding_row_gradient, t);
    step_done();
    must_be_quiet();
    POST(EMBMON_GRADIENT, {EXTRA_ROWS_TOUCHED, 10}, {EXTRA_PADDING_SQUARES, 1e-60});
    struct finding f = must_flag(padding_row_gradient, t);
    must_near(f.value, 1e-30, 1e-40);
    assert_string_equal(f.summary, "row 3 of t, which holds the padding, got a gradient of norm "
                                   "1e-30 at step 1 (the whole table's: 1)");
    step_done();
    must_be("padding_row_gradient", "t", EMBMON_FIRING, 1);
    assert_int_equal(last_told("padding_row_gradient", "t")->severity, EMBMON_WARNING);
    for (int i = 0; i < 10; i++) {
        POST(EMBMON_GRADIENT, {EXTRA_ROWS_TOUCHED, 10}, {EXTRA_PADDING_SQUARES, 0});
        step_done();
    }
    must_be("padding_row_gradient", "t", EMBMON_RESOLVED, 11);
}

static void the_word_of_the_paddings_row_is_said(void **state)
{
    (void)state;
    padded_table_of(1000);
    word_of(t, 3, "the");
    POST(EMBMON_GRADIENT, {EXTRA_ROWS_TOUCHED, 10}, {EXTRA_PADDING_SQUARES, 1});
    assert_non_null(strstr(must_flag(padding_row_gradient, t).summary,
                           "row 3 (\"the\") of t, which holds the padding"));
}

static void a_table_without_padding_or_without_rows_is_silent(void **state)
{
    (void)state;
    table_of(1000);
    POST(EMBMON_GRADIENT, {EXTRA_ROWS_TOUCHED, 10});
    must_be_silent(padding_row_gradient, t, "no padding id was declared");
    must_be_silent(padding_row_gradient, a, "not an embedding");
    step_done();
    training_end(state);
    training_begin(state);
    padded_table_of(1000);
    must_be_silent(padding_row_gradient, t,
                   "no gradient was posted for this layer, or not one that tells its rows");
    step_done();
    gradient(t, 1);
    must_be_silent(padding_row_gradient, t,
                   "no gradient was posted for this layer, or not one that tells its rows");
}

static void a_table_that_is_the_outputs_matrix_too_is_silent(void **state)
{
    (void)state;
    table_like((struct msg_layer){
        .rows = 1000, .trainable = true, .has_padding = true, .padding_id = 3, .tied = true});
    POST(EMBMON_GRADIENT, {EXTRA_ROWS_TOUCHED, 10}, {EXTRA_PADDING_SQUARES, 1});
    must_be_silent(padding_row_gradient, t,
                   "the table is the output's matrix, too: each row gets a gradient");
    training_end(state);
    training_begin(state);
    padded_table_of(100); /* nobody said so, but a batch does not look up all rows */
    POST(EMBMON_GRADIENT, {EXTRA_ROWS_TOUCHED, 100}, {EXTRA_PADDING_SQUARES, 1});
    must_be_silent(padding_row_gradient, t,
                   "every row has a gradient: the table seems to be the output's matrix, too");
    step_done();
    POST(EMBMON_GRADIENT, {EXTRA_ROWS_TOUCHED, 99}, {EXTRA_PADDING_SQUARES, 1});
    (void)must_flag(padding_row_gradient, t);
}

/* ---- coverage_drop and rows_hot */

static void lookups(double ids, double rows, double busiest)
{
    POST(EMBMON_GRADIENT, {EXTRA_ROWS_LOOKED_UP, rows}, {EXTRA_ROWS_TOUCHED, rows},
         {EXTRA_IDS, ids}, {EXTRA_BUSIEST, busiest});
}

static void batches(int count, double ids, double rows, double busiest)
{
    for (int i = 0; i < count; i++) {
        lookups(ids, rows, busiest);
        loss(1);
        step_done();
    }
}

static void half_as_many_different_ids_as_usual_fire_at_the_third_step(void **state)
{
    (void)state;
    table_of(1000);
    batches(30, 100, 60, 5);
    batches(5, 100, 30, 5); /* half of it is not less than half */
    must_be_quiet();
    batches(2, 100, 29, 5);
    must_be("coverage_drop", "t", EMBMON_PENDING, 35);
    batches(1, 100, 29, 5);
    must_be("coverage_drop", "t", EMBMON_FIRING, 37);
    assert_int_equal(last_told("coverage_drop", "t")->severity, EMBMON_WARNING);
    must_near(last_told("coverage_drop", "t")->value, 0.29, 1e-12);
    must_near(last_told("coverage_drop", "t")->baseline, 0.6, 1e-12);
    batches(30, 100, 29, 5); /* that does not become usual meanwhile */
    must_be("coverage_drop", "t", EMBMON_FIRING, 37);
    batches(10, 100, 60, 5);
    must_be("coverage_drop", "t", EMBMON_RESOLVED, 77);
    assert_string_equal(last_told("coverage_drop", "t")->reason, "cleared");
}

static void ids_out_of_range_explain_a_drop(void **state)
{
    (void)state;
    struct ids_stats bad = {.count = 100, .beyond = 50, .worst = 1000};

    table_of(1000);
    batches(30, 100, 60, 5);
    for (int i = 0; i < 5; i++) {
        ids(t, bad);
        batches(1, 100, 29, 5);
    }
    assert_int_equal(times_told("coverage_drop"), 0);
    assert_string_equal(alerts_silent(training.alerts, detector_find("coverage_drop"), t),
                        "muted: its cause is up for this layer");
    bad = (struct ids_stats){.count = 100};
    for (int i = 0; i < 10; i++) {
        ids(t, bad);
        batches(1, 100, 29, 5);
    }
    must_be("ids_out_of_range", "t", EMBMON_RESOLVED, 44);
    batches(3, 100, 29, 5); /* and what remains is another matter */
    must_be("coverage_drop", "t", EMBMON_FIRING, 47);
}

static void a_handful_of_different_ids_is_halved_by_chance(void **state)
{
    (void)state;
    table_of(1000);
    batches(30, 100, 15, 5);
    batches(5, 100, 1, 5);
    assert_int_equal(times_told("coverage_drop"), 0);
    assert_string_equal(alerts_silent(training.alerts, detector_find("coverage_drop"), t),
                        "so few different ids come that chance halves their number");
}

static void sixteen_are_enough_to_tell(void **state)
{
    (void)state;
    table_of(1000);
    batches(30, 100, 16, 5);
    batches(3, 100, 1, 5);
    must_be("coverage_drop", "t", EMBMON_FIRING, 32);
}

static void what_stays_for_100_steps_is_the_new_level(void **state)
{
    (void)state;
    table_of(1000);
    batches(30, 100, 60, 5);
    batches(100, 100, 10, 5);
    must_be("coverage_drop", "t", EMBMON_RESOLVED, 129);
    assert_string_equal(last_told("coverage_drop", "t")->reason, "new level");
    batches(50, 100, 10, 5);
    assert_int_equal(times_told("coverage_drop"), 3);
    /* The norm's baseline is not of this: it is kept. */
    must_near(norm_baseline_level(&training.baseline.layers[t]), 1, 1e-9);
}

static void a_rate_that_jumps_does_not_end_what_is_said_of_the_data(void **state)
{
    (void)state;
    table_of(1000);
    batches(30, 100, 60, 5);
    rate(0.1);
    batches(5, 100, 10, 5);
    rate(1);
    batches(1, 100, 10, 5);
    must_be("coverage_drop", "t", EMBMON_FIRING, 32);
}

static void batches_of_another_size_are_not_compared(void **state)
{
    static const char why[] = "a batch of another size: its share of different ids is no measure";

    (void)state;
    table_of(1000);
    lookups(100, 60, 5);
    must_be_silent(coverage_drop, t, "fewer than 10 steps to compare with");
    must_be_silent(rows_hot, t, "fewer than 10 steps to compare with");
    step_done();
    batches(30, 100, 60, 5);
    lookups(201, 20, 5);
    must_be_silent(coverage_drop, t, why);
    step_done();
    lookups(49, 1, 5);
    must_be_silent(coverage_drop, t, why);
    step_done();
    lookups(200, 20, 5);
    (void)must_flag(coverage_drop, t);
    step_done();
    gradient(t, 1);
    must_be_silent(coverage_drop, t, "no gradient was posted as rows: look-ups are not known");
    must_be_silent(rows_hot, t, "no gradient was posted as rows: look-ups are not known");
    must_be_silent(coverage_drop, a, "not an embedding");
    must_be_silent(rows_hot, a, "not an embedding");
}

static void a_row_that_takes_a_fifth_and_twice_its_usual_share_is_hot(void **state)
{
    (void)state;
    table_of(100);
    batches(30, 100, 60, 11);
    lookups(100, 60, 22);
    (void)must_pass(rows_hot, t);
    step_done();
    batches(4, 100, 60, 23);
    must_be("rows_hot", "t", EMBMON_PENDING, 31);
    batches(1, 100, 60, 23);
    must_be("rows_hot", "t", EMBMON_FIRING, 35);
    assert_int_equal(last_told("rows_hot", "t")->severity, EMBMON_INFO);
    batches(10, 100, 60, 11);
    must_be("rows_hot", "t", EMBMON_RESOLVED, 45);
}

/* Which row is not known of a gradient, but of the ids of its step. */
static void the_row_that_comes_most_often_is_named(void **state)
{
    const struct ids_stats few = {
        .count = 100, .unique = 30, .busiest = {{4711, 60}, {2, 10}}, .busiest_count = 2};

    (void)state;
    table_of(5000);
    word_of(t, 4711, "dress");
    word_of(t, 2, "shoe");
    batches(30, 100, 60, 11);
    lookups(100, 29, 60);
    ids(t, few);
    assert_non_null(strstr(must_flag(rows_hot, t).summary,
                           "usually takes 0.11; most often row 4711 (\"dress\"), 60 times"));
    assert_non_null(strstr(must_flag(coverage_drop, t).summary,
                           "usual is 0.6; most often row 4711 (\"dress\"), 60 times"));
}

static void a_skewed_vocabulary_is_not_hot_nor_is_a_small_share(void **state)
{
    (void)state;
    table_of(100);
    batches(50, 100, 30, 60); /* always so */
    must_be_quiet();
    training_end(state);
    training_begin(state);
    table_of(100);
    batches(30, 100, 60, 2);
    batches(30, 100, 60, 20); /* ten times as much, and no more than a fifth */
    must_be_quiet();
    training_end(state);
    training_begin(state);
    table_of(99);
    lookups(100, 30, 60);
    must_be_silent(rows_hot, t, "not judged for tables of fewer than 100 rows");
}

/* ---- rows_moved_untouched */

static void a_row_that_moves_without_a_gradient_is_told_at_once(void **state)
{
    (void)state;
    table_of(1000);
    POST(EMBMON_GRADIENT, {EXTRA_ROWS_TOUCHED, 10});
    POST(EMBMON_UPDATE, {EXTRA_ROWS_TOUCHED, 10});
    (void)must_pass(rows_moved_untouched, t);
    step_done();
    POST(EMBMON_GRADIENT, {EXTRA_ROWS_TOUCHED, 10});
    POST(EMBMON_UPDATE, {EXTRA_ROWS_TOUCHED, 1000});
    struct finding f = must_flag(rows_moved_untouched, t);
    must_near(f.value, 990, 0);
    must_near(f.baseline, 10, 0);
    assert_non_null(strstr(f.hint, "often harmless"));
    step_done();
    must_be("rows_moved_untouched", "t", EMBMON_FIRING, 1);
    assert_int_equal(last_told("rows_moved_untouched", "t")->severity, EMBMON_INFO);
    for (int i = 0; i < 10; i++) {
        POST(EMBMON_GRADIENT, {EXTRA_ROWS_TOUCHED, 10});
        POST(EMBMON_UPDATE, {EXTRA_ROWS_TOUCHED, 9});
        step_done();
    }
    must_be("rows_moved_untouched", "t", EMBMON_RESOLVED, 11);
}

static void a_frozen_table_that_moves_is_told_without_a_gradient(void **state)
{
    (void)state;
    table_like((struct msg_layer){.rows = 1000});
    POST(EMBMON_UPDATE, {EXTRA_ROWS_TOUCHED, 0});
    (void)must_pass(rows_moved_untouched, t);
    step_done();
    POST(EMBMON_UPDATE, {EXTRA_ROWS_TOUCHED, 1});
    assert_non_null(strstr(must_flag(rows_moved_untouched, t).hint, "declared as frozen"));
}

static void without_both_by_rows_it_is_silent(void **state)
{
    static const char why[] = "gradient and update were not both posted by rows";

    (void)state;
    table_of(1000);
    POST(EMBMON_UPDATE, {EXTRA_ROWS_TOUCHED, 10});
    must_be_silent(rows_moved_untouched, t, why);
    step_done();
    POST(EMBMON_GRADIENT, {EXTRA_ROWS_TOUCHED, 10});
    must_be_silent(rows_moved_untouched, t, why);
    step_done();
    gradient_with(t, NAN);
    POST(EMBMON_UPDATE, {EXTRA_ROWS_TOUCHED, 10});
    must_be_silent(rows_moved_untouched, t, why);
    must_be_silent(rows_moved_untouched, a, "not an embedding");
    step_done();
    POST(EMBMON_GRADIENT, {EXTRA_ROWS_TOUCHED, 10});
    POST(EMBMON_UPDATE, {EXTRA_ROWS_LOOKED_UP, 12}, {EXTRA_ROWS_TOUCHED, 12});
    must_be_silent(rows_moved_untouched, t, "only the update of some rows was posted");
}

/* ---- embedding_dominates */

static void a_table_above_100_times_the_median_of_the_others_is_told_at_the_third(void **state)
{
    (void)state;
    table_of(1000);
    for (int i = 0; i < 6; i++) {
        gradient(a, 0.001);
        gradient(b, 0.003); /* the median of the two is 0.002 */
        gradient(t, i < 3 ? 0.1999 : 0.2001);
        step_done();
    }
    must_be("embedding_dominates", "t", EMBMON_FIRING, 5);
    assert_int_equal(times_told("embedding_dominates"), 2);
    assert_int_equal(last_told("embedding_dominates", "t")->severity, EMBMON_INFO);
    must_near(last_told("embedding_dominates", "t")->baseline, 0.002, 1e-9);
    for (int i = 0; i < 10; i++) {
        gradient(a, 0.001);
        gradient(b, 0.003);
        gradient(t, 0.1);
        step_done();
    }
    must_be("embedding_dominates", "t", EMBMON_RESOLVED, 15);
}

static void with_fewer_than_two_others_nobody_is_dominated(void **state)
{
    (void)state;
    table_of(1000);
    gradient(t, 1000);
    gradient(a, 0.001);
    must_be_silent(embedding_dominates, t, "fewer than two other layers have a gradient");
    must_be_silent(embedding_dominates, a, "not an embedding");
    step_done();
    gradient(a, 0.001);
    must_be_silent(embedding_dominates, t, "no finite gradient was posted for this layer");
}

/* ---- embedding_collapse */

static void rows_that_all_point_one_way_are_told_once_an_epoch(void **state)
{
    (void)state;
    table_of(1000);
    POST(EMBMON_WEIGHT, {EXTRA_COSINE, 0.951}, {EXTRA_SPREAD, 0.1});
    (void)must_pass(embedding_collapse, t);
    step_done();
    POST(EMBMON_WEIGHT, {EXTRA_COSINE, 0.95}, {EXTRA_SPREAD, 0.01});
    (void)must_pass(embedding_collapse, t);
    step_done();
    POST(EMBMON_WEIGHT, {EXTRA_COSINE, 0.951}, {EXTRA_SPREAD, 0.099});
    struct finding f = must_flag(embedding_collapse, t);
    must_near(f.value, 0.951, 0);
    step_done();
    must_be("embedding_collapse", "t", EMBMON_FIRING, 2);
    assert_int_equal(last_told("embedding_collapse", "t")->severity, EMBMON_INFO);
    for (int i = 0; i < 9; i++) {
        POST(EMBMON_WEIGHT, {EXTRA_COSINE, 0.5}, {EXTRA_SPREAD, 0.5});
        step_done();
        post_even(table(t), EMBMON_WEIGHT, 2, 1); /* nobody looked: says nothing */
        step_done();
    }
    assert_int_equal(times_told("embedding_collapse"), 1);
    POST(EMBMON_WEIGHT, {EXTRA_COSINE, 0.5}, {EXTRA_SPREAD, 0.5});
    step_done();
    must_be("embedding_collapse", "t", EMBMON_RESOLVED, 21);
}

static void a_narrow_table_cannot_be_told(void **state)
{
    (void)state;
    table_like((struct msg_layer){.rows = 1000, .columns = 10, .trainable = true});
    POST(EMBMON_WEIGHT, {EXTRA_COSINE, 1}, {EXTRA_SPREAD, 0.1});
    must_be_silent(embedding_collapse, t, "so narrow a table has no rank below the threshold");
}

static void between_two_looks_it_is_silent(void **state)
{
    static const char why[] = "looked at once an epoch, where the whole table is posted and has "
                              "twice as many rows in use as columns";

    (void)state;
    table_of(1000);
    must_be_silent(embedding_collapse, t, why);
    must_be_silent(embedding_collapse, a, "not an embedding");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        training_test(any_gradient_of_the_padding_fires_at_once),
        training_test(the_word_of_the_paddings_row_is_said),
        training_test(a_table_without_padding_or_without_rows_is_silent),
        training_test(a_table_that_is_the_outputs_matrix_too_is_silent),
        training_test(half_as_many_different_ids_as_usual_fire_at_the_third_step),
        training_test(ids_out_of_range_explain_a_drop),
        training_test(a_handful_of_different_ids_is_halved_by_chance),
        training_test(sixteen_are_enough_to_tell),
        training_test(what_stays_for_100_steps_is_the_new_level),
        training_test(a_rate_that_jumps_does_not_end_what_is_said_of_the_data),
        training_test(batches_of_another_size_are_not_compared),
        training_test(a_row_that_takes_a_fifth_and_twice_its_usual_share_is_hot),
        training_test(the_row_that_comes_most_often_is_named),
        training_test(a_skewed_vocabulary_is_not_hot_nor_is_a_small_share),
        training_test(a_row_that_moves_without_a_gradient_is_told_at_once),
        training_test(a_frozen_table_that_moves_is_told_without_a_gradient),
        training_test(without_both_by_rows_it_is_silent),
        training_test(a_table_above_100_times_the_median_of_the_others_is_told_at_the_third),
        training_test(with_fewer_than_two_others_nobody_is_dominated),
        training_test(rows_that_all_point_one_way_are_told_once_an_epoch),
        training_test(a_narrow_table_cannot_be_told),
        training_test(between_two_looks_it_is_silent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
