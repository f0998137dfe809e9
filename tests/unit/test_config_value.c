#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "daemon/config_value.h"

static char problem[YAML_PROBLEM_MAX];
static const struct value_place place = {"f", "k", problem};
static struct yaml_file *file;

static int forget(void **state)
{
    (void)state;
    yaml_file_free(file);
    file = NULL;
    return 0;
}

/* A value as it stands in a file. */
static const struct yaml_node *value(const char *text)
{
    yaml_file_free(file);
    *problem = '\0';
    file = yaml_file_parse("f", text, strlen(text), problem);
    if (!file)
        print_error("%s\n", problem);
    assert_non_null(file);
    return yaml_file_root(file);
}

static void must_be(bool result, const char *sentence)
{
    assert_false(result);
    assert_string_equal(problem, sentence);
}

static void a_number_is_finite_and_of_0_or_more(void **state)
{
    static const char *const wrong[] = {"-1",    ".5",   "1.e", "0x10", "1_000", "1,5",    "inf",
                                        ".inf",  ".nan", "nan", "NaN",  "1e999", "1e-999", "+1",
                                        "\"1\"", "'1'",  "1 2", "true", "~",     "[1]",    "{a: 1}",
                                        "''",    "1e",   "1e+", "--1",  "1:30",  "0b1",    "0o7"};
    double number;

    (void)state;
    assert_true(value_number(&place, value("0"), &number) && number == 0);
    assert_true(value_number(&place, value("-0.0"), &number) && number == 0);
    assert_true(value_number(&place, value("100"), &number) && number == 100);
    assert_true(value_number(&place, value("1e-3"), &number) && number == 1e-3);
    assert_true(value_number(&place, value("2.5E+2"), &number) && number == 250);
    assert_true(value_number(&place, value("3."), &number) && number == 3);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        if (value_number(&place, value(wrong[i]), &number))
            print_error("%s is taken for a number\n", wrong[i]);
        assert_string_not_equal(problem, "");
    }
    must_be(value_number(&place, value("\n-3"), &number),
            "f:2: k is \"-3\": write a finite number of 0 or more, such as 0.5 or 1e-3");
    must_be(value_number(&place, value("'3'"), &number),
            "f:1: k is the text \"3\": write a finite number of 0 or more, such as 0.5 or 1e-3");
}

static void a_whole_number_is_digits_within_its_range(void **state)
{
    static const char *const wrong[] = {
        "4",  "11",  "05",    "010", "5.0", "5e0", "-5",
        "+5", "0x5", "\"5\"", "''",  "[5]", "5 5", "18446744073709551621"};
    uint64_t number;

    (void)state;
    assert_true(value_whole(&place, value("5"), 5, 10, &number) && number == 5);
    assert_true(value_whole(&place, value("10"), 5, 10, &number) && number == 10);
    assert_true(value_whole(&place, value("0"), 0, 10, &number) && number == 0);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        if (value_whole(&place, value(wrong[i]), 5, 10, &number))
            print_error("%s is taken for a whole number\n", wrong[i]);
        assert_string_not_equal(problem, "");
    }
    must_be(value_whole(&place, value("many"), 5, 10, &number),
            "f:1: k is \"many\": write a whole number from 5 to 10");
    must_be(value_whole(&place, value("[]"), 5, 10, &number),
            "f:1: k is a list: write a whole number from 5 to 10");
}

static void seconds_become_milliseconds(void **state)
{
    uint32_t ms;

    (void)state;
    assert_true(value_seconds(&place, value("5"), 100, 60000, &ms) && ms == 5000);
    assert_true(value_seconds(&place, value("0.1"), 100, 60000, &ms) && ms == 100);
    assert_true(value_seconds(&place, value("60"), 100, 60000, &ms) && ms == 60000);
    must_be(value_seconds(&place, value("0.05"), 100, 60000, &ms),
            "f:1: k is \"0.05\": write a number of seconds from 0.1 to 60");
    must_be(value_seconds(&place, value("1e300"), 100, 60000, &ms),
            "f:1: k is \"1e300\": write a number of seconds from 0.1 to 60");
    assert_false(value_seconds(&place, value("5s"), 100, 60000, &ms));
}

static void true_and_false_are_all_there_is(void **state)
{
    static const char *const wrong[] = {"yes", "no",       "on", "True", "FALSE",
                                        "1",   "\"true\"", "''", "~",    "[true]"};
    bool truth;

    (void)state;
    assert_true(value_truth(&place, value("true"), &truth) && truth);
    assert_true(value_truth(&place, value("false"), &truth) && !truth);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(value_truth(&place, value(wrong[i]), &truth));
    must_be(value_truth(&place, value("yes"), &truth), "f:1: k is \"yes\": write true or false");
}

static void a_text_is_one_that_cannot_mean_something_else(void **state)
{
    static const char *const wrong[] = {"5",      "-1.5", "1e3",       "true",       "No",
                                        "ON",     "~",    "null",      "NULL",       "[a]",
                                        "{a: b}", "''",   "\"a\\nb\"", "\"a\\x1b\"", "|\n  a\n"};
    const char *text;
    char long_text[VALUE_TEXT_MAX + 4];

    (void)state;
    assert_true(value_text(&place, value("/a b/c"), &text));
    assert_string_equal(text, "/a b/c");
    assert_true(value_text(&place, value("\"5\""), &text));
    assert_string_equal(text, "5");
    assert_true(value_text(&place, value("'true'"), &text));
    assert_true(value_text(&place, value("1.2.3"), &text));
    assert_true(value_text(&place, value("\"*\xc3\xa9\""), &text));
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        if (value_text(&place, value(wrong[i]), &text))
            print_error("%s is taken for a text\n", wrong[i]);
        assert_string_not_equal(problem, "");
    }
    must_be(value_text(&place, value("5"), &text),
            "f:1: k is \"5\": write a text; if this is meant as one, in quotes");
    must_be(value_text(&place, value("''"), &text), "f:1: k is an empty text: write a text");
    must_be(value_text(&place, value("k:")->items[1], &text), "f:1: k has no value: write a text");
    memset(long_text, 'a', sizeof long_text);
    long_text[VALUE_TEXT_MAX] = '\0';
    assert_true(value_text(&place, value(long_text), &text));
    long_text[VALUE_TEXT_MAX] = 'a';
    long_text[VALUE_TEXT_MAX + 1] = '\0';
    assert_false(value_text(&place, value(long_text), &text));
    assert_non_null(strstr(problem, "at most 4095 bytes"));
}

static void a_word_is_one_of_those_there_are(void **state)
{
    static const char *const words[] = {"red", "green", NULL};
    uint32_t index;

    (void)state;
    assert_true(value_word(&place, value("red"), words, &index) && index == 0);
    assert_true(value_word(&place, value("'green'"), words, &index) && index == 1);
    must_be(value_word(&place, value("blue"), words, &index),
            "f:1: k is \"blue\": write one of red, green");
    must_be(value_word(&place, value("{red: 1}"), words, &index),
            "f:1: k is a map of keys: write one of red, green");
    assert_false(value_word(&place, value("Red"), words, &index));
    assert_false(value_word(&place, value("re"), words, &index));
}

static void a_url_has_a_scheme_a_host_and_plain_characters(void **state)
{
    static const char *const wrong[] = {"host:9093",
                                        "ftp://host",
                                        "http://",
                                        "http:///path",
                                        "https://:9093",
                                        "HTTP://host",
                                        "\"http://a b\"",
                                        "http://h\xc3\xb6st",
                                        "http://?x",
                                        "\"http://h\\nx\"",
                                        "5",
                                        "[http://a]"};
    const char *url;

    (void)state;
    assert_true(value_url(&place, value("http://localhost:9093/x?y=z#a"), &url));
    assert_string_equal(url, "http://localhost:9093/x?y=z#a");
    assert_true(value_url(&place, value("https://[::1]/"), &url));
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        if (value_url(&place, value(wrong[i]), &url))
            print_error("%s is taken for a URL\n", wrong[i]);
        assert_string_not_equal(problem, "");
    }
    must_be(value_url(&place, value("host:9093"), &url),
            "f:1: k is \"host:9093\": write http://HOST... or https://HOST... in ASCII");
}

static void lists_and_maps_are_asked_for(void **state)
{
    (void)state;
    assert_true(value_is_map(&place, value("{}")));
    assert_true(value_is_list(&place, value("[a, b]"), 1, 2));
    assert_true(value_is_list(&place, value("[]"), 0, 2));
    must_be(value_is_map(&place, value("[]")), "f:1: k is a list: write a map of keys");
    must_be(value_is_map(&place, value("k:")->items[1]),
            "f:1: k has no value: write a map of keys");
    must_be(value_is_list(&place, value("{}"), 0, 2),
            "f:1: k is a map of keys: write a list, each item after a -");
    must_be(value_is_list(&place, value("[]"), 1, 2), "f:1: k has 0 items: write 1 to 2");
    must_be(value_is_list(&place, value("[a, b, c]"), 1, 2), "f:1: k has 3 items: write 1 to 2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_number_is_finite_and_of_0_or_more, forget),
        cmocka_unit_test_teardown(a_whole_number_is_digits_within_its_range, forget),
        cmocka_unit_test_teardown(seconds_become_milliseconds, forget),
        cmocka_unit_test_teardown(true_and_false_are_all_there_is, forget),
        cmocka_unit_test_teardown(a_text_is_one_that_cannot_mean_something_else, forget),
        cmocka_unit_test_teardown(a_word_is_one_of_those_there_are, forget),
        cmocka_unit_test_teardown(a_url_has_a_scheme_a_host_and_plain_characters, forget),
        cmocka_unit_test_teardown(lists_and_maps_are_asked_for, forget),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
