#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "client/dtype.h"

static void sizes_are_those_of_the_types(void **state)
{
    (void)state;
    assert_int_equal(dtype_size(EMBMON_F32), 4);
    assert_int_equal(dtype_size(EMBMON_F64), 8);
    assert_int_equal(dtype_size(EMBMON_F16), 2);
    assert_int_equal(dtype_size(EMBMON_BF16), 2);
    assert_int_equal(dtype_size(EMBMON_I8), 1);
    assert_int_equal(dtype_size(EMBMON_I16), 2);
    assert_int_equal(dtype_size(EMBMON_I32), 4);
    assert_int_equal(dtype_size(EMBMON_I64), 8);
    assert_int_equal(dtype_size(0), 0);
    assert_int_equal(dtype_size(9), 0);
    assert_true(dtype_is_float(EMBMON_BF16));
    assert_false(dtype_is_float(EMBMON_I32));
}

/* By its definition, in arithmetic. */
static double f16_value(uint32_t half)
{
    int exponent = (int)(half >> 10 & 0x1f);
    double mantissa = half & 0x3ff, magnitude;

    if (exponent == 0x1f)
        magnitude = mantissa > 0 ? (double)NAN : (double)INFINITY;
    else if (exponent == 0)
        magnitude = ldexp(mantissa, -24);
    else
        magnitude = ldexp(1024 + mantissa, exponent - 25);
    return half & 0x8000 ? -magnitude : magnitude;
}

static void every_f16_is_what_it_is(void **state)
{
    (void)state;
    for (uint32_t half = 0; half <= UINT16_MAX; half++) {
        uint16_t stored = (uint16_t)half;
        double wanted = f16_value(half), value;

        dtype_load(&value, &stored, 1, EMBMON_F16);
        if (isnan(wanted))
            assert_true(isnan(value));
        else
            assert_memory_equal(&value, &wanted, sizeof value); /* the sign of 0, too */
    }
}

static void elements_are_loaded_from_any_address(void **state)
{
    const float f32[] = {1.5f, -0x1p-149f};
    const double f64[] = {0x1p-1074, -1e300};
    const uint16_t bf16[] = {0x3fc0, 0xff80};
    const int8_t i8[] = {-128, 127};
    const int16_t i16[] = {INT16_MIN, 5};
    const int32_t i32[] = {INT32_MIN, 6};
    const int64_t i64[] = {INT64_MIN, 7};
    const struct {
        const void *data;
        enum embmon_dtype dtype;
        double first, second;
    } cases[] = {
        {f32, EMBMON_F32, 1.5, -0x1p-149},   {f64, EMBMON_F64, 0x1p-1074, -1e300},
        {bf16, EMBMON_BF16, 1.5, -INFINITY}, {i8, EMBMON_I8, -128, 127},
        {i16, EMBMON_I16, INT16_MIN, 5},     {i32, EMBMON_I32, INT32_MIN, 6},
        {i64, EMBMON_I64, -0x1p63, 7},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t bytes[17];
        double values[2];

        memcpy(bytes + 1, cases[i].data, 2 * dtype_size((int)cases[i].dtype));
        dtype_load(values, bytes + 1, 2, cases[i].dtype);
        assert_true(values[0] == cases[i].first && values[1] == cases[i].second);
    }
}

static void any_number_of_them_is_loaded(void **state)
{
    float narrow[10];
    double wide[10];

    (void)state;
    for (size_t i = 0; i < 10; i++)
        narrow[i] = (float)i + 0.5f;
    for (size_t n = 0; n < 10; n++) {
        memset(wide, 0, sizeof wide);
        dtype_load(wide, narrow, n, EMBMON_F32);
        for (size_t i = 0; i < 10; i++)
            assert_true(wide[i] == (i < n ? (double)i + 0.5 : 0));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_those_of_the_types),
        cmocka_unit_test(every_f16_is_what_it_is),
        cmocka_unit_test(any_number_of_them_is_loaded),
        cmocka_unit_test(elements_are_loaded_from_any_address),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
