#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "embmon/embmon.h"
#include "proto/message_check.h"
#include "tests/unit/one_of_each.h"

/* Changes one field of a good message and compares the sentence; NULL: still good. */
#define CHECK(frame_type, change, sentence)                                                        \
    do {                                                                                           \
        struct message m = one_of_each((frame_type)-1);                                            \
        const char *problem;                                                                       \
        change;                                                                                    \
        problem = message_check(&m);                                                               \
        assert_string_equal(problem ? problem : "", sentence);                                     \
    } while (0)

static char text_of[PROSE_MAX + 2]; /* 'a's */

static const char *letters(size_t n)
{
    memset(text_of, 'a', sizeof text_of);
    text_of[n] = '\0';
    return text_of;
}

static void one_of_each_is_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < ONE_OF_EACH; i++) {
        struct message m = one_of_each(i);

        assert_null(message_check(&m));
    }
}

static void an_unknown_type_is_refused(void **state)
{
    struct message m = {.type = (enum frame_type)18};

    (void)state;
    assert_string_equal(message_check(&m), "the type is unknown");
}

static void hello_is_checked(void **state)
{
    static const char range[] = "the range of protocol versions is empty";
    static const char name[] =
        "the run's name is not parts of [A-Za-z0-9_][A-Za-z0-9_.=+-]* joined by '/'";
    static const char given[] =
        "the run's given name is not parts of [A-Za-z0-9_][A-Za-z0-9_.=+-]* joined by '/'";
    static const char key[] =
        "the launch key is not at most 255 bytes of UTF-8 without control characters";
    static const char every[] = "every is neither 0 nor a power of two up to 2^20";

    (void)state;
    CHECK(FRAME_HELLO, m.hello.protocol_min = 0, range);
    CHECK(FRAME_HELLO, m.hello.protocol_min = 3, range);
    CHECK(FRAME_HELLO, m.hello.name = "", name);
    CHECK(FRAME_HELLO, m.hello.name = "../x", name);
    CHECK(FRAME_HELLO, m.hello.name = "a\xff", name);
    CHECK(FRAME_HELLO, m.hello.given = "", "");
    CHECK(FRAME_HELLO, m.hello.given = "/x", given);
    CHECK(FRAME_HELLO, m.hello.key = "", "");
    CHECK(FRAME_HELLO, m.hello.key = letters(255), "");
    CHECK(FRAME_HELLO, m.hello.key = letters(256), key);
    CHECK(FRAME_HELLO, m.hello.key = "a\n", key);
    CHECK(FRAME_HELLO, m.hello.key = "\xc0\xaf", key);
    CHECK(FRAME_HELLO, m.hello.world_size = 0, "the world size is not 1 ... 1024");
    CHECK(FRAME_HELLO, m.hello.world_size = 1025, "the world size is not 1 ... 1024");
    CHECK(FRAME_HELLO, m.hello.rank = 1024, "the rank is not below the world size");
    CHECK(FRAME_HELLO, m.hello.every = 0, "");
    CHECK(FRAME_HELLO, m.hello.every = 1, "");
    CHECK(FRAME_HELLO, m.hello.every = 3, every);
    CHECK(FRAME_HELLO, m.hello.every = 1 << 21, every);
}

static void welcome_is_checked(void **state)
{
    (void)state;
    CHECK(FRAME_WELCOME, m.welcome.protocol = 0, "the protocol version is 0");
    CHECK(FRAME_WELCOME, m.welcome.run = "",
          "the run's name is not parts of [A-Za-z0-9_][A-Za-z0-9_.=+-]* joined by '/'");
    CHECK(FRAME_WELCOME, m.welcome.next_step = STEP_MAX + 1, "the next step is above 2^53");
    CHECK(FRAME_WELCOME, m.welcome.every = 6, "every is neither 0 nor a power of two up to 2^20");
}

#define CHECK_LAYER(change, sentence)                                                              \
    CHECK(FRAME_LAYERS, struct msg_layer layer = m.layers.layers[0]; change;                       \
          m.layers.layers = &layer; m.layers.layer_count = 1, sentence)
#define CHECK_VARIABLE(change, sentence)                                                           \
    CHECK(FRAME_LAYERS, struct msg_variable variable = m.layers.variables[0]; change;              \
          m.layers.variables = &variable, sentence)

#define CHECK_THRESHOLD(change, sentence)                                                          \
    CHECK(FRAME_LAYERS, struct msg_threshold threshold = m.layers.thresholds[0]; change;           \
          m.layers.thresholds = &threshold; m.layers.threshold_count = 1, sentence)
#define CHECK_IGNORE(change, sentence)                                                             \
    CHECK(FRAME_LAYERS, struct msg_ignore ignore = m.layers.ignores[0]; change;                    \
          m.layers.ignores = &ignore; m.layers.ignore_count = 1, sentence)

static void thresholds_and_ignores_are_checked(void **state)
{
    static const char detector[] =
        "a detector's name is not 1 ... 31 bytes of UTF-8, parts joined by single '/'";
    static const char pattern[] =
        "a pattern of layers is not 1 ... 255 bytes of UTF-8 without control characters";
    static const char key[] = "a threshold's key is not 1 ... 31 of [a-z0-9_], a letter first";
    static const char many[] = "there are more than 256 thresholds or ignores";

    (void)state;
    CHECK(FRAME_LAYERS, m.layers.threshold_count = 257, many);
    CHECK(FRAME_LAYERS, m.layers.ignore_count = 257, many);
    CHECK_THRESHOLD(threshold.detector = "", detector);
    CHECK_THRESHOLD(threshold.detector = letters(31), "");
    CHECK_THRESHOLD(threshold.detector = letters(32), detector);
    CHECK_THRESHOLD(threshold.layers = "", pattern);
    CHECK_THRESHOLD(threshold.layers = letters(255), "");
    CHECK_THRESHOLD(threshold.layers = letters(256), pattern);
    CHECK_THRESHOLD(threshold.layers = "a\n", pattern);
    CHECK_THRESHOLD(threshold.layers = "//*//", "");
    CHECK_THRESHOLD(threshold.key = "", key);
    CHECK_THRESHOLD(threshold.key = "Layer", key);
    CHECK_THRESHOLD(threshold.value = (double)NAN, "a threshold is not finite");
    CHECK_THRESHOLD(threshold.value = (double)-INFINITY, "a threshold is not finite");
    CHECK_IGNORE(ignore.detector = "a//b", detector);
    CHECK_IGNORE(ignore.detector = letters(32), detector);
    CHECK_IGNORE(ignore.layers = "\x80", pattern);
}

static void layers_are_checked(void **state)
{
    static const char path[] =
        "a layer's path is not 1 ... 255 bytes of UTF-8, parts joined by single '/'";
    static const uint32_t inputs[INPUTS_MAX + 1] = {[INPUTS_MAX - 1] = ID_MAX};
    static const uint32_t far[] = {ID_MAX + 1};
    static const int64_t shape[SHAPE_MAX + 1] = {0}, negative[] = {1, -2};

    (void)state;
    CHECK(FRAME_LAYERS, m.layers.layer_count = 4097, "there are more than 4,096 layers");
    CHECK(FRAME_LAYERS, m.layers.variable_count = 16385, "there are more than 16,384 variables");
    CHECK_LAYER(layer.id = ID_MAX + 1, "a layer's id is above 2^20");
    CHECK_LAYER(layer.path = "", path);
    CHECK_LAYER(layer.path = "a//b", path);
    CHECK_LAYER(layer.path = "a\x7f", path);
    CHECK_LAYER(layer.path = letters(255), "");
    CHECK_LAYER(layer.path = letters(256), path);
    CHECK_LAYER(layer.kind = 6, "");
    CHECK_LAYER(layer.kind = 10, "a layer's kind is unknown");
    CHECK_LAYER(layer.activation = "", "");
    CHECK_LAYER(layer.activation = "\x80",
                "an activation's name is not at most 255 bytes of UTF-8 without control "
                "characters");
    CHECK_LAYER(layer.rows = STEP_MAX, "");
    CHECK_LAYER(layer.rows = STEP_MAX + 1, "a layer's rows or columns are above 2^53");
    CHECK_LAYER(layer.columns = STEP_MAX + 1, "a layer's rows or columns are above 2^53");
    CHECK_LAYER((layer.inputs = inputs, layer.input_count = INPUTS_MAX), "");
    CHECK_LAYER((layer.inputs = inputs, layer.input_count = INPUTS_MAX + 1),
                "a layer has more than 64 inputs");
    CHECK_LAYER((layer.inputs = far, layer.input_count = 1), "an input's id is above 2^20");
    CHECK_LAYER(layer.mask = EMBMON_MASK_MISSED, "");
    CHECK_LAYER(layer.mask = EMBMON_MASK_MISSED + 1, "what became of a layer's mask is unknown");
    CHECK_LAYER((layer.shape = shape, layer.shape_length = SHAPE_MAX), "");
    CHECK_LAYER((layer.shape = shape, layer.shape_length = SHAPE_MAX + 1),
                "a shape has more than 8 dimensions");
    CHECK_LAYER((layer.shape = negative, layer.shape_length = 2),
                "a dimension of a shape is below -1");
    CHECK_LAYER(layer.dtype = 8, "");
    CHECK_LAYER(layer.dtype = 9, "a dtype is unknown");
}

static void variables_are_checked(void **state)
{
    static const char name[] =
        "a variable's name is not 1 ... 255 bytes of UTF-8, parts joined by single '/'";

    (void)state;
    CHECK_VARIABLE(variable.id = ID_MAX + 1, "a variable's id is above 2^20");
    CHECK_VARIABLE(variable.layer = ID_MAX + 1, "a variable's id is above 2^20");
    CHECK_VARIABLE(variable.name = "", name);
    CHECK_VARIABLE(variable.name = "/kernel", name);
    CHECK_VARIABLE(variable.shape_length = SHAPE_MAX + 1, "a shape has more than 8 dimensions");
    CHECK_VARIABLE(variable.dtype = 9, "a dtype is unknown");
}

static void places_are_checked(void **state)
{
    static const char sequence[] = "the sequence number is 0";
    static const char phase[] = "the phase is none of 1 (training), 2 (validation), 3 (inference)";
    static const char step[] = "the step is not below 2^53";

    (void)state;
    CHECK(FRAME_SAMPLE, m.sample.sequence = 0, sequence);
    CHECK(FRAME_SAMPLE, m.sample.phase = 0, phase);
    CHECK(FRAME_SAMPLE, m.sample.phase = 4, phase);
    CHECK(FRAME_SAMPLE, m.sample.step = STEP_MAX, step);
    CHECK(FRAME_SCALAR, m.scalar.sequence = 0, sequence);
    CHECK(FRAME_SCALAR, m.scalar.phase = 0, phase);
    CHECK(FRAME_SCALAR, m.scalar.step = STEP_MAX, step);
    CHECK(FRAME_STEP_END, m.step_end.sequence = 0, sequence);
    CHECK(FRAME_STEP_END, m.step_end.phase = UINT32_MAX, phase);
    CHECK(FRAME_STEP_END, m.step_end.step = UINT64_MAX, step);
    CHECK(FRAME_IDS, m.ids.sequence = 0, sequence);
    CHECK(FRAME_IDS, m.ids.phase = 0, phase);
    CHECK(FRAME_IDS, m.ids.step = STEP_MAX, step);
    CHECK(FRAME_SHAPE, m.shape.sequence = 0, sequence);
    CHECK(FRAME_SHAPE, m.shape.phase = 4, phase);
    CHECK(FRAME_SHAPE, m.shape.step = STEP_MAX, step);
    CHECK(FRAME_EPOCH, m.epoch.sequence = 0, sequence);
    CHECK(FRAME_EPOCH, m.epoch.step = STEP_MAX, step);
    CHECK(FRAME_EPOCH, m.epoch.epoch = STEP_MAX, "the epoch is not below 2^53");
}

static void samples_and_scalars_are_checked(void **state)
{
    static const char signal[] =
        "the signal is none of 1 (gradient), 2 (activation), 3 (weight), 4 (update)";
    static const char name[] =
        "a scalar's name is not 1 ... 255 bytes of UTF-8, parts joined by single '/'";

    (void)state;
    CHECK(FRAME_SAMPLE, m.sample.target = ID_MAX + 1, "the target's id is above 2^20");
    CHECK(FRAME_SAMPLE, m.sample.signal = 0, signal);
    CHECK(FRAME_SAMPLE, m.sample.signal = 5, signal);
    CHECK(FRAME_SAMPLE, m.sample.summary.parts = 0, "the summary has no parts");
    CHECK(FRAME_SAMPLE, m.sample.summary.count++, "the counts do not add up to count");
    CHECK(FRAME_SAMPLE, (m.sample.summary = (struct summary){.parts = 1}), ""); /* empty tensor */
    CHECK(FRAME_SCALAR, m.scalar.value = NAN, "");
    CHECK(FRAME_SCALAR, m.scalar.name = "", name);
    CHECK(FRAME_SCALAR, m.scalar.name = "loss/", name);
    CHECK(FRAME_SCALAR, m.scalar.name = "lo\nss", name);
}

static void ids_are_checked(void **state)
{
    static const char input[] =
        "the input's name is not 1 ... 255 bytes of UTF-8, parts joined by single '/'";
    static const char words[] = "a word is not 1 ... 64 bytes of UTF-8 without control characters";
    struct ids_word word[] = {{1, "w"}, {2, "w"}}; /* as many as there were */

    (void)state;
    CHECK(FRAME_IDS, m.ids.target = ID_MAX + 1, "the target's id is above 2^20");
    CHECK(FRAME_IDS, m.ids.input = "", "");
    CHECK(FRAME_IDS, m.ids.input = letters(255), "");
    CHECK(FRAME_IDS, m.ids.input = letters(256), input);
    CHECK(FRAME_IDS, m.ids.input = "a//b", input);
    CHECK(FRAME_IDS, m.ids.dtype = 1, "");
    CHECK(FRAME_IDS, m.ids.dtype = 0, "a dtype is unknown");
    CHECK(FRAME_IDS, m.ids.dtype = 9, "a dtype is unknown");
    CHECK(FRAME_IDS, m.ids.stats.unique = 641, "there are more distinct ids than ids");
    CHECK(FRAME_IDS, (m.ids.stats = (struct ids_stats){0}), ""); /* an empty batch */
    CHECK(FRAME_IDS, m.ids.words = (word[1].word = letters(64), word), "");
    CHECK(FRAME_IDS, m.ids.words = (word[1].word = letters(65), word), words);
    CHECK(FRAME_IDS, m.ids.words = (word[1].word = "", word), words);
    CHECK(FRAME_IDS, m.ids.words = (word[1].word = "a\nb", word), words);
    CHECK(FRAME_IDS, m.ids.words = (word[1].word = "\xff", word), words);
}

static void shapes_are_checked(void **state)
{
    static const int64_t dims[SHAPE_MAX + 1] = {0}, negative[] = {3, -2};
    static const char role[] = "the role is none of 1 (input), 2 (output), 3 (gradient)";
    static const char index[] = "the input's index is not below their number, at most 64";
    static const char inputs[] = "an input has no number of inputs, or another shape has one";

    (void)state;
    CHECK(FRAME_SHAPE, m.shape.target = ID_MAX + 1, "the target's id is above 2^20");
    CHECK(FRAME_SHAPE, m.shape.role = 0, role);
    CHECK(FRAME_SHAPE, m.shape.role = 4, role);
    CHECK(FRAME_SHAPE, m.shape.role = 2, inputs);
    CHECK(FRAME_SHAPE, m.shape.inputs = 0, inputs);
    CHECK(FRAME_SHAPE, (m.shape.role = 3, m.shape.inputs = m.shape.index = 0), "");
    CHECK(FRAME_SHAPE, (m.shape.role = 3, m.shape.inputs = 0, m.shape.index = 1), index);
    CHECK(FRAME_SHAPE, m.shape.index = 64, index);
    CHECK(FRAME_SHAPE, m.shape.inputs = 63, index);
    CHECK(FRAME_SHAPE, m.shape.inputs = 65, index);
    CHECK(FRAME_SHAPE, m.shape.axis = 7, "");
    CHECK(FRAME_SHAPE, m.shape.axis = 8, "the axis is not -8 ... 7");
    CHECK(FRAME_SHAPE, m.shape.axis = -9, "the axis is not -8 ... 7");
    CHECK(FRAME_SHAPE, (m.shape.dims = dims, m.shape.dim_count = SHAPE_MAX), "");
    CHECK(FRAME_SHAPE, (m.shape.dims = dims, m.shape.dim_count = SHAPE_MAX + 1),
          "a shape has more than 8 dimensions");
    CHECK(FRAME_SHAPE, (m.shape.dims = negative, m.shape.dim_count = 2),
          "a dimension of a shape is below -1");
    CHECK(FRAME_SHAPE, m.shape.dtype = 0, "");
    CHECK(FRAME_SHAPE, m.shape.dtype = 9, "a dtype is unknown");
}

static void what_the_daemon_says_is_checked(void **state)
{
    static const char steps[] = "a step is not below 2^53";
    static const char texts[] = "the summary or the hint is not at most 4,096 bytes of UTF-8";
    static const char words[] = "the signal or the reason is not at most 255 bytes of UTF-8";
    static const char layer[] = "the layer or the variable is not 1 ... 255 bytes of UTF-8";

    (void)state;
    CHECK(FRAME_NACK, m.nack.reason = 0, "the reason is 0");
    CHECK(FRAME_NACK, m.nack.reason = 99, ""); /* of a newer daemon */
    CHECK(FRAME_NACK, m.nack.detail = letters(PROSE_MAX), "");
    CHECK(FRAME_NACK, m.nack.detail = letters(PROSE_MAX + 1),
          "the detail is not at most 4,096 bytes of UTF-8 without control characters");
    CHECK(FRAME_NOTICE, m.notice.phase = 0,
          "the phase is none of 1 (training), 2 (validation), 3 (inference)");
    CHECK(FRAME_NOTICE, m.notice.layer = "", "");
    CHECK(FRAME_NOTICE, m.notice.layer = "/", layer);
    CHECK(FRAME_NOTICE, m.notice.variable = "\xff", layer);
    CHECK(FRAME_NOTICE, m.notice.signal = letters(256), words);
    CHECK(FRAME_NOTICE, m.notice.reason = "\x01", words);
    CHECK(FRAME_NOTICE, m.notice.detector = "", "the detector is not 1 ... 255 bytes of UTF-8");
    CHECK(FRAME_NOTICE, m.notice.severity = 0,
          "the severity is none of 1 (info), 2 (warning), 3 (critical)");
    CHECK(FRAME_NOTICE, m.notice.severity = 4,
          "the severity is none of 1 (info), 2 (warning), 3 (critical)");
    CHECK(FRAME_NOTICE, m.notice.state = 3,
          "the state is none of 0 (resolved), 1 (pending), 2 (firing)");
    CHECK(FRAME_NOTICE, m.notice.step = STEP_MAX, steps);
    CHECK(FRAME_NOTICE, m.notice.first_step = STEP_MAX, steps);
    CHECK(FRAME_NOTICE, m.notice.value = NAN, "");
    CHECK(FRAME_NOTICE, m.notice.summary = "a\nb", texts);
    CHECK(FRAME_NOTICE, m.notice.hint = letters(PROSE_MAX + 1), texts);
    CHECK(FRAME_WISH, m.wish.steps = WISH_MAX + 1, "the wish is for more than 65,536 steps");
    CHECK(FRAME_WISH, m.wish.layer = "", "");
    CHECK(FRAME_WISH, m.wish.layer = "a/", "the layer is not 1 ... 255 bytes of UTF-8");
    CHECK(FRAME_REPLY, m.reply.length = TEXT_MAX, "");
    CHECK(FRAME_REPLY, m.reply.length = TEXT_MAX + 1, "the text is longer than 64 KiB");
}

static void queries_are_checked(void **state)
{
    static const char text[] =
        "the query or the run is not at most 512 bytes of UTF-8 without control characters";

    (void)state;
    CHECK(FRAME_QUERY, m.query.run = "", "");
    CHECK(FRAME_QUERY, m.query.run = "no such run", ""); /* gets an answer */
    CHECK(FRAME_QUERY, m.query.name = letters(256), text);
    CHECK(FRAME_QUERY, m.query.run = letters(513), text);
    CHECK(FRAME_QUERY, m.query.run = "a\r", text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_of_each_is_good),
        cmocka_unit_test(an_unknown_type_is_refused),
        cmocka_unit_test(hello_is_checked),
        cmocka_unit_test(welcome_is_checked),
        cmocka_unit_test(layers_are_checked),
        cmocka_unit_test(thresholds_and_ignores_are_checked),
        cmocka_unit_test(variables_are_checked),
        cmocka_unit_test(places_are_checked),
        cmocka_unit_test(samples_and_scalars_are_checked),
        cmocka_unit_test(ids_are_checked),
        cmocka_unit_test(shapes_are_checked),
        cmocka_unit_test(what_the_daemon_says_is_checked),
        cmocka_unit_test(queries_are_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
