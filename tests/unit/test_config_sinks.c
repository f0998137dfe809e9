#include "tests/unit/config_text.h"

#include "embmon/embmon.h"

static void a_sink_has_its_defaults(void **state)
{
    const struct config *config = reads("sinks:\n"
                                        "  - webhook: {url: 'http://localhost:9093'}\n"
                                        "  - exec: {command: [/bin/mail]}\n");
    const struct sink_options *webhook = &config->sinks[0], *exec = &config->sinks[1];

    (void)state;
    assert_int_equal(config->sink_count, 2);
    assert_int_equal(webhook->kind, SINK_WEBHOOK);
    assert_string_equal(webhook->name, "webhook");
    assert_string_equal(webhook->url, "http://localhost:9093");
    assert_int_equal(webhook->format, WEBHOOK_API_V2);
    assert_int_equal(webhook->severity, EMBMON_WARNING);
    assert_int_equal(webhook->resend_s, 60);
    assert_int_equal(webhook->timeout_ms, 5000);
    assert_int_equal(webhook->a_minute, 20);
    assert_int_equal(exec->a_minute, 20);
    assert_null(webhook->token_file);
    assert_null(webhook->argv);
    assert_int_equal(exec->kind, SINK_EXEC);
    assert_string_equal(exec->name, "exec");
    assert_string_equal(exec->argv[0], "/bin/mail");
    assert_null(exec->argv[1]);
    assert_int_equal(exec->severity, EMBMON_WARNING);
    assert_int_equal(exec->timeout_ms, 5000);
    assert_null(exec->url);
}

static void every_key_of_a_sink_is_heard(void **state)
{
    const struct config *config =
        reads("sinks:\n"
              "  - webhook: {name: a, url: 'https://h/x', format: alertmanager-webhook,\n"
              "              severity: info, resend: 7, timeout: 0.25, token_file: /t,\n"
              "              per_minute: 1, allow_private: true}\n"
              "  - webhook: {name: b, url: 'https://h', format: alertmanager-api}\n"
              "  - exec: {command: [/bin/x, -a, 'b c', \"5\"], severity: critical, timeout: 60,\n"
              "           per_minute: 600}\n");
    const struct sink_options *sink = config->sinks;

    (void)state;
    assert_int_equal(config->sink_count, 3);
    assert_string_equal(sink[0].name, "a");
    assert_string_equal(sink[0].url, "https://h/x");
    assert_int_equal(sink[0].format, WEBHOOK_RECEIVER_V4);
    assert_int_equal(sink[0].severity, EMBMON_INFO);
    assert_int_equal(sink[0].resend_s, 7);
    assert_int_equal(sink[0].timeout_ms, 250);
    assert_int_equal(sink[0].a_minute, 1);
    assert_true(sink[0].allow_private);
    assert_false(sink[1].allow_private);
    assert_int_equal(sink[2].a_minute, 600);
    assert_string_equal(sink[0].token_file, "/t");
    assert_int_equal(sink[1].format, WEBHOOK_API_V2);
    assert_int_equal(sink[2].severity, EMBMON_CRITICAL);
    assert_int_equal(sink[2].timeout_ms, 60000);
    assert_string_equal(sink[2].argv[2], "b c");
    assert_string_equal(sink[2].argv[3], "5");
    assert_null(sink[2].argv[4]);
}

static void what_is_wrong_about_a_sink_is_named_with_its_line(void **state)
{
    (void)state;
    must_refuse("sinks: {webhook: {}}\n",
                "1: sinks is a map of keys: write a list, each item after a -");
    must_refuse("sinks:\n  - webhook\n",
                "2: sinks is \"webhook\": write one key to an item, webhook or exec");
    must_refuse("sinks:\n  - webhook: {url: 'http://h'}\n    exec: {command: [/x]}\n",
                "2: sinks is a map of keys: write one key to an item, webhook or exec");
    must_refuse("sinks:\n  - mail: {}\n",
                "2: there is no key \"mail\" in sinks: write one of webhook, exec");
    must_refuse("sinks:\n  - webhook:\n      url: 'http://me:secret@h/'\n",
                "3: webhook.url: write a host of at most 253 bytes without a user before it; a "
                "bearer token goes into token_file");
    must_refuse("sinks:\n  - exec: {command: [/x], per_minute: 0}\n",
                "2: exec.per_minute is \"0\": write a whole number from 1 to 600");
    must_refuse("sinks:\n  - exec: {command: [/x], per_minute: 601}\n",
                "2: exec.per_minute is \"601\": write a whole number from 1 to 600");
    must_refuse("sinks:\n  - webhook:\n", "2: sinks.webhook has no value: write a map of keys");
    must_refuse("sinks:\n  - webhook: {url: 'h:9093'}\n",
                "2: webhook.url is the text \"h:9093\": write http://HOST... or https://HOST... in "
                "ASCII");
    must_refuse("sinks:\n  - webhook: {url: 'http://h', format: slack}\n",
                "2: webhook.format is \"slack\": write one of alertmanager-api, "
                "alertmanager-webhook");
    must_refuse("sinks:\n  - webhook: {url: 'http://h', severity: error}\n",
                "2: webhook.severity is \"error\": write one of info, warning, critical");
    must_refuse("sinks:\n  - webhook: {url: 'http://h', resend: 0}\n",
                "2: webhook.resend is \"0\": write a whole number from 1 to 86400");
    must_refuse("sinks:\n  - webhook: {url: 'http://h', timeout: 61}\n",
                "2: webhook.timeout is \"61\": write a number of seconds from 0.1 to 60");
    must_refuse("sinks:\n  - webhook: {url: 'http://h', token_file: ''}\n",
                "2: webhook.token_file is an empty text: write a text");
    must_refuse("sinks:\n  - exec: {command: /bin/x}\n",
                "2: exec.command is \"/bin/x\": write a list, each item after a -");
    must_refuse("sinks:\n  - exec: {command: []}\n", "2: exec.command has 0 items: write 1 to 64");
    must_refuse("sinks:\n  - exec:\n      command:\n        - mail\n",
                "4: exec.command is \"mail\": write the program's absolute path, beginning with /");
    must_refuse("sinks:\n  - exec: {command: [/x, 5]}\n",
                "2: exec.command is \"5\": write a text; if this is meant as one, in quotes");
    must_refuse(
        "sinks:\n  - exec: {command: [/x], resend: 5}\n",
        "2: there is no key \"resend\" in exec: write one of name, command, severity, per_minute, "
        "timeout");
}

static void names_differ(void **state)
{
    (void)state;
    must_refuse("sinks:\n"
                "  - webhook: {url: 'http://a'}\n"
                "  - webhook: {url: 'http://b'}\n",
                "3: two sinks are called \"webhook\": give this one a name of its own");
    must_refuse("sinks:\n"
                "  - webhook: {url: 'http://a', name: exec}\n"
                "  - exec: {command: [/x]}\n",
                "3: two sinks are called \"exec\": give this one a name of its own");
    must_refuse("sinks:\n"
                "  - exec: {command: [/x], name: "
                "'12345678901234567890123456789012345678901234567890123456789012345'}\n",
                "2: exec.name is the text "
                "\"123456789012345678901234567890123456789012345678901234567890...\": write a name "
                "of at most 64 bytes");
}

static void sixteen_sinks_are_the_limit(void **state)
{
    char text[2048] = "sinks:\n";

    (void)state;
    assert_int_equal(reads("sinks: []\n")->sink_count, 0);
    for (int i = 0; i < 16; i++)
        sprintf(text + strlen(text), "  - exec: {command: [/x], name: s%d}\n", i);
    assert_int_equal(reads(text)->sink_count, 16);
    strcat(text, "  - exec: {command: [/x], name: last}\n");
    must_refuse(text, "2: sinks has 17 items: write 0 to 16");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        config_test(a_sink_has_its_defaults),
        config_test(every_key_of_a_sink_is_heard),
        config_test(what_is_wrong_about_a_sink_is_named_with_its_line),
        config_test(names_differ),
        config_test(sixteen_sinks_are_the_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
