#include "tests/unit/training.h"

#include "proto/name.h"

static void the_names_are_the_contract_and_each_is_found(void **state)
{
    (void)state;
    static const struct {
        const char *name, *signal;
        uint32_t severity, hold, hold_others, second_hold;
    } rows[] = {
        {"activation_nonfinite", "activation", EMBMON_CRITICAL, 1, 0, 0},
        {"gradient_nonfinite", "gradient", EMBMON_CRITICAL, 1, 0, 0},
        {"loss_nonfinite", "loss", EMBMON_CRITICAL, 1, 0, 0},
        {"gradient_exploding", "gradient", EMBMON_CRITICAL, 3, 0, 1},
        {"loss_diverged", "loss", EMBMON_CRITICAL, 2, 0, 0},
        {"gradient_spike", "gradient", EMBMON_WARNING, 1, 0, 0},
        {"gradient_vanishing", "gradient", EMBMON_WARNING, 10, 150, 0},
        {"update_ratio", "update", EMBMON_WARNING, 3, 0, 3},
        {"layer_frozen", "update", EMBMON_WARNING, 3, 0, 0},
        {"gradient_underflow", "gradient", EMBMON_WARNING, 5, 0, 0},
        {"activation_dead", "activation", EMBMON_WARNING, 5, 0, 5},
        {"activation_saturated", "activation", EMBMON_WARNING, 5, 0, 0},
        {"activation_collapsed", "activation", EMBMON_WARNING, 5, 0, 0},
        {"coverage_drop", "gradient", EMBMON_WARNING, 3, 0, 0},
        {"rows_hot", "gradient", EMBMON_INFO, 5, 0, 0},
        {"rows_moved_untouched", "update", EMBMON_INFO, 1, 0, 0},
        {"embedding_dominates", "gradient", EMBMON_INFO, 3, 0, 0},
        {"embedding_collapse", "weight", EMBMON_INFO, 1, 0, 0},
        {"ids_out_of_range", "ids", EMBMON_CRITICAL, 1, 0, 0},
        {"ids_dtype", "ids", EMBMON_WARNING, 1, 0, 0},
        {"sequence_empty", "ids", EMBMON_CRITICAL, 1, 0, 0},
        {"mask_mismatch", "ids", EMBMON_WARNING, 1, 0, 1},
        {"padding_row_gradient", "gradient", EMBMON_WARNING, 1, 0, 0},
        {"ids_padding", "ids", EMBMON_WARNING, 5, 0, 0},
        {"padding_side", "ids", EMBMON_WARNING, 1, 0, 0},
        {"sequence_length_drift", "ids", EMBMON_WARNING, 2, 0, 0},
        {"rows_dead", "ids", EMBMON_INFO, 1, 0, 0},
        {"shape_mismatch", "shape", EMBMON_CRITICAL, 1, 0, 0},
        {"shape_changed", "shape", EMBMON_WARNING, 1, 0, 0},
        {"trainer_stalled", "step", EMBMON_WARNING, 1, 0, 0},
    };

    for (size_t d = 0; d < detector_count; d++) {
        size_t i = 0;

        while (i < sizeof rows / sizeof *rows && strcmp(rows[i].name, detectors[d].name) != 0)
            i++;
        if (i == sizeof rows / sizeof *rows)
            fail_msg("%s has no row in this test", detectors[d].name);
    }
    assert_int_equal(detector_count, sizeof rows / sizeof *rows);
    for (size_t i = 0; i < detector_count; i++) {
        const struct detector *d = &detectors[detector_find(rows[i].name)];

        assert_string_equal(d->name, rows[i].name);
        assert_string_equal(d->signal, rows[i].signal);
        assert_int_equal(d->severity, rows[i].severity);
        assert_int_equal(d->clauses[0].hold, rows[i].hold);
        assert_int_equal(d->clauses[0].hold_others, rows[i].hold_others);
        assert_int_equal(d->clauses[1].hold, rows[i].second_hold);
        assert_int_equal(d->clauses[1].judge != NULL, rows[i].second_hold > 0);
    }
    assert_int_equal(detector_find("gradient"), detector_count);
}

static void causes_are_judged_before_their_consequences(void **state)
{
    (void)state;
    size_t last_cause = 0, first_consequence = detector_count;

    for (size_t d = detector_count; d-- > 0;) {
        if (detectors[d].is_consequence)
            first_consequence = d;
    }
    for (size_t d = 0; d < detector_count; d++) {
        if (detectors[d].is_nonfinite)
            last_cause = d;
        assert_true(detectors[d].clauses[0].hold <= HOLD_MAX);
        assert_true(detectors[d].clauses[0].hold_others <= HOLD_MAX);
    }
    assert_true(last_cause < first_consequence);
}

/* ---- names and texts of any length */

static void a_short_name_stays_as_it_is(void **state)
{
    (void)state;
    struct short_name name;
    char path[SHORT_NAME_MAX + 1] = {0};

    memset(path, 'x', SHORT_NAME_MAX);
    assert_string_equal(short_name(&name, "tower/embedding_1"), "tower/embedding_1");
    assert_string_equal(short_name(&name, path), path);
    assert_string_equal(short_name(&name, ""), "");
}

static void a_long_name_loses_its_middle(void **state)
{
    (void)state;
    struct short_name name;
    char path[256] = {0};

    memset(path, 'x', 255);
    memcpy(path, "outer/", 6);
    memcpy(path + 242, "/embedding_17", 13);
    assert_int_equal(strlen(short_name(&name, path)), SHORT_NAME_MAX);
    assert_memory_equal(name.text, "outer/xxx", 9);
    assert_non_null(strstr(name.text, "x...x"));
    assert_string_equal(name.text + SHORT_NAME_MAX - 13, "/embedding_17");
}

static void no_character_is_cut_in_two(void **state)
{
    (void)state;
    static const char *const letters[] = {"x", "ä", "層", "𝄞"};

    for (size_t i = 0; i < 4; i++) {
        for (size_t lead = 0; lead < 4; lead++) {
            char text[3000] = {0};
            struct short_name name;
            struct finding finding;

            memset(text, '-', lead);
            while (strlen(text) < 2500)
                strcat(text, letters[i]);
            short_name(&name, text);
            assert_true(name_is_text(name.text, strlen(name.text)));
            finding_summary(&finding, "%s", text);
            finding_hint(&finding, "%s", text);
            assert_true(name_is_text(finding.summary, strlen(finding.summary)));
            assert_true(name_is_text(finding.hint, strlen(finding.hint)));
            assert_in_range(strlen(finding.summary), FINDING_SUMMARY - 5, FINDING_SUMMARY - 1);
            assert_in_range(strlen(finding.hint), FINDING_HINT - 5, FINDING_HINT - 1);
            summary_end(finding.summary, "; over at step %d", 12);
            assert_true(name_is_text(finding.summary, strlen(finding.summary)));
            assert_in_range(strlen(finding.summary), FINDING_SUMMARY - 5, FINDING_SUMMARY - 1);
            assert_non_null(strstr(finding.summary, "; over at step 12"));
        }
    }
}

/* Two layers whose paths are as long as they may be. */
static void longest_names(size_t *a, size_t *b, size_t *kernel)
{
    char path[NAME_LAYER_MAX + 1] = {0};

    memset(path, 'a', NAME_LAYER_MAX);
    *a = embedding(path);
    *kernel = variable(*a, path);
    path[0] = 'b';
    *b = dense(path);
}

static void must_be_whole(const struct finding *f)
{
    assert_in_range(strlen(f->summary), 1, FINDING_SUMMARY - 2);
    assert_in_range(strlen(f->hint), 1, FINDING_HINT - 2);
    assert_int_equal(f->hint[strlen(f->hint) - 1], '.');
}

static void whole(detect_fn *judge, size_t of)
{
    struct finding f = must_flag(judge, of);

    must_be_whole(&f);
}

static void the_longest_names_and_numbers_leave_every_sentence_whole(void **state)
{
    (void)state;
    size_t a, b, kernel;
    const double broken[] = {NAN};

    longest_names(&a, &b, &kernel);
    for (int i = 0; i < 25; i++) {
        gradient(a, 1e-150);
        gradient(b, 1e-150);
        loss(0); /* learnt: else so little would have vanished */
        step_done();
    }
    training.number = (1ULL << 53) - 10;
    gradient(a, 1e150);
    gradient(b, 1e153);
    loss(1e300);
    post_even(kernel, EMBMON_WEIGHT, 100, 1e-150);
    post_even(kernel, EMBMON_UPDATE, 100, 1e150);
    whole(gradient_exploding_norm, a);
    whole(gradient_exploding_update, a);
    whole(gradient_spike, a);
    whole(loss_diverged, DETECT_MODEL);
    step_done();
    gradient(a, 1e-150);
    gradient(b, 1e150);
    whole(gradient_vanishing, a);
    step_done();
    gradient_of_rows(a, 1e300, 0, 0);
    gradient(b, 1);
    whole(gradient_vanishing, a);
    step_done();
    post_values(0, kernel, EMBMON_GRADIENT, broken, 1);
    activation(a, INFINITY);
    loss(INFINITY);
    whole(gradient_nonfinite, a);
    whole(activation_nonfinite, a);
    whole(loss_nonfinite, DETECT_MODEL);
}

static void a_silent_finding_says_why(void **state)
{
    (void)state;
    struct finding finding = {0};

    assert_int_equal(finding_silent(&finding, "because"), VERDICT_SILENT);
    assert_string_equal(finding.silent, "because");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_names_are_the_contract_and_each_is_found),
        cmocka_unit_test(causes_are_judged_before_their_consequences),
        cmocka_unit_test(a_short_name_stays_as_it_is),
        cmocka_unit_test(a_long_name_loses_its_middle),
        cmocka_unit_test(no_character_is_cut_in_two),
        training_test(the_longest_names_and_numbers_leave_every_sentence_whole),
        cmocka_unit_test(a_silent_finding_says_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
