#include "tests/unit/training.h"

enum { LENGTH = 10 };

static size_t a;

static size_t padded_table(void)
{
    return layer_like((struct msg_layer){.path = "a",
                                         .kind = EMBMON_EMBEDDING,
                                         .trainable = true,
                                         .rows = 1000,
                                         .columns = 8,
                                         .has_padding = true});
}

enum side { AFTER, BEFORE, NOWHERE };

/* n sequences of `length` places, each with this many true ids. */
static struct ids_stats sequences(uint64_t n, uint64_t length, uint64_t ids_each, enum side side)
{
    struct ids_stats s = {.count = n * length,
                          .sequences = n,
                          .sequence_length = length,
                          .length_min = ids_each,
                          .length_max = ids_each,
                          .padded = n * (length - ids_each)};

    s.full = s.padded == 0 ? n : 0;
    if (s.padded > 0)
        *(side == AFTER ? &s.trailing : &s.leading) = n;
    return s;
}

static void fed(struct ids_stats s)
{
    ids(a, s);
    step_done();
}

/* 40 steps of 32 sequences, 4 ... 6 of 10 places, padded after. */
static void train(void)
{
    a = padded_table();
    for (uint64_t i = 0; i < 40; i++)
        fed(sequences(32, LENGTH, 4 + i % 3, AFTER));
    must_be_quiet();
}

static void infer(void)
{
    training.phase = EMBMON_INFER;
    training.number = 0;
}

/* ---- padding_side */

static void two_sequences_padded_on_the_other_side_fire_at_once(void **state)
{
    (void)state;
    train();
    infer();
    fed(sequences(2, LENGTH, 5, BEFORE));
    must_be("padding_side", "a", EMBMON_FIRING, 0);
    const struct told *told = last_told("padding_side", "a");
    assert_int_equal(told->severity, EMBMON_WARNING);
    assert_int_equal(told->phase, EMBMON_INFER);
    assert_string_equal(told->summary,
                        "sequences of a are padded before their ids in inference at step 0, after "
                        "them in training: 2 of the latest 2");
}

static void a_single_one_is_not_enough_and_a_second_is(void **state)
{
    (void)state;
    train();
    infer();
    fed(sequences(1, LENGTH, 5, BEFORE));
    assert_int_equal(times_told("padding_side"), 0);
    fed(sequences(1, LENGTH, 5, BEFORE));
    must_be("padding_side", "a", EMBMON_FIRING, 1);
}

static void the_same_side_is_fine(void **state)
{
    (void)state;
    train();
    infer();
    for (int i = 0; i < 20; i++)
        fed(sequences(8, LENGTH, 5, AFTER));
    must_be_quiet();
}

static void padding_before_in_training_and_after_in_validation_fires_too(void **state)
{
    (void)state;
    a = padded_table();
    for (int i = 0; i < 10; i++)
        fed(sequences(32, LENGTH, 5, BEFORE));
    training.phase = EMBMON_VALIDATE;
    training.number = 0;
    fed(sequences(32, LENGTH, 5, AFTER));
    must_be("padding_side", "a", EMBMON_FIRING, 0);
    assert_non_null(strstr(last_told("padding_side", "a")->summary, "padded after their ids in "
                                                                    "validation"));
}

static void few_that_begin_with_the_padding_id_among_many_are_fine(void **state)
{
    (void)state;
    struct ids_stats s = sequences(100, LENGTH, 5, AFTER);

    train();
    infer();
    s.leading = 5;
    fed(s);
    must_be_quiet();
}

static void training_that_pads_on_both_sides_has_no_side(void **state)
{
    (void)state;
    a = padded_table();
    for (int i = 0; i < 10; i++) {
        fed(sequences(32, LENGTH, 5, BEFORE));
        fed(sequences(32, LENGTH, 5, AFTER));
    }
    infer();
    fed(sequences(32, LENGTH, 5, BEFORE));
    must_be_quiet();
}

static void short_sequences_without_the_padding_of_training_fire(void **state)
{
    (void)state;
    train();
    infer();
    fed(sequences(2, 5, 5, NOWHERE));
    must_be("padding_side", "a", EMBMON_FIRING, 0);
    assert_string_equal(last_told("padding_side", "a")->summary,
                        "sequences of a come without padding in inference at step 0, shorter than "
                        "any input in training (10 ids): 2 of the latest 2");
}

static void two_calls_with_one_short_sequence_each_fire(void **state)
{
    (void)state;
    train();
    infer();
    fed(sequences(1, 4, 4, NOWHERE));
    assert_int_equal(times_told("padding_side"), 0);
    fed(sequences(1, 5, 5, NOWHERE));
    must_be("padding_side", "a", EMBMON_FIRING, 1);
}

static void full_sequences_as_long_as_those_of_training_are_fine(void **state)
{
    (void)state;
    train();
    infer();
    for (int i = 0; i < 3; i++)
        fed(sequences(4, LENGTH, LENGTH, NOWHERE));
    assert_int_equal(times_told("padding_side"), 0);
}

static void lengths_that_vary_in_training_need_no_padding(void **state)
{
    (void)state;
    a = padded_table();
    for (uint64_t i = 0; i < 20; i++) /* padded to the longest of each batch */
        fed(sequences(32, 4 + i % 10, 3 + i % 10, AFTER));
    infer();
    fed(sequences(2, 5, 5, NOWHERE));
    must_be_quiet();
}

static void it_clears_when_the_padding_is_right_again(void **state)
{
    (void)state;
    train();
    infer();
    fed(sequences(500, LENGTH, 5, BEFORE));
    must_be("padding_side", "a", EMBMON_FIRING, 0);
    for (int i = 0; i < 9; i++)
        fed(sequences(1, LENGTH, 5, AFTER));
    must_be("padding_side", "a", EMBMON_FIRING, 0);
    fed(sequences(1, LENGTH, 5, AFTER));
    must_be("padding_side", "a", EMBMON_RESOLVED, 10);
}

static void silence_has_its_reasons(void **state)
{
    (void)state;
    size_t plain = layer_like(
        (struct msg_layer){.path = "plain", .kind = EMBMON_EMBEDDING, .rows = 10, .columns = 2});

    a = padded_table();
    ids(a, sequences(2, LENGTH, LENGTH, NOWHERE));
    must_be_silent(padding_side, a, "training is what validation and inference are compared with");
    must_be_silent(padding_side, plain, "no ids were posted for this layer");
    step_done();
    infer();
    ids(plain, sequences(2, LENGTH, LENGTH, NOWHERE));
    ids(a, sequences(2, LENGTH, 5, AFTER));
    must_be_silent(padding_side, plain, "the table declares no padding id");
    must_be_silent(padding_side, a, "training has fed no padding");
    step_done();
    ids(a, (struct ids_stats){.count = 5});
    must_be_silent(padding_side, a, "the ids are no sequences");
}

/* ---- ids_padding: training has 50 % with a spread of 8 %, 4 times of which is 33 % */

static void more_padding_than_in_training_fires_after_5_steps(void **state)
{
    (void)state;
    train();
    infer();
    fed(sequences(199, LENGTH, 1, AFTER));
    must_be_silent(ids_padding, a, "no ids were posted for this layer");
    step_done();
    assert_int_equal(times_told("ids_padding"), 0);
    for (uint64_t i = 0; i < 4; i++)
        fed(sequences(32, LENGTH, 1, AFTER));
    must_be("ids_padding", "a", EMBMON_PENDING, 2);
    fed(sequences(32, LENGTH, 1, AFTER));
    must_be("ids_padding", "a", EMBMON_FIRING, 6);
    const struct told *told = last_told("ids_padding", "a");
    assert_int_equal(told->severity, EMBMON_WARNING);
    must_near(told->value, 0.9, 1e-9);
    must_near(told->baseline, 0.5, 0.02);
}

static void padding_within_its_spread_is_fine(void **state)
{
    (void)state;
    train();
    infer();
    for (int i = 0; i < 20; i++)
        fed(sequences(200, LENGTH, 2, AFTER)); /* 80 %: below 0.5 + 4 x 0.08 */
    assert_int_equal(times_told("ids_padding"), 0);
}

static void without_spread_it_may_move_by_a_tenth(void **state)
{
    (void)state;
    struct finding f;

    a = padded_table();
    for (int i = 0; i < 10; i++)
        fed(sequences(20, 100, 50, AFTER));
    infer();
    ids(a, sequences(200, 100, 60, AFTER));
    must_pass(ids_padding, a);
    step_done();
    training.phase = EMBMON_VALIDATE;
    ids(a, sequences(200, 100, 61, AFTER));
    f = must_flag(ids_padding, a);
    must_near(f.threshold, 0.4, 1e-9);
}

static void too_few_sequences_in_training_say_nothing(void **state)
{
    (void)state;
    a = padded_table();
    fed(sequences(199, LENGTH, 5, AFTER));
    infer();
    ids(a, sequences(500, LENGTH, 1, AFTER));
    must_be_silent(ids_padding, a, "too few sequences to compare the padding of");
}

/* ---- sequence_length_drift */

static void one_short_padded_sequence_is_an_info_at_most(void **state)
{
    (void)state;
    train();
    infer();
    fed(sequences(1, LENGTH, 3, AFTER));
    must_be("sequence_length_drift", "a", EMBMON_PENDING, 0);
    assert_int_equal(last_told("sequence_length_drift", "a")->severity, EMBMON_INFO);
    assert_int_equal(training.told_count, 1); /* and nothing else */
    fed(sequences(1, LENGTH, 3, AFTER));
    must_be("sequence_length_drift", "a", EMBMON_FIRING, 1);
    assert_int_equal(last_told("sequence_length_drift", "a")->severity, EMBMON_INFO);
}

static void many_sequences_outside_the_range_are_a_warning(void **state)
{
    (void)state;
    train();
    infer();
    fed(sequences(100, LENGTH, 7, AFTER));
    fed(sequences(99, LENGTH, 7, AFTER));
    assert_int_equal(last_told("sequence_length_drift", "a")->severity, EMBMON_INFO);
    fed(sequences(1, LENGTH, 7, AFTER));
    must_be("sequence_length_drift", "a", EMBMON_FIRING, 2);
    const struct told *told = last_told("sequence_length_drift", "a");
    assert_int_equal(told->severity, EMBMON_WARNING);
    assert_string_equal(told->summary, "true lengths of a are 7 ... 7 in inference at step 2; "
                                       "training had 4 ... 6");
}

static void lengths_at_the_ends_of_the_range_are_fine(void **state)
{
    (void)state;
    train();
    infer();
    for (int i = 0; i < 10; i++) {
        fed(sequences(100, LENGTH, 4, AFTER));
        fed(sequences(100, LENGTH, 6, AFTER));
    }
    must_be_quiet();
}

static void it_resolves_when_lengths_are_as_in_training(void **state)
{
    (void)state;
    train();
    infer();
    for (int i = 0; i < 2; i++)
        fed(sequences(1, LENGTH, 3, AFTER));
    for (int i = 0; i < 10; i++)
        fed(sequences(1, LENGTH, 5, AFTER));
    must_be("sequence_length_drift", "a", EMBMON_RESOLVED, 11);
}

static void little_training_shows_little_of_its_range(void **state)
{
    (void)state;
    a = padded_table();
    fed(sequences(199, LENGTH, 5, AFTER));
    infer();
    ids(a, sequences(500, LENGTH, 6, AFTER));
    struct finding f = must_flag(sequence_length_drift, a);
    assert_int_equal(f.severity, EMBMON_INFO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        training_test(two_sequences_padded_on_the_other_side_fire_at_once),
        training_test(a_single_one_is_not_enough_and_a_second_is),
        training_test(the_same_side_is_fine),
        training_test(padding_before_in_training_and_after_in_validation_fires_too),
        training_test(few_that_begin_with_the_padding_id_among_many_are_fine),
        training_test(training_that_pads_on_both_sides_has_no_side),
        training_test(short_sequences_without_the_padding_of_training_fire),
        training_test(two_calls_with_one_short_sequence_each_fire),
        training_test(full_sequences_as_long_as_those_of_training_are_fine),
        training_test(lengths_that_vary_in_training_need_no_padding),
        training_test(it_clears_when_the_padding_is_right_again),
        training_test(silence_has_its_reasons),
        training_test(more_padding_than_in_training_fires_after_5_steps),
        training_test(padding_within_its_spread_is_fine),
        training_test(without_spread_it_may_move_by_a_tenth),
        training_test(too_few_sequences_in_training_say_nothing),
        training_test(one_short_padded_sequence_is_an_info_at_most),
        training_test(many_sequences_outside_the_range_are_a_warning),
        training_test(lengths_at_the_ends_of_the_range_are_fine),
        training_test(it_resolves_when_lengths_are_as_in_training),
        training_test(little_training_shows_little_of_its_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
