#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <locale.h>
#include <stdlib.h>

#include "daemon/ctl_silent.h"

static char *print(const char *json, size_t columns)
{
    json_t *layers = json_loads(json, 0, NULL);
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);

    assert_non_null(layers);
    assert_true(ctl_silent_print(out, layers, columns, true));
    assert_int_equal(fclose(out), 0);
    json_decref(layers);
    return text;
}

static void must_print(const char *json, size_t columns, const char *expected)
{
    char *text = print(json, columns);

    assert_string_equal(text, expected);
    free(text);
}

static int start(void **state)
{
    (void)state;
    return setlocale(LC_CTYPE, "C.UTF-8") ? 0 : -1;
}

static void detectors_of_one_reason_come_together(void **state)
{
    (void)state;
    must_print("[{\"layer\":\"e\",\"silent\":{\"a\":\"no ids\",\"b\":\"too few steps\","
               "\"c\":\"no ids\"}}]",
               80,
               "\nDetectors that cannot tell, and why:\n"
               "\n"
               "e\n"
               "  no ids: a, c\n"
               "  too few steps: b\n");
}

static void layers_of_which_the_same_holds_come_together(void **state)
{
    (void)state;
    must_print("[{\"layer\":\"one\",\"silent\":{\"a\":\"x\"}},"
               "{\"layer\":\"two\",\"silent\":{\"a\":\"y\"}},"
               "{\"layer\":\"three\",\"silent\":{\"a\":\"x\"}}]",
               80,
               "\nDetectors that cannot tell, and why:\n"
               "\n"
               "one, three\n"
               "  x: a\n"
               "\n"
               "two\n"
               "  y: a\n");
}

static void what_is_long_is_wrapped(void **state)
{
    (void)state;
    const char *json =
        "[{\"layer\":\"inner_model/embedding_of_the_users\",\"silent\":{\"ids_padding\":"
        "\"training is what the others are compared with\",\"padding_side\":"
        "\"training is what the others are compared with\"}},"
        "{\"layer\":\"inner_model/embedding_of_the_movies\",\"silent\":{\"ids_padding\":"
        "\"training is what the others are compared with\",\"padding_side\":"
        "\"training is what the others are compared with\"}}]";

    must_print(json, 50,
               "\nDetectors that cannot tell, and why:\n"
               "\n"
               "inner_model/embedding_of_the_users,\n"
               "    inner_model/embedding_of_the_movies\n"
               "  training is what the others are compared with:\n"
               "      ids_padding, padding_side\n");
    must_print("[{\"layer\":\"d\xc3\xa9j\xc3\xa0\",\"silent\":{\"a\":\"0123456789 123456789 "
               "123456789 12345\xc3\xa9\"}}]",
               1, /* narrower than anybody can read is taken for 40 */
               "\nDetectors that cannot tell, and why:\n"
               "\n"
               "d\xc3\xa9j\xc3\xa0\n"
               "  0123456789 123456789 123456789 12345\xc3\xa9:\n"
               "      a\n");
}

static void nothing_silent_is_nothing_written(void **state)
{
    (void)state;
    must_print("[]", 80, "");
    must_print("[{\"layer\":\"e\",\"silent\":{}},{\"layer\":\"f\"},7]", 80, "");
}

/* Whatever another version sends. */
static void other_kinds_are_passed_over(void **state)
{
    (void)state;
    must_print("[{\"layer\":3,\"silent\":{\"a\":1,\"b\":[1]}}]", 80,
               "\nDetectors that cannot tell, and why:\n"
               "\n"
               "  : a\n"
               "  : b\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(detectors_of_one_reason_come_together),
        cmocka_unit_test(layers_of_which_the_same_holds_come_together),
        cmocka_unit_test(what_is_long_is_wrapped),
        cmocka_unit_test(nothing_silent_is_nothing_written),
        cmocka_unit_test(other_kinds_are_passed_over),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
