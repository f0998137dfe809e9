#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "daemon/knocks.h"

enum { MOST = 3, START = 100000 };

static struct knocks knocks;

static int begin(void **state)
{
    (void)state;
    knocks = (struct knocks){0};
    return 0;
}

/* Where somebody is, in numbers. */
static const struct sockaddr *at(const char *text)
{
    static struct sockaddr_storage name;
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
        memcpy(&name, &v4, sizeof v4);
    } else {
        assert_int_equal(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
        memcpy(&name, &v6, sizeof v6);
    }
    return (const struct sockaddr *)&name;
}

static bool heard(const char *text, uint64_t ms)
{
    return knocks_admit(&knocks, at(text), MOST, ms);
}

static void fail_from(const char *text, int times, uint64_t ms)
{
    while (times-- > 0)
        knocks_failed(&knocks, at(text), MOST, ms);
}

static void three_may_fail_and_then_one_a_second(void **state)
{
    (void)state;
    assert_true(heard("10.0.0.7", START));
    fail_from("10.0.0.7", MOST - 1, START);
    assert_true(heard("10.0.0.7", START));
    assert_int_equal(knocks_worst(&knocks, START), MOST - 1);
    fail_from("10.0.0.7", 1, START);
    assert_false(heard("10.0.0.7", START));
    assert_int_equal(knocks_worst(&knocks, START), MOST);
    assert_false(heard("10.0.0.7", START + KNOCKS_PERIOD_MS - 1));
    assert_true(heard("10.0.0.7", START + KNOCKS_PERIOD_MS));
    fail_from("10.0.0.7", 1, START + KNOCKS_PERIOD_MS);
    assert_false(heard("10.0.0.7", START + KNOCKS_PERIOD_MS));
    assert_true(heard("10.0.0.7", START + 2 * KNOCKS_PERIOD_MS));
    assert_int_equal(knocks_worst(&knocks, START + 60000), 0);
}

static void another_machine_is_not_concerned(void **state)
{
    (void)state;
    fail_from("10.0.0.7", MOST, START);
    assert_true(heard("10.0.0.8", START));
    assert_true(heard("2001:db8::7", START));
}

static void who_came_with_many_at_once_is_not_shut_out_for_minutes(void **state)
{
    (void)state;
    fail_from("10.0.0.7", 64, START);
    assert_false(heard("10.0.0.7", START + KNOCKS_PERIOD_MS - 1));
    assert_true(heard("10.0.0.7", START + KNOCKS_PERIOD_MS));
}

static void who_has_proven_it_is_heard_whatever_others_there_do(void **state)
{
    (void)state;
    fail_from("10.0.0.7", MOST, START);
    knocks_proven(&knocks, at("10.0.0.7"), START);
    assert_true(heard("10.0.0.7", START));
    fail_from("10.0.0.7", 100, START + KNOCKS_TRUST_MS - 1);
    assert_true(heard("10.0.0.7", START + KNOCKS_TRUST_MS - 1));
    assert_false(heard("10.0.0.7", START + KNOCKS_TRUST_MS));
}

static void an_ipv6_network_is_one_machine_and_an_embedded_ipv4_is_that(void **state)
{
    (void)state;
    for (int i = 0; i < MOST; i++)
        fail_from(i % 2 ? "2001:db8:0:1::1" : "2001:db8:0:1:ffff::2", 1, START);
    assert_false(heard("2001:db8:0:1::3", START));
    assert_true(heard("2001:db8:0:2::1", START));
    fail_from("::ffff:10.0.0.7", MOST, START);
    assert_false(heard("10.0.0.7", START));
    assert_true(heard("::ffff:10.0.0.8", START));
    fail_from("::1", MOST, START);
    assert_false(heard("::1", START));
    assert_true(heard("::2", START));
}

static void the_least_guilty_is_forgotten_first_and_nobody_trusted(void **state)
{
    char text[32];

    (void)state;
    knocks_proven(&knocks, at("10.9.9.9"), START);
    fail_from("10.9.9.8", MOST, START);
    for (int i = 0; i < 3 * KNOCKS_MACHINES; i++) {
        (void)snprintf(text, sizeof text, "10.1.%d.%d", i / 256, i % 256);
        fail_from(text, 1, START);
    }
    assert_int_equal(knocks.count, KNOCKS_MACHINES);
    assert_false(heard("10.9.9.8", START));
    fail_from("10.9.9.9", MOST, START);
    assert_true(heard("10.9.9.9", START));
}

static void what_is_neither_ipv4_nor_ipv6_has_no_machine(void **state)
{
    struct sockaddr other = {.sa_family = AF_UNIX};

    (void)state;
    for (int i = 0; i < 2 * MOST; i++)
        knocks_failed(&knocks, &other, MOST, START);
    knocks_proven(&knocks, &other, START);
    assert_true(knocks_admit(&knocks, &other, MOST, START));
    assert_int_equal(knocks.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(three_may_fail_and_then_one_a_second, begin),
        cmocka_unit_test_setup(another_machine_is_not_concerned, begin),
        cmocka_unit_test_setup(who_came_with_many_at_once_is_not_shut_out_for_minutes, begin),
        cmocka_unit_test_setup(who_has_proven_it_is_heard_whatever_others_there_do, begin),
        cmocka_unit_test_setup(an_ipv6_network_is_one_machine_and_an_embedded_ipv4_is_that, begin),
        cmocka_unit_test_setup(the_least_guilty_is_forgotten_first_and_nobody_trusted, begin),
        cmocka_unit_test_setup(what_is_neither_ipv4_nor_ipv6_has_no_machine, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
