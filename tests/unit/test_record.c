/* What is recorded, seen by the last step of each tag; tests/test_record.py has TensorBoard's
 * readers judge the values. */
#include "tests/unit/training.h"
#include "tests/unit/folder.h"

static size_t a, b, kernel, bias;

static int open_record(void)
{
    const char *problem;

    training.record = record_open(folder_path, &training.model, training.now, &problem);
    return training.record ? 0 : -1;
}

static int begin_ranks(uint32_t world_size)
{
    if (folder_make(NULL) < 0 || training_begin_with(world_size) < 0 || open_record() < 0)
        return -1;
    a = embedding("a");
    b = dense("b");
    kernel = variable(b, "kernel");
    bias = variable(b, "bias");
    return 0;
}

static int begin(void **state)
{
    (void)state;
    return begin_ranks(1);
}

static int begin_2(void **state)
{
    (void)state;
    return begin_ranks(2);
}

static int end(void **state)
{
    (void)training_end(state);
    return folder_remove(state);
}

static void step_with(double norm_a, double norm_b)
{
    gradient(a, norm_a);
    gradient(b, norm_b);
    loss(1);
    step_done();
}

static struct event_file_stats stats(void)
{
    struct event_file_stats s;

    record_stats(training.record, &s);
    return s;
}

/* The steps of a tag in the file, read back by a reader of our own: they lie in the order written.
 */
struct found {
    uint64_t steps[4096];
    size_t count;
};

static uint64_t varint(const uint8_t **at)
{
    uint64_t value = 0;

    for (int shift = 0;; shift += 7) {
        value |= (uint64_t)(**at & 0x7f) << shift;
        if (!(*(*at)++ & 0x80))
            return value;
    }
}

static const char LAYOUT_TAG[] = "custom_scalars__config__";

/* An Event: wall time (field 1, 8 bytes), step (field 2), and somewhere its tag, length first. */
static void read_event(const uint8_t *at, size_t n, const char *tag, struct found *found)
{
    char needle[300];
    uint64_t step = 0;
    size_t length = strlen(tag);

    needle[0] = 0x0a;
    needle[1] = (char)length;
    memcpy(needle + 2, tag, length);
    if (!memmem(at, n, needle, length + 2))
        return;
    /* The dashboard names other tags in its charts. */
    if (memmem(at, n, LAYOUT_TAG, sizeof LAYOUT_TAG - 1) && strcmp(tag, LAYOUT_TAG) != 0)
        return;
    for (const uint8_t *field = at + 9; field < at + 10 && *field == 0x10;) {
        field++;
        step = varint(&field);
    }
    assert_true(found->count < 4096);
    found->steps[found->count++] = step;
}

static struct found *steps_of(const char *tag)
{
    static struct found found;
    static uint8_t data[16 << 20];
    FILE *stream;
    size_t n;

    found.count = 0;
    assert_true(record_flush(training.record));
    stream = fopen(folder_file(stats().name), "rb");
    assert_non_null(stream);
    n = fread(data, 1, sizeof data, stream);
    fclose(stream);
    for (size_t at = 0; at < n;) {
        size_t length = data[at] | (size_t)data[at + 1] << 8 | (size_t)data[at + 2] << 16;

        read_event(data + at + 12, length, tag, &found);
        at += 12 + length + 4;
    }
    for (size_t i = 1; i < found.count; i++)
        assert_true(found.steps[i] > found.steps[i - 1]);
    return &found;
}

static void must_have(const char *tag, size_t count, uint64_t last_step)
{
    struct found *found = steps_of(tag);

    if (found->count != count)
        print_error("%s has %zu values\n", tag, found->count);
    assert_int_equal(found->count, count);
    if (count > 0)
        assert_int_equal(found->steps[count - 1], last_step);
}

/* ---- what a step leaves */

static void each_signal_has_its_tags(void **state)
{
    (void)state;
    gradient(a, 1);
    post_even(kernel, EMBMON_GRADIENT, 4, 0.5);
    post_even(bias, EMBMON_GRADIENT, 2, 0.5);
    post_even(kernel, EMBMON_WEIGHT, 4, 0.5);
    post_even(kernel, EMBMON_UPDATE, 4, 0.1);
    activation(b, 2);
    loss(1);
    rate(0.1);
    batch(32);
    step_done();
    static const char *const once[] = {"gradients/a",         "gradients_log10/a",
                                       "gradients/b/kernel",  "gradients_log10/b/kernel",
                                       "gradients/b/bias",    "weights/b/kernel",
                                       "updates/b/kernel",    "activations/b",
                                       "gradient_norm/a",     "gradient_norm_min/a",
                                       "gradient_norm_max/a", "gradient_norm_low/a",
                                       "gradient_rms/b",      "nonfinite/a",
                                       "nonfinite/b",         "update_ratio/b/kernel",
                                       "gradient_norm/all",   "loss",
                                       "learning_rate",       "batch_size",
                                       "alerts/total",        "embmond/dropped",
                                       "embmond/rejected",    "embmond/events_lost",
                                       "embmond/ranks"};
    for (size_t i = 0; i < sizeof once / sizeof *once; i++)
        must_have(once[i], 1, 0);
    static const char *const none[] = {
        "gradients/b", "gradient_norm_high/a", "update_ratio/b/bias", "anomaly/a",
        "alerts/log",  "alerts/summary",       "gradient_norm/b/bias"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        must_have(none[i], 0, 0);
}

static void the_dashboard_is_written_again_when_more_layers_have_gradients(void **state)
{
    (void)state;
    gradient(a, 1);
    step_done();
    must_have(LAYOUT_TAG, 1, 0);
    for (int i = 0; i < 3; i++) {
        gradient(a, 1);
        step_done();
    }
    must_have(LAYOUT_TAG, 1, 0);
    step_with(1, 1);
    must_have(LAYOUT_TAG, 2, 4);
    step_with(1, 1);
    must_have(LAYOUT_TAG, 2, 4);
}

static void thresholds_are_shown_only_where_they_are_in_force(void **state)
{
    (void)state;
    size_t norm = layer("norm", EMBMON_NORM);

    for (int i = 0; i < 27; i++) {
        gradient(norm, 1);
        step_with(1, 1);
    }
    must_have("gradient_norm_low/a", 27, 26);
    must_have("gradient_norm_low/norm", 0, 0); /* not judged for vanishing */
    must_have("gradient_norm_high/norm", 3, 26);
    must_have("gradient_norm_high/a", 3, 26); /* once the usual norm is known */
}

static void thresholds_of_ignored_detectors_are_not_shown(void **state)
{
    const struct msg_ignore no_low = {"gradient_vanishing", "a"},
                            no_high = {"gradient_exploding", "b"};
    char problem[RULES_SENTENCE];

    (void)state;
    assert_int_equal(rules_ignore(&training.rules, &no_low, problem), 0);
    assert_int_equal(rules_ignore(&training.rules, &no_high, problem), 0);
    for (int i = 0; i < 27; i++)
        step_with(3, 1);
    must_have("gradient_norm_low/a", 0, 0); /* nothing is in force */
    must_have("gradient_norm_low/b", 27, 26);
    must_have("gradient_norm_high/b", 0, 0);
    must_have("gradient_norm_high/a", 3, 26);
}

static void other_phases_have_a_prefix_and_steps_of_their_own(void **state)
{
    (void)state;
    training.number = 50;
    step_with(1, 1);
    training.phase = EMBMON_VALIDATE;
    training.number = 3;
    activation(b, 1);
    loss(2);
    step_done();
    must_have("validation/activations/b", 1, 3);
    must_have("validation/loss", 1, 3);
    must_have("loss", 1, 50);
    assert_int_equal(record_last_step(training.record, EMBMON_TRAIN), 50);
    assert_int_equal(record_last_step(training.record, EMBMON_VALIDATE), 3);
    assert_int_equal(record_last_step(training.record, EMBMON_INFER), -1);
}

/* ---- the ladder and its bursts */

static void a_long_training_costs_a_bounded_number_of_records(void **state)
{
    (void)state;
    for (int i = 0; i < 64 * (1 + 2 + 4 + 8); i++)
        step_with(1, 1);
    must_have("gradients/a", 4 * 64, 64 * 15 - 1);
    must_have("loss", 512 + (64 * 15 - 512) / 2, 64 * 15 - 1);
}

static void an_alert_is_recorded_step_by_step_without_what_was_before(void **state)
{
    (void)state;
    struct found *found;
    size_t i = 0;

    for (int step = 0; step < 64 + 2 * 64 + 2; step++) /* two steps into a window of four */
        step_with(1, 1);
    for (int step = 0; step < 80; step++)
        step_with(0, 1);
    found = steps_of("gradients/a");
    while (found->steps[i] < 191)
        i++;
    assert_int_equal(found->steps[i], 191);     /* the last whole window */
    assert_int_equal(found->steps[i + 1], 193); /* what was open when the alert came up */
    for (uint64_t step = 194; step < 194 + 9 + 64; step++)
        assert_int_equal(found->steps[i + 2 + (step - 194)], step); /* pending, and again firing */
    assert_int_equal(found->count, i + 2 + 9 + 64 + 2); /* 267 and 271: the ladder's own places */
    must_have("anomaly/a", 50, 194 + 49);
    must_have("anomaly/b", 0, 0);
    found = steps_of("gradients/b");
    assert_int_equal(found->steps[found->count - 1], 271); /* windows of four still */
    assert_int_equal(found->count, 64 + 64 + 80 / 4);
}

/* ---- alerts */

static void an_alert_has_a_line_a_stair_a_log_and_a_table(void **state)
{
    (void)state;
    for (int i = 0; i < 15; i++)
        step_with(i < 5 ? 1 : 0, 1);
    struct found *found = steps_of("alerts/gradient_vanishing/a");
    assert_int_equal(found->count, 4); /* 0, pending; pending, firing */
    assert_int_equal(found->steps[0], 4);
    assert_int_equal(found->steps[1], 5);
    assert_int_equal(found->steps[2], 13);
    assert_int_equal(found->steps[3], 14);
    found = steps_of("alerts/total");
    assert_int_equal(found->count, 3);
    assert_int_equal(found->steps[1], 13);
    assert_int_equal(found->steps[2], 14);
    must_have("alerts/log", 2, 14);
    must_have("alerts/summary", 2, 14);
}

static void a_ranks_early_alert_is_no_later_than_the_steps_that_close_after_it(void **state)
{
    (void)state;
    const double broken = NAN;
    struct step *step;
    uint32_t rank;

    post_values(0, table(a), EMBMON_GRADIENT, &broken, 1); /* step 0, of rank 0 */
    training.number = 1;
    post_values(1, table(b), EMBMON_ACTIVATION, &broken, 1); /* step 1, of rank 1, ended first */
    assert_int_equal(steps_end(training.steps, EMBMON_TRAIN, 1, 1, training.now), STEPS_OK);
    while ((step = steps_early(training.steps, &rank))) {
        measure_now(step, rank);
        assert_true(alerts_judge_early(training.alerts, &training.measures, &training.baseline,
                                       &training.rules, training.now));
    }
    must_be("activation_nonfinite", "b", EMBMON_FIRING, 1);
    training.number = 0;
    step_done();
    must_be("gradient_nonfinite", "a", EMBMON_FIRING, 0);
    step_done();
    must_have("alerts/total", 1, 0); /* both are told of at step 0 */
    must_have("alerts/gradient_nonfinite/a", 1, 0);
    must_have("alerts/activation_nonfinite/b", 2, 1);
    assert_int_equal(stats().late, 0);
}

static void thousands_of_alerts_at_once_leave_a_log_that_can_be_shown(void **state)
{
    (void)state;
    char path[256];

    memset(path, 'x', sizeof path - 1);
    path[255] = '\0';
    for (int i = 0; i < 2000; i++) {
        (void)snprintf(path, 20, "table_%d", i);
        path[strlen(path)] = 'x';
        gradient_of_rows(embedding(path), 3, 0, 0);
    }
    step_done();
    assert_int_equal(training.told_count, 2000);
    must_have("alerts/log", 1, 0);
    must_have("alerts/summary", 1, 0);
    assert_int_equal(stats().invalid, 0);
}

static void at_the_end_open_windows_are_written(void **state)
{
    (void)state;
    for (int i = 0; i < 64 + 1; i++)
        step_with(1, 1);
    must_have("gradients/a", 64, 63);
    record_finish(training.record, training.alerts, training.now);
    must_have("gradients/a", 65, 64);
    must_have("gradients_log10/b", 65, 64);
    must_have("loss", 65, 64);
    record_finish(training.record, training.alerts, training.now); /* nothing is left */
    must_have("loss", 65, 64);
    assert_int_equal(stats().late, 0);
}

/* What is lost when no step follows any more. */
static void lose(uint64_t dropped, uint64_t rejected)
{
    struct record_losses losses = {dropped, rejected};

    record_lost(training.record, &losses, training.now);
    record_finish(training.record, training.alerts, training.now);
}

static void what_is_lost_behind_the_last_step_is_shown_behind_it(void **state)
{
    (void)state;
    lose(0, 0);
    must_have("embmond/dropped", 0, 0);
    training.losses.dropped = 1;
    for (int i = 0; i < 5; i++)
        step_with(1, 1);
    must_have("embmond/dropped", 5, 4);
    lose(1, 0); /* is shown */
    must_have("embmond/dropped", 5, 4);
    lose(3, 0);
    must_have("embmond/dropped", 6, 5);
    must_have("embmond/rejected", 5, 4);
    lose(3, 0);
    must_have("embmond/dropped", 6, 5);
    lose(4, 2); /* a trainer came, and went without a step */
    must_have("embmond/dropped", 7, 6);
    must_have("embmond/rejected", 6, 5);
    assert_int_equal(record_last_step(training.record, EMBMON_TRAIN), 4);
    must_have("loss", 5, 4);
    assert_int_equal(stats().late, 0);
}

static void what_is_lost_without_a_step_is_shown_at_the_first(void **state)
{
    (void)state;
    lose(9, 0);
    must_have("embmond/dropped", 1, 0);
    assert_int_equal(record_last_step(training.record, EMBMON_TRAIN), -1);
}

static void windows_that_wait_become_wider_and_lose_nothing(void **state)
{
    (void)state;
    step_with(1, 1);
    must_have("gradients/a", 1, 0);
    record_set_thrift(training.record, THRIFT_HISTOGRAMS);
    step_with(1, 1);
    step_with(1, 1);
    must_have("gradients/a", 1, 0);
    must_have("gradients_log10/b", 1, 0);
    must_have("loss", 3, 2);
    record_set_thrift(training.record, THRIFT_SCALARS);
    step_with(1, 1);
    must_have("gradients/a", 1, 0);
    must_have("loss", 3, 2);
    must_have("gradient_norm/a", 3, 2);
    record_set_thrift(training.record, THRIFT_NONE);
    step_with(1, 1);
    must_have("gradients/a", 2, 4); /* of the steps 1 to 4 */
    must_have("loss", 4, 4);        /* of 3 and 4 */
    must_have("gradient_norm/a", 4, 4);
    record_set_thrift(training.record, THRIFT_SCALARS);
    step_with(1, 1);
    record_finish(training.record, training.alerts,
                  training.now); /* what is at an end is written */
    must_have("gradients/a", 3, 5);
    must_have("loss", 5, 5);
    assert_int_equal(stats().late, 0);
}

static void alerts_never_wait(void **state)
{
    (void)state;
    record_set_thrift(training.record, THRIFT_SCALARS);
    for (int i = 0; i < 20; i++)
        step_with(0, 1);
    assert_true(steps_of("alerts/gradient_vanishing/a")->count > 0);
    assert_true(steps_of("alerts/log")->count > 0);
    must_have("loss", 0, 0);
}

static void closed_alerts_are_in_the_last_texts(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++)
        step_with(0, 1);
    alerts_close(training.alerts, EMBMON_TRAIN, 19, training.now);
    record_finish(training.record, training.alerts, training.now);
    must_have("alerts/log", 3, 19);
    must_have("alerts/summary", 3, 19);
    must_have("alerts/gradient_vanishing/a", 5, 19);
}

/* ---- going on */

static void a_run_goes_on_behind_its_last_step_in_a_new_file(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++)
        step_with(1, 1);
    record_close(training.record);
    assert_int_equal(open_record(), 0);
    assert_int_equal(record_last_step(training.record, EMBMON_TRAIN), 9);
    assert_int_equal(record_last_step(training.record, EMBMON_VALIDATE), -1);
    must_have("loss", 0, 0);
    training.number = 9;
    steps_set_closed(training.steps, EMBMON_TRAIN, -1);
    step_with(1, 1); /* again: nothing is written behind a later step */
    must_have("loss", 0, 0);
    assert_true(stats().late > 0);
    step_with(1, 1);
    must_have("loss", 1, 10);
}

static void memory_of_open_windows_is_counted(void **state)
{
    (void)state;
    assert_int_equal(record_bytes(training.record), 0);
    step_with(1, 1);
    size_t one = record_bytes(training.record);
    assert_true(one > 0);
    for (int i = 0; i < 100; i++)
        embedding((char[]){(char)('a' + i / 10), (char)('0' + i % 10), '\0'});
    step_with(1, 1);
    assert_true(record_bytes(training.record) > one + 100 * sizeof(struct summary));
    record_close(NULL);
}

#define recorded(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        recorded(each_signal_has_its_tags),
        recorded(the_dashboard_is_written_again_when_more_layers_have_gradients),
        recorded(thresholds_are_shown_only_where_they_are_in_force),
        recorded(thresholds_of_ignored_detectors_are_not_shown),
        recorded(other_phases_have_a_prefix_and_steps_of_their_own),
        recorded(a_long_training_costs_a_bounded_number_of_records),
        recorded(an_alert_is_recorded_step_by_step_without_what_was_before),
        recorded(an_alert_has_a_line_a_stair_a_log_and_a_table),
        cmocka_unit_test_setup_teardown(
            a_ranks_early_alert_is_no_later_than_the_steps_that_close_after_it, begin_2, end),
        recorded(thousands_of_alerts_at_once_leave_a_log_that_can_be_shown),
        recorded(at_the_end_open_windows_are_written),
        recorded(what_is_lost_behind_the_last_step_is_shown_behind_it),
        recorded(what_is_lost_without_a_step_is_shown_at_the_first),
        recorded(windows_that_wait_become_wider_and_lose_nothing),
        recorded(alerts_never_wait),
        recorded(closed_alerts_are_in_the_last_texts),
        recorded(a_run_goes_on_behind_its_last_step_in_a_new_file),
        recorded(memory_of_open_windows_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
