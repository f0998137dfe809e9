#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "client/thresholds.h"
#include "embmon/embmon.h"
#include "proto/name.h"

static struct thresholds *t;
static struct thresholds_told told;
static struct thresholds_batch batch;
static struct msg_layers sent;

static int start(void **state)
{
    (void)state;
    t = thresholds_new();
    told = (struct thresholds_told){0};
    return t ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    thresholds_free(t);
    return 0;
}

/* Entries of the next message; it is sent. */
static size_t next(void)
{
    bool any = thresholds_batch(t, &told, &batch, &sent);

    told = batch.told;
    assert_int_equal(any, sent.threshold_count + sent.ignore_count > 0);
    return sent.threshold_count + sent.ignore_count;
}

static void entries_come_in_the_order_they_were_made(void **state)
{
    (void)state;
    assert_int_equal(next(), 0);
    assert_int_equal(thresholds_set(t, "gradient_spike", "*", "layer", 20), 0);
    assert_int_equal(thresholds_set(t, "gradient_spike", "a", "layer", 30), 0);
    assert_int_equal(thresholds_ignore(t, "loss_diverged", "*"), 0);
    assert_int_equal(thresholds_set(t, "gradient_spike", "a", "model", -4), 0);
    assert_int_equal(next(), 4);
    assert_int_equal(sent.threshold_count, 3);
    assert_string_equal(sent.thresholds[0].detector, "gradient_spike");
    assert_string_equal(sent.thresholds[0].layers, "*");
    assert_string_equal(sent.thresholds[0].key, "layer");
    assert_true(sent.thresholds[0].value == 20);
    assert_string_equal(sent.thresholds[1].layers, "a");
    assert_string_equal(sent.thresholds[2].key, "model");
    assert_true(sent.thresholds[2].value == -4);
    assert_string_equal(sent.ignores[0].detector, "loss_diverged");
    assert_string_equal(sent.ignores[0].layers, "*");
    assert_int_equal(next(), 0);
}

static void only_what_is_new_or_has_changed_is_sent(void **state)
{
    (void)state;
    thresholds_set(t, "a", "*", "k", 1);
    thresholds_set(t, "b", "*", "k", 2);
    thresholds_ignore(t, "c", "*");
    assert_int_equal(next(), 3);
    thresholds_set(t, "a", "*", "k", 5);
    thresholds_set(t, "a", "*", "k", 6);
    thresholds_ignore(t, "c", "*");
    assert_int_equal(next(), 1);
    assert_string_equal(sent.thresholds[0].detector, "a");
    assert_true(sent.thresholds[0].value == 6);
    thresholds_set(t, "d", "*", "k", 1);
    assert_int_equal(next(), 1);
    assert_string_equal(sent.thresholds[0].detector, "d");
    told = (struct thresholds_told){0}; /* another connection: all, each in its place */
    assert_int_equal(next(), 4);
    assert_string_equal(sent.thresholds[0].detector, "a");
    assert_true(sent.thresholds[0].value == 6);
    assert_string_equal(sent.thresholds[2].detector, "d");
}

static void what_was_not_sent_comes_again(void **state)
{
    (void)state;
    thresholds_set(t, "a", "*", "k", 1);
    assert_true(thresholds_batch(t, &told, &batch, &sent));
    assert_true(thresholds_batch(t, &told, &batch, &sent));
    assert_int_equal(next(), 1);
    assert_int_equal(next(), 0);
}

static void what_is_out_of_range_is_refused(void **state)
{
    char long_name[GLOB_MAX + 2];

    (void)state;
    memset(long_name, 'a', sizeof long_name);
    long_name[GLOB_MAX + 1] = '\0';
    assert_int_equal(thresholds_set(t, "", "*", "k", 1), EMBMON_ENAME);
    assert_int_equal(thresholds_set(t, long_name, "*", "k", 1), EMBMON_ENAME);
    assert_int_equal(thresholds_set(t, "a", "*", "K", 1), EMBMON_ENAME);
    assert_int_equal(thresholds_set(t, "a", "*", "", 1), EMBMON_ENAME);
    assert_int_equal(thresholds_set(t, "a", "", "k", 1), EMBMON_EINVAL);
    assert_int_equal(thresholds_set(t, "a", "\xff", "k", 1), EMBMON_EINVAL);
    assert_int_equal(thresholds_set(t, "a", long_name, "k", 1), EMBMON_EINVAL);
    assert_int_equal(thresholds_set(t, "a", "*", "k", (double)NAN), EMBMON_EINVAL);
    assert_int_equal(thresholds_set(t, "a", "*", "k", (double)INFINITY), EMBMON_EINVAL);
    assert_int_equal(thresholds_ignore(t, "a//b", "*"), EMBMON_ENAME);
    assert_int_equal(thresholds_ignore(t, "a", ""), EMBMON_EINVAL);
    assert_int_equal(next(), 0);
    long_name[GLOB_MAX] = '\0';
    assert_int_equal(thresholds_set(t, "a", long_name, "k", 1), 0);
    assert_int_equal(next(), 1);
    assert_string_equal(sent.thresholds[0].layers, long_name);
}

static void there_are_256_and_old_ones_still_change(void **state)
{
    char name[16];
    size_t count = 0, messages = 0, n;

    (void)state;
    for (int i = 0; i < RULES_MAX; i++) {
        (void)snprintf(name, sizeof name, "d%d", i);
        assert_int_equal(
            i % 2 ? thresholds_ignore(t, name, "*") : thresholds_set(t, name, "*", "k", i), 0);
    }
    assert_int_equal(thresholds_set(t, "more", "*", "k", 1), EMBMON_ELIMIT);
    assert_int_equal(thresholds_ignore(t, "more", "*"), EMBMON_ELIMIT);
    assert_int_equal(thresholds_set(t, "d0", "*", "k", 7), 0);
    assert_int_equal(thresholds_ignore(t, "d1", "*"), 0);
    while ((n = next()) > 0) {
        assert_true(n <= THRESHOLDS_BATCH);
        if (messages++ == 0)
            assert_true(sent.thresholds[0].value == 7);
        count += n;
    }
    assert_int_equal(count, RULES_MAX);
    assert_int_equal(messages, RULES_MAX / THRESHOLDS_BATCH);
}

enum { THREADS = 8, NAMES = 24, ROUNDS = 50 };

/* Every thread makes the same entries, each from another one on. */
static void *make_all(void *first)
{
    char name[16];

    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < NAMES; i++) {
            (void)snprintf(name, sizeof name, "d%d", ((int)(intptr_t)first * 3 + i) % NAMES);
            if (thresholds_set(t, name, "*", "k", round) != 0)
                return &batch;
        }
    return NULL;
}

static void equal_entries_of_many_threads_are_one(void **state)
{
    pthread_t threads[THREADS];
    void *result;

    (void)state;
    for (intptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, make_all, (void *)i), 0);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_null(result);
    }
    assert_int_equal(next(), NAMES);
    for (size_t i = 0; i < NAMES; i++) {
        assert_true(sent.thresholds[i].value == ROUNDS - 1);
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(sent.thresholds[i].detector, sent.thresholds[k].detector);
    }
    assert_int_equal(next(), 0);
}

#define thresholds_test(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        thresholds_test(entries_come_in_the_order_they_were_made),
        thresholds_test(only_what_is_new_or_has_changed_is_sent),
        thresholds_test(what_was_not_sent_comes_again),
        thresholds_test(what_is_out_of_range_is_refused),
        thresholds_test(there_are_256_and_old_ones_still_change),
        thresholds_test(equal_entries_of_many_threads_are_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
