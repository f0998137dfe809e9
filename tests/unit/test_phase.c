#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>

#include "daemon/tensorboard/phase.h"
#include "embmon/embmon.h"
#include "tests/unit/folder.h"

static struct tag_writer writer;
static struct model model;
static struct phase_windows *windows;

static void declare(const char *path)
{
    struct msg_layer layer = {.path = path, .kind = EMBMON_EMBEDDING, .rows = 4, .columns = 2};

    assert_true(model_layer(&model, &layer) >= 0);
    assert_non_null(phase_windows(&windows, &model));
}

static int begin(void **state)
{
    const char *problem;

    windows = NULL;
    if (folder_make(state) < 0 || !model_init(&model))
        return -1;
    writer =
        (struct tag_writer){.file = event_file_open(folder_path, 1.7e9, &problem), .wall = 1.7e9};
    return writer.file ? 0 : -1;
}

static int end(void **state)
{
    phase_windows_free(windows);
    model_clear(&model);
    (void)event_file_close(writer.file);
    return folder_remove(state);
}

/* Fills a window over two steps without recording it: its stride is then above 1. */
static void fill(struct scalar_window *w, uint64_t step)
{
    ladder_init(&w->ladder, LADDER_SCALARS);
    w->ladder.stride = 1024;
    assert_false(scalar_window_add(w, step - 1, 1));
    assert_false(scalar_window_add(w, step, 3));
}

static int64_t last(const char *tag)
{
    return event_file_last_step(writer.file, tag);
}

static void windows_keep_their_content_when_layers_are_added(void **state)
{
    size_t bytes;

    (void)state;
    declare("a");
    fill(&windows->layers[0].rms, 9);
    bytes = phase_windows_bytes(windows);
    for (int i = 0; i < 100; i++) {
        char path[8];

        (void)snprintf(path, sizeof path, "b%d", i);
        declare(path);
    }
    assert_int_equal(windows->layer_count, 101);
    assert_int_equal(windows->variable_count, 101);
    assert_int_equal(windows->layers[0].rms.steps, 2);
    assert_int_equal(windows->layers[100].rms.steps, 0);
    assert_true(phase_windows_bytes(windows) > bytes);
}

static void a_burst_writes_the_layers_own_windows_and_no_others(void **state)
{
    (void)state;
    declare("a"), declare("b");
    fill(&windows->layers[0].coverage, 9);
    fill(&windows->variables[0].update_ratio, 9);
    fill(&windows->layers[1].rms, 9);
    fill(&windows->model_norm, 9);
    phase_burst(&writer, windows, EMBMON_TRAIN, &model, "a");
    assert_int_equal(last("embedding/coverage/a"), 9);
    assert_int_equal(last("update_ratio/a"), 9);
    assert_int_equal(last("gradient_rms/b"), -1);
    assert_int_equal(last("gradient_norm/all"), -1);
    assert_int_equal(windows->layers[0].coverage.ladder.burst, LADDER_BURST);
    assert_int_equal(windows->layers[1].rms.ladder.burst, 0);

    phase_burst(&writer, windows, EMBMON_TRAIN, &model, "");
    assert_int_equal(last("gradient_norm/all"), 9);
    assert_int_equal(last("gradient_rms/b"), -1);
}

static void the_end_writes_everything_once(void **state)
{
    (void)state;
    declare("a");
    fill(&windows->layers[0].norm, 9);
    fill(&windows->layers[0].touched, 9);
    fill(&windows->scalars[SCALAR_LOSS], 9);
    phase_finish(&writer, windows, EMBMON_VALIDATE, &model);
    assert_int_equal(last("validation/gradient_norm/a"), 9);
    assert_int_equal(last("validation/gradient_norm_max/a"), 9);
    assert_int_equal(last("validation/embedding/rows_touched/a"), 9);
    assert_int_equal(last("validation/loss"), 9);
    assert_int_equal(windows->layers[0].norm.steps, 0);
}

/* What is not written, for space has run out, is not forgotten either. */
static void what_waits_for_space_is_kept_at_the_end(void **state)
{
    struct histogram_window *window;
    struct summary two = {.count = 2, .zeros = 2, .parts = 1};

    (void)state;
    declare("a");
    window = &windows->variables[0].signals[EMBMON_GRADIENT - 1];
    assert_true(histogram_window_add(window, 9, &two));
    writer.thrift = THRIFT_HISTOGRAMS;
    phase_finish(&writer, windows, EMBMON_TRAIN, &model);
    assert_int_equal(last("gradients/a"), -1);
    assert_int_equal(window->steps, 1);
    assert_int_equal(window->summary->count, 2);
    writer.thrift = THRIFT_NONE;
    phase_finish(&writer, windows, EMBMON_TRAIN, &model);
    assert_int_equal(last("gradients/a"), 9);
    assert_null(window->summary);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_waits_for_space_is_kept_at_the_end, begin, end),
        cmocka_unit_test_setup_teardown(windows_keep_their_content_when_layers_are_added, begin,
                                        end),
        cmocka_unit_test_setup_teardown(a_burst_writes_the_layers_own_windows_and_no_others, begin,
                                        end),
        cmocka_unit_test_setup_teardown(the_end_writes_everything_once, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
