#include "tests/unit/config_text.h"

#include "daemon/config_keys.h"

static void every_row_of_the_table_can_be_found_and_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];

        assert_ptr_equal(config_find_key(key->section, key->name), key); /* none stands twice */
        assert_non_null(key->read);
        assert_true(strlen(key->name) <= CONFIG_KEY_MAX && strlen(key->section) <= CONFIG_KEY_MAX);
        assert_true(key->least <= key->most || key->most == 0);
    }
    assert_null(config_find_key("", "runs"));
    assert_null(config_find_key("limits", "logdir"));
}

static void an_unknown_key_is_told_which_there_are(void **state)
{
    (void)state;
    must_refuse(
        "log: {level: info}\nlogdirs: a\n",
        "2: there is no key \"logdirs\": write one of logdir, listen, token_file, log, detectors, "
        "layers, limits, sinks, tensorboard_url");
    must_refuse(
        "limits:\n  runs: 1\n  run: 1\n",
        "3: there is no key \"run\" in limits: write one of connections, tcp_connections, "
        "unproven_connections, failed_proofs, handshake_seconds, frame_seconds, "
        "silence_seconds, output_bytes, buffer_bytes, frame_bytes, inflated_bytes, "
        "message_bytes, runs, ranks, layers, all_layers, alerts, all_alerts, run_bytes, "
        "memory_bytes, idle_seconds, file_bytes, keep_free_bytes, logdir_bytes, pending_bytes");
    must_refuse("log:\n  colour: true\n",
                "2: there is no key \"colour\" in log: write one of level, format");
    must_refuse("Logdir: a\n",
                "1: there is no key \"Logdir\": write one of logdir, listen, token_file, log, "
                "detectors, layers, limits, sinks, tensorboard_url");
    must_refuse("<<: {logdir: a}\n",
                "1: there is no key \"<<\": write one of logdir, listen, token_file, log, "
                "detectors, layers, limits, sinks, tensorboard_url");
}

static void a_key_that_stands_twice_is_named_with_both_lines(void **state)
{
    (void)state;
    must_refuse("logdir: a\nlog: {level: info}\nlogdir: b\n",
                "3: \"logdir\" stands here again, after line 1: write it once");
    must_refuse("limits:\n  runs: 1\n  \"runs\": 1\n",
                "3: \"runs\" stands here again, after line 2: write it once");
    must_refuse("detectors:\n  gradient_spike: {layer: 1, layer: 1}\n",
                "2: \"layer\" stands here again, after line 2: write it once");
    must_refuse("detectors:\n  gradient_spike: {layer: 1}\n  gradient_spike: {model: 1}\n",
                "3: \"gradient_spike\" stands here again, after line 2: write it once");
}

static void a_key_that_is_no_name_is_refused(void **state)
{
    (void)state;
    must_refuse("? [a, b]\n: c\n", "1: a key is a list or a map: write its name");
    must_refuse("limits:\n  ? {a: b}\n  : c\n", "2: a key is a list or a map: write its name");
}

static void what_is_no_map_is_refused(void **state)
{
    (void)state;
    must_refuse("- logdir\n", "1: the file is a list: write a map of keys");
    must_refuse("logdir\n", "1: the file is \"logdir\": write a map of keys");
    must_refuse("log: info\n", "1: log is \"info\": write a map of keys");
    must_refuse("log:\nlogdir: a\n", "1: log has no value: write a map of keys");
    must_refuse("limits: [runs]\n", "1: limits is a list: write a map of keys");
}

static void a_required_key_is_missed(void **state)
{
    (void)state;
    must_refuse("layers:\n  - match: a\n", "2: layers has no key \"detectors\": add it");
    must_refuse("layers:\n  - detectors: {}\n", "2: layers has no key \"match\": add it");
    must_refuse("sinks:\n  - webhook: {name: a}\n", "2: webhook has no key \"url\": add it");
    must_refuse("sinks:\n  - exec: {name: a}\n", "2: exec has no key \"command\": add it");
}

static void a_long_or_odd_key_is_shown_short_and_harmless(void **state)
{
    char text[400] = "\"a\\x1b[1m";

    (void)state;
    memset(text + strlen(text), 'k', 300);
    strcat(text, "\": 1\n");
    must_say(text, "1: there is no key \"a?[1mkkk");
    must_say(text, "kkk...\": write one of logdir");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        config_test(every_row_of_the_table_can_be_found_and_named),
        config_test(an_unknown_key_is_told_which_there_are),
        config_test(a_key_that_stands_twice_is_named_with_both_lines),
        config_test(a_key_that_is_no_name_is_refused),
        config_test(what_is_no_map_is_refused),
        config_test(a_required_key_is_missed),
        config_test(a_long_or_odd_key_is_shown_short_and_harmless),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
