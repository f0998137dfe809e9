#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "client/busy.h"
#include "tests/unit/random.h"

static struct busy_tables tables;

static int start(void **state)
{
    (void)state;
    return busy_open(&tables) ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    busy_close(&tables);
    return 0;
}

static bool is_among(const int64_t *ids, size_t n, int64_t id)
{
    for (size_t i = 0; i < n; i++)
        if (ids[i] == id)
            return true;
    return false;
}

static void the_ids_that_come_most_often_are_picked(void **state)
{
    struct busy *busy = busy_take(&tables, 3);
    int64_t ids[4];

    (void)state;
    assert_non_null(busy);
    for (int64_t id = 0; id < 10; id++)
        busy_count(busy, 1000 * id - 3, (uint64_t)(id == 5 ? 100 : 10 + id));
    assert_int_equal(busy_pick(busy, ids, 4), 4);
    assert_true(is_among(ids, 4, 4997));
    assert_true(is_among(ids, 4, 8997));
    assert_true(is_among(ids, 4, 7997));
    assert_true(is_among(ids, 4, 6997));
    busy_give(busy);
}

/* Of ids that share a place, against what the header says, step by step. */
static void an_id_is_counted_or_worn_down_or_takes_the_place(void **state)
{
    struct busy *busy = busy_take(&tables, 7);
    uint64_t seed = 6;
    int64_t ids[4];
    size_t found = 0, at = 0;

    (void)state;
    for (int64_t id = -1; found < 4; id++) { /* with one place */
        size_t place = (size_t)((uint64_t)id * 0x9e3779b97f4a7c15u >> 53);

        if (found == 0)
            at = place;
        if (place == at)
            ids[found++] = id;
    }
    for (int round = 0; round < 2000; round++) {
        int64_t id = ids[random_below(&seed, 4)];
        struct busy_place wanted = busy->places[at];
        uint64_t n = random_below(&seed, round % 7 ? 3 : 40);

        if (wanted.id == id)
            wanted.count += n;
        else if (wanted.count >= n)
            wanted.count -= n;
        else
            wanted = (struct busy_place){id, n - wanted.count};
        busy_count(busy, id, n);
        assert_memory_equal(&busy->places[at], &wanted, sizeof wanted);
    }
    busy_give(busy);
}

static void of_equals_there_are_as_many_as_there_is_room_for(void **state)
{
    struct busy *busy = busy_take(&tables, 0);
    int64_t ids[500];

    (void)state;
    for (int64_t id = 0; id < 30; id++)
        busy_count(busy, id, 7);
    busy_count(busy, 3, 1);
    assert_int_equal(busy_pick(busy, ids, 10), 10);
    assert_true(is_among(ids, 10, 3));
    assert_int_equal(busy_pick(busy, ids, 500), 30);
    assert_int_equal(busy_pick(busy, ids, 500), 30); /* 7, 3, 1 */
    assert_int_equal(busy_pick(busy, ids, 500), 1);  /* 8, 4, 2, 1 */
    assert_int_equal(busy_pick(busy, ids, 500), 0);
    busy_give(busy);
}

/* A hundred thousand ids share the places; one comes in each batch. */
static void a_row_of_every_batch_stands_out_of_a_large_vocabulary(void **state)
{
    struct busy *busy = busy_take(&tables, 1);
    int64_t ids[16];
    uint64_t random = 1;

    (void)state;
    for (int i = 0; i < 20000; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        busy_count(busy, (int64_t)(random >> 33) % 100000, 1);
        if (i % 10 == 0)
            busy_count(busy, 123456, 1);
    }
    assert_int_equal(busy_pick(busy, ids, 16), 16);
    assert_true(is_among(ids, 16, 123456));
    busy_give(busy);
}

static void each_table_has_its_own_and_one_thread_at_a_time(void **state)
{
    struct busy *a = busy_take(&tables, 2), *b = busy_take(&tables, 2 + BUSY_TABLES);
    int64_t id;

    (void)state;
    assert_non_null(a);
    assert_non_null(b);
    assert_ptr_not_equal(a, b);
    busy_count(a, 5, 1);
    assert_int_equal(busy_pick(b, &id, 1), 0);
    assert_null(busy_take(&tables, 2));
    busy_give(a);
    busy_give(b);
    assert_ptr_equal(busy_take(&tables, 2), a);
    busy_give(a);
    busy_give(NULL);
}

static void tables_beyond_64_are_not_counted(void **state)
{
    struct busy_tables none = {NULL};

    (void)state;
    for (int32_t layer = 0; layer < BUSY_TABLES; layer++)
        busy_give(busy_take(&tables, 10 * layer));
    assert_null(busy_take(&tables, 7));
    assert_non_null(busy_take(&tables, 630));
    assert_null(busy_take(&none, 0));
}

static void it_is_due_once_an_epoch_or_at_one_of_100_chances(void **state)
{
    struct busy *busy = busy_take(&tables, 0);

    (void)state;
    for (int i = 0; i < 99; i++)
        assert_false(busy_due(busy, 0));
    assert_true(busy_due(busy, 0));
    assert_false(busy_due(busy, 0));
    assert_true(busy_due(busy, 1));
    for (int i = 0; i < 99; i++)
        assert_false(busy_due(busy, 1));
    assert_true(busy_due(busy, 3));
}

#define busy_test(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        busy_test(the_ids_that_come_most_often_are_picked),
        busy_test(an_id_is_counted_or_worn_down_or_takes_the_place),
        busy_test(of_equals_there_are_as_many_as_there_is_room_for),
        busy_test(a_row_of_every_batch_stands_out_of_a_large_vocabulary),
        busy_test(each_table_has_its_own_and_one_thread_at_a_time),
        busy_test(tables_beyond_64_are_not_counted),
        busy_test(it_is_due_once_an_epoch_or_at_one_of_100_chances),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
