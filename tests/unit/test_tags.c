#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>

#include "daemon/tensorboard/tags.h"
#include "embmon/embmon.h"
#include "proto/name.h"
#include "tests/unit/folder.h"
#include "tests/unit/values.h"

static struct tag_writer writer;

static int begin(void **state)
{
    const char *problem;

    if (folder_make(state) < 0)
        return -1;
    writer =
        (struct tag_writer){.file = event_file_open(folder_path, 1.7e9, &problem), .wall = 1.7e9};
    return writer.file ? 0 : -1;
}

static int end(void **state)
{
    (void)event_file_close(writer.file);
    return folder_remove(state);
}

static uint64_t events(void)
{
    struct event_file_stats stats;

    event_file_get_stats(writer.file, &stats);
    assert_int_equal(stats.late + stats.invalid, 0);
    return stats.events - 1; /* without the file's head */
}

static int64_t last(const char *tag)
{
    return event_file_last_step(writer.file, tag);
}

/* ---- names */

static void training_has_the_tags_as_given_other_phases_a_prefix(void **state)
{
    (void)state;
    char tag[TAG_MAX];

    assert_string_equal(tag_make(tag, EMBMON_TRAIN, "gradients/%s", "a/b"), "gradients/a/b");
    assert_string_equal(tag_make(tag, EMBMON_VALIDATE, "loss"), "validation/loss");
    assert_string_equal(tag_make(tag, EMBMON_INFER, "x%d", 7), "inference/x7");
    assert_string_equal(tag_join(tag, EMBMON_TRAIN, "gradients/", "a/b"), "gradients/a/b");
    assert_string_equal(tag_join(tag, EMBMON_VALIDATE, "", "loss"), "validation/loss");
    assert_int_equal(tag_phase("gradients/a/b"), EMBMON_TRAIN);
    assert_int_equal(tag_phase("scalars/validation/x"), EMBMON_TRAIN);
    assert_int_equal(tag_phase("validation/loss"), EMBMON_VALIDATE);
    assert_int_equal(tag_phase("inference/activations/inference/x"), EMBMON_INFER);
}

static void the_longest_names_fit(void **state)
{
    (void)state;
    char label[2 * (NAME_LAYER_MAX + 1)], tag[TAG_MAX];

    memset(label, 'x', sizeof label - 1);
    label[sizeof label - 1] = '\0';
    tag_make(tag, EMBMON_VALIDATE, "alerts/%s/%s", "activation_nonfinite", label);
    assert_string_equal(tag + strlen(tag) - strlen(label), label);
    tag_scalar(&writer, tag, 1, 1);
    assert_int_equal(last(tag), 1);
}

static void known_scalars_have_a_name_of_their_own(void **state)
{
    (void)state;
    struct model model;
    int clipped, other;

    assert_true(model_init(&model));
    clipped = model_scalar(&model, "clipped_fraction");
    other = model_scalar(&model, "loss_of_head");
    assert_true(clipped >= 0 && other >= 0);
    assert_string_equal(tags_scalar_group(&model, SCALAR_LOSS), "");
    assert_string_equal(tags_scalar_group(&model, SCALAR_LEARNING_RATE), "");
    assert_string_equal(tags_scalar_group(&model, SCALAR_BATCH_SIZE), "");
    assert_string_equal(tags_scalar_group(&model, (size_t)clipped), "");
    assert_string_equal(tags_scalar_group(&model, (size_t)other), "scalars/");
    model_clear(&model);
}

/* ---- values */

static void a_start_goes_before_the_first_value_once(void **state)
{
    (void)state;
    writer.start = true;
    tag_scalar(&writer, "loss", 3, 1);
    assert_false(writer.start);
    assert_int_equal(events(), 2);
    tag_text(&writer, "alerts/log", 3, "x");
    assert_int_equal(events(), 3);
}

static void a_stair_stands_on_the_step_before(void **state)
{
    (void)state;
    tag_stair(&writer, "s", 5, 0, 1);
    assert_int_equal(events(), 2);
    assert_int_equal(last("s"), 5);
    tag_stair(&writer, "s", 6, 1, 2); /* the step before is taken by the value itself */
    assert_int_equal(events(), 3);
    tag_stair(&writer, "s", 90, 2, 0);
    assert_int_equal(events(), 5);
    tag_stair(&writer, "t", 0, 0, 1); /* there is no step before */
    assert_int_equal(events(), 6);
    assert_int_equal(last("t"), 0);
}

static void an_empty_window_writes_nothing(void **state)
{
    (void)state;
    struct scalar_window scalar = {0};
    struct histogram_window histogram = {0};

    tags_window(&writer, &scalar, EMBMON_TRAIN, "", "x");
    tags_norm(&writer, &scalar, EMBMON_TRAIN, "x");
    tags_signal(&writer, &histogram, EMBMON_TRAIN, EMBMON_GRADIENT, "x");
    assert_int_equal(events(), 0);
}

/* What is written by it is what is written by its name. */
static void a_windows_tag_is_looked_up_once(void **state)
{
    (void)state;
    struct scalar_window w = {0}, wrong = {0};
    struct event_file_stats stats;

    scalar_window_add(&w, 7, 1);
    tags_window(&writer, &w, EMBMON_VALIDATE, "kind/", "a/b");
    assert_non_null(w.tag);
    assert_ptr_equal(w.tag, event_file_tag(writer.file, "validation/kind/a/b"));
    scalar_window_add(&w, 8, 1);
    tags_window(&writer, &w, EMBMON_VALIDATE, "not", "looked at");
    assert_int_equal(last("validation/kind/a/b"), 8);
    tag_scalar(&writer, "validation/kind/a/b", 9, 1);
    scalar_window_add(&w, 9, 1);
    tags_window(&writer, &w, EMBMON_VALIDATE, "kind/", "a/b"); /* late */
    scalar_window_add(&wrong, 9, 1);
    tags_window(&writer, &wrong, EMBMON_TRAIN, "kind/", "\xff");
    assert_null(wrong.tag);
    event_file_get_stats(writer.file, &stats);
    assert_int_equal(stats.events, 1 + 3);
    assert_int_equal(stats.late, 1);
    assert_int_equal(stats.invalid, 1);
}

static void a_norm_has_a_band(void **state)
{
    (void)state;
    struct scalar_window w = {0};

    scalar_window_add(&w, 7, 1);
    tags_norm(&writer, &w, EMBMON_TRAIN, "a/b");
    assert_int_equal(events(), 3);
    assert_int_equal(last("gradient_norm/a/b"), 7);
    assert_int_equal(last("gradient_norm_min/a/b"), 7);
    assert_int_equal(last("gradient_norm_max/a/b"), 7);
    assert_int_equal(w.steps, 0);
}

/* That of the whole model is called "gradient_norm/all". */
static void a_layer_called_all_is_not_taken_for_the_model(void **state)
{
    (void)state;
    struct scalar_window w = {0};

    scalar_window_add(&w, 7, 1);
    tags_norm(&writer, &w, EMBMON_TRAIN, "all");
    assert_int_equal(last("gradient_norm/all"), -1);
    assert_int_equal(last("gradient_norm//all"), 7);
    assert_int_equal(last("gradient_norm_min/all"), 7);
    assert_string_equal(tags_norm_name("all/a"), "all/a");
    assert_string_equal(tags_norm_name("a/all"), "a/all");
    assert_false(name_is_path(tags_norm_name("all")));
}

static void only_gradients_have_logarithms_too(void **state)
{
    (void)state;
    static const char *const tags[] = {"gradients/a", "activations/a", "weights/a", "updates/a"};
    const double values[] = {1, -2, 0};
    struct summary s;

    assert_true(values_summarise(&s, values, 3));
    for (uint32_t signal = 1; signal <= STEP_SIGNALS; signal++) {
        struct histogram_window w = {0};

        assert_true(histogram_window_add(&w, 4, &s));
        tags_signal(&writer, &w, EMBMON_TRAIN, signal, "a");
        assert_int_equal(last(tags[signal - 1]), 4);
        assert_int_equal(w.steps, 0);
        histogram_window_free(&w);
    }
    assert_int_equal(last("gradients_log10/a"), 4);
    assert_int_equal(events(), 5);
    summary_free(&s);
}

static void a_histogram_without_a_finite_value_is_left_out(void **state)
{
    (void)state;
    const double values[] = {NAN, INFINITY};
    struct histogram_window w = {0};
    struct summary s;

    assert_true(values_summarise(&s, values, 2));
    assert_true(histogram_window_add(&w, 4, &s));
    tags_signal(&writer, &w, EMBMON_TRAIN, EMBMON_GRADIENT, "a");
    assert_int_equal(events(), 0);
    assert_int_equal(w.steps, 0);
    histogram_window_free(&w);
    summary_free(&s);
}

/* A queue can grow faster than all of them are looked at. */
static void windows_wait_while_much_waits_for_the_disk(void **state)
{
    (void)state;
    struct histogram_window histogram = {0};
    struct scalar_window scalar = {0};
    struct summary s;
    static const double values[] = {1, -2, 0};
    static char text[(1 << 19) + 1];
    uint64_t step = 0;

    assert_true(values_summarise(&s, values, 3));
    memset(text, 'x', sizeof text - 1);
    event_file_hold(writer.file);
    assert_true(histogram_window_add(&histogram, 1, &s));
    scalar_window_add(&scalar, 1, 1);
    while (event_file_pending(writer.file) < EVENT_FILE_QUEUE / 2)
        tag_text(&writer, "text", ++step, text);
    tags_signal(&writer, &histogram, EMBMON_TRAIN, EMBMON_GRADIENT, "a");
    assert_int_equal(histogram.steps, 1);
    tags_window(&writer, &scalar, EMBMON_TRAIN, "", "x");
    assert_int_equal(last("x"), 1);
    scalar_window_add(&scalar, 2, 1);
    while (event_file_pending(writer.file) < EVENT_FILE_QUEUE / 4 * 3)
        tag_text(&writer, "text", ++step, text);
    tags_window(&writer, &scalar, EMBMON_TRAIN, "", "x");
    assert_int_equal(last("x"), 1);
    writer.last = true;
    tags_window(&writer, &scalar, EMBMON_TRAIN, "", "x");
    tags_signal(&writer, &histogram, EMBMON_TRAIN, EMBMON_GRADIENT, "a");
    assert_int_equal(last("x"), 2);
    assert_int_equal(last("gradients/a"), 1);
    histogram_window_free(&histogram);
    summary_free(&s);
}

#define with_a_file(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(training_has_the_tags_as_given_other_phases_a_prefix),
        with_a_file(the_longest_names_fit),
        cmocka_unit_test(known_scalars_have_a_name_of_their_own),
        with_a_file(a_start_goes_before_the_first_value_once),
        with_a_file(a_stair_stands_on_the_step_before),
        with_a_file(an_empty_window_writes_nothing),
        with_a_file(a_windows_tag_is_looked_up_once),
        with_a_file(a_norm_has_a_band),
        with_a_file(a_layer_called_all_is_not_taken_for_the_model),
        with_a_file(only_gradients_have_logarithms_too),
        with_a_file(a_histogram_without_a_finite_value_is_left_out),
        with_a_file(windows_wait_while_much_waits_for_the_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
