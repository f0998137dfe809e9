#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "daemon/memory.h"

enum { MUCH = 64 << 20 };

static void what_is_taken_is_seen_and_so_is_what_is_given_back(void **state)
{
    uint64_t before = memory_resident(), with, after;
    char *much = malloc(MUCH);

    (void)state;
    assert_true(before > 0);
    assert_non_null(much);
    memset(much, 1, MUCH);
    with = memory_resident();
    free(much);
    after = memory_trimmed();
    assert_true(with >= before + MUCH - (1 << 20));
#ifndef __SANITIZE_ADDRESS__ /* it keeps for a while what was freed */
    assert_true(after < with - MUCH / 2);
#else
    assert_true(after > 0);
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_taken_is_seen_and_so_is_what_is_given_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
