#include "tests/unit/training.h"

static struct msg_layer table_of(const char *path, uint64_t rows)
{
    return (struct msg_layer){
        .path = path, .kind = EMBMON_EMBEDDING, .trainable = true, .rows = rows, .columns = 8};
}

static size_t table_with_padding(const char *path, uint64_t rows)
{
    struct msg_layer layer = table_of(path, rows);

    layer.has_padding = true;
    return layer_like(layer);
}

/* 64 sequences of 10 ids, all fine. */
static struct ids_stats fine(void)
{
    return (struct ids_stats){.count = 640,
                              .sequences = 64,
                              .sequence_length = 10,
                              .full = 64,
                              .length_min = 10,
                              .length_max = 10,
                              .unique = 300,
                              .rows_seen = 300};
}

static struct ids_stats outside(double worst, uint64_t count)
{
    struct ids_stats s = fine();

    s.worst = worst;
    s.worst_position = 5;
    *(worst < 0 ? &s.negative : &s.beyond) = count;
    return s;
}

static const struct told *told_of(const char *detector)
{
    return last_told(detector, "inner_model/embedding");
}

/* ---- ids_out_of_range */

static void an_id_out_of_range_is_told_before_its_step_ends(void **state)
{
    (void)state;
    size_t a = layer_like(table_of("inner_model/embedding", 10000));

    training.number = 312;
    ids_from(0, a, false, "input1", EMBMON_I64, outside(10000, 3));
    const struct told *told = told_of("ids_out_of_range");
    assert_int_equal(told->state, EMBMON_FIRING);
    assert_int_equal(told->severity, EMBMON_CRITICAL);
    assert_int_equal(told->step, 312);
    assert_string_equal(told->summary,
                        "id 10000 reached inner_model/embedding (10000 rows) at step 312, sequence "
                        "0, place 5 of input input1; ids 0 ... 9999 are valid; 3 of 640 ids in "
                        "this batch are outside (0.47 %)");
    assert_non_null(
        strstr(told->hint, "Most likely the tokenizer's vocabulary is one larger than input_dim"));
    must_near(told->value, 3, 0);
    must_near(told->threshold, 0, 0);
    assert_int_equal(told->rank_count, 1);
}

static void an_id_whose_word_is_known_is_told_with_it(void **state)
{
    (void)state;
    size_t a = layer_like(table_of("inner_model/embedding", 10000));

    word_of(a, 10000, "dress");
    word_of(a, -1, "none");
    ids(a, outside(10000, 3));
    assert_non_null(strstr(told_of("ids_out_of_range")->summary,
                           "id 10000 (\"dress\") reached inner_model/embedding (10000 rows)"));
    step_done();
    ids(a, outside(-0x1p200, 3));
    assert_non_null(strstr(must_flag(ids_out_of_range, a).summary, "301376 reached"));
}

static void the_last_row_and_the_first_are_valid(void **state)
{
    (void)state;
    size_t a = layer_like(table_of("inner_model/embedding", 10000));

    ids(a, fine());
    must_pass(ids_out_of_range, a);
    must_be_quiet();
}

static void what_was_told_at_first_sight_is_not_told_again_at_the_steps_end(void **state)
{
    (void)state;
    size_t a = layer_like(table_of("inner_model/embedding", 100));

    ids(a, outside(100, 1));
    assert_int_equal(times_told("ids_out_of_range"), 1);
    step_done();
    assert_int_equal(times_told("ids_out_of_range"), 1);
}

static void it_clears_after_10_clear_steps_that_have_ended(void **state)
{
    (void)state;
    size_t a = layer_like(table_of("inner_model/embedding", 100));

    ids(a, outside(100, 1));
    step_done();
    for (int i = 0; i < 30; i++)
        ids(a, fine()); /* many looks at one step */
    must_be("ids_out_of_range", "inner_model/embedding", EMBMON_FIRING, 0);
    for (int i = 0; i < 9; i++) {
        ids(a, fine());
        step_done();
    }
    must_be("ids_out_of_range", "inner_model/embedding", EMBMON_FIRING, 0);
    ids(a, fine());
    step_done();
    must_be("ids_out_of_range", "inner_model/embedding", EMBMON_RESOLVED, 10);
    assert_string_equal(told_of("ids_out_of_range")->reason, "cleared");
}

static void steps_without_ids_do_not_clear_it(void **state)
{
    (void)state;
    size_t a = layer_like(table_of("inner_model/embedding", 100));

    must_be_silent(ids_out_of_range, a, "no ids were posted for this layer");
    step_done();
    ids(a, outside(100, 1));
    for (int i = 0; i < 30; i++)
        step_done();
    must_be("ids_out_of_range", "inner_model/embedding", EMBMON_FIRING, 1);
}

static void each_phase_has_its_own_alert(void **state)
{
    (void)state;
    size_t a = layer_like(table_of("inner_model/embedding", 100));

    ids(a, outside(100, 1));
    training.phase = EMBMON_INFER;
    ids(a, outside(100, 1));
    assert_int_equal(times_told("ids_out_of_range"), 2);
    assert_int_equal(told_of("ids_out_of_range")->phase, EMBMON_INFER);
}

static void what_was_fed_counts_where_the_framework_moved_it_into_range(void **state)
{
    (void)state;
    size_t a = layer_like(table_of("inner_model/embedding", 100));

    ids_from(0, a, true, "words", EMBMON_I64, outside(100, 1));
    ids(a, fine());
    struct finding f = must_flag(ids_out_of_range, a);
    assert_non_null(strstr(f.summary, "id 100 was fed to inner_model/embedding"));
    assert_non_null(strstr(f.summary, "of input words"));
}

static void only_the_ranks_that_have_it_are_named(void **state)
{
    (void)state;
    size_t a = layer_like(table_of("inner_model/embedding", 100));

    ids_from(0, a, false, "", EMBMON_I32, fine());
    ids_from(2, a, false, "", EMBMON_I32, outside(150, 2));
    ids_from(1, a, false, "", EMBMON_I32, outside(120, 1));
    const struct told *told = told_of("ids_out_of_range");
    assert_int_equal(told->rank_count, 1);
    assert_int_equal(told->ranks[0], 2);
    assert_non_null(strstr(told->summary, ", on rank 2;"));
    struct finding f = must_flag(ids_out_of_range, a);
    assert_int_equal(f.ranks->length, 2);
    assert_non_null(strstr(f.summary, "id 150 "));
    assert_non_null(strstr(f.summary, "3 of 1920 ids"));
}

static void ids_that_are_no_sequences_have_a_position(void **state)
{
    (void)state;
    size_t a = layer_like(table_of("a", 100));
    struct ids_stats s = {.count = 32, .beyond = 1, .worst = 100, .worst_position = 7};

    ids(a, s);
    assert_non_null(
        strstr(last_told("ids_out_of_range", "a")->summary, "at step 0, position 7; ids 0 ... 99"));
}

static void the_hint_tells_the_likely_cause_from_the_numbers(void **state)
{
    (void)state;
    struct finding f;
    const struct {
        double worst;
        const char *hint;
    } cases[] = {
        {-1, "Most likely a word that is not in the vocabulary"},
        {-2, "Ids below 0 are no rows"},
        {-7, "Keras counts from the last row back for ids down to -100, without a word"},
        {100, "vocabulary is one larger than input_dim"},
        {101, "the vocabulary has grown since input_dim was set"},
        {150, "the vocabulary has grown"},
        {151, "Most likely these ids belong to another table: other has 500 rows"},
        {500, "a raw key, a hash without modulo"},
        {4294967295, "a raw key"},
    };
    size_t a = layer_like(table_of("a", 100));

    layer_like(table_of("other", 500));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ids(a, outside(cases[i].worst, 1));
        f = must_flag(ids_out_of_range, a);
        if (!strstr(f.hint, cases[i].hint))
            fail_msg("%g: %s", cases[i].worst, f.hint);
        step_done();
    }
}

/* ---- ids_dtype */

static void integers_are_fine(void **state)
{
    (void)state;
    size_t a = layer_like(table_of("inner_model/embedding", 100));

    must_be_silent(ids_dtype, a, "no ids were posted for this layer");
    step_done();
    ids_from(0, a, true, "", EMBMON_I64, fine());
    ids(a, fine());
    must_pass(ids_dtype, a);
    must_be_quiet();
}

static void floats_that_were_fed_are_a_warning(void **state)
{
    (void)state;
    size_t a = layer_like(table_of("inner_model/embedding", 100));

    ids_from(0, a, true, "", EMBMON_F64, fine());
    const struct told *told = told_of("ids_dtype");
    assert_int_equal(told->state, EMBMON_FIRING);
    assert_int_equal(told->severity, EMBMON_WARNING);
    assert_non_null(strstr(told->summary, "were fed as float64"));
}

static void floats_made_of_integers_are_an_info_with_the_way_out(void **state)
{
    (void)state;
    size_t a = layer_like(table_of("inner_model/embedding", 100));

    ids_from(0, a, true, "", EMBMON_I64, fine());
    must_be_quiet();
    ids_from(0, a, false, "", EMBMON_F32, fine());
    const struct told *told = told_of("ids_dtype");
    assert_int_equal(told->severity, EMBMON_INFO);
    assert_non_null(strstr(told->summary, "though they were fed as integers"));
    assert_non_null(strstr(told->hint, "Input(..., dtype=\"int32\")"));
}

static void floats_at_the_layer_alone_are_an_info(void **state)
{
    (void)state;
    size_t a = layer_like(table_of("inner_model/embedding", 100));

    ids_from(0, a, false, "", EMBMON_F32, fine());
    assert_int_equal(told_of("ids_dtype")->severity, EMBMON_INFO);
}

static void an_info_that_becomes_critical_is_told_again(void **state)
{
    (void)state;
    size_t a = layer_like(table_of("inner_model/embedding", 100000000));
    struct ids_stats s = fine();

    ids_from(0, a, true, "", EMBMON_I64, s);
    ids_from(0, a, false, "", EMBMON_F32, s);
    step_done();
    s.inexact = 1;
    s.inexact_value = 16777216;
    s.inexact_position = 12;
    ids_from(0, a, false, "", EMBMON_F32, s);
    const struct told *told = told_of("ids_dtype");
    assert_int_equal(times_told("ids_dtype"), 2);
    assert_int_equal(told->severity, EMBMON_CRITICAL);
    assert_string_equal(told->summary,
                        "ids of inner_model/embedding are too large for their type float32 at step "
                        "1: 16777216 at sequence 1, place 2; 1 of 640 in this batch");
}

static void fractions_are_critical(void **state)
{
    (void)state;
    size_t a = layer_like(table_of("inner_model/embedding", 100));
    struct ids_stats s = fine();

    s.fractional = 2;
    s.fractional_value = 1.5;
    s.fractional_position = 11;
    ids_from(0, a, true, "x", EMBMON_F32, s);
    const struct told *told = told_of("ids_dtype");
    assert_int_equal(told->severity, EMBMON_CRITICAL);
    assert_string_equal(told->summary,
                        "ids of inner_model/embedding are no whole numbers at step 0: 1.5 at "
                        "sequence 1, place 1 of input x; 2 of 640 in this batch");
}

/* ---- sequence_empty */

static struct ids_stats with_empty(uint64_t empty)
{
    struct ids_stats s = fine();

    s.full -= empty;
    s.empty = empty;
    s.empty_sequence = 7;
    s.padded = 10 * empty;
    return s;
}

/* A table read by a dropout, read by a layer of this kind. */
static size_t table_read_by(uint32_t kind)
{
    size_t a = table_with_padding("inner_model/embedding", 100), drop, last;
    drop = layer("dropout", EMBMON_OTHER);
    last = layer("average", kind);
    assert_true(model_inputs(&training.model, drop, &a, 1));
    assert_true(model_inputs(&training.model, last, &drop, 1));
    return a;
}

static void an_empty_sequence_before_an_average_is_critical(void **state)
{
    (void)state;
    size_t a = table_read_by(EMBMON_POOLING);

    ids(a, with_empty(0));
    must_be_quiet();
    ids(a, with_empty(1));
    const struct told *told = told_of("sequence_empty");
    assert_int_equal(told->state, EMBMON_FIRING);
    assert_int_equal(told->severity, EMBMON_CRITICAL);
    assert_string_equal(told->summary,
                        "sequences of inner_model/embedding are all padding at step 0: 1 of 128, "
                        "the first is sequence 7; average averages over them");
}

static void an_empty_sequence_before_another_layer_is_not(void **state)
{
    (void)state;
    size_t a = table_read_by(EMBMON_RECURRENT);

    ids(a, with_empty(1));
    must_be_silent(sequence_empty, a, "no layer averages over this table's sequences");
    must_be_quiet();
}

static void without_the_graph_it_is_silent(void **state)
{
    (void)state;
    size_t a = table_with_padding("a", 100), b = layer_like(table_of("b", 100));

    layer("average", EMBMON_POOLING);
    ids(a, with_empty(1));
    ids(b, fine());
    must_be_silent(sequence_empty, a, "no layer says what it reads: what averages is not known");
    must_be_silent(sequence_empty, b, "the table declares no padding id");
    must_be_quiet();
}

/* ---- mask_mismatch */

static void a_mask_that_is_not_the_padding_is_flagged(void **state)
{
    (void)state;
    size_t a = table_with_padding("inner_model/embedding", 100);
    struct ids_stats s = fine();

    ids(a, s);
    must_be_silent(mask_mismatch, a, "no mask was posted with the ids");
    step_done();
    s.masked = s.count;
    ids(a, s);
    must_pass(mask_mismatch, a);
    must_be_quiet();
    step_done();
    s.mismatched = 1;
    s.mismatch_position = 639;
    ids(a, s);
    const struct told *told = told_of("mask_mismatch");
    assert_int_equal(told->state, EMBMON_FIRING);
    assert_int_equal(told->severity, EMBMON_WARNING);
    assert_non_null(strstr(told->summary, "1 of 640 positions, first at sequence 63, place 9"));
}

/* ---- rows_dead */

static void rows_that_an_epoch_never_looks_up_are_an_info(void **state)
{
    (void)state;
    size_t a = layer_like(table_of("inner_model/embedding", 1000));

    ids(a, fine());
    step_done();
    must_be_quiet(); /* an epoch has not ended */
    epoch_ends();
    const struct told *told = told_of("rows_dead");
    assert_int_equal(told->state, EMBMON_FIRING);
    assert_int_equal(told->severity, EMBMON_INFO);
    must_near(told->value, 0.7, 1e-9);
    assert_string_equal(told->summary,
                        "rows of inner_model/embedding were not looked up once in the epoch that "
                        "ended at step 0: 700 of 1000 (70 %)");
}

static void few_dead_rows_are_usual(void **state)
{
    (void)state;
    size_t a = table_with_padding("inner_model/embedding", 1001);
    struct ids_stats s = fine();

    s.rows_seen = 990; /* of 1000: the padding's row is no word */
    ids(a, s);
    step_done();
    epoch_ends();
    must_be_quiet();
    s.rows_seen = 989;
    ids(a, s);
    step_done();
    epoch_ends();
    must_be("rows_dead", "inner_model/embedding", EMBMON_FIRING, 1);
}

static void an_epoch_without_ids_says_nothing_of_rows(void **state)
{
    (void)state;
    size_t a = layer_like(table_of("inner_model/embedding", 1000));

    epoch_ends();
    ids(a, fine());
    step_done();
    epoch_ends();
    assert_int_equal(times_told("rows_dead"), 1);
    for (int i = 0; i < 12; i++)
        epoch_ends(); /* nothing was looked up since */
    must_be("rows_dead", "inner_model/embedding", EMBMON_FIRING, 0);
}

static void what_only_some_steps_look_up_says_nothing(void **state)
{
    (void)state;
    size_t a = layer_like(table_of("inner_model/embedding", 1000));

    training.every = 2;
    ids(a, fine());
    step_done();
    epoch_ends();
    must_be_quiet();
    assert_string_equal(alerts_silent(training.alerts, detector_find("rows_dead"), a),
                        "only some steps are posted: others look up other rows");
}

static void rows_that_a_client_does_not_mark_are_not_known(void **state)
{
    (void)state;
    size_t a = layer_like(table_of("inner_model/embedding", 1000));
    struct ids_stats s = fine();

    ids_from(0, a, true, "", EMBMON_I32, s);
    step_done();
    s.rows_seen = 0;
    ids(a, s);
    step_done();
    epoch_ends();
    must_be_quiet();
    assert_string_equal(alerts_silent(training.alerts, detector_find("rows_dead"), a),
                        "which rows were looked up was not posted");
}

static void several_ranks_see_different_rows(void **state)
{
    (void)state;
    size_t a = layer_like(table_of("inner_model/embedding", 1000));

    ids_from(0, a, false, "", EMBMON_I32, fine());
    step_done();
    epoch_ends();
    must_be_quiet();
    assert_string_equal(alerts_silent(training.alerts, detector_find("rows_dead"), a),
                        "ranks see different rows");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        training_test(an_id_out_of_range_is_told_before_its_step_ends),
        training_test(an_id_whose_word_is_known_is_told_with_it),
        training_test(the_last_row_and_the_first_are_valid),
        training_test(what_was_told_at_first_sight_is_not_told_again_at_the_steps_end),
        training_test(it_clears_after_10_clear_steps_that_have_ended),
        training_test(steps_without_ids_do_not_clear_it),
        training_test(each_phase_has_its_own_alert),
        training_test(what_was_fed_counts_where_the_framework_moved_it_into_range),
        training_test_of_4(only_the_ranks_that_have_it_are_named),
        training_test(ids_that_are_no_sequences_have_a_position),
        training_test(the_hint_tells_the_likely_cause_from_the_numbers),
        training_test(integers_are_fine),
        training_test(floats_that_were_fed_are_a_warning),
        training_test(floats_made_of_integers_are_an_info_with_the_way_out),
        training_test(floats_at_the_layer_alone_are_an_info),
        training_test(an_info_that_becomes_critical_is_told_again),
        training_test(fractions_are_critical),
        training_test(an_empty_sequence_before_an_average_is_critical),
        training_test(an_empty_sequence_before_another_layer_is_not),
        training_test(without_the_graph_it_is_silent),
        training_test(a_mask_that_is_not_the_padding_is_flagged),
        training_test(rows_that_an_epoch_never_looks_up_are_an_info),
        training_test(few_dead_rows_are_usual),
        training_test(an_epoch_without_ids_says_nothing_of_rows),
        training_test(what_only_some_steps_look_up_says_nothing),
        training_test(rows_that_a_client_does_not_mark_are_not_known),
        training_test_of_4(several_ranks_see_different_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
