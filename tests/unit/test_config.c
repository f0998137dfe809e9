#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "daemon/config.h"

struct parsed {
    struct config config;
    enum config_result result;
    char problem[CONFIG_PROBLEM_MAX];
    char words[1024];
    char *argv[32];
};

/* Splits a command line at its spaces, as a shell would. */
static struct parsed *parse(const char *line)
{
    static struct parsed p;
    int argc = 0;
    p = (struct parsed){0};
    snprintf(p.words, sizeof p.words, "embmond %s", line);
    for (char *word = strtok(p.words, " "); word; word = strtok(NULL, " "))
        p.argv[argc++] = word;
    p.result = config_parse(argc, p.argv, &p.config, p.problem);
    return &p;
}

static void must_refuse(const char *line, const char *problem)
{
    struct parsed *p = parse(line);
    assert_int_equal(p->result, CONFIG_USAGE);
    assert_string_equal(p->problem, problem);
}

static void nothing_given_means_the_defaults(void **state)
{
    (void)state;
    struct parsed *p = parse("");
    assert_int_equal(p->result, CONFIG_OK);
    assert_string_equal(p->config.logdir, "./runs");
    assert_int_equal(p->config.listen_count, 0);
    assert_int_equal(p->config.level, LOG_LEVEL_INFO);
    assert_false(p->config.log_json);
    assert_null(p->config.command);
    assert_null(p->config.file);
    assert_false(p->config.test_only || p->config.logdir_given || p->config.level_given ||
                 p->config.format_given);
    assert_int_equal(p->config.ceilings.connections, 1024);
    assert_int_equal(p->config.sink_count, 0);
    config_free(&p->config);
    config_free(&p->config);
}

static void a_file_is_named_and_what_the_line_says_is_marked(void **state)
{
    (void)state;
    struct parsed *p = parse("-tc a.yaml -l runs -q --log-format json --config b.yaml");
    assert_int_equal(p->result, CONFIG_OK);
    assert_string_equal(p->config.file, "b.yaml");
    assert_true(p->config.test_only && p->config.logdir_given && p->config.level_given &&
                p->config.format_given);
    assert_true(parse("--test-config")->config.test_only);
    must_refuse("--config=", "--config: the name is empty");
    must_refuse("-c", "option --config needs a value");
}

static void every_option_is_heard(void **state)
{
    (void)state;
    struct parsed *p = parse("-l /logs --listen unix:/a --listen=unix:b -v --log-format json");
    assert_int_equal(p->result, CONFIG_OK);
    assert_string_equal(p->config.logdir, "/logs");
    assert_int_equal(p->config.listen_count, 2);
    assert_string_equal(p->config.listen[0].path, "/a");
    assert_string_equal(p->config.listen[1].path, "b");
    assert_int_equal(p->config.level, LOG_LEVEL_DEBUG);
    assert_true(p->config.log_json);
    assert_int_equal(parse("-q --log-format text")->config.level, LOG_LEVEL_WARN);
    assert_int_equal(parse("-vh")->result, CONFIG_HELP);
    assert_int_equal(parse("--version")->result, CONFIG_VERSION);
}

static void a_command_keeps_its_own_options(void **state)
{
    (void)state;
    struct parsed *p = parse("-q -- python train.py --help -- x");
    assert_int_equal(p->result, CONFIG_OK);
    assert_string_equal(p->config.command[0], "python");
    assert_string_equal(p->config.command[2], "--help");
    assert_string_equal(p->config.command[3], "--");
    assert_string_equal(p->config.command[4], "x");
    assert_null(p->config.command[5]);
}

static void what_is_not_built_yet_is_unknown(void **state)
{
    (void)state;
    must_refuse("--http :1", "unknown option --http");
}

static void wrong_values_are_named(void **state)
{
    (void)state;
    char line[256], path[128];
    must_refuse("--listen tcp:host",
                "--listen tcp:host: a tcp address ends with a port, 0 to 65535: tcp:HOST:PORT");
    must_refuse("--listen tcp:[::1]:1 --listen tcp:[::1]:1", "--listen tcp:[::1]:1: given twice");
    must_refuse("--token-file=", "--token-file: the name is empty");
    must_refuse("--log-format xml", "--log-format xml: must be text or json");
    must_refuse("--listen unix:/a --listen unix:/a", "--listen unix:/a: given twice");
    must_refuse("--logdir=", "--logdir: the name is empty");
    must_refuse("--logdir", "option --logdir needs a value");
    must_refuse("--", "a command must follow --");
    must_refuse("train.py", "unexpected argument train.py (a command to run goes after --)");

    memset(path, 'p', 107);
    path[107] = '\0';
    snprintf(line, sizeof line, "--listen unix:%s", path);
    assert_int_equal(parse(line)->result, CONFIG_OK);
    snprintf(line, sizeof line, "--listen unix:%sq", path);
    assert_int_equal(parse(line)->result, CONFIG_USAGE);
    assert_non_null(strstr(parse(line)->problem, "107 bytes"));
}

static void sixteen_addresses_are_the_limit(void **state)
{
    (void)state;
    char line[1024] = "";
    for (int i = 0; i < 16; i++)
        snprintf(line + strlen(line), sizeof line - strlen(line), "--listen=unix:%d ", i);
    assert_int_equal(parse(line)->result, CONFIG_OK);
    strcat(line, "--listen=unix:last");
    must_refuse(line, "--listen unix:last: at most 16 addresses");
}

static void the_help_text_has_every_option(void **state)
{
    (void)state;
    static const char *const words[] = {"-l, --logdir", "--listen",         "-v, --verbose",
                                        "-q, --quiet",  "--log-format",     "--version",
                                        "-h, --help",   "-- COMMAND",       "./runs",
                                        "-c, --config", "-t, --test-config"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        assert_non_null(strstr(config_help(), words[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_given_means_the_defaults),
        cmocka_unit_test(a_file_is_named_and_what_the_line_says_is_marked),
        cmocka_unit_test(every_option_is_heard),
        cmocka_unit_test(a_command_keeps_its_own_options),
        cmocka_unit_test(what_is_not_built_yet_is_unknown),
        cmocka_unit_test(wrong_values_are_named),
        cmocka_unit_test(sixteen_addresses_are_the_limit),
        cmocka_unit_test(the_help_text_has_every_option),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
