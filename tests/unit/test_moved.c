#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/dtype.h"
#include "client/moved.h"
#include "tests/unit/random.h"

static int make(void **state)
{
    *state = moved_new();
    return *state ? 0 : -1;
}

static int end(void **state)
{
    moved_free(*state);
    return 0;
}

static struct moved_value value(const void *data, size_t count, enum embmon_dtype dtype)
{
    return (struct moved_value){data, count, dtype};
}

static void after_minus_before(void **state)
{
    const float before[] = {1, 2, 3, 4, 5, 6}, after[] = {1, 1, 4, 4, 5.5F, -6};
    const float expected[] = {0, -1, 1, 0, 0.5F, -12};
    const struct moved_value was = value(before, 6, EMBMON_F32), is = value(after, 6, EMBMON_F32);
    struct moved_value change;

    assert_false(moved_is_kept(*state));
    assert_true(moved_keep(*state, &was));
    assert_true(moved_is_kept(*state));
    assert_true(moved_take(*state, &is, &change));
    assert_int_equal(change.dtype, EMBMON_F32);
    assert_int_equal(change.count, 6);
    assert_memory_equal(change.data, expected, sizeof expected);
    moved_drop(*state);
    assert_false(moved_is_kept(*state));
    assert_false(moved_take(*state, &is, &change));
}

static void doubles_stay_doubles(void **state)
{
    const double before[] = {1, 1e-20, 3}, after[] = {1, 3e-20, 4};
    const double expected[] = {0, 3e-20 - 1e-20, 1};
    const struct moved_value was = value(before, 3, EMBMON_F64), is = value(after, 3, EMBMON_F64);
    struct moved_value change;

    assert_true(moved_keep(*state, &was));
    assert_true(moved_take(*state, &is, &change));
    assert_int_equal(change.dtype, EMBMON_F64);
    assert_memory_equal(change.data, expected, sizeof expected);
}

/* Half floats become f32 where they lie: longer than a piece. */
static void half_floats_are_widened(void **state)
{
    enum { COUNT = 2100 };
    static uint16_t before[COUNT], after[COUNT];
    static double wide[2][COUNT];
    struct moved_value change;
    uint64_t seed = 7;

    for (size_t i = 0; i < COUNT; i++) {
        before[i] = (uint16_t)(0x3c00 + random_next(&seed) % 512);
        after[i] = (uint16_t)(0xbc00 + random_next(&seed) % 512);
    }
    for (int which = 0; which < 2; which++) {
        enum embmon_dtype dtype = which ? EMBMON_BF16 : EMBMON_F16;
        const struct moved_value was = value(before, COUNT, dtype), is = value(after, COUNT, dtype);

        dtype_load(wide[0], before, COUNT, dtype);
        dtype_load(wide[1], after, COUNT, dtype);
        assert_true(moved_keep(*state, &was));
        assert_true(moved_take(*state, &is, &change));
        assert_int_equal(change.dtype, EMBMON_F32);
        for (size_t i = 0; i < COUNT; i++)
            assert_true(((const float *)change.data)[i] == (float)(wide[1][i] - wide[0][i]));
    }
}

static void what_cannot_be_kept_is_not(void **state)
{
    const float data[] = {1, 2};
    struct moved_value v = value(data, MOVED_BYTES / 4 + 1, EMBMON_F32), change;

    assert_false(moved_keep(*state, &v)); /* nothing of it is read */
    v = value(data, 2, EMBMON_I32);
    assert_false(moved_keep(*state, &v));
    v = value(data, 0, EMBMON_F32);
    assert_false(moved_keep(*state, &v));
    assert_false(moved_is_kept(*state));
    v = value(data, 2, EMBMON_F32);
    assert_true(moved_keep(*state, &v));
    v = value(data, 1, EMBMON_F32);
    assert_false(moved_take(*state, &v, &change)); /* another form */
    v = value(data, 2, EMBMON_BF16);
    assert_false(moved_take(*state, &v, &change));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(after_minus_before, make, end),
        cmocka_unit_test_setup_teardown(doubles_stay_doubles, make, end),
        cmocka_unit_test_setup_teardown(half_floats_are_widened, make, end),
        cmocka_unit_test_setup_teardown(what_cannot_be_kept_is_not, make, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
