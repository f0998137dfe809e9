#include "tests/unit/training.h"

#include "daemon/alert/markdown.h"

static struct markdown text;

static int clean(void **state)
{
    markdown_free(&text);
    return training_end(state);
}

static void must_hold(const char *part)
{
    assert_non_null(text.text);
    if (!strstr(text.text, part))
        print_error("no <%s> in\n%s\n", part, text.text);
    assert_non_null(strstr(text.text, part));
}

static void must_not_hold(const char *part)
{
    if (strstr(text.text, part))
        print_error("<%s> in\n%s\n", part, text.text);
    assert_null(strstr(text.text, part));
}

static struct alert_change a_change(const char *path)
{
    return (struct alert_change){.run = "run",
                                 .phase = EMBMON_TRAIN,
                                 .layer = path,
                                 .variable = "",
                                 .signal = "gradient",
                                 .detector = "gradient_spike",
                                 .severity = EMBMON_WARNING,
                                 .state = EMBMON_FIRING,
                                 .step = 12,
                                 .first_step = 10,
                                 .reason = "",
                                 .summary = "it jumped",
                                 .hint = "look at the batch"};
}

static void a_change_is_a_headline_a_sentence_and_a_quoted_hint(void **state)
{
    (void)state;
    struct alert_change change = a_change("tower/embedding_1");

    markdown_change(&text, &change);
    assert_string_equal(text.text,
                        "**warning firing**: gradient_spike of `tower/embedding_1` at step 12 "
                        "(since 10)\n\nit jumped\n\n> look at the batch\n\n");
    assert_int_equal(text.length, strlen(text.text));
    assert_false(text.failed);
}

static void what_is_over_needs_no_advice(void **state)
{
    (void)state;
    struct alert_change change = a_change("");

    change.state = EMBMON_RESOLVED;
    markdown_change(&text, &change);
    assert_string_equal(text.text, "**warning resolved**: gradient_spike of (model) at step 12 "
                                   "(since 10)\n\nit jumped\n\n");
}

static void changes_follow_each_other_and_clearing_begins_anew(void **state)
{
    (void)state;
    struct alert_change change = a_change("a");
    size_t one;

    markdown_change(&text, &change);
    one = text.length;
    markdown_change(&text, &change);
    assert_int_equal(text.length, 2 * one);
    markdown_clear(&text);
    assert_int_equal(text.length, 0);
    markdown_change(&text, &change);
    assert_int_equal(strlen(text.text), one);
}

static void a_name_cannot_leave_its_code_span(void **state)
{
    (void)state;
    struct alert_change change = a_change("`](javascript:alert(1)) a|b <img src=x>");

    markdown_change(&text, &change);
    must_hold("`'](javascript:alert(1)) a'b <img src=x>`");
    assert_ptr_equal(strchr(text.text, '`'), strstr(text.text, "`'](java"));
    assert_ptr_equal(strrchr(text.text, '`'), strstr(text.text, "` at step"));
}

static void a_sentence_means_nothing_but_itself(void **state)
{
    (void)state;
    struct alert_change change = a_change("a");

    change.summary = "of <img src=x> & `](javascript: a|b **c** _d_ ![e](f) \\ ~~g~~ # h >";
    change.hint = "# no heading";
    markdown_change(&text, &change);
    must_hold("of &#60;img src=x&#62; &#38; &#96;\\](javascript: a&#124;b \\*\\*c\\*\\* \\_d\\_ "
              "\\!\\[e\\](f) \\\\ &#126;&#126;g&#126;&#126; \\# h &#62;\n");
    must_hold("> \\# no heading\n");
}

/* ---- the table */

static size_t lines(const char *with)
{
    size_t count = 0;

    for (const char *at = text.text; (at = strstr(at, with)); at++)
        count++;
    return count;
}

static size_t place_of(const char *part)
{
    must_hold(part);
    return (size_t)(strstr(text.text, part) - text.text);
}

static void without_alerts_the_table_is_its_head(void **state)
{
    (void)state;
    markdown_table(&text, training.alerts, EMBMON_TRAIN);
    assert_string_equal(text.text,
                        "| state | severity | detector | layer | since step | step | what |\n"
                        "|---|---|---|---|---|---|---|\n");
}

static void firing_ones_stand_before_pending_ones_before_resolved_ones(void **state)
{
    (void)state;
    size_t gone = embedding("gone"), broken = dense("broken"), starved = embedding("starved");

    gradient(gone, 0);
    step_done();
    for (int i = 0; i < 10; i++) {
        gradient(gone, 1);
        gradient(starved, 0);
        gradient(dense("last"), 1);
        step_done();
    }
    gradient(starved, 0);
    gradient_with(broken, NAN);
    gradient(dense("last"), 1);
    step_done();
    markdown_table(&text, training.alerts, EMBMON_TRAIN);
    assert_true(place_of("| firing | warning | gradient_vanishing | `starved` | 1 | 10 | every") <
                place_of("| firing | critical | gradient_nonfinite | `broken` | 11 | 11 | the"));
    assert_true(place_of("`broken`") <
                place_of("| resolved | warning | gradient_vanishing | `gone` | 0 | 10 | "));
    assert_int_equal(lines(" |\n"), 1 + 3);
    must_not_hold("more are in");
}

static void twenty_rows_are_enough_and_the_rest_is_counted(void **state)
{
    (void)state;
    char path[32];

    gradient_with(dense("broken"), NAN);
    for (int i = 0; i < 30; i++) {
        snprintf(path, sizeof path, "table_%02d", i);
        gradient_of_rows(embedding(path), 3, 0, 0);
    }
    step_done();
    markdown_table(&text, training.alerts, EMBMON_TRAIN);
    assert_int_equal(lines(" |\n"), 1 + MARKDOWN_ROWS);
    must_hold("| firing | critical | gradient_nonfinite | `broken`"); /* pending ones give way */
    must_hold("`table_29`");
    must_hold("`table_11`");
    must_not_hold("`table_10`");
    must_hold("\n11 more are in alerts.jsonl.\n");
}

static void a_resolved_alert_says_whether_it_fired(void **state)
{
    (void)state;
    gradient_with(dense("broken"), NAN);
    gradient_of_rows(embedding("starved"), 3, 0, 0);
    step_done();
    alerts_close(training.alerts, EMBMON_TRAIN, 0, training.now);
    markdown_table(&text, training.alerts, EMBMON_TRAIN);
    must_hold("| resolved (fired) | critical | gradient_nonfinite | `broken` |");
    must_hold("| resolved | warning | gradient_vanishing | `starved` |");
}

static void a_table_shows_one_phase(void **state)
{
    (void)state;
    activation(dense("trained"), NAN);
    step_done();
    training.phase = EMBMON_VALIDATE;
    activation(dense("validated"), NAN);
    step_done();
    markdown_table(&text, training.alerts, EMBMON_VALIDATE);
    must_hold("`validated`");
    must_not_hold("`trained`");
}

static void a_name_in_a_row_adds_no_column(void **state)
{
    (void)state;
    activation(dense("a|b"), NAN);
    step_done();
    markdown_table(&text, training.alerts, EMBMON_TRAIN);
    must_hold("| `a'b` | 0 | 0 | the output of a&#124;b is not");
}

#define markdown_test(test) cmocka_unit_test_setup_teardown(test, training_begin, clean)

int main(void)
{
    const struct CMUnitTest tests[] = {
        markdown_test(a_change_is_a_headline_a_sentence_and_a_quoted_hint),
        markdown_test(what_is_over_needs_no_advice),
        markdown_test(changes_follow_each_other_and_clearing_begins_anew),
        markdown_test(a_name_cannot_leave_its_code_span),
        markdown_test(a_sentence_means_nothing_but_itself),
        markdown_test(without_alerts_the_table_is_its_head),
        markdown_test(firing_ones_stand_before_pending_ones_before_resolved_ones),
        markdown_test(twenty_rows_are_enough_and_the_rest_is_counted),
        markdown_test(a_resolved_alert_says_whether_it_fired),
        markdown_test(a_table_shows_one_phase),
        markdown_test(a_name_in_a_row_adds_no_column),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
