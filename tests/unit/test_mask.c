#include "tests/unit/training.h"

enum { WORDS = 7, POSITIONS = 640, PADDED = 200 };

/* A layer that reads these (-1 ends them), of [batch, 10, width] or, with rank 2, [batch, width].
 */
static size_t reads(const char *path, uint32_t kind, uint32_t mask, size_t rank, const int *inputs)
{
    static const int64_t sequence[] = {-1, 10, 8}, vector[] = {-1, 8};
    struct msg_layer like = {.path = path,
                             .kind = kind,
                             .trainable = true,
                             .mask = mask,
                             .shape = rank == 3 ? sequence : vector,
                             .shape_length = rank};
    size_t of[INPUTS_MAX], count = 0, layer = layer_like(like);

    for (; inputs[count] >= 0; count++)
        of[count] = (size_t)inputs[count];
    assert_true(model_inputs(&training.model, layer, of, count));
    return layer;
}

static size_t in_a_row(const char *path, uint32_t mask, size_t from)
{
    return reads(path, EMBMON_OTHER, mask, 3, (const int[]){(int)from, -1});
}

static size_t missing(const char *path, size_t from)
{
    return reads(path, EMBMON_RECURRENT, EMBMON_MASK_MISSED, 2, (const int[]){(int)from, -1});
}

static size_t table_like(const char *path, uint32_t mask)
{
    static const int64_t shape[] = {-1, 10, 8};

    return layer_like((struct msg_layer){.path = path,
                                         .kind = EMBMON_EMBEDDING,
                                         .trainable = true,
                                         .rows = 100,
                                         .columns = 8,
                                         .has_padding = true,
                                         .padding_id = WORDS,
                                         .mask = mask,
                                         .shape = shape,
                                         .shape_length = 3});
}

/* Its mask is lost in "mine" and missed in "lstm". */
static size_t losing(void)
{
    size_t words = table_like("words", EMBMON_MASK_PASSED);

    missing("lstm", in_a_row("mine", EMBMON_MASK_LOST, words));
    return words;
}

static struct ids_stats with_padding(uint64_t padded)
{
    return (struct ids_stats){.count = POSITIONS,
                              .sequences = 64,
                              .sequence_length = 10,
                              .padded = padded,
                              .trailing = padded ? 64 : 0,
                              .full = padded ? 0 : 64,
                              .length_min = padded ? 1 : 10,
                              .length_max = 10,
                              .unique = 90,
                              .rows_seen = 90};
}

static struct finding flagged(size_t of, const char *how)
{
    struct finding f;

    ids(of, with_padding(PADDED));
    f = must_flag(mask_mismatch_lost, of);
    if (!strstr(f.summary, how))
        print_error("%s\n", f.summary);
    assert_non_null(strstr(f.summary, how));
    return f;
}

static void passed(size_t of)
{
    ids(of, with_padding(PADDED));
    (void)must_pass(mask_mismatch_lost, of);
    step_done();
    must_be_quiet();
}

/* ---- the alert */

static void a_mask_that_is_lost_fires_at_first_sight(void **state)
{
    (void)state;
    size_t words = losing();
    const struct told *told;

    training.number = 5;
    ids(words, with_padding(PADDED));
    must_be("mask_mismatch", "words", EMBMON_FIRING, 5);
    told = last_told("mask_mismatch", "words");
    assert_int_equal(told->severity, EMBMON_WARNING);
    assert_string_equal(told->summary,
                        "the mask of words is lost in mine, and lstm, which would have used it, "
                        "takes the padding (id 7) for words: 200 of 640 ids at step 5");
    assert_non_null(strstr(told->hint, "gradients/words"));
    must_near(told->value, PADDED, 0);
    must_near(told->threshold, 0, 0);
    step_done();
    for (int i = 0; i < 30; i++) {
        ids(words, with_padding(PADDED));
        step_done();
    }
    assert_int_equal(times_told("mask_mismatch"), 1);
}

static void steps_without_padding_neither_fire_nor_clear_it(void **state)
{
    (void)state;
    size_t words = losing();

    ids(words, with_padding(0));
    must_be_silent(mask_mismatch_lost, words, "no padding came, and the mask is for nothing else");
    step_done();
    must_be_quiet();
    ids(words, with_padding(1));
    step_done();
    for (int i = 0; i < 30; i++) {
        ids(words, with_padding(0));
        step_done();
    }
    must_be("mask_mismatch", "words", EMBMON_FIRING, 1);
}

static void it_clears_when_the_layer_keeps_the_mask(void **state)
{
    (void)state;
    size_t words = losing();

    ids(words, with_padding(PADDED));
    step_done();
    model_reopen(&training.model); /* another training of the same run */
    (void)table_like("words", EMBMON_MASK_PASSED);
    (void)in_a_row("mine", EMBMON_MASK_PASSED, words);
    (void)reads("lstm", EMBMON_RECURRENT, EMBMON_MASK_USED, 2, (const int[]){1, -1});
    for (int i = 0; i < 10; i++) {
        must_be("mask_mismatch", "words", EMBMON_FIRING, 0);
        ids(words, with_padding(PADDED));
        step_done();
    }
    must_be("mask_mismatch", "words", EMBMON_RESOLVED, 10);
}

static void the_gradient_of_the_padding_is_its_consequence(void **state)
{
    (void)state;
    size_t words = losing();
    const double values[] = {0.6, -0.8};
    struct summary s;

    ids(words, with_padding(PADDED));
    summarise(&s, values, 2);
    assert_true(summary_set_extra(&s, EXTRA_ROWS_LOOKED_UP, 2));
    assert_true(summary_set_extra(&s, EXTRA_ROWS_TOUCHED, 2));
    assert_true(summary_set_extra(&s, EXTRA_PADDING_SQUARES, 0.36));
    post_summary(0, table(words), EMBMON_GRADIENT, &s);
    summary_free(&s);
    (void)must_flag(padding_row_gradient, words);
    step_done();
    assert_int_equal(times_told("mask_mismatch"), 1);
    assert_int_equal(times_told("padding_row_gradient"), 0);
}

static void other_phases_do_not_say_it_again(void **state)
{
    (void)state;
    size_t words = losing();

    training.phase = EMBMON_VALIDATE;
    ids(words, with_padding(PADDED));
    must_be_silent(mask_mismatch_lost, words, "the way of the mask is that of training");
    must_be_quiet();
}

/* ---- the way */

static void the_layer_that_lost_it_is_named_wherever_it_is_missed(void **state)
{
    (void)state;
    size_t words = table_like("words", EMBMON_MASK_PASSED);
    size_t norm = in_a_row("norm", EMBMON_MASK_PASSED, words);
    size_t first = in_a_row("first", EMBMON_MASK_LOST, norm);
    size_t dense = in_a_row("dense", EMBMON_MASK_NONE, first);

    missing("mean", dense);
    missing("later", dense);
    (void)flagged(words, "is lost in first, and mean, which");
}

static void what_no_layer_has_lost_is_lost_behind_one(void **state)
{
    (void)state;
    size_t words = table_like("words", EMBMON_MASK_PASSED);
    size_t norm = in_a_row("norm", EMBMON_MASK_PASSED, words);
    struct finding f;

    missing("mean", in_a_row("dense", EMBMON_MASK_NONE, norm));
    f = flagged(words, "is lost behind norm, in operations of no layer, and mean, which");
    assert_non_null(strstr(f.hint, "arithmetic on tensors"));
}

static void a_layer_that_loses_it_anew_is_named(void **state)
{
    (void)state;
    size_t words = table_like("words", EMBMON_MASK_PASSED);
    size_t sum = reads("sum", EMBMON_MERGE, EMBMON_MASK_LOST, 3, (const int[]){(int)words, -1});
    struct finding f;

    missing("first", sum);
    f = flagged(words, "is lost in sum, and first, which");
    assert_non_null(strstr(f.hint, "vector for each place"));
    training.model.layers[sum + 1].mask = EMBMON_MASK_NONE;
    missing("second", in_a_row("mine", EMBMON_MASK_LOST, sum));
    step_done();
    (void)flagged(words, "is lost in mine, and second, which");
}

static void it_comes_by_another_way(void **state)
{
    (void)state;
    size_t words = table_like("words", EMBMON_MASK_PASSED);
    size_t mine = in_a_row("mine", EMBMON_MASK_LOST, words);
    size_t join = reads("join", EMBMON_CONCATENATE, EMBMON_MASK_PASSED, 3,
                        (const int[]){(int)mine, (int)words, -1});

    (void)reads("lstm", EMBMON_RECURRENT, EMBMON_MASK_USED, 2, (const int[]){(int)join, -1});
    passed(words);
}

static void only_the_table_that_is_concerned_is_named(void **state)
{
    (void)state;
    size_t a = table_like("a", EMBMON_MASK_PASSED), b = table_like("b", EMBMON_MASK_PASSED);

    (void)reads("left", EMBMON_RECURRENT, EMBMON_MASK_USED, 2, (const int[]){(int)a, -1});
    missing("right", in_a_row("mine", EMBMON_MASK_LOST, b));
    ids(a, with_padding(PADDED));
    (void)flagged(b, "the mask of b is lost in mine, and right, which");
    (void)must_pass(mask_mismatch_lost, a);
}

static void what_is_used_up_is_not_missed_later(void **state)
{
    (void)state;
    size_t words = table_like("words", EMBMON_MASK_PASSED);

    missing("second", in_a_row("first", EMBMON_MASK_USED, words));
    passed(words);
}

static void a_layer_of_which_nothing_is_known_ends_the_way(void **state)
{
    (void)state;
    size_t words = table_like("words", EMBMON_MASK_PASSED);

    missing("lstm", in_a_row("mine", EMBMON_MASK_UNKNOWN, words));
    passed(words);
}

static void what_has_got_another_mask_is_another_sequence(void **state)
{
    (void)state;
    size_t words = table_like("words", EMBMON_MASK_PASSED);
    size_t mine = in_a_row("mine", EMBMON_MASK_LOST, words);
    size_t again = in_a_row("again", EMBMON_MASK_PASSED, mine);

    missing("lstm", in_a_row("yours", EMBMON_MASK_LOST, again));
    passed(words);
}

static void what_is_no_sequence_any_more_needs_no_mask(void **state)
{
    (void)state;
    size_t words = table_like("words", EMBMON_MASK_PASSED);
    size_t flat = reads("flat", EMBMON_OTHER, EMBMON_MASK_LOST, 2, (const int[]){(int)words, -1});

    missing("lstm", in_a_row("repeat", EMBMON_MASK_NONE, flat));
    passed(words);
}

static void an_unknown_shape_may_be_a_sequence(void **state)
{
    (void)state;
    size_t words = table_like("words", EMBMON_MASK_PASSED);
    size_t mine = reads("mine", EMBMON_OTHER, EMBMON_MASK_LOST, 0, (const int[]){(int)words, -1});

    missing("lstm", mine);
    (void)flagged(words, "is lost in mine");
}

static void inputs_that_were_not_declared_are_passed_over(void **state)
{
    (void)state;
    size_t words = losing(), of[] = {MODEL_NO_LAYER, words};

    assert_true(model_inputs(&training.model, words + 1, of, 2));
    (void)flagged(words, "is lost in mine");
}

static void long_names_leave_a_whole_hint(void **state)
{
    (void)state;
    char path[NAME_LAYER_MAX + 1], mine[NAME_LAYER_MAX + 1];
    size_t words, between;
    struct finding f;

    memset(path, 'a', sizeof path), memset(mine, 'b', sizeof mine);
    path[NAME_LAYER_MAX] = mine[NAME_LAYER_MAX] = '\0';
    words = table_like(path, EMBMON_MASK_PASSED);
    between = in_a_row(mine, EMBMON_MASK_LOST, words);
    path[0] = 'c';
    missing(path, between);
    for (int how = 0; how < 3; how++) {
        training.model.layers[between].kind = how == 1 ? EMBMON_MERGE : EMBMON_OTHER;
        training.model.layers[between].mask = how == 2 ? EMBMON_MASK_NONE : EMBMON_MASK_LOST;
        f = flagged(words, "ids at step");
        assert_string_equal(f.hint + strlen(f.hint) - 26, "the outputs must be equal.");
        step_done();
    }
}

/* ---- silent */

static void what_cannot_be_known_is_silent(void **state)
{
    (void)state;
    size_t words = table_like("words", EMBMON_MASK_PASSED);
    size_t other = table_like("other", EMBMON_MASK_UNKNOWN), plain = embedding("plain");
    struct ids_stats s = with_padding(PADDED);

    must_be_silent(mask_mismatch_lost, words, "no ids were posted for this layer");
    step_done();
    ids(words, s), ids(other, s), ids(plain, with_padding(0));
    must_be_silent(mask_mismatch_lost, words, "no layer says that it reads this table");
    must_be_silent(mask_mismatch_lost, other, "the table gives no mask on");
    must_be_silent(mask_mismatch_lost, plain, "the table declares no padding id");
    step_done();
    missing("lstm", words);
    s = (struct ids_stats){.count = 64, .padded = 10, .unique = 50, .rows_seen = 50};
    ids(words, s);
    must_be_silent(mask_mismatch_lost, words, "the ids are no sequences");
    step_done();
    must_be_quiet();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        training_test(a_mask_that_is_lost_fires_at_first_sight),
        training_test(steps_without_padding_neither_fire_nor_clear_it),
        training_test(it_clears_when_the_layer_keeps_the_mask),
        training_test(the_gradient_of_the_padding_is_its_consequence),
        training_test(other_phases_do_not_say_it_again),
        training_test(the_layer_that_lost_it_is_named_wherever_it_is_missed),
        training_test(what_no_layer_has_lost_is_lost_behind_one),
        training_test(a_layer_that_loses_it_anew_is_named),
        training_test(it_comes_by_another_way),
        training_test(only_the_table_that_is_concerned_is_named),
        training_test(what_is_used_up_is_not_missed_later),
        training_test(a_layer_of_which_nothing_is_known_ends_the_way),
        training_test(what_has_got_another_mask_is_another_sequence),
        training_test(what_is_no_sequence_any_more_needs_no_mask),
        training_test(an_unknown_shape_may_be_a_sequence),
        training_test(inputs_that_were_not_declared_are_passed_over),
        training_test(long_names_leave_a_whole_hint),
        training_test(what_cannot_be_known_is_silent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
