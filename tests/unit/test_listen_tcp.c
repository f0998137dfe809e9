#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "daemon/listen_tcp.h"
#include "proto/tcp.h"

static char problem[LISTEN_PROBLEM_MAX];

static struct address parsed(const char *text)
{
    struct address address;

    assert_null(address_parse_listen(text, &address));
    return address;
}

static int open_at(struct listener *listener, const char *text, bool token)
{
    struct address address = parsed(text);

    return listener_open_tcp(listener, &address, token, problem);
}

static bool connects(const struct address *address)
{
    struct tcp_name names[TCP_NAMES_MAX];
    const char *why;
    int fd = socket(AF_INET, SOCK_STREAM, 0), result;

    assert_int_equal(tcp_resolve(address, names, &why), 1);
    result = connect(fd, (struct sockaddr *)&names[0].name, names[0].length);
    close(fd);
    return result == 0;
}

static void any_free_port_is_taken_and_told(void **state)
{
    struct listener listener;

    (void)state;
    assert_int_equal(open_at(&listener, "tcp:127.0.0.1:0", false), 0);
    assert_string_equal(listener.address.host, "127.0.0.1");
    assert_true(listener.address.port > 0);
    assert_true(connects(&listener.address));
    struct address address = listener.address;
    listener_close(&listener);
    assert_false(connects(&address));
    assert_int_equal(listener.fd, -1);
}

static void a_name_becomes_its_number(void **state)
{
    struct listener listener;

    (void)state;
    assert_int_equal(open_at(&listener, "tcp:localhost:0", false), 0);
    assert_true(strcmp(listener.address.host, "127.0.0.1") == 0 ||
                strcmp(listener.address.host, "::1") == 0);
    listener_close(&listener);
}

static void a_port_that_is_served_is_not_taken_twice(void **state)
{
    struct listener listener, second;
    struct address address;

    (void)state;
    assert_int_equal(open_at(&listener, "tcp:127.0.0.1:0", false), 0);
    address = listener.address;
    assert_int_equal(listener_open_tcp(&second, &address, false, problem), EX_UNAVAILABLE);
    assert_non_null(strstr(problem, "the port is taken"));
    assert_int_equal(second.fd, -1);
    listener_close(&listener);
    assert_int_equal(listener_open_tcp(&second, &address, false, problem), 0);
    listener_close(&second);
}

static void beyond_this_machine_a_token_is_needed(void **state)
{
    static const char *const beyond[] = {"tcp:0.0.0.0:0", "tcp:[::]:0", "tcp:192.0.2.1:0",
                                         "tcp:[::ffff:127.0.0.1]:0"};
    struct listener listener;

    (void)state;
    for (size_t i = 0; i < sizeof beyond / sizeof *beyond; i++) {
        struct address address = parsed(beyond[i]);

        assert_int_equal(listener_check_tcp(&address, false, problem), EX_USAGE);
        assert_non_null(strstr(problem, "give --token-file FILE"));
        assert_int_equal(listener_check_tcp(&address, true, problem), 0);
        assert_int_equal(open_at(&listener, beyond[i], false), EX_USAGE);
        assert_int_equal(listener.fd, -1);
    }
    assert_int_equal(open_at(&listener, "tcp:0.0.0.0:0", true), 0);
    listener_close(&listener);
}

static void an_address_that_is_not_ours_is_explained(void **state)
{
    struct listener listener;

    (void)state;
    assert_int_equal(open_at(&listener, "tcp:192.0.2.1:0", true), EX_CANTCREAT);
    assert_non_null(strstr(problem, "tcp:192.0.2.1:0: Cannot assign requested address"));
    assert_int_equal(open_at(&listener, "tcp:1.2.3.4.5.6:0", true), EX_UNAVAILABLE);
    assert_non_null(strstr(problem, "tcp:1.2.3.4.5.6:0: "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_free_port_is_taken_and_told),
        cmocka_unit_test(a_name_becomes_its_number),
        cmocka_unit_test(a_port_that_is_served_is_not_taken_twice),
        cmocka_unit_test(beyond_this_machine_a_token_is_needed),
        cmocka_unit_test(an_address_that_is_not_ours_is_explained),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
