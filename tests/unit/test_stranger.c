#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "daemon/stranger.h"

static const char *speaks(const char *bytes)
{
    return stranger_speaks((const uint8_t *)bytes, strlen(bytes));
}

static void an_http_request_is_named_by_its_method(void **state)
{
    static const char *const methods[] = {"GET",    "POST",  "HEAD",    "PUT",  "OPTIONS",
                                          "DELETE", "PATCH", "CONNECT", "TRACE"};

    (void)state;
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        char request[64] = "";

        strcat(strcat(request, methods[i]), " / HTTP/1.1\r\n");
        assert_non_null(strstr(speaks(request), "HTTP"));
        assert_non_null(strstr(speaks(request), methods[i]));
    }
    assert_non_null(strstr(speaks("PRI * HTTP/2.0\r\n\r\nSM"), "HTTP (version 2)"));
}

static void other_protocols_are_named(void **state)
{
    (void)state;
    assert_non_null(strstr(speaks("\x16\x03\x01\x02"), "TLS"));
    assert_non_null(strstr(speaks("SSH-2.0-OpenSSH_9.2"), "SSH"));
}

static void what_is_unknown_or_cut_short_is_said_so(void **state)
{
    (void)state;
    assert_non_null(strstr(speaks(""), "does not speak"));
    assert_non_null(strstr(speaks("G"), "does not speak"));
    assert_non_null(strstr(speaks("GETTING"), "does not speak"));
    assert_non_null(strstr(speaks("EMBM"), "does not speak"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_http_request_is_named_by_its_method),
        cmocka_unit_test(other_protocols_are_named),
        cmocka_unit_test(what_is_unknown_or_cut_short_is_said_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
