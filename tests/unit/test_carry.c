#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

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

static uint8_t long_bytes[2][CARRY_LENT_LEAST + 1000];

/* A number, a long piece, a short one, two long ones: as much as there may be, and one more. */
static void save(struct carry *c)
{
    uint64_t number = 4711;

    carry_u64(c, &number);
    carry_lend(c, long_bytes[0], sizeof long_bytes[0], 1);
    carry_lend(c, long_bytes[1], 10, 2);
    carry_lend(c, long_bytes[1], sizeof long_bytes[1], 3);
    carry_lend(c, long_bytes[0], sizeof long_bytes[0], 4);
    carry_u64(c, &number);
}

static void what_is_lent_is_not_copied_and_the_same_bytes(void **state)
{
    struct iovec parts[CARRY_PARTS_MAX];
    struct carry copied, lent;
    size_t at = 0;

    (void)state;
    memset(long_bytes[0], 'a', sizeof long_bytes[0]);
    memset(long_bytes[1], 'b', sizeof long_bytes[1]);
    carry_save(&copied, 1 << 20);
    save(&copied);
    assert_int_equal(copied.lent_count, 0);
    assert_int_equal(carry_parts(&copied, parts), 1);
    assert_ptr_equal(parts[0].iov_base, copied.data);
    assert_int_equal(parts[0].iov_len, copied.length);
    carry_save(&lent, 1 << 20);
    carry_borrow(&lent);
    save(&lent);
    assert_int_equal(lent.lent_count, 2);
    assert_int_equal(carry_parts(&lent, parts), CARRY_PARTS_MAX);
    assert_ptr_equal(parts[1].iov_base, long_bytes[0]);
    assert_ptr_equal(parts[3].iov_base, long_bytes[1]);
    for (size_t i = 0; i < CARRY_PARTS_MAX; i++) {
        assert_true(parts[i].iov_len <= copied.length - at);
        assert_memory_equal(parts[i].iov_base, copied.data + at, parts[i].iov_len);
        at += parts[i].iov_len;
    }
    assert_int_equal(at, copied.length);
    carry_free(&copied);
    carry_free(&lent);
}

static void what_is_lent_counts_for_the_limit(void **state)
{
    struct carry c;

    (void)state;
    carry_save(&c, sizeof long_bytes[0] + 10);
    carry_borrow(&c);
    carry_lend(&c, long_bytes[0], sizeof long_bytes[0], 0);
    carry_bytes(&c, long_bytes[1], 10);
    assert_null(c.problem);
    carry_bytes(&c, long_bytes[1], 1);
    assert_string_equal(c.problem, "it is too large");
    carry_free(&c);
    carry_save(&c, sizeof long_bytes[0] + 9);
    carry_borrow(&c);
    carry_bytes(&c, long_bytes[1], 10);
    carry_lend(&c, long_bytes[0], sizeof long_bytes[0], 0);
    assert_string_equal(c.problem, "it is too large");
    assert_int_equal(c.lent_count, 0);
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
        cmocka_unit_test(what_is_lent_is_not_copied_and_the_same_bytes),
        cmocka_unit_test(what_is_lent_counts_for_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
