#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <time.h>

#include "daemon/moment.h"

static void clocks_agree_with_the_system(void **state)
{
    (void)state;
    time_t before = time(NULL);
    struct moment first = moment_now(), second = moment_now();
    assert_true(first.ms <= second.ms);
    assert_true(first.ms > 0);
    assert_true(first.wall >= (double)before && first.wall <= (double)before + 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(clocks_agree_with_the_system)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
