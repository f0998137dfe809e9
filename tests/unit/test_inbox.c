#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "client/inbox.h"

static void payloads_come_out_as_they_went_in(void **state)
{
    struct inbox *inbox = inbox_new(4096);

    (void)state;
    for (int round = 0; round < 1000; round++) { /* many times around the ring */
        size_t n = 1 + (size_t)round * 7 % 1000;
        uint8_t *to = inbox_reserve(inbox, n);
        const uint8_t *from;

        assert_non_null(to);
        assert_int_equal((uintptr_t)to % 16, 0);
        assert_null(inbox_peek(inbox)); /* not before it is committed */
        memset(to, round, n);
        inbox_commit(to);
        from = inbox_peek(inbox);
        assert_non_null(from);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(from[i], (uint8_t)round);
        inbox_pop(inbox);
    }
    assert_null(inbox_peek(inbox));
    inbox_free(inbox);
}

static void a_full_inbox_takes_nothing_until_it_is_read(void **state)
{
    struct inbox *inbox = inbox_new(4096);
    void *payload;

    (void)state;
    for (int i = 0; i < 4; i++) { /* 4 x (16 + 1008) bytes fill it to the last */
        payload = inbox_reserve(inbox, 1008);
        assert_non_null(payload);
        inbox_commit(payload);
    }
    assert_null(inbox_reserve(inbox, 1));
    assert_non_null(inbox_peek(inbox));
    inbox_pop(inbox);
    assert_non_null(inbox_reserve(inbox, 1008));
    assert_null(inbox_reserve(inbox, 1));
    inbox_free(inbox);
}

static void more_than_a_quarter_of_the_ring_is_refused(void **state)
{
    struct inbox *inbox = inbox_new(4096);

    (void)state;
    assert_null(inbox_reserve(inbox, 1025));
    assert_null(inbox_reserve(inbox, SIZE_MAX));
    assert_non_null(inbox_reserve(inbox, 1024));
    inbox_free(inbox);
}

static void the_reader_waits_for_the_oldest_that_is_not_committed(void **state)
{
    struct inbox *inbox = inbox_new(4096);
    char *first = inbox_reserve(inbox, 16), *second = inbox_reserve(inbox, 16);

    (void)state;
    strcpy(second, "second");
    inbox_commit(second);
    assert_null(inbox_peek(inbox));
    strcpy(first, "first");
    inbox_commit(first);
    assert_string_equal(inbox_peek(inbox), "first");
    inbox_pop(inbox);
    assert_string_equal(inbox_peek(inbox), "second");
    inbox_free(inbox);
}

enum { WRITERS = 3, EACH = 20000 };

struct writer {
    struct inbox *inbox;
    uint64_t number, refused;
};

static void *write_many(void *argument)
{
    struct writer *w = argument;

    for (uint64_t i = 0; i < EACH;) {
        size_t words = 1 + i % 9;
        uint64_t *to = inbox_reserve(w->inbox, words * sizeof *to);

        if (!to) {
            w->refused++;
            continue;
        }
        for (size_t k = 0; k < words; k++)
            to[k] = w->number << 32 | i;
        inbox_commit(to);
        i++;
    }
    return NULL;
}

static void many_writers_lose_and_mix_up_nothing(void **state)
{
    struct inbox *inbox = inbox_new(4096);
    struct writer writers[WRITERS];
    pthread_t threads[WRITERS];
    uint64_t next[WRITERS] = {0};

    (void)state;
    for (uint64_t i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){inbox, i, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, write_many, &writers[i]), 0);
    }
    for (uint64_t seen = 0; seen < WRITERS * EACH;) {
        const uint64_t *from = inbox_peek(inbox);

        if (!from)
            continue;
        for (size_t k = 0; k < 1 + next[from[0] >> 32] % 9; k++)
            assert_int_equal(from[k], from[0]);
        assert_int_equal((uint32_t)from[0], next[from[0] >> 32]++);
        inbox_pop(inbox);
        seen++;
    }
    for (size_t i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    assert_null(inbox_peek(inbox));
    inbox_free(inbox);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(payloads_come_out_as_they_went_in),
        cmocka_unit_test(a_full_inbox_takes_nothing_until_it_is_read),
        cmocka_unit_test(more_than_a_quarter_of_the_ring_is_refused),
        cmocka_unit_test(the_reader_waits_for_the_oldest_that_is_not_committed),
        cmocka_unit_test(many_writers_lose_and_mix_up_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
