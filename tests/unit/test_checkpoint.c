#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/checkpoint.h"
#include "proto/crc32c.h"
#include "tests/unit/again.h"

static struct carry sealed(uint64_t number, const char *bytes)
{
    struct carry c;

    checkpoint_begin(&c);
    carry_u64(&c, &number);
    carry_bytes(&c, (void *)(uintptr_t)bytes, strlen(bytes));
    checkpoint_seal(&c);
    assert_null(c.problem);
    return c;
}

static const char *refused(const uint8_t *data, size_t n)
{
    struct carry c;

    bool opened = checkpoint_open(&c, data, n);

    assert_int_equal(opened, c.problem == NULL);
    return c.problem;
}

static void what_was_sealed_is_opened_and_used_up(void **state)
{
    struct carry first = sealed(4711, "abc"), c;
    uint64_t number = 0;
    char bytes[4] = "";

    (void)state;
    assert_int_equal(first.length, CHECKPOINT_HEAD + 2 + 3);
    assert_true(checkpoint_open(&c, first.data, first.length));
    carry_u64(&c, &number);
    assert_int_equal(number, 4711);
    checkpoint_end(&c);
    assert_string_equal(c.problem, "it goes on behind its end");
    assert_true(checkpoint_open(&c, first.data, first.length));
    carry_u64(&c, &number);
    carry_bytes(&c, bytes, 3);
    checkpoint_end(&c);
    assert_null(c.problem);
    assert_string_equal(bytes, "abc");
    carry_free(&first);
}

static void every_cut_and_every_changed_byte_is_refused(void **state)
{
    struct carry c = sealed(1, "what a run remembers, as far as this test is concerned");

    (void)state;
    assert_null(refused(c.data, c.length));
    for (size_t n = 0; n < c.length; n++)
        assert_non_null(refused(c.data, n));
    for (size_t i = 0; i < c.length; i++) {
        for (unsigned change = 1; change < 256; change++) {
            c.data[i] ^= (uint8_t)change;
            assert_non_null(refused(c.data, c.length));
            c.data[i] ^= (uint8_t)change;
        }
    }
    carry_free(&c);
}

static void the_reason_says_what_it_is_instead(void **state)
{
    struct carry c = sealed(1, "content");
    uint8_t zeros[64] = {0};

    (void)state;
    assert_string_equal(refused(zeros, sizeof zeros), "it is no checkpoint");
    assert_string_equal(refused(zeros, 0), "it is no checkpoint");
    c.data[8]++;
    assert_string_equal(refused(c.data, c.length), "it is of another version of embmond");
    c.data[8]--;
    assert_string_equal(refused(c.data, c.length - 1), "it is not as long as it says");
    c.data[c.length - 1]++;
    assert_string_equal(refused(c.data, c.length), "its checksum is wrong");
    carry_free(&c);
}

static void one_that_failed_is_not_sealed(void **state)
{
    struct carry c;

    (void)state;
    checkpoint_begin(&c);
    carry_fail(&c, "out of memory");
    checkpoint_seal(&c);
    assert_string_equal(c.problem, "out of memory");
    assert_string_equal(refused(c.data, c.length), "it is no checkpoint");
    carry_free(&c);
}

static void its_beginning_may_be_looked_at_alone(void **state)
{
    struct carry c = sealed(1, "content"), peek;
    uint64_t number = 0;

    (void)state;
    assert_true(checkpoint_peek(&peek, c.data, CHECKPOINT_HEAD + 1));
    carry_u64(&peek, &number);
    assert_null(peek.problem);
    assert_int_equal(number, 1);
    carry_u64(&peek, &number);
    assert_non_null(peek.problem); /* there is no more of it */
    assert_false(checkpoint_peek(&peek, c.data, CHECKPOINT_HEAD - 1));
    c.data[8]++;
    assert_false(checkpoint_peek(&peek, c.data, c.length));
    carry_free(&c);
}

static void what_is_lent_is_in_its_checksum(void **state)
{
    static uint8_t bytes[CARRY_LENT_LEAST], whole[CARRY_LENT_LEAST + 100];
    struct iovec parts[CARRY_PARTS_MAX];
    uint64_t number = 4711;
    size_t n = 0, count;
    struct carry c;

    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * i >> 3);
    checkpoint_begin(&c);
    carry_borrow(&c);
    carry_u64(&c, &number);
    carry_lend(&c, bytes, sizeof bytes, crc32c(0, bytes, sizeof bytes));
    carry_u64(&c, &number);
    checkpoint_seal(&c);
    assert_int_equal(c.lent_count, 1);
    count = carry_parts(&c, parts);
    for (size_t i = 0; i < count; i++) {
        memcpy(whole + n, parts[i].iov_base, parts[i].iov_len);
        n += parts[i].iov_len;
    }
    assert_int_equal(n, CHECKPOINT_HEAD + 2 + sizeof bytes + 2);
    assert_null(refused(whole, n));
    for (size_t i = CHECKPOINT_HEAD; i < n; i += 1000) {
        whole[i] ^= 1;
        assert_string_equal(refused(whole, n), "its checksum is wrong");
        whole[i] ^= 1;
    }
    carry_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_sealed_is_opened_and_used_up),
        cmocka_unit_test(every_cut_and_every_changed_byte_is_refused),
        cmocka_unit_test(the_reason_says_what_it_is_instead),
        cmocka_unit_test(one_that_failed_is_not_sealed),
        cmocka_unit_test(its_beginning_may_be_looked_at_alone),
        cmocka_unit_test(what_is_lent_is_in_its_checksum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
