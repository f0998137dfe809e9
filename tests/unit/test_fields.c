#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "proto/fields.h"

/* One of each kind: 10 fields in 49 bytes. */
static const uint8_t all[] = "\x08\x01"
                             "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
                             "\x11"
                             "12345678"
                             "\x1d"
                             "1234"
                             "\x12\x05"
                             "hello"
                             "\x12\x00"
                             "\x12\x82\x00"
                             "hi"
                             "\xa0\x06\x07"
                             "\x08\x00"
                             "\x08\x00";

static void each_kind_is_one_field(void **state)
{
    (void)state;
    assert_false(fields_few(all, sizeof all - 1, 9));
    assert_true(fields_few(all, sizeof all - 1, 10));
    assert_true(fields_few(all, sizeof all - 1, 11));
    assert_true(fields_few(NULL, 0, 0));
    assert_false(fields_few(all, 2, 0));
    assert_true(fields_few(all, 2, 1));
}

/* However short it is cut, nothing behind its end is looked at (the sanitizers would say so). */
static void what_is_cut_off_is_no_field(void **state)
{
    (void)state;
    for (size_t n = 0; n < sizeof all; n++) {
        uint8_t exact[sizeof all];
        size_t count = 0;

        memcpy(exact + sizeof exact - n, all, n);
        while (!fields_few(exact + sizeof exact - n, n, count))
            count++;
        assert_true(count <= 10);
        assert_true(n < sizeof all - 1 || count == 10);
        assert_true(n > 1 || count == 0);
    }
}

static void what_is_no_protobuf_is_left_to_others(void **state)
{
    const char *const wrong[] = {"\x0b\x08\x01", "\x0e\x08\x01", "\x12\xff\xff\xff\xff\xff\xff",
                                 "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
                                 "\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"};

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_true(fields_few((const uint8_t *)wrong[i], strlen(wrong[i]), 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_is_one_field),
        cmocka_unit_test(what_is_cut_off_is_no_field),
        cmocka_unit_test(what_is_no_protobuf_is_left_to_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
