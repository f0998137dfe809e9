#include "tests/unit/training.h"

#include <stdlib.h>

#include "proto/name.h"

static char problem[RULES_SENTENCE];

static enum nack_reason set(const char *detector, const char *layers, const char *key, double value)
{
    const struct msg_threshold threshold = {detector, layers, key, value};

    return rules_threshold(&training.rules, &threshold, problem);
}

static enum nack_reason ignore(const char *detector, const char *layers)
{
    const struct msg_ignore rule = {detector, layers};

    return rules_ignore(&training.rules, &rule, problem);
}

static const struct limits *limits_of(size_t of)
{
    assert_true(rules_resolve(&training.rules, &training.model));
    return rules_limits(&training.rules, of);
}

static bool ignored(const char *detector, size_t of)
{
    assert_true(rules_resolve(&training.rules, &training.model));
    return rules_ignored(&training.rules, detector_find(detector), of);
}

/* ---- what holds for a layer */

static void without_rules_the_defaults_hold(void **state)
{
    size_t a = embedding("a");

    (void)state;
    assert_true(detector_count <= 64); /* a bit each */
    assert_ptr_equal(limits_of(a), &limits_default);
    assert_ptr_equal(limits_of(DETECT_MODEL), &limits_default);
    assert_false(ignored("gradient_spike", a));
    assert_false(ignored("loss_diverged", DETECT_MODEL));
}

static void a_threshold_holds_for_the_layers_its_pattern_matches(void **state)
{
    size_t a = embedding("inner/embedding_1"), b = embedding("inner/tower/embedding_2"),
           c = dense("dense");

    (void)state;
    assert_int_equal(set("gradient_exploding", "inner/*", "layer", 50), 0);
    assert_int_equal(set("gradient_exploding", "embedding_?", "update_ratio", 0.5), 0);
    assert_int_equal(set("gradient_vanishing", "*", "norm", 0), 0);
    assert_int_equal(set("loss_diverged", "*", "factor", 2.5), 0);
    assert_true(limits_of(a)->exploding_layer == 50);
    assert_true(limits_of(b)->exploding_layer == 50);
    assert_true(limits_of(b)->exploding_update == 0.5);
    assert_true(limits_of(c)->exploding_layer == 100);
    assert_true(limits_of(c)->exploding_update == 3);
    assert_true(limits_of(c)->vanishing_norm == 0);
    assert_true(limits_of(c)->vanishing_ratio == 1e-3);
    assert_true(limits_of(DETECT_MODEL)->diverged_loss == 2.5);
    assert_true(limits_of(DETECT_MODEL)->exploding_layer == 100);
}

static void every_key_moves_its_own_limit(void **state)
{
    size_t a = embedding("a");

    (void)state;
    assert_true(limit_key_count > 0);
    for (size_t k = 0; k < limit_key_count; k++) {
        struct limits expected = limits_default;

        assert_true(detector_find(limit_keys[k].detector) < detector_count);
        assert_int_equal(set(limit_keys[k].detector, "*", limit_keys[k].key, 77), 0);
        *(double *)(void *)((char *)&expected + limit_keys[k].offset) = 77;
        assert_memory_equal(limits_of(a), &expected, sizeof expected);
        rules_clear(&training.rules);
    }
    assert_true(set("gradient_spike", "*", "layer", 9) == 0 && limits_of(a)->spike_layer == 9);
    assert_true(set("gradient_spike", "*", "model", 2) == 0 && limits_of(a)->spike_model == 2);
    assert_true(set("gradient_vanishing", "*", "ratio", 1) == 0 &&
                limits_of(a)->vanishing_ratio == 1);
    assert_true(set("gradient_exploding", "*", "model", 4) == 0 &&
                limits_of(a)->exploding_model == 4);
}

static void the_last_that_matches_counts_and_the_same_again_keeps_its_place(void **state)
{
    size_t a = embedding("a"), b = embedding("b");

    (void)state;
    assert_int_equal(set("gradient_spike", "*", "layer", 20), 0);
    assert_int_equal(set("gradient_spike", "a", "layer", 30), 0);
    assert_true(limits_of(a)->spike_layer == 30);
    assert_true(limits_of(b)->spike_layer == 20);
    assert_int_equal(set("gradient_spike", "*", "layer", 40), 0);
    assert_true(limits_of(a)->spike_layer == 30);
    assert_true(limits_of(b)->spike_layer == 40);
    assert_int_equal(training.rules.count, 2);
}

static void layers_that_come_later_have_theirs(void **state)
{
    size_t a, b;

    (void)state;
    assert_int_equal(set("gradient_spike", "b*", "layer", 20), 0);
    assert_int_equal(ignore("gradient_vanishing", "b*"), 0);
    a = embedding("a");
    assert_true(limits_of(a)->spike_layer == 8);
    for (int i = 0; i < 100; i++) {
        char path[16];

        (void)snprintf(path, sizeof path, "b%d", i);
        b = embedding(path);
        assert_ptr_equal(rules_limits(&training.rules, b), &limits_default); /* not resolved yet */
        assert_true(limits_of(b)->spike_layer == 20);
        assert_true(ignored("gradient_vanishing", b));
        assert_false(ignored("gradient_vanishing", a));
        assert_true(limits_of(a)->spike_layer == 8);
    }
}

static void of_the_whole_model_a_detector_is_ignored_by_a_star(void **state)
{
    size_t a = embedding("a");

    (void)state;
    assert_int_equal(ignore("loss_diverged", "*"), 0);
    assert_true(ignored("loss_diverged", DETECT_MODEL));
    assert_false(ignored("loss_nonfinite", DETECT_MODEL));
    assert_false(ignored("gradient_spike", a));
    assert_int_equal(ignore("loss_nonfinite", "a"), NACK_INVALID);
    assert_string_equal(problem, "loss_nonfinite judges the whole model: its layers are \"*\", not "
                                 "\"a\"");
    assert_int_equal(set("loss_diverged", "*/*", "factor", 2), NACK_INVALID);
    rules_clear(&training.rules);
    assert_false(ignored("loss_diverged", DETECT_MODEL));
}

/* ---- what is refused */

static void must_begin(const char *expected)
{
    if (strncmp(problem, expected, strlen(expected)) != 0)
        print_error("%s\n", problem);
    assert_int_equal(strncmp(problem, expected, strlen(expected)), 0);
}

static void must_name_all_with_thresholds(void)
{
    for (size_t k = 0; k < limit_key_count; k++)
        assert_non_null(strstr(problem, limit_keys[k].detector));
}

static void what_there_is_not_is_named_beside_what_there_is(void **state)
{
    (void)state;
    assert_int_equal(set("gradient_explodes", "*", "layer", 1), NACK_INVALID);
    must_begin("there is no detector \"gradient_explodes\"; those with thresholds are: "
               "gradient_exploding, loss_diverged, gradient_spike, gradient_vanishing, ");
    must_name_all_with_thresholds();
    assert_int_equal(ignore("gradient_explodes", "*"), NACK_INVALID);
    must_begin("there is no detector \"gradient_explodes\"; there are: activation_nonfinite, "
               "gradient_nonfinite, loss_nonfinite, gradient_exploding, ");
    for (size_t d = 0; d < detector_count; d++)
        assert_non_null(strstr(problem, detectors[d].name));
    assert_int_equal(set("gradient_exploding", "*", "norm", 1), NACK_INVALID);
    assert_string_equal(problem,
                        "gradient_exploding has no threshold \"norm\"; it has: layer, model, "
                        "update_ratio");
    assert_int_equal(set("gradient_nonfinite", "*", "norm", 1), NACK_INVALID);
    assert_string_equal(problem, "gradient_nonfinite has no threshold; it may be ignored");
    assert_int_equal(set("gradient_spike", "*", "layer", -1), NACK_INVALID);
    assert_string_equal(problem, "gradient_spike's threshold layer cannot be below 0: it is -1");
    assert_int_equal(training.rules.count, 0);
}

static void a_long_pattern_is_cut_between_characters(void **state)
{
    char pattern[GLOB_MAX + 1] = "";

    (void)state;
    for (size_t i = 0; i < 85; i++)
        memcpy(pattern + 3 * i, "\xe5\xb1\xa4", 4);
    assert_int_equal(ignore("loss_diverged", pattern), NACK_INVALID);
    assert_true(strlen(problem) < RULES_SENTENCE - 1);
    assert_true(name_is_text(problem, strlen(problem)));
}

static void a_run_has_256_rules(void **state)
{
    size_t a = embedding("a");
    char layers[16];

    (void)state;
    for (int i = 0; i < RULES_MAX; i++) {
        (void)snprintf(layers, sizeof layers, "%d", i);
        assert_int_equal(i % 2 ? ignore("gradient_spike", layers)
                               : set("gradient_spike", layers, "layer", i),
                         0);
    }
    assert_int_equal(set("gradient_spike", "*", "layer", 9), NACK_LIMIT);
    assert_string_equal(problem, "more thresholds and ignored detectors than a run may have (256)");
    assert_int_equal(ignore("gradient_spike", "*"), NACK_LIMIT);
    assert_int_equal(set("gradient_spike", "0", "layer", 9), 0);
    assert_int_equal(ignore("gradient_spike", "1"), 0);
    assert_true(limits_of(a)->spike_layer == 8);
}

/* ---- what the configuration file says lies below them */

static struct rules of_file;

static int forget_file(void **state)
{
    rules_free(&of_file);
    return training_end(state);
}

static void file_says(const char *detector, const char *layers, size_t key, double value)
{
    assert_true(rules_add(&of_file, detector_find(detector), layers, key, value, problem));
    rules_set_base(&training.rules, &of_file);
}

static size_t key_of(const char *detector, const char *key)
{
    size_t k = 0;

    while (strcmp(limit_keys[k].detector, detector) != 0 || strcmp(limit_keys[k].key, key) != 0)
        assert_true(++k < limit_key_count);
    return k;
}

static void file_sets(const char *detector, const char *layers, const char *key, double value)
{
    file_says(detector, layers, key_of(detector, key), value);
}

static void of_the_file_the_last_that_matches_counts(void **state)
{
    size_t a = embedding("in/a"), b = embedding("in/b");

    (void)state;
    file_sets("gradient_spike", "*", "layer", 20);
    file_sets("gradient_spike", "a", "layer", 30);
    assert_true(limits_of(a)->spike_layer == 30 && limits_of(b)->spike_layer == 20);
    file_sets("gradient_spike", "*", "layer", 40); /* the same again, later: not its old place */
    assert_true(limits_of(a)->spike_layer == 40 && limits_of(b)->spike_layer == 40);
    file_says("gradient_spike", "*", RULE_IGNORE, 1);
    assert_true(ignored("gradient_spike", a) && ignored("gradient_spike", b));
    file_says("gradient_spike", "b", RULE_IGNORE, 0);
    assert_true(ignored("gradient_spike", a) && !ignored("gradient_spike", b));
    assert_int_equal(rules_hold(&training.rules, detector_find("gradient_spike"), a), 0);
    file_says("gradient_spike", "in/*", RULE_HOLD, 5);
    file_says("gradient_spike", "b", RULE_HOLD, HOLD_MAX);
    (void)limits_of(a);
    assert_int_equal(rules_hold(&training.rules, detector_find("gradient_spike"), a), 5);
    assert_int_equal(rules_hold(&training.rules, detector_find("gradient_spike"), b), HOLD_MAX);
    assert_int_equal(rules_hold(&training.rules, detector_find("gradient_vanishing"), a), 0);
}

static void the_trainer_wins_over_the_file(void **state)
{
    size_t a = embedding("a"), spike = detector_find("gradient_spike");

    (void)state;
    assert_int_equal(set("gradient_spike", "*", "layer", 5), 0);
    file_sets("gradient_spike", "a", "layer", 30);
    file_sets("gradient_spike", "a", "model", 2);
    assert_true(limits_of(a)->spike_layer == 5 && limits_of(a)->spike_model == 2);
    file_says("gradient_spike", "*", RULE_IGNORE, 1);
    (void)limits_of(a);
    assert_string_equal(rules_why_ignored(&training.rules, spike, a),
                        "ignored by the configuration file");
    file_says("gradient_spike", "*", RULE_IGNORE, 0);
    assert_int_equal(ignore("gradient_spike", "a"), 0);
    (void)limits_of(a);
    assert_string_equal(rules_why_ignored(&training.rules, spike, a), "ignored by the trainer");
    rules_clear(&training.rules); /* another training of the run: the file's stay */
    assert_true(limits_of(a)->spike_layer == 30);
    assert_null(rules_why_ignored(&training.rules, spike, a));
    rules_set_base(&training.rules, NULL);
    assert_ptr_equal(limits_of(a), &limits_default);
}

static void another_file_counts_once_it_is_resolved(void **state)
{
    struct rules other = {0};
    size_t a = embedding("a");

    (void)state;
    file_sets("gradient_spike", "*", "layer", 30);
    assert_true(limits_of(a)->spike_layer == 30);
    assert_true(rules_add(&other, detector_find("gradient_spike"), "*",
                          key_of("gradient_spike", "model"), 9, problem));
    rules_set_base(&training.rules, &other);
    assert_true(limits_of(a)->spike_layer == 8 && limits_of(a)->spike_model == 9);
    rules_set_base(&training.rules, NULL);
    rules_free(&other);
}

static void what_a_file_may_not_say_is_refused(void **state)
{
    size_t diverged = detector_find("loss_diverged");

    (void)state;
    assert_false(rules_add(&of_file, diverged, "a*", RULE_HOLD, 3, problem));
    assert_string_equal(problem, "loss_diverged judges the whole model: its layers are \"*\", not "
                                 "\"a*\"");
    for (int i = 0; i < RULES_FILE_MAX; i++)
        assert_true(rules_add(&of_file, diverged, "*", RULE_HOLD, 3, problem));
    assert_false(rules_add(&of_file, diverged, "*", RULE_HOLD, 3, problem));
    assert_string_equal(problem, "more settings of detectors than there may be (1024)");
}

/* ---- what the detectors make of it */

static size_t a, b;

static void two_layers(void)
{
    a = embedding("in/a");
    b = dense("in/b");
}

static void steps_with(int count, double norm_a, double norm_b)
{
    for (int i = 0; i < count; i++) {
        gradient(a, norm_a);
        gradient(b, norm_b);
        step_done();
    }
}

static void a_lowered_threshold_fires_for_its_layers_alone(void **state)
{
    (void)state;
    two_layers();
    assert_int_equal(set("gradient_spike", "a", "layer", 2), 0);
    assert_int_equal(set("gradient_spike", "*", "model", 1.5), 0);
    steps_with(12, 0.3, 0.3);
    steps_with(1, 0.5, 0.5);
    must_be_quiet();
    steps_with(1, 1.5, 1.5);
    assert_int_equal(training.told_count, 1);
    must_be("gradient_spike", "in/a", EMBMON_FIRING, 13);
    must_near(last_told("gradient_spike", "in/a")->threshold, 2 * 0.5, 1e-9);
}

static void a_raised_threshold_stays_silent_where_the_default_fires(void **state)
{
    (void)state;
    two_layers();
    assert_int_equal(set("gradient_vanishing", "in/a", "ratio", 1e-9), 0);
    assert_int_equal(set("gradient_vanishing", "in/a", "norm", 1e-9), 0);
    for (int i = 0; i < 20; i++) {
        gradient(a, 1e-7);
        gradient(b, 0.4);
        step_done();
    }
    must_be_quiet();
    assert_int_equal(set("gradient_vanishing", "in/a", "norm", 1e-4), 0);
    assert_int_equal(set("gradient_vanishing", "in/a", "ratio", 1e-3), 0);
    steps_with(10, 1e-7, 0.4);
    must_be("gradient_vanishing", "in/a", EMBMON_FIRING, 29);
}

static void a_threshold_of_the_model_moves_divergence(void **state)
{
    (void)state;
    two_layers();
    assert_int_equal(set("loss_diverged", "*", "factor", 2), 0);
    for (int i = 0; i < 12; i++) {
        loss(i < 10 ? 1 : 2.5);
        step_done();
    }
    must_be("loss_diverged", "", EMBMON_FIRING, 11);
    must_near(last_told("loss_diverged", "")->threshold, 2, 1e-12);
}

static void an_ignored_detector_is_silent_and_says_why(void **state)
{
    size_t vanishing = detector_find("gradient_vanishing");

    (void)state;
    two_layers();
    assert_int_equal(ignore("gradient_vanishing", "in/a"), 0);
    steps_with(20, 0, 0.4);
    must_be_quiet();
    assert_string_equal(alerts_silent(training.alerts, vanishing, a), "ignored by the trainer");
    assert_null(alerts_silent(training.alerts, vanishing, b));
    gradient_with(a, NAN); /* the others still look at it */
    gradient(b, 0.4);
    step_done();
    must_be("gradient_nonfinite", "in/a", EMBMON_FIRING, 20);
}

static void a_layer_whose_nan_is_ignored_leaves_the_name_to_the_next(void **state)
{
    (void)state;
    two_layers();
    assert_int_equal(ignore("gradient_nonfinite", "a"), 0);
    gradient_with(a, NAN);
    gradient_with(b, NAN);
    step_done();
    assert_int_equal(training.told_count, 1);
    must_be("gradient_nonfinite", "in/b", EMBMON_FIRING, 0);
}

static void an_alert_that_is_ignored_from_now_on_is_closed(void **state)
{
    (void)state;
    two_layers();
    steps_with(12, 0, 0.4);
    must_be("gradient_vanishing", "in/a", EMBMON_FIRING, 9);
    assert_int_equal(ignore("gradient_vanishing", "in/*"), 0);
    steps_with(1, 0, 0.4);
    must_be("gradient_vanishing", "in/a", EMBMON_RESOLVED, 12);
    assert_string_equal(last_told("gradient_vanishing", "in/a")->reason, "closed");
    assert_false(alerts_any(training.alerts));
    steps_with(20, 0, 0.4);
    assert_int_equal(times_told("gradient_vanishing"), 3);
}

static void a_hold_of_the_file_is_the_alerts_hold(void **state)
{
    (void)state;
    two_layers();
    file_says("gradient_vanishing", "*", RULE_HOLD, 4); /* 10, and 150 for layers like b */
    file_says("gradient_vanishing", "b", RULE_HOLD, 2);
    size_t last = dense("in/last");
    for (int i = 0; i < 4; i++) {
        gradient(a, 0);
        gradient(b, 0);
        gradient(last, 0.4);
        step_done();
    }
    must_be("gradient_vanishing", "in/b", EMBMON_FIRING, 1);
    must_be("gradient_vanishing", "in/a", EMBMON_FIRING, 3);
}

static void a_hold_goes_for_every_clause(void **state)
{
    (void)state;
    two_layers();
    file_says("gradient_exploding", "*", RULE_HOLD, 2); /* of updates that are too large it is 1 */
    for (int i = 0; i < 3; i++) {
        gradient(a, 0.4);
        post_even(table(a), EMBMON_WEIGHT, 100, 1);
        post_even(table(a), EMBMON_UPDATE, 100, i > 0 ? 5 : 0.1);
        step_done();
    }
    must_be("gradient_exploding", "in/a", EMBMON_FIRING, 2);
    assert_int_equal(last_told("gradient_exploding", "in/a")->before, EMBMON_PENDING);
}

static void a_file_read_again_counts_from_the_next_step_on(void **state)
{
    (void)state;
    two_layers();
    steps_with(12, 0, 0.4);
    must_be("gradient_vanishing", "in/a", EMBMON_FIRING, 9);
    file_says("gradient_vanishing", "a", RULE_IGNORE, 1);
    steps_with(1, 0, 0.4);
    must_be("gradient_vanishing", "in/a", EMBMON_RESOLVED, 12);
    assert_string_equal(last_told("gradient_vanishing", "in/a")->reason, "closed");
    assert_string_equal(alerts_silent(training.alerts, detector_find("gradient_vanishing"), a),
                        "ignored by the configuration file");
    file_says("gradient_vanishing", "a", RULE_IGNORE, 0);
    steps_with(10, 0, 0.4);
    must_be("gradient_vanishing", "in/a", EMBMON_FIRING, 22);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        training_test(without_rules_the_defaults_hold),
        training_test(a_threshold_holds_for_the_layers_its_pattern_matches),
        training_test(every_key_moves_its_own_limit),
        training_test(the_last_that_matches_counts_and_the_same_again_keeps_its_place),
        training_test(layers_that_come_later_have_theirs),
        training_test(of_the_whole_model_a_detector_is_ignored_by_a_star),
        training_test(what_there_is_not_is_named_beside_what_there_is),
        training_test(a_long_pattern_is_cut_between_characters),
        training_test(a_run_has_256_rules),
        training_test(a_lowered_threshold_fires_for_its_layers_alone),
        training_test(a_raised_threshold_stays_silent_where_the_default_fires),
        training_test(a_threshold_of_the_model_moves_divergence),
        training_test(an_ignored_detector_is_silent_and_says_why),
        training_test(a_layer_whose_nan_is_ignored_leaves_the_name_to_the_next),
        training_test(an_alert_that_is_ignored_from_now_on_is_closed),
        cmocka_unit_test_setup_teardown(of_the_file_the_last_that_matches_counts, training_begin,
                                        forget_file),
        cmocka_unit_test_setup_teardown(the_trainer_wins_over_the_file, training_begin,
                                        forget_file),
        cmocka_unit_test_setup_teardown(another_file_counts_once_it_is_resolved, training_begin,
                                        forget_file),
        cmocka_unit_test_setup_teardown(what_a_file_may_not_say_is_refused, training_begin,
                                        forget_file),
        cmocka_unit_test_setup_teardown(a_hold_of_the_file_is_the_alerts_hold, training_begin,
                                        forget_file),
        cmocka_unit_test_setup_teardown(a_hold_goes_for_every_clause, training_begin, forget_file),
        cmocka_unit_test_setup_teardown(a_file_read_again_counts_from_the_next_step_on,
                                        training_begin, forget_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
