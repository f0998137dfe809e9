#include "tests/unit/config_text.h"

#include "daemon/detect/detect.h"
#include "daemon/model.h"
#include "embmon/embmon.h"
#include "proto/name.h"

/* A run's rules above those of the file. */
static struct model model;
static struct rules run_rules;
static size_t embedding, dense;

static int begin(void **state)
{
    const struct msg_layer layers[] = {
        {.path = "tower/embedding", .kind = EMBMON_EMBEDDING, .trainable = true},
        {.path = "tower/dense", .kind = EMBMON_DENSE, .trainable = true}};

    config_text_begin(state);
    if (!model_init(&model))
        return -1;
    embedding = (size_t)model_layer(&model, &layers[0]);
    dense = (size_t)model_layer(&model, &layers[1]);
    return 0;
}

static int end(void **state)
{
    rules_free(&run_rules);
    model_clear(&model);
    return config_text_end(state);
}

#define of_layers(test) cmocka_unit_test_setup_teardown(test, begin, end)

static void holds(const char *text)
{
    rules_set_base(&run_rules, &reads(text)->rules);
    assert_true(rules_resolve(&run_rules, &model));
}

static const struct limits *of(size_t layer)
{
    return rules_limits(&run_rules, layer);
}

static bool ignored(const char *detector, size_t layer)
{
    return rules_ignored(&run_rules, detector_find(detector), layer);
}

static uint32_t hold(const char *detector, size_t layer)
{
    return rules_hold(&run_rules, detector_find(detector), layer);
}

static void detectors_are_set_for_all_layers(void **state)
{
    (void)state;
    holds("detectors:\n"
          "  gradient_spike: {layer: 20, hold: 3}\n"
          "  gradient_vanishing: {ignore: true}\n"
          "  loss_diverged: {factor: 2.5, hold: 4}\n");
    assert_true(of(embedding)->spike_layer == 20 && of(dense)->spike_layer == 20);
    assert_true(of(embedding)->spike_model == limits_default.spike_model);
    assert_true(of(DETECT_MODEL)->diverged_loss == 2.5);
    assert_int_equal(hold("gradient_spike", dense), 3);
    assert_int_equal(hold("loss_diverged", DETECT_MODEL), 4);
    assert_int_equal(hold("gradient_exploding", dense), 0);
    assert_true(ignored("gradient_vanishing", embedding) && ignored("gradient_vanishing", dense));
    assert_string_equal(
        rules_why_ignored(&run_rules, detector_find("gradient_vanishing"), embedding),
        "ignored by the configuration file");
    assert_false(ignored("gradient_spike", dense));
}

static void of_the_layers_that_match_the_last_counts_key_by_key(void **state)
{
    (void)state;
    holds("layers:\n" /* below, though it stands above */
          "  - match: '*'\n"
          "    detectors: {gradient_spike: {layer: 30, model: 5}}\n"
          "  - match: tower/*\n"
          "    detectors: {gradient_spike: {layer: 40, hold: 7}}\n"
          "  - match: dense\n"
          "    detectors: {gradient_spike: {layer: 50}, gradient_vanishing: {ignore: false}}\n"
          "  - match: '*'\n"
          "    detectors: {gradient_spike: {model: 6}}\n"
          "detectors:\n"
          "  gradient_spike: {layer: 20, model: 2}\n"
          "  gradient_vanishing: {ignore: true}\n");
    assert_true(of(embedding)->spike_layer == 40 && of(dense)->spike_layer == 50);
    assert_true(of(embedding)->spike_model == 6 && of(dense)->spike_model == 6);
    assert_int_equal(hold("gradient_spike", embedding), 7);
    assert_true(ignored("gradient_vanishing", embedding));
    assert_false(ignored("gradient_vanishing", dense));
    assert_null(rules_why_ignored(&run_rules, detector_find("gradient_vanishing"), dense));
}

static void every_threshold_there_is_can_be_set(void **state)
{
    char text[256];

    (void)state;
    for (size_t k = 0; k < limit_key_count; k++) {
        struct limits expected = limits_default;

        (void)snprintf(text, sizeof text, "detectors: {%s: {%s: 77.5}}", limit_keys[k].detector,
                       limit_keys[k].key);
        holds(text);
        *(double *)(void *)((char *)&expected + limit_keys[k].offset) = 77.5;
        assert_memory_equal(of(embedding), &expected, sizeof expected);
    }
    for (size_t d = 0; d < detector_count; d++) {
        size_t layer = detectors[d].of_model ? DETECT_MODEL : dense;

        (void)snprintf(text, sizeof text, "detectors: {%s: {ignore: true, hold: %d}}",
                       detectors[d].name, HOLD_MAX);
        holds(text);
        assert_true(ignored(detectors[d].name, layer));
        assert_int_equal(hold(detectors[d].name, layer), HOLD_MAX);
        assert_true(strlen(detectors[d].name) <= DETECTOR_MAX);
    }
}

static void what_is_wrong_about_a_detector_is_named_with_its_line(void **state)
{
    (void)state;
    must_say(
        "detectors:\n  gradient_spike: {}\n  gradient_explodes: {}\n",
        "f:3: there is no detector \"gradient_explodes\": write one of activation_nonfinite, ");
    must_say("detectors:\n  gradient_explodes: {}\n", ", gradient_exploding, ");
    must_refuse(
        "detectors:\n  gradient_spike:\n    layers: 3\n",
        "3: there is no key \"layers\" in gradient_spike: write one of ignore, hold, layer, "
        "model");
    must_refuse("detectors:\n  loss_nonfinite:\n    factor: 3\n",
                "3: there is no key \"factor\" in loss_nonfinite: write one of ignore, hold");
    must_refuse("detectors:\n  gradient_spike: 8\n",
                "2: gradient_spike is \"8\": write a map of keys");
    must_refuse("detectors:\n  - gradient_spike\n", "2: detectors is a list: write a map of keys");
    must_refuse(
        "detectors:\n  gradient_spike: {layer: -1}\n",
        "2: gradient_spike.layer is \"-1\": write a finite number of 0 or more, such as 0.5 "
        "or 1e-3");
    must_refuse("detectors:\n  gradient_spike: {layer: .inf}\n",
                "2: gradient_spike.layer is \".inf\": write a finite number of 0 or more, such as "
                "0.5 or 1e-3");
    must_refuse("detectors:\n  gradient_spike: {ignore: yes}\n",
                "2: gradient_spike.ignore is \"yes\": write true or false");
    must_refuse("detectors:\n  gradient_spike: {hold: 0}\n",
                "2: gradient_spike.hold is \"0\": write a whole number from 1 to 256");
    must_refuse("detectors:\n  gradient_spike: {hold: 257}\n",
                "2: gradient_spike.hold is \"257\": write a whole number from 1 to 256");
}

static void what_is_wrong_about_layers_is_named_with_its_line(void **state)
{
    char text[600] = "layers:\n  - match: ";

    (void)state;
    must_refuse("layers: {match: a}\n",
                "1: layers is a map of keys: write a list, each item after a -");
    must_refuse("layers:\n  - a\n", "2: layers is \"a\": write a map of keys");
    must_refuse("layers:\n  - {match: a, detector: {}}\n",
                "2: there is no key \"detector\" in layers: write one of match, detectors");
    must_refuse("layers:\n  - match: ''\n    detectors: {}\n",
                "2: layers.match is an empty text: write a text");
    must_refuse("layers:\n  - match: [a]\n    detectors: {}\n",
                "2: layers.match is a list: write a text");
    must_refuse("layers:\n  - match: \"a\\nb\"\n    detectors: {}\n",
                "2: layers.match is the text \"a?b\": write at most 4095 bytes without line breaks "
                "and control characters");
    must_refuse("layers:\n  - match: a*\n    detectors:\n      loss_diverged: {factor: 3}\n",
                "4: loss_diverged judges the whole model: its layers are \"*\", not \"a*\"");
    memset(text + strlen(text), 'a', 256);
    strcat(text, "\n    detectors: {}\n");
    must_say(text, "a...\": write a pattern of at most 255 bytes");
    must_say("layers:\n  - match: *\n    detectors: {}\n", "f:2: ");
    must_say("layers:\n  - match: *emb\n    detectors: {}\n",
             "f:2: *emb is an alias: write the value itself; a pattern that begins with * goes in "
             "quotes, \"*emb\"");
    must_say("layers:\n  - match: a\n    detectors: {gradient_explodes: {}}\n",
             "f:3: there is no detector \"gradient_explodes\"");
}

static void items_and_settings_are_bounded(void **state)
{
    static char text[200000];
    size_t n;

    (void)state;
    n = (size_t)sprintf(text, "layers:\n");
    for (int i = 0; i < 257; i++)
        n += (size_t)sprintf(text + n, "- {match: a, detectors: {gradient_spike: {layer: 1}}}\n");
    must_refuse(text, "2: layers has 257 items: write 0 to 256");
    n = (size_t)sprintf(text, "layers:\n");
    for (int i = 0; i < 256; i++)
        n += (size_t)sprintf(text + n, "- {match: a, detectors: {gradient_spike: {layer: 1}, "
                                       "gradient_exploding: {layer: 1, model: 1, hold: 1}}}\n");
    reads(text);
    sprintf(text + n, "detectors: {gradient_spike: {layer: 1}}\n");
    must_say(text, "more settings of detectors than there may be (1024)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        of_layers(detectors_are_set_for_all_layers),
        of_layers(of_the_layers_that_match_the_last_counts_key_by_key),
        of_layers(every_threshold_there_is_can_be_set),
        config_test(what_is_wrong_about_a_detector_is_named_with_its_line),
        config_test(what_is_wrong_about_layers_is_named_with_its_line),
        config_test(items_and_settings_are_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
