#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "client/id_ends.h"
#include "tests/unit/random.h"

static void both_ends_are_found_wherever_they_lie(void **state)
{
    uint64_t seed = 1;

    (void)state;
    for (size_t n = 1; n < 40; n++)
        for (size_t low = 0; low < n; low++)
            for (size_t high = 0; high < n; high++) {
                uint8_t bytes[40 * sizeof(int64_t) + 1];
                int64_t wide[40];
                int32_t narrow[40];
                struct id_ends ends;

                for (size_t i = 0; i < n; i++)
                    wide[i] = (int64_t)random_below(&seed, 100) - 50;
                wide[low] = -1000;
                wide[high] = high == low ? -1000 : 1000;
                for (size_t i = 0; i < n; i++) {
                    narrow[i] = (int32_t)wide[i];
                    wide[i] *= (int64_t)1 << 40; /* the lower half tells nothing */
                }
                memcpy(bytes + 1, narrow, n * sizeof narrow[0]);
                ends = id_ends(bytes + 1, n, EMBMON_I32);
                assert_int_equal(ends.least, -1000);
                assert_true(n == 1 || high == low || ends.greatest == 1000);
                memcpy(bytes + 1, wide, n * sizeof wide[0]);
                assert_true(id_ends(bytes + 1, n, EMBMON_I64).least ==
                            (int64_t)-1000 * ((int64_t)1 << 40));
                assert_true(id_ends(bytes + 1, n, EMBMON_I64).greatest ==
                            ends.greatest * ((int64_t)1 << 40));
            }
}

static void the_ends_of_the_types_are_ends(void **state)
{
    const int32_t narrow[] = {0, INT32_MIN, 5, INT32_MAX, 7};
    const int64_t wide[] = {0, INT64_MIN, 5, INT64_MAX, 7};

    (void)state;
    assert_true(id_ends(narrow, 5, EMBMON_I32).least == INT32_MIN);
    assert_true(id_ends(narrow, 5, EMBMON_I32).greatest == INT32_MAX);
    assert_true(id_ends(wide, 5, EMBMON_I64).least == INT64_MIN);
    assert_true(id_ends(wide, 5, EMBMON_I64).greatest == INT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ends_are_found_wherever_they_lie),
        cmocka_unit_test(the_ends_of_the_types_are_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
