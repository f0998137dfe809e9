/* Arrays of counts, compared with loops that take one after the other. All arrays end where their
 * memory does, for the sanitizers. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "proto/counts.h"
#include "tests/unit/random.h"

enum { MOST = 70, ROUNDS = 20000, VARINT = 10 };

static uint64_t *array(const uint64_t *values, size_t n)
{
    uint64_t *exact = malloc(n ? n * sizeof *exact : 1);

    assert_non_null(exact);
    memcpy(exact, values, n * sizeof *exact);
    return exact;
}

static void adding_and_summing_are_those_of_a_loop(void **state)
{
    uint64_t seed = 1;

    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t a[MOST], b[MOST], sum = 0, all = 1, any = 1, *to, *from;
        size_t n = random_below(&seed, MOST + 1);

        for (size_t i = 0; i < n; i++) {
            a[i] = random_next(&seed);
            b[i] = random_next(&seed) >> random_below(&seed, 64);
        }
        to = array(a, n);
        from = array(b, n);
        counts_add(to, from, n);
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(to[i], a[i] + b[i]);
            sum += b[i];
            all |= b[i];
        }
        assert_int_equal(counts_sum(from, n, &any), sum);
        assert_int_equal(any, all);
        free(to);
        free(from);
    }
}

/* ---- out of a message */

static size_t put_varint(uint8_t *to, uint64_t value)
{
    size_t n = 0;

    for (; value >= 0x80; value >>= 7)
        to[n++] = (uint8_t)(value | 0x80);
    to[n++] = (uint8_t)value;
    return n;
}

/* One after the other; a varint of more than two bytes, or one that is cut off, ends it. */
static size_t take_each(const uint8_t *from, size_t length, uint64_t *counts, size_t *used)
{
    size_t n = 0;

    *used = 0;
    while (*used < length) {
        uint8_t low = from[*used], high = *used + 1 < length ? from[*used + 1] : 0x80;

        if (low >= 0x80 && high >= 0x80)
            break;
        counts[n++] = low < 0x80 ? low : (low & 0x7fu) | (uint64_t)high << 7;
        *used += low < 0x80 ? 1 : 2;
    }
    return n;
}

/* Returns how many were taken. What is taken is right, and nothing is left that could be taken. */
static size_t must_be_taken(const uint8_t *bytes, size_t length, size_t room)
{
    uint8_t *exact = malloc(length ? length : 1);
    uint64_t *counts = malloc(room ? room * sizeof *counts : 1), each[MOST * VARINT];
    const uint8_t *at = exact;
    size_t n, most, used, again;

    assert_true(exact && counts);
    memcpy(exact, bytes, length);
    n = counts_take(&at, exact + length, counts, room);
    most = take_each(exact, length, each, &used);
    assert_true(n <= room && n <= most);
    assert_memory_equal(counts, each, n * sizeof *counts);
    assert_int_equal(take_each(exact, (size_t)(at - exact), each, &again), n);
    assert_int_equal(again, at - exact);
    if (length >= 8 && room - n >= COUNTS_ROOM && bytes[length - 1] < 0x80)
        assert_int_equal(take_each(at, length - (size_t)(at - exact), each, &again), 0);
    free(exact);
    free(counts);
    return n;
}

static void counts_of_one_and_two_bytes_are_taken(void **state)
{
    uint8_t bytes[MOST * VARINT];
    uint64_t seed = 2;
    size_t taken = 0;

    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        size_t n = random_below(&seed, MOST + 1), length = 0;
        uint64_t limit = random_below(&seed, 3) ? 1 << 14 : 1 << 7;
        unsigned keeps = (unsigned)random_below(&seed, 8); /* runs of one length */
        bool is_short = true;

        for (size_t i = 0; i < n; i++) {
            if (random_below(&seed, keeps + 1) == 0)
                is_short = !is_short;
            length += put_varint(bytes + length, random_below(&seed, is_short ? 1 << 7 : limit));
            if (random_below(&seed, 200) == 0)
                length += put_varint(bytes + length, random_next(&seed));
        }
        length -= length > 0 ? random_below(&seed, 2) : 0; /* the last one may be cut off */
        taken += must_be_taken(bytes, length, random_below(&seed, 4) ? n + COUNTS_ROOM : n / 2);
    }
    assert_true(taken > (size_t)ROUNDS * MOST / 4);
}

static void any_bytes_are_taken_for_what_they_are(void **state)
{
    uint8_t bytes[MOST];
    uint64_t seed = 3;

    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        size_t n = random_below(&seed, sizeof bytes + 1);

        for (size_t i = 0; i < n; i++)
            bytes[i] = (uint8_t)(random_next(&seed) & (random_below(&seed, 3) ? 0xff : 0x7f));
        (void)must_be_taken(bytes, n, n + COUNTS_ROOM);
    }
}

/* 0 in two bytes is no number that we would write, and one that may be read. */
static void the_edges_of_each_length_are_taken(void **state)
{
    static const uint8_t bytes[32] = {0x7f, 0x00, 0x01, 0x7f, 0x00, 0x01, 0x7f, 0x00,
                                      0xff, 0x7f, 0x80, 0x01, 0x80, 0x00, 0xff, 0x01,
                                      0xff, 0x7f, 0x80, 0x01, 0x80, 0x00, 0xff, 0x01,
                                      0xff, 0xff, 0x01, 0,    0,    0,    0,    0};
    const uint8_t *at = bytes;
    uint64_t counts[64];

    (void)state;
    assert_int_equal(counts_take(&at, bytes + sizeof bytes, counts, 64), 16);
    assert_ptr_equal(at, bytes + 24);
    assert_int_equal(counts[0], 127);
    assert_int_equal(counts[8], 16383);
    assert_int_equal(counts[9], 128);
    assert_int_equal(counts[10], 0);
    assert_int_equal(counts[15], 255);
    (void)must_be_taken(bytes, sizeof bytes, 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adding_and_summing_are_those_of_a_loop),
        cmocka_unit_test(counts_of_one_and_two_bytes_are_taken),
        cmocka_unit_test(any_bytes_are_taken_for_what_they_are),
        cmocka_unit_test(the_edges_of_each_length_are_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
