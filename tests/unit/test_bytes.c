#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "daemon/bytes.h"

static void put(struct bytes *b, uint8_t first, size_t n)
{
    assert_true(bytes_reserve(b, n));
    for (size_t i = 0; i < n; i++)
        b->data[b->length++] = (uint8_t)(first + i);
}

static void what_is_written_is_there_after_growing(void **state)
{
    struct bytes b = {0};

    (void)state;
    for (int i = 0; i < 1000; i++)
        put(&b, (uint8_t)i, 7);
    assert_int_equal(b.length - b.start, 7000);
    for (size_t i = 0; i < 7000; i++)
        assert_int_equal(b.data[i], (uint8_t)(i / 7 + i % 7));
    bytes_free(&b);
    assert_null(b.data);
}

static void what_is_used_up_makes_room_and_the_rest_stays(void **state)
{
    struct bytes b = {0};
    size_t capacity;

    (void)state;
    put(&b, 0, 100);
    capacity = b.capacity;
    for (int i = 0; i < 10000; i++) {
        b.start += 90;
        assert_int_equal(b.data[b.start], 90);
        put(&b, 100, 90);
        for (size_t k = 0; k < 100; k++) /* the queue holds 0 ... 99 again */
            b.data[b.start + k] = (uint8_t)k;
    }
    assert_int_equal(b.length - b.start, 100);
    assert_true(b.capacity <= 4 * capacity);
    bytes_free(&b);
}

static void a_size_that_would_wrap_is_refused_and_nothing_is_lost(void **state)
{
    struct bytes b = {0};

    (void)state;
    put(&b, 5, 10);
    assert_false(bytes_reserve(&b, SIZE_MAX));
    assert_false(bytes_reserve(&b, SIZE_MAX / 4));
    assert_int_equal(b.length, 10);
    assert_int_equal(b.data[9], 14);
    bytes_free(&b);
}

static void an_emptied_queue_keeps_little(void **state)
{
    struct bytes b = {0};

    (void)state;
    put(&b, 0, 1000);
    bytes_clear(&b);
    assert_int_equal(b.length, 0);
    assert_true(b.capacity >= 1000);
    put(&b, 0, 4 << 20);
    bytes_clear(&b);
    assert_int_equal(b.capacity, 0);
    assert_int_equal(b.length, 0);
    put(&b, 0, BYTES_KEPT / 2 + 1); /* twice that is a little more than it keeps */
    assert_int_equal(bytes_held(&b), 2);
    bytes_clear(&b);
    assert_int_equal(bytes_held(&b), 0);
    put(&b, 0, 4 << 20);
    assert_in_range(b.capacity, 4 << 20, (4 << 20) + BYTES_AHEAD);
    assert_int_equal(bytes_held(&b), b.capacity - BYTES_KEPT);
    bytes_clear(&b);
    put(&b, 3, 1);
    assert_int_equal(b.data[0], 3);
    bytes_free(&b);
}

static void what_is_left_of_a_long_queue_takes_little(void **state)
{
    struct bytes b = {0};

    (void)state;
    put(&b, 0, 1 << 20);
    b.start = 700 << 10;
    bytes_shrink(&b); /* a quarter is not little */
    assert_int_equal(b.start, 700 << 10);
    b.start = (1 << 20) - 5;
    bytes_shrink(&b);
    assert_int_equal(b.capacity, BYTES_KEPT);
    assert_int_equal(b.length - b.start, 5);
    for (int i = 0; i < 5; i++)
        assert_int_equal(b.data[b.start + (size_t)i], (uint8_t)((1 << 20) - 5 + i));
    bytes_shrink(&b);
    assert_int_equal(b.capacity, BYTES_KEPT);
    bytes_free(&b);
    bytes_shrink(&b);
    assert_null(b.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_there_after_growing),
        cmocka_unit_test(what_is_used_up_makes_room_and_the_rest_stays),
        cmocka_unit_test(a_size_that_would_wrap_is_refused_and_nothing_is_lost),
        cmocka_unit_test(an_emptied_queue_keeps_little),
        cmocka_unit_test(what_is_left_of_a_long_queue_takes_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
