#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "client/seen.h"
#include "tests/unit/random.h"

static struct seen seen;

static int open_seen(void **state)
{
    (void)state;
    return seen_open(&seen) ? 0 : -1;
}

static int close_seen(void **state)
{
    (void)state;
    seen_close(&seen);
    return 0;
}

static void a_row_counts_once_until_it_is_cleared(void **state)
{
    struct seen_rows *rows = seen_reserve(&seen, 200);

    (void)state;
    assert_non_null(rows);
    assert_int_equal(seen_count(rows), 0);
    seen_mark(rows, 0);
    seen_mark(rows, 199);
    seen_mark(rows, 0);
    assert_int_equal(seen_count(rows), 2);
    seen_clear(rows);
    assert_int_equal(seen_count(rows), 0);
    seen_mark(rows, 0);
    assert_int_equal(seen_count(rows), 1);
}

static void rows_of_a_word_are_seen_together(void **state)
{
    struct seen_rows *rows = seen_reserve(&seen, 200);

    (void)state;
    assert_non_null(rows);
    seen_mark(rows, 64);
    seen_mark_word(rows, 1, 0x8000000000000003u); /* 64, 65 and 127 */
    assert_int_equal(seen_count(rows), 3);
    seen_mark_word(rows, 1, 0);
    seen_mark_word(rows, 1, 2);
    seen_mark(rows, 127);
    assert_int_equal(seen_count(rows), 3);
    seen_mark_word(rows, 3, 1);
    assert_int_equal(seen_count(rows), 4);
    seen_mark_all(rows, (const uint64_t[]){192, 0, 199, 64, 0}, 5);
    assert_int_equal(seen_count(rows), 6);
    seen_clear(rows);
    assert_int_equal(seen_count(rows), 0);
    seen_mark_word(rows, 1, 2);
    assert_int_equal(seen_count(rows), 1);
}

static void all_rows_can_be_seen(void **state)
{
    /* Around the ends of words and of chunks. */
    static const uint64_t sizes[] = {1, 63, 64, 65, 32767, 32768, 32769, 100000};

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct seen_rows *rows = seen_reserve(&seen, sizes[i]);

        assert_non_null(rows);
        for (int epoch = 0; epoch < 2; epoch++) {
            for (uint64_t row = 0; row < sizes[i]; row++)
                seen_mark(rows, row);
            assert_int_equal(seen_count(rows), sizes[i]);
            seen_clear(rows);
            assert_int_equal(seen_count(rows), 0);
        }
    }
}

static void tables_do_not_share_bits(void **state)
{
    struct seen_rows *tables[50];

    (void)state;
    for (uint64_t i = 0; i < 50; i++)
        assert_non_null(tables[i] = seen_reserve(&seen, i * 77 + 1));
    for (uint64_t i = 0; i < 50; i += 2)
        for (uint64_t row = 0; row < i * 77 + 1; row++)
            seen_mark(tables[i], row);
    for (uint64_t i = 0; i < 50; i++)
        assert_int_equal(seen_count(tables[i]), i % 2 ? 0 : i * 77 + 1);
    seen_clear(tables[0]);
    assert_int_equal(seen_count(tables[2]), 2 * 77 + 1);
}

static void the_largest_table_has_bits_and_then_there_is_no_room(void **state)
{
    struct seen_rows *rows = seen_reserve(&seen, SEEN_ROWS);

    (void)state;
    assert_non_null(rows);
    seen_mark(rows, 0);
    seen_mark(rows, SEEN_ROWS - 1);
    assert_int_equal(seen_count(rows), 2);
    seen_clear(rows);
    assert_int_equal(seen_count(rows), 0);
    assert_null(seen_reserve(&seen, SEEN_ROWS));
    assert_null(seen_reserve(&seen, SEEN_ROWS / 2));
}

static void beyond_the_ceiling_a_table_has_none(void **state)
{
    (void)state;
    assert_null(seen_reserve(&seen, SEEN_ROWS + 1));
    assert_null(seen_reserve(&seen, UINT64_MAX));
    assert_null(seen_reserve(&seen, 0));
}

static void without_memory_no_table_has_any(void **state)
{
    struct seen empty = {0};

    (void)state;
    assert_null(seen_reserve(&empty, 10));
    seen_close(&empty);
}

/* ---- threads ---- */

enum { THREADS = 4, ROWS = 1 << 17, ROUNDS = 20 };

struct marker {
    struct seen_rows *rows;
    uint64_t seed;
};

static _Atomic int marking;

static void *mark_all(void *argument)
{
    const struct marker *marker = argument;
    uint64_t seed = marker->seed;

    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < ROWS / 8; i++)
            seen_mark(marker->rows, random_below(&seed, ROWS));
    for (uint64_t row = 0; row < ROWS; row += 3)
        seen_mark(marker->rows, row);
    atomic_fetch_sub(&marking, 1);
    return NULL;
}

static void threads_count_each_row_once(void **state)
{
    struct seen_rows *rows = seen_reserve(&seen, ROWS);
    pthread_t threads[THREADS];
    struct marker markers[THREADS];
    bool *expected = calloc(ROWS, sizeof *expected);
    uint64_t count = 0;

    (void)state;
    assert_non_null(expected);
    for (int i = 0; i < THREADS; i++) {
        markers[i] = (struct marker){rows, (uint64_t)i + 1};
        assert_int_equal(pthread_create(&threads[i], NULL, mark_all, &markers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        uint64_t seed = (uint64_t)i + 1;

        assert_int_equal(pthread_join(threads[i], NULL), 0);
        for (int k = 0; k < ROUNDS * (ROWS / 8); k++)
            expected[random_below(&seed, ROWS)] = true;
    }
    for (uint64_t row = 0; row < ROWS; row++)
        count += expected[row] || row % 3 == 0;
    assert_int_equal(seen_count(rows), count);
    free(expected);
}

/* An epoch's end amid other threads' posts: whatever was kept can still be cleared. */
static void what_is_marked_while_it_is_cleared_is_not_lost_for_ever(void **state)
{
    struct seen_rows *rows = seen_reserve(&seen, ROWS);
    pthread_t threads[THREADS];
    struct marker markers[THREADS];

    (void)state;
    atomic_store(&marking, THREADS);
    for (int i = 0; i < THREADS; i++) {
        markers[i] = (struct marker){rows, (uint64_t)i + 9};
        assert_int_equal(pthread_create(&threads[i], NULL, mark_all, &markers[i]), 0);
    }
    do {
        seen_clear(rows);
        assert_true(seen_count(rows) <= ROWS);
    } while (atomic_load(&marking) > 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_true(seen_count(rows) <= ROWS);
    seen_clear(rows);
    assert_int_equal(seen_count(rows), 0);
    for (uint64_t row = 0; row < ROWS; row++)
        seen_mark(rows, row);
    assert_int_equal(seen_count(rows), ROWS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_row_counts_once_until_it_is_cleared, open_seen,
                                        close_seen),
        cmocka_unit_test_setup_teardown(rows_of_a_word_are_seen_together, open_seen, close_seen),
        cmocka_unit_test_setup_teardown(all_rows_can_be_seen, open_seen, close_seen),
        cmocka_unit_test_setup_teardown(tables_do_not_share_bits, open_seen, close_seen),
        cmocka_unit_test_setup_teardown(the_largest_table_has_bits_and_then_there_is_no_room,
                                        open_seen, close_seen),
        cmocka_unit_test_setup_teardown(beyond_the_ceiling_a_table_has_none, open_seen, close_seen),
        cmocka_unit_test(without_memory_no_table_has_any),
        cmocka_unit_test_setup_teardown(threads_count_each_row_once, open_seen, close_seen),
        cmocka_unit_test_setup_teardown(what_is_marked_while_it_is_cleared_is_not_lost_for_ever,
                                        open_seen, close_seen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
