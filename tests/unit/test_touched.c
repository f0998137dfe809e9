#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "client/touched.h"
#include "tests/unit/random.h"

static void once_each_and_none_outside(void **state)
{
    const int32_t ids[] = {2, 0, 2, -1, 4, 2, 0, INT32_MAX, INT32_MIN};
    int64_t touched[9];

    (void)state;
    assert_int_equal(touched_rows(touched, ids, 9, EMBMON_I32, 4), 2);
    assert_int_equal(touched[0], 2);
    assert_int_equal(touched[1], 0);
    assert_int_equal(touched_rows(touched, ids, 9, EMBMON_I32, 5), 3);
    assert_int_equal(touched_rows(touched, ids, 9, EMBMON_I32, 0), 0);
    assert_int_equal(touched_rows(touched, ids, 0, EMBMON_I32, 4), 0);
}

/* The same as rows that were found one by one. */
static void many_by_chance(void **state)
{
    enum { ROWS = 3000, IDS = 5000 };
    static int64_t ids[IDS], touched[IDS];
    static bool seen[ROWS];
    uint64_t seed = 1;
    size_t found = 0, count;

    (void)state;
    for (size_t i = 0; i < IDS; i++)
        ids[i] = (int64_t)(random_next(&seed) % (ROWS + 10)) - 5;
    count = touched_rows(touched, ids, IDS, EMBMON_I64, ROWS);
    for (size_t i = 0; i < IDS; i++) {
        if (ids[i] < 0 || ids[i] >= ROWS || seen[ids[i]])
            continue;
        seen[ids[i]] = true;
        assert_true(found < count);
        assert_int_equal(touched[found++], ids[i]);
    }
    assert_int_equal(found, count);
}

static void what_cannot_be_read_is_not(void **state)
{
    const int64_t ids[] = {1};
    int64_t touched[1];

    (void)state;
    assert_int_equal(touched_rows(touched, ids, 4, EMBMON_I16, 9), 0);
    assert_int_equal(touched_rows(touched, ids, (size_t)TOUCHED_IDS + 1, EMBMON_I64, 9), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(once_each_and_none_outside),
        cmocka_unit_test(many_by_chance),
        cmocka_unit_test(what_cannot_be_read_is_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
