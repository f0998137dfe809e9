#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "daemon/reserve.h"

/* What cannot be had from the system: more than there are addresses. It cannot be had from the
 * reserve either, so blocks of it are made by a realloc of a block that is there already. */
static const size_t never = (size_t)1 << 62;

/* AddressSanitizer ends a process that asks for so much, unless told otherwise. */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

static void while_there_is_memory_it_is_not_used(void **state)
{
    char *a = reserve_malloc(10), *b = reserve_calloc(2, 5), *c = reserve_realloc(NULL, 10);

    (void)state;
    assert_true(a && b && c);
    assert_int_equal(b[9], 0);
    strcpy(a, "whole");
    a = reserve_realloc(a, 5000);
    assert_string_equal(a, "whole");
    reserve_free(a);
    reserve_free(b);
    reserve_free(c);
    reserve_free(NULL);
    assert_int_equal(reserve_used(), 0);
}

static void what_it_has_not_either_is_refused(void **state)
{
    char *a = reserve_malloc(6);

    (void)state;
    strcpy(a, "whole");
    assert_null(reserve_malloc(never));
    assert_null(reserve_calloc(never, 1));
    assert_null(reserve_calloc(never, never));
    assert_null(reserve_realloc(a, never));
    assert_string_equal(a, "whole"); /* as realloc() leaves it */
    reserve_free(a);
    assert_int_equal(reserve_used(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(while_there_is_memory_it_is_not_used),
        cmocka_unit_test(what_it_has_not_either_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
