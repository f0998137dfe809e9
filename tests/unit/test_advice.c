#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "daemon/advice.h"

static void what_a_user_can_do_is_said(void **state)
{
    (void)state;
    assert_non_null(strstr(advice_for(ENOSPC), "space on that disk"));
    assert_non_null(strstr(advice_for(EDQUOT), "quota"));
    assert_non_null(strstr(advice_for(EROFS), "writable again"));
    assert_non_null(strstr(advice_for(EPERM), "embmond's user"));
    assert_non_null(strstr(advice_for(EIO), "dmesg"));
    assert_non_null(strstr(advice_for(EMFILE), "ulimit -n"));
    assert_non_null(strstr(advice_for(EFBIG), "ulimit -f"));
    assert_non_null(strstr(advice_for(ENOENT), "folders above"));
}

static void there_is_something_for_every_error(void **state)
{
    (void)state;
    for (int error = -1; error < 200; error++)
        assert_true(strlen(advice_for(error)) > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_user_can_do_is_said),
        cmocka_unit_test(there_is_something_for_every_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
