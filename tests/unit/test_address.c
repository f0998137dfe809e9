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
    assert_string_equal(address_parse("", &address), "an address is unix:PATH or tcp:HOST:PORT");
    assert_string_equal(address_parse("/run/x.sock", &address),
                        "an address is unix:PATH or tcp:HOST:PORT");
    assert_string_equal(address_parse("unix", &address),
                        "an address is unix:PATH or tcp:HOST:PORT");
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

static void a_tcp_address_is_a_host_and_a_port(void **state)
{
    struct address address;

    (void)state;
    assert_null(address_parse("tcp:gpu-7.example.org:9000", &address));
    assert_true(address_is_tcp(&address));
    assert_string_equal(address.host, "gpu-7.example.org");
    assert_int_equal(address.port, 9000);
    assert_string_equal(address.path, "");
    assert_null(address_parse("tcp:127.0.0.1:65535", &address));
    assert_string_equal(address.host, "127.0.0.1");
    assert_int_equal(address.port, 65535);
    assert_null(address_parse("tcp:[fe80::1%eth0]:1", &address));
    assert_string_equal(address.host, "fe80::1%eth0");
    assert_null(address_parse("unix:tcp:a:1", &address));
    assert_false(address_is_tcp(&address));
    assert_int_equal(address.port, 0);
}

static void a_wrong_tcp_address_is_explained(void **state)
{
    static const struct {
        const char *text, *part;
    } wrong[] = {
        {"tcp:", "ends with a port"},          {"tcp:host", "ends with a port"},
        {"tcp:host:", "ends with a port"},     {"tcp:host:x", "ends with a port"},
        {"tcp:host:-1", "ends with a port"},   {"tcp:host:+1", "ends with a port"},
        {"tcp:host: 1", "ends with a port"},   {"tcp:host:65536", "ends with a port"},
        {"tcp:host:1x", "ends with a port"},   {"tcp:host:4294967297", "ends with a port"},
        {"tcp:host:0", "1 to 65535"},          {"tcp::9000", "the host is empty"},
        {"tcp:[]:9000", "the host is empty"},  {"tcp:::1:9000", "in brackets"},
        {"tcp:[host]:9000", "in brackets"},    {"tcp:[::1:9000", "in brackets"},
        {"tcp:a b:9000", "a host is a name"},  {"tcp:a/b:9000", "a host is a name"},
        {"tcp:a\nb:9000", "a host is a name"}, {"tcp:me@host:9000", "a host is a name"},
    };
    struct address address;

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const char *problem = address_parse(wrong[i].text, &address);

        if (!problem || !strstr(problem, wrong[i].part))
            fail_msg("%s: %s", wrong[i].text, problem ? problem : "no problem");
    }
    assert_null(address_parse_listen("tcp:host:0", &address));
    assert_int_equal(address.port, 0);
    assert_non_null(address_parse_listen("tcp:host:65536", &address));
}

static void a_host_has_at_most_253_bytes(void **state)
{
    char text[4 + ADDRESS_HOST_MAX + 8] = "tcp:";
    struct address address;

    (void)state;
    memset(text + 4, 'a', ADDRESS_HOST_MAX);
    strcpy(text + 4 + ADDRESS_HOST_MAX, ":1");
    assert_null(address_parse(text, &address));
    assert_int_equal(strlen(address.host), 253);
    strcpy(text + 4 + ADDRESS_HOST_MAX, "a:1");
    assert_string_equal(address_parse(text, &address), "a host's name has at most 253 bytes");
}

static void an_address_is_written_as_it_is_read(void **state)
{
    static const char *const texts[] = {"unix:/a/b", "unix:b", "tcp:host:9000", "tcp:10.0.0.1:1",
                                        "tcp:[::1]:65535"};
    struct address address, other;
    char text[ADDRESS_TEXT_MAX], longest[ADDRESS_TEXT_MAX + 1] = "tcp:[";

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_null(address_parse(texts[i], &address));
        assert_string_equal(address_text(&address, text), texts[i]);
        for (size_t k = 0; k < sizeof texts / sizeof *texts; k++) {
            assert_null(address_parse(texts[k], &other));
            assert_int_equal(address_equal(&address, &other), i == k);
        }
    }
    memset(longest + 5, ':', ADDRESS_HOST_MAX);
    strcpy(longest + 5 + ADDRESS_HOST_MAX, "]:65535");
    assert_null(address_parse(longest, &address));
    assert_string_equal(address_text(&address, text), longest);
    address = (struct address){0};
    assert_string_equal(address_text(&address, text), "");
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

static void a_list_gives_each_address_its_reason(void **state)
{
    const struct address addresses[] = {{.path = "/a"}, {.path = "/b"}, {.host = "h", .port = 1}};
    const char *reasons[] = {"nobody", "nobody", "nobody"};
    char text[ADDRESS_LIST_MAX];

    (void)state;
    assert_string_equal(address_list(addresses, reasons, 3, text, sizeof text),
                        "unix:/a, unix:/b or tcp:h:1");
    assert_string_equal(address_list(addresses, reasons, 1, text, sizeof text), "unix:/a");
    assert_string_equal(address_list(addresses, reasons, 0, text, sizeof text), "");
    reasons[0] = "not ours";
    assert_string_equal(address_list(addresses, reasons, 2, text, sizeof text),
                        "unix:/a (not ours) or unix:/b");
    reasons[2] = "busy";
    assert_string_equal(address_list(addresses, reasons, 3, text, sizeof text),
                        "unix:/a (not ours), unix:/b (nobody) or tcp:h:1");
    for (size_t size = 1; size < 48; size++) {
        assert_string_equal(address_list(addresses, reasons, 3, text, sizeof text) + 47, "");
        assert_int_equal(strlen(address_list(addresses, reasons, 3, text, size)), size - 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_unix_address_is_its_path),
        cmocka_unit_test(a_wrong_address_is_explained),
        cmocka_unit_test(a_path_has_at_most_107_bytes),
        cmocka_unit_test(a_tcp_address_is_a_host_and_a_port),
        cmocka_unit_test(a_wrong_tcp_address_is_explained),
        cmocka_unit_test(a_host_has_at_most_253_bytes),
        cmocka_unit_test(an_address_is_written_as_it_is_read),
        cmocka_unit_test(the_defaults_come_in_their_order),
        cmocka_unit_test(a_default_is_left_out_without_its_variable_or_when_it_is_not_a_path),
        cmocka_unit_test(equal_defaults_are_one),
        cmocka_unit_test(a_list_gives_each_address_its_reason),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
