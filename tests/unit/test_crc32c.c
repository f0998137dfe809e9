#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "proto/crc32c.h"
#include "tests/unit/random.h"

static void assert_both(const void *data, size_t n, uint32_t expected)
{
    assert_int_equal(crc32c(0, data, n), expected);
    assert_int_equal(crc32c_plain(0, data, n), expected);
    assert_int_equal(crc32c_portable(0, data, n), expected);
}

static void the_vectors_of_rfc_3720_come_out(void **state)
{
    static const uint8_t read_command[48] = {
        [0] = 0x01,  [1] = 0xc0,  [16] = 0x14, [22] = 0x04,
        [27] = 0x14, [31] = 0x18, [32] = 0x28, [40] = 0x02,
    };
    uint8_t bytes[32];

    (void)state;
    memset(bytes, 0, sizeof bytes);
    assert_both(bytes, sizeof bytes, 0x8a9136aau);
    memset(bytes, 0xff, sizeof bytes);
    assert_both(bytes, sizeof bytes, 0x62a8ab43u);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)i;
    assert_both(bytes, sizeof bytes, 0x46dd794eu);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(31 - i);
    assert_both(bytes, sizeof bytes, 0x113fdb5cu);
    assert_both(read_command, sizeof read_command, 0xd9963a56u);
    assert_both("123456789", 9, 0xe3069283u);
}

static void nothing_leaves_the_crc_as_it_is(void **state)
{
    (void)state;
    assert_int_equal(crc32c(0, "", 0), 0);
    assert_int_equal(crc32c(0xe3069283u, "", 0), 0xe3069283u);
    assert_int_equal(crc32c_portable(0xe3069283u, "", 0), 0xe3069283u);
}

/* The definition, bit by bit. */
static uint32_t slowly(uint32_t crc, const uint8_t *p, size_t n)
{
    crc = ~crc;
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return ~crc;
}

/* As long as what is folded four vectors at once, some times, and what is left over. */
static void every_way_equals_the_definition_at_every_length_and_alignment(void **state)
{
    uint64_t seed = 1;
    uint8_t bytes[1100];

    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)random_next(&seed);
    for (size_t from = 0; from < 9; from++)
        for (size_t n = 0; n <= sizeof bytes - from; n++) {
            uint32_t start = (uint32_t)random_next(&seed);

            assert_int_equal(crc32c(start, bytes + from, n), slowly(start, bytes + from, n));
            assert_int_equal(crc32c_plain(start, bytes + from, n), slowly(start, bytes + from, n));
            assert_int_equal(crc32c_portable(start, bytes + from, n),
                             slowly(start, bytes + from, n));
        }
}

static void pieces_give_what_the_whole_gives(void **state)
{
    uint64_t seed = 2;
    uint8_t bytes[457];

    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)random_next(&seed);
    for (size_t cut = 0; cut <= sizeof bytes; cut++) {
        uint32_t first = crc32c(0, bytes, cut);

        assert_int_equal(crc32c(first, bytes + cut, sizeof bytes - cut),
                         crc32c(0, bytes, sizeof bytes));
        assert_int_equal(crc32c_plain(first, bytes + cut, sizeof bytes - cut),
                         crc32c(0, bytes, sizeof bytes));
        assert_int_equal(crc32c_portable(first, bytes + cut, sizeof bytes - cut),
                         crc32c(0, bytes, sizeof bytes));
    }
}

static void two_sums_are_joined(void **state)
{
    static uint8_t bytes[70000];
    uint64_t seed = 3;

    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)random_next(&seed);
    for (size_t cut = 0; cut <= sizeof bytes; cut = 2 * cut + 1) {
        size_t rest = sizeof bytes - cut;

        assert_int_equal(crc32c_join(crc32c(0, bytes, cut), crc32c(0, bytes + cut, rest), rest),
                         crc32c(0, bytes, sizeof bytes));
    }
    assert_int_equal(crc32c_join(0xe3069283u, 0, 0), 0xe3069283u);
    assert_int_equal(crc32c_join(0, 0xe3069283u, 9), 0xe3069283u);
    /* 32 bytes of zeros, and as many behind them: RFC 3720 has the first. */
    memset(bytes, 0, 64);
    assert_int_equal(crc32c_join(0x8a9136aau, 0x8a9136aau, 32), slowly(0, bytes, 64));
}

static void the_masked_form_is_rotated_and_moved(void **state)
{
    (void)state;
    assert_int_equal(crc32c_mask(0), 0xa282ead8u);
    assert_int_equal(crc32c_mask(0xffffffffu), 0xa282ead7u);
    assert_int_equal(crc32c_mask(0xe3069283u), 0xc78ab0e5u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vectors_of_rfc_3720_come_out),
        cmocka_unit_test(nothing_leaves_the_crc_as_it_is),
        cmocka_unit_test(every_way_equals_the_definition_at_every_length_and_alignment),
        cmocka_unit_test(pieces_give_what_the_whole_gives),
        cmocka_unit_test(two_sums_are_joined),
        cmocka_unit_test(the_masked_form_is_rotated_and_moved),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
