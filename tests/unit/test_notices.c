#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <pthread.h>
#include <string.h>

#include "client/notices.h"

static struct msg_notice message(uint64_t step)
{
    return (struct msg_notice){.layer = "a",
                               .variable = "",
                               .signal = "gradient",
                               .detector = "gradient_spike",
                               .reason = "",
                               .summary = "s",
                               .hint = "h",
                               .severity = EMBMON_WARNING,
                               .state = EMBMON_FIRING,
                               .phase = EMBMON_TRAIN,
                               .step = step,
                               .first_step = step / 2,
                               .value = 2.5};
}

static void put(struct notices *n, uint64_t step)
{
    struct msg_notice m = message(step);

    notices_put(n, &m);
}

static void they_come_out_oldest_first_with_all_fields(void **state)
{
    struct notices *n = notices_new();
    struct embmon_notice notice;

    (void)state;
    assert_false(notices_take(n, &notice));
    put(n, 10), put(n, 11);
    assert_true(notices_take(n, &notice));
    assert_int_equal(notice.step, 10);
    assert_int_equal(notice.first_step, 5);
    assert_int_equal(notice.severity, EMBMON_WARNING);
    assert_int_equal(notice.state, EMBMON_FIRING);
    assert_true(notice.value == 2.5);
    assert_string_equal(notice.detector, "gradient_spike");
    assert_string_equal(notice.layer, "a");
    assert_string_equal(notice.hint, "h");
    assert_true(notices_take(n, &notice));
    assert_int_equal(notice.step, 11);
    assert_false(notices_take(n, &notice));
    notices_free(n);
}

static void the_last_64_are_kept(void **state)
{
    struct notices *n = notices_new();
    struct embmon_notice notice;

    (void)state;
    for (uint64_t step = 0; step < 100; step++)
        put(n, step);
    for (int64_t step = 36; step < 100; step++) {
        assert_true(notices_take(n, &notice));
        assert_int_equal(notice.step, step);
    }
    assert_false(notices_take(n, &notice));
    notices_free(n);
}

static void long_texts_are_cut_at_a_whole_character(void **state)
{
    struct notices *n = notices_new();
    struct embmon_notice notice;
    struct msg_notice m = message(0);
    char text[2000];

    (void)state;
    for (size_t i = 0; i + 1 < sizeof text; i += 2)
        memcpy(text + i, "\xc3\xa9", 2); /* e acute */
    text[sizeof text - 2] = '\0';
    m.hint = m.summary = text;
    notices_put(n, &m);
    assert_true(notices_take(n, &notice));
    assert_int_equal(strlen(notice.hint), 1022);
    assert_int_equal(strlen(notice.summary), 510);
    notices_free(n);
}

static void *put_many(void *argument)
{
    for (uint64_t step = 1; step <= 20000; step++)
        put(argument, step);
    return NULL;
}

/* The writer laps this reader all the time: what it gets is whole and in order. */
static void a_reader_who_is_lapped_gets_whole_notices_in_order(void **state)
{
    struct notices *n = notices_new();
    struct embmon_notice notice;
    pthread_t writer;
    int64_t last = 0;

    (void)state;
    assert_int_equal(pthread_create(&writer, NULL, put_many, n), 0);
    while (last < 20000) {
        if (!notices_take(n, &notice))
            continue;
        assert_true(notice.step > last);
        assert_int_equal(notice.first_step, notice.step / 2);
        assert_string_equal(notice.hint, "h");
        last = notice.step;
    }
    pthread_join(writer, NULL);
    notices_free(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_come_out_oldest_first_with_all_fields),
        cmocka_unit_test(the_last_64_are_kept),
        cmocka_unit_test(long_texts_are_cut_at_a_whole_character),
        cmocka_unit_test(a_reader_who_is_lapped_gets_whole_notices_in_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
