#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>

#include "daemon/carry.h"
#include "tests/unit/again.h"

struct all {
    uint64_t wide;
    uint32_t narrow;
    size_t size;
    int64_t sign;
    bool yes, no;
    double real;
    float small;
    double list[3];
    char text[8];
    char *owned;
};

static void carry_all(struct carry *c, void *thing)
{
    struct all *all = thing;

    carry_u64(c, &all->wide);
    carry_u32(c, &all->narrow, 1000);
    carry_size(c, &all->size, SIZE_MAX);
    carry_i64(c, &all->sign);
    carry_bool(c, &all->yes);
    carry_bool(c, &all->no);
    carry_f64(c, &all->real);
    carry_f32(c, &all->small);
    carry_f64s(c, all->list, 3);
    carry_text(c, all->text, sizeof all->text);
    carry_string(c, &all->owned, 100);
}

static void fresh(void *thing)
{
    free(((struct all *)thing)->owned);
    *(struct all *)thing = (struct all){0};
}

static const struct kept kept = {carry_all, fresh};

static void all_kinds_of_fields_come_back(void **state)
{
    static const int64_t signs[] = {0, -1, 1, INT64_MIN, INT64_MAX, -64, 63, 64};
    static const uint64_t wides[] = {0, 127, 128, UINT64_MAX, UINT64_C(1) << 63, 300, 16383, 16384};
    struct all into = {0};

    (void)state;
    for (size_t i = 0; i < 8; i++) {
        char owned[] = "what the run is called", nothing[] = "";
        struct all all = {wides[i],
                          1000,
                          SIZE_MAX,
                          signs[i],
                          true,
                          false,
                          NAN,
                          -0.5F,
                          {1, -INFINITY, 5e-324},
                          "1234567",
                          i % 2 ? owned : nothing};

        again(&kept, &all, &into);
        assert_true(into.wide == wides[i] && into.sign == signs[i] && into.yes && !into.no);
        assert_true(isnan(into.real) && isinf(into.list[1]));
        assert_string_equal(into.text, "1234567");
        assert_string_equal(into.owned, all.owned);
    }
    fresh(&into);
}

static const char *loaded(const char *bytes, size_t n, struct all *into)
{
    return again_loaded(&kept, (const uint8_t *)bytes, n, into);
}

static void what_is_wrong_is_said_once_and_the_rest_is_0(void **state)
{
    struct all into = {0};
    struct carry c;
    uint64_t number = 7;

    (void)state;
    assert_string_equal(loaded("\x01\xe9\x07", 3, &into), "a number is above its ceiling");
    assert_int_equal(into.narrow, 0);
    assert_string_equal(loaded("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11, &into),
                        "a number has too many bytes");
    assert_string_equal(loaded("\x81", 1, &into), "it ends too early");
    fresh(&into);
    carry_load(&c, (const uint8_t *)"\x05", 1);
    carry_fail(&c, "first");
    carry_fail(&c, "second");
    carry_u64(&c, &number);
    assert_string_equal(c.problem, "first");
    assert_int_equal(number, 0);
}

static void a_count_is_compared_with_what_is_left(void **state)
{
    struct carry c;

    (void)state;
    carry_load(&c, (const uint8_t *)"\x03...", 4);
    assert_int_equal(carry_count(&c, 0, 3), 3);
    carry_load(&c, (const uint8_t *)"\x04...", 4);
    assert_int_equal(carry_count(&c, 0, 100), 0);
    assert_string_equal(c.problem, "it ends too early");
    assert_null(carry_room(&c, 1, 1));
    carry_load(&c, (const uint8_t *)"\x03...", 4);
    assert_int_equal(carry_count(&c, 0, 2), 0);
    assert_string_equal(c.problem, "a number is above its ceiling");
}

static void a_text_with_a_nul_is_refused(void **state)
{
    struct carry c;
    char text[4];

    (void)state;
    carry_load(&c,
               (const uint8_t *)"\x03"
                                "a\0b",
               4);
    carry_text(&c, text, sizeof text);
    assert_string_equal(c.problem, "a text holds a NUL");
    assert_string_equal(text, "");
}

static void more_than_the_limit_is_not_saved(void **state)
{
    uint8_t bytes[100] = {0};
    struct carry c;

    (void)state;
    carry_save(&c, 150);
    carry_bytes(&c, bytes, sizeof bytes);
    assert_null(c.problem);
    carry_bytes(&c, bytes, sizeof bytes);
    assert_string_equal(c.problem, "it is too large");
    assert_int_equal(c.length, 100);
    carry_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_kinds_of_fields_come_back),
        cmocka_unit_test(what_is_wrong_is_said_once_and_the_rest_is_0),
        cmocka_unit_test(a_count_is_compared_with_what_is_left),
        cmocka_unit_test(a_text_with_a_nul_is_refused),
        cmocka_unit_test(more_than_the_limit_is_not_saved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
