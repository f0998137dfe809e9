#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "daemon/libcurl.h"

static void the_table_is_filled(void **state)
{
    (void)state;
    char problem[LIBCURL_PROBLEM_MAX] = "";
    struct libcurl curl;

    memset(&curl, 0, sizeof curl);
    assert_true(libcurl_load(&curl, problem));
#define MUST_BE_THERE(name) assert_true(curl.name != NULL);
    LIBCURL_FUNCTIONS(MUST_BE_THERE)
    assert_string_equal(curl.easy_strerror(CURLE_OK), "No error");
}

static void a_missing_library_is_named_with_its_package(void **state)
{
    (void)state;
    char problem[LIBCURL_PROBLEM_MAX] = "";
    struct libcurl curl;

    assert_false(libcurl_load_from(&curl, "libcurl-of-nobody.so.9", problem));
    assert_non_null(strstr(problem, "webhooks need libcurl-of-nobody.so.9: "));
    assert_non_null(strstr(problem, "install the package libcurl4"));
}

static void another_library_of_that_name_will_not_do(void **state)
{
    (void)state;
    char problem[LIBCURL_PROBLEM_MAX] = "";
    struct libcurl curl;

    assert_false(libcurl_load_from(&curl, "libz.so.1", problem));
    assert_non_null(strstr(problem, "curl_global_init"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_is_filled),
        cmocka_unit_test(a_missing_library_is_named_with_its_package),
        cmocka_unit_test(another_library_of_that_name_will_not_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
