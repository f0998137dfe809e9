#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "daemon/reach.h"

static enum reach of(const char *text)
{
    struct sockaddr_storage storage = {0};
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
        memcpy(&storage, &v4, sizeof v4);
    } else {
        assert_int_equal(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
        memcpy(&storage, &v6, sizeof v6);
    }
    return reach_of((const struct sockaddr *)&storage);
}

static void addresses_lie_where_the_registries_say(void **state)
{
    static const struct {
        const char *address;
        enum reach reach;
    } rows[] = {
        {"0.0.0.0", REACH_NONE},
        {"0.1.2.3", REACH_NONE},
        {"169.254.169.254", REACH_NONE},
        {"169.254.0.1", REACH_NONE},
        {"192.0.0.192", REACH_NONE},
        {"168.63.129.16", REACH_NONE},
        {"100.100.100.200", REACH_NONE},
        {"224.0.0.1", REACH_NONE},
        {"240.0.0.1", REACH_NONE},
        {"255.255.255.255", REACH_NONE},
        {"127.0.0.1", REACH_MACHINE},
        {"127.255.255.254", REACH_MACHINE},
        {"10.0.0.1", REACH_PRIVATE},
        {"10.255.255.255", REACH_PRIVATE},
        {"172.15.255.255", REACH_PUBLIC},
        {"172.16.0.1", REACH_PRIVATE},
        {"172.31.255.255", REACH_PRIVATE},
        {"172.32.0.1", REACH_PUBLIC},
        {"192.167.255.255", REACH_PUBLIC},
        {"192.168.1.1", REACH_PRIVATE},
        {"100.63.255.255", REACH_PUBLIC},
        {"100.64.0.1", REACH_PRIVATE},
        {"100.127.255.255", REACH_PRIVATE},
        {"100.128.0.1", REACH_PUBLIC},
        {"169.253.0.1", REACH_PUBLIC},
        {"8.8.8.8", REACH_PUBLIC},
        {"223.255.255.255", REACH_PUBLIC},
        {"::", REACH_NONE},
        {"::1", REACH_MACHINE},
        {"::2", REACH_NONE},
        {"::7f00:1", REACH_MACHINE}, /* 127.0.0.1 as nobody writes it any more */
        {"fe80::1", REACH_NONE},
        {"febf::1", REACH_NONE},
        {"fec0::1", REACH_PRIVATE},
        {"ff02::1", REACH_NONE},
        {"fd00:ec2::254", REACH_NONE},
        {"fd00::1", REACH_PRIVATE},
        {"fc00::1", REACH_PRIVATE},
        {"2001:db8::1", REACH_PUBLIC},
        {"::ffff:169.254.169.254", REACH_NONE},
        {"::ffff:127.0.0.1", REACH_MACHINE},
        {"::ffff:10.0.0.1", REACH_PRIVATE},
        {"::ffff:8.8.8.8", REACH_PUBLIC},
        {"64:ff9b::a9fe:a9fe", REACH_NONE}, /* 169.254.169.254 through a translator */
        {"64:ff9b::a00:1", REACH_PRIVATE},
        {"2002:a9fe:a9fe::1", REACH_NONE}, /* the same through 6to4 */
        {"2002:808:808::1", REACH_PUBLIC},
    };
    struct sockaddr_storage local = {.ss_family = AF_UNIX};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (of(rows[i].address) != rows[i].reach)
            fail_msg("%s is not %d", rows[i].address, rows[i].reach);
    assert_int_equal(reach_of((const struct sockaddr *)&local), REACH_NONE);
}

static void a_url_says_where_it_leads_or_it_is_a_name(void **state)
{
    static const struct {
        const char *url;
        enum reach reach;
    } rows[] = {
        {"http://localhost:9093/x", REACH_MACHINE},
        {"http://LocalHost", REACH_MACHINE},
        {"http://am.localhost:1?a", REACH_MACHINE},
        {"http://127.0.0.1:9093", REACH_MACHINE},
        {"http://127.0.0.53/", REACH_MACHINE},
        {"https://[::1]:9093/x", REACH_MACHINE},
        {"http://[::ffff:127.0.0.1]", REACH_MACHINE},
        {"http://10.1.2.3:80#x", REACH_PRIVATE},
        {"http://[fd00::1]/", REACH_PRIVATE},
        {"http://8.8.8.8", REACH_PUBLIC},
        {"http://169.254.169.254/latest", REACH_NONE},
        {"http://[::ffff:169.254.169.254]/", REACH_NONE},
        {"http://0x7f.1/", REACH_NONE}, /* from here on names, or not what they seem */
        {"http://127.1/", REACH_NONE},
        {"http://2130706433/", REACH_NONE},
        {"http://0177.0.0.1/", REACH_NONE},
        {"http://127.0.0.1.example.org/", REACH_NONE},
        {"http://localhost.example.org/", REACH_NONE},
        {"http://notlocalhost/", REACH_NONE},
        {"http://localhost@example.org/", REACH_NONE},
        {"http://example.org#@localhost/", REACH_NONE},
        {"http://example.org\\@localhost/", REACH_NONE},
        {"http://am:9093", REACH_NONE},
        {"http://[::1", REACH_NONE},
        {"http://[", REACH_NONE},
        {"http://", REACH_NONE},
        {"http://:80", REACH_NONE},
        {"http:///x", REACH_NONE},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (reach_said(rows[i].url) != rows[i].reach)
            fail_msg("%s does not say %d", rows[i].url, rows[i].reach);
}

static void a_host_has_at_most_253_bytes(void **state)
{
    char url[400], host[REACH_HOST_MAX + 1];

    (void)state;
    for (int n = REACH_HOST_MAX - 1; n <= REACH_HOST_MAX + 1; n++) {
        snprintf(url, sizeof url, "http://%0*d:80/", n, 1);
        assert_int_equal(reach_host(url, host), n <= REACH_HOST_MAX);
        if (n <= REACH_HOST_MAX)
            assert_int_equal(strlen(host), n);
    }
    assert_true(reach_host("https://[::1]:1/", host));
    assert_string_equal(host, "::1");
    assert_false(reach_host("http://user@host/", host));
    assert_false(reach_host("http://user:secret@host/", host));
    assert_true(reach_host("http://host/@", host));
    assert_string_equal(host, "host");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_lie_where_the_registries_say),
        cmocka_unit_test(a_url_says_where_it_leads_or_it_is_a_name),
        cmocka_unit_test(a_host_has_at_most_253_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
