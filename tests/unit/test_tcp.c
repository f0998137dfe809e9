#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#include "proto/tcp.h"

static struct tcp_name first_of(const char *text)
{
    struct tcp_name names[TCP_NAMES_MAX];
    struct address address;
    const char *problem = "";

    assert_null(address_parse(text, &address));
    if (tcp_resolve(&address, names, &problem) == 0)
        fail_msg("%s: %s", text, problem);
    return names[0];
}

static void numbers_are_resolved_and_written_back(void **state)
{
    static const char *const texts[] = {"tcp:127.0.0.1:9000", "tcp:10.20.30.40:1",
                                        "tcp:[::1]:65535", "tcp:[2001:db8::7]:80"};
    char text[ADDRESS_TEXT_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct tcp_name name = first_of(texts[i]);
        struct address address = tcp_address(&name);

        assert_string_equal(address_text(&address, text), texts[i]);
    }
}

static void the_name_of_this_machine_is_looked_up(void **state)
{
    struct tcp_name name = first_of("tcp:localhost:9000");

    (void)state;
    assert_true(tcp_is_loopback(&name));
    assert_int_equal(tcp_address(&name).port, 9000);
}

static void a_host_that_is_none_is_a_problem(void **state)
{
    struct tcp_name names[TCP_NAMES_MAX];
    struct address address;
    const char *problem = NULL;

    (void)state;
    assert_null(address_parse("tcp:1.2.3.4.5.6:9000", &address));
    assert_int_equal(tcp_resolve(&address, names, &problem), 0);
    assert_non_null(problem);
}

static void only_what_stays_on_this_machine_is_loopback(void **state)
{
    static const char *const inside[] = {"tcp:127.0.0.1:1", "tcp:127.255.255.254:1", "tcp:[::1]:1"};
    static const char *const outside[] = {
        "tcp:0.0.0.0:1", "tcp:126.255.255.255:1", "tcp:128.0.0.1:1", "tcp:10.0.0.1:1",
        "tcp:[::]:1",    "tcp:[::2]:1",           "tcp:[fe80::1]:1", "tcp:[::ffff:127.0.0.1]:1"};
    struct tcp_name none = {0};

    (void)state;
    for (size_t i = 0; i < sizeof inside / sizeof *inside; i++) {
        struct tcp_name name = first_of(inside[i]);
        assert_true(tcp_is_loopback(&name));
    }
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++) {
        struct tcp_name name = first_of(outside[i]);
        assert_false(tcp_is_loopback(&name));
    }
    assert_false(tcp_is_loopback(&none));
}

static int option(int fd, int level, int name)
{
    int value = -1;
    socklen_t length = sizeof value;

    assert_int_equal(getsockopt(fd, level, name, &value, &length), 0);
    return value;
}

static void a_tuned_socket_sends_at_once_and_probes(void **state)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    (void)state;
    tcp_tune(fd);
    assert_int_equal(option(fd, IPPROTO_TCP, TCP_NODELAY), 1);
    assert_int_equal(option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
    assert_int_equal(option(fd, IPPROTO_TCP, TCP_KEEPIDLE) +
                         option(fd, IPPROTO_TCP, TCP_KEEPINTVL) *
                             option(fd, IPPROTO_TCP, TCP_KEEPCNT),
                     11);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_resolved_and_written_back),
        cmocka_unit_test(the_name_of_this_machine_is_looked_up),
        cmocka_unit_test(a_host_that_is_none_is_a_problem),
        cmocka_unit_test(only_what_stays_on_this_machine_is_loopback),
        cmocka_unit_test(a_tuned_socket_sends_at_once_and_probes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
