#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/address.h"

static void a_unix_address_is_its_path(void **state)
{
    struct address address;

    (void)state;
    assert_null(address_parse("unix:/run/user/1000/embmond.sock", &address));
    assert_string_equal(address.path, "/run/user/1000/embmond.sock");
    assert_null(address_parse("unix:embmond.sock", &address));
    assert_string_equal(address.path, "embmond.sock");
}

static void a_wrong_address_is_explained(void **state)
{
    struct address address;

    (void)state;
    assert_string_equal(address_parse("", &address), "an address is unix:PATH");
    assert_string_equal(address_parse("/run/x.sock", &address), "an address is unix:PATH");
    assert_string_equal(address_parse("tcp:localhost:1", &address), "an address is unix:PATH");
    assert_string_equal(address_parse("unix", &address), "an address is unix:PATH");
    assert_string_equal(address_parse("unix:", &address), "the path after unix: is empty");
    assert_string_equal(address_parse("unix:/run/", &address),
                        "the path of a Unix socket is that of a file, not of a folder");
}

static void a_path_has_at_most_107_bytes(void **state)
{
    char text[5 + ADDRESS_PATH_MAX + 2] = "unix:";
    struct address address;

    (void)state;
    memset(text + 5, 'a', ADDRESS_PATH_MAX);
    assert_null(address_parse(text, &address));
    assert_int_equal(strlen(address.path), 107);
    text[5 + ADDRESS_PATH_MAX] = 'a';
    assert_string_equal(address_parse(text, &address),
                        "the path of a Unix socket has at most 107 bytes");
}

static void the_defaults_come_in_their_order(void **state)
{
    struct address addresses[ADDRESS_DEFAULTS_MAX];
    char host[200] = "", expected[300];

    (void)state;
    setenv("XDG_RUNTIME_DIR", "/xdg/", 1);
    setenv("HOME", "/home/me", 1);
    gethostname(host, sizeof host - 1);
    assert_int_equal(address_defaults(addresses), 3);
    assert_string_equal(addresses[0].path, "/xdg/embmond.sock");
    snprintf(expected, sizeof expected, "/run/user/%u/embmond.sock", (unsigned)geteuid());
    assert_string_equal(addresses[1].path, expected);
    snprintf(expected, sizeof expected, "/home/me/.embmond/%s.sock", host);
    assert_string_equal(addresses[2].path, expected);
}

static void a_default_is_left_out_without_its_variable_or_when_it_is_not_a_path(void **state)
{
    struct address addresses[ADDRESS_DEFAULTS_MAX];
    char expected[100], longest[ADDRESS_PATH_MAX + 1];

    (void)state;
    snprintf(expected, sizeof expected, "/run/user/%u/embmond.sock", (unsigned)geteuid());
    unsetenv("XDG_RUNTIME_DIR");
    unsetenv("HOME");
    assert_int_equal(address_defaults(addresses), 1);
    assert_string_equal(addresses[0].path, expected);
    setenv("XDG_RUNTIME_DIR", "relative", 1);
    setenv("HOME", "", 1);
    assert_int_equal(address_defaults(addresses), 1);
    memset(longest, 'a', sizeof longest - 1);
    longest[0] = '/';
    longest[sizeof longest - 1] = '\0';
    setenv("XDG_RUNTIME_DIR", longest, 1);
    setenv("HOME", longest, 1);
    assert_int_equal(address_defaults(addresses), 1);
    longest[ADDRESS_PATH_MAX - strlen("/embmond.sock")] = '\0';
    setenv("XDG_RUNTIME_DIR", longest, 1);
    assert_int_equal(address_defaults(addresses), 2);
    assert_int_equal(strlen(addresses[0].path), 107);
}

static void equal_defaults_are_one(void **state)
{
    struct address addresses[ADDRESS_DEFAULTS_MAX];
    char runtime[100];

    (void)state;
    snprintf(runtime, sizeof runtime, "/run/user/%u", (unsigned)geteuid());
    setenv("XDG_RUNTIME_DIR", runtime, 1);
    unsetenv("HOME");
    assert_int_equal(address_defaults(addresses), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_unix_address_is_its_path),
        cmocka_unit_test(a_wrong_address_is_explained),
        cmocka_unit_test(a_path_has_at_most_107_bytes),
        cmocka_unit_test(the_defaults_come_in_their_order),
        cmocka_unit_test(a_default_is_left_out_without_its_variable_or_when_it_is_not_a_path),
        cmocka_unit_test(equal_defaults_are_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
