#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/options.h"

enum { KEY_FILE = 1, KEY_LOUD, KEY_PLAIN };

static const struct option_row rows[] = {
    {'f', "file", true, KEY_FILE},
    {'v', "loud", false, KEY_LOUD},
    {0, "plain", false, KEY_PLAIN},
};

struct reader {
    struct options options;
    const char *value;
    bool dashes;
    char problem[OPTIONS_PROBLEM_MAX];
};

static struct reader start(int argc, char **argv)
{
    struct reader reader = {.value = NULL};
    options_start(&reader.options, argc, argv);
    return reader;
}

static int next(struct reader *r)
{
    return options_next(&r->options, rows, 3, &r->value, &r->dashes, r->problem);
}

#define ARGUMENTS(...)                                                                             \
    char *argv[] = {(char[]){"program"}, __VA_ARGS__, NULL};                                       \
    struct reader r = start((int)(sizeof argv / sizeof argv[0]) - 1, argv)
#define ARG(text) ((char[]){text})

static void every_way_to_write_a_value_gives_the_same(void **state)
{
    (void)state;
    ARGUMENTS(ARG("-fone"), ARG("-f"), ARG("two"), ARG("--file"), ARG("three"), ARG("--file=four"),
              ARG("--file="));
    const char *expected[] = {"one", "two", "three", "four", ""};
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(next(&r), KEY_FILE);
        assert_string_equal(r.value, expected[i]);
    }
    assert_int_equal(next(&r), OPTIONS_DONE);
    assert_false(r.dashes);
}

static void letters_can_be_bundled_and_end_with_a_value(void **state)
{
    (void)state;
    ARGUMENTS(ARG("-vvf"), ARG("name"));
    assert_int_equal(next(&r), KEY_LOUD);
    assert_int_equal(next(&r), KEY_LOUD);
    assert_int_equal(next(&r), KEY_FILE);
    assert_string_equal(r.value, "name");
    assert_int_equal(next(&r), OPTIONS_DONE);
}

static void operands_come_between_options_and_a_lone_dash_is_one(void **state)
{
    (void)state;
    ARGUMENTS(ARG("a"), ARG("--plain"), ARG("-"));
    assert_int_equal(next(&r), OPTIONS_OPERAND);
    assert_string_equal(r.value, "a");
    assert_int_equal(next(&r), KEY_PLAIN);
    assert_int_equal(next(&r), OPTIONS_OPERAND);
    assert_string_equal(r.value, "-");
}

static void what_follows_two_dashes_is_left_alone(void **state)
{
    (void)state;
    ARGUMENTS(ARG("-v"), ARG("--"), ARG("--file"), ARG("-x"));
    assert_int_equal(next(&r), KEY_LOUD);
    assert_int_equal(next(&r), OPTIONS_DONE);
    assert_true(r.dashes);
    assert_int_equal(r.options.next, 3);
}

static void unknown_options_are_named(void **state)
{
    (void)state;
    ARGUMENTS(ARG("--fil"), ARG("--files=x"), ARG("-vq"));
    assert_int_equal(next(&r), OPTIONS_UNKNOWN);
    assert_string_equal(r.problem, "unknown option --fil");
    assert_int_equal(next(&r), OPTIONS_UNKNOWN);
    assert_string_equal(r.problem, "unknown option --files");
    assert_int_equal(next(&r), KEY_LOUD);
    assert_int_equal(next(&r), OPTIONS_UNKNOWN);
    assert_string_equal(r.problem, "unknown option -q");
}

static void missing_and_superfluous_values_are_told(void **state)
{
    (void)state;
    ARGUMENTS(ARG("--plain=1"), ARG("-f"));
    assert_int_equal(next(&r), OPTIONS_BAD_VALUE);
    assert_string_equal(r.problem, "option --plain takes no value");
    assert_int_equal(next(&r), OPTIONS_BAD_VALUE);
    assert_string_equal(r.problem, "option --file needs a value");
    assert_int_equal(next(&r), OPTIONS_DONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_way_to_write_a_value_gives_the_same),
        cmocka_unit_test(letters_can_be_bundled_and_end_with_a_value),
        cmocka_unit_test(operands_come_between_options_and_a_lone_dash_is_one),
        cmocka_unit_test(what_follows_two_dashes_is_left_alone),
        cmocka_unit_test(unknown_options_are_named),
        cmocka_unit_test(missing_and_superfluous_values_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
