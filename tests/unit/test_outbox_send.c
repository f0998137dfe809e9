#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>

#include "tests/unit/outbox_world.h"
#include "tests/unit/random.h"

static struct outbox_rules repeating(void)
{
    struct outbox_rules rules = plain_rules;

    rules.resend_ms = A_MINUTE;
    return rules;
}

static void what_fires_is_told_again_every_minute(void **state)
{
    (void)state;
    struct outbox_rules rules = repeating();

    begin(&rules);
    fire("a");
    deliver();
    now_ms += A_MINUTE - 1;
    deliver();
    assert_string_equal(heard(), " F:a");
    now_ms += 1;
    deliver();
    assert_string_equal(heard(), " f:a");
    for (int i = 0; i < 600; i++) {
        now_ms += A_MINUTE;
        deliver();
    }
    assert_int_equal(strlen(heard()), 600 * strlen(" f:a"));
    assert_int_equal(counts().delivered, 1); /* of changes */
}

static void that_it_is_over_is_told_again_for_a_quarter_of_an_hour(void **state)
{
    (void)state;
    struct outbox_rules rules = repeating();

    begin(&rules);
    fire("a");
    deliver();
    clear("a");
    deliver();
    assert_string_equal(heard(), " F:a R:a");
    for (int i = 0; i < 60; i++) {
        now_ms += A_MINUTE;
        deliver();
    }
    assert_int_equal(strlen(heard()), 14 * strlen(" r:a"));
}

static void what_is_held_back_does_not_end_the_repeating(void **state)
{
    (void)state;
    struct outbox_rules rules = repeating();

    begin(&rules);
    fire("a");
    clear("a");
    deliver();
    fire("a");
    heard();
    now_ms += A_MINUTE;
    deliver();
    assert_string_equal(heard(), " r:a"); /* that it fires again may be said after 5 minutes */
    now_ms += 4 * A_MINUTE;
    deliver();
    assert_string_equal(heard(), " F:a");
}

static void without_repeating_nothing_is_repeated(void **state)
{
    (void)state;
    begin(&plain_rules);
    fire("a");
    deliver();
    now_ms += 600 * A_MINUTE;
    deliver();
    assert_string_equal(heard(), " F:a");
}

static void a_receiver_that_is_down_is_tried_less_and_less_often(void **state)
{
    (void)state;
    static const uint64_t most[] = {1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000};

    begin(&plain_rules);
    fire("a");
    assert_true(try_in_vain());
    for (size_t i = 0; i < 8; i++) {
        uint64_t waited = 0;

        while (!try_in_vain()) {
            now_ms += 10;
            waited += 10;
        }
        assert_in_range(waited, most[i] * 3 / 4, most[i]);
    }
    assert_int_equal(outbox_failures(outbox), 9);
    assert_int_equal(counts().failed, 9);
    now_ms += OUTBOX_BACKOFF_MAX_MS;
    deliver();
    assert_int_equal(outbox_failures(outbox), 0);
    fire("b");
    deliver(); /* at once again */
    assert_string_equal(heard(), " F:a F:b");
}

static void two_daemons_do_not_knock_at_the_same_time(void **state)
{
    (void)state;
    struct outbox_rules rules = plain_rules;
    uint64_t waited[2] = {0};

    for (uint32_t i = 0; i < 2; i++) {
        rules.seed = i;
        begin(&rules);
        fire("a");
        for (int failures = 0; failures < 8; failures++) {
            while (!try_in_vain()) {
                now_ms++;
                waited[i]++;
            }
        }
        end(NULL);
    }
    assert_int_not_equal(waited[0], waited[1]);
}

/* Whether what failed arrived all the same is not known: what may be wrong is told again. */
static void what_may_have_arrived_is_put_right(void **state)
{
    (void)state;
    begin(&plain_rules);
    fire("a");
    clear("a");
    deliver();
    now_ms += 6 * A_MINUTE;
    fire("a");
    assert_true(try_in_vain()); /* perhaps it got there and only the answer was lost */
    clear("a");
    heard();
    now_ms += A_MINUTE;
    deliver();
    assert_string_equal(heard(), " R:a");
}

static void a_refused_alert_is_not_tried_again(void **state)
{
    (void)state;
    begin(&plain_rules);
    fire("a");
    assert_true(outbox_take(outbox, now_ms, &batch));
    outbox_settle(outbox, batch.ticket, OUTBOX_REFUSED, now_ms);
    deliver();
    assert_string_equal(heard(), "");
    assert_int_equal(counts().failed, 1);
    assert_int_equal(counts().dropped, 1);
    assert_int_equal(counts().delivered, 0);
    assert_int_equal(outbox_failures(outbox), 0);
    clear("a"); /* its end is news again */
    deliver();
    assert_string_equal(heard(), " R:a");
}

static void a_batch_is_bounded(void **state)
{
    (void)state;
    struct outbox_rules rules = plain_rules;

    rules.batch = 2;
    begin(&rules);
    fire("a");
    fire("b");
    fire("c");
    assert_true(outbox_take(outbox, now_ms, &batch));
    assert_int_equal(batch.count, 2);
    assert_false(outbox_take(outbox, now_ms, &batch)); /* one at a time */
}

static void so_many_may_be_under_way(void **state)
{
    (void)state;
    struct outbox_rules rules = plain_rules;
    uint32_t first;

    rules.batch = 1;
    rules.flights = 2;
    begin(&rules);
    fire("a");
    fire("b");
    fire("c");
    assert_true(outbox_take(outbox, now_ms, &batch));
    first = batch.ticket;
    assert_true(outbox_take(outbox, now_ms, &batch));
    assert_false(outbox_take(outbox, now_ms, &batch));
    assert_int_equal(counts().waiting, 3);
    outbox_settle(outbox, first, OUTBOX_DELIVERED, now_ms);
    assert_int_equal(counts().waiting, 2);
    assert_true(outbox_take(outbox, now_ms, &batch));
    assert_string_equal(batch.items[0].change->layer, "c");
}

static void groups_are_told_apart(void **state)
{
    (void)state;
    struct outbox_rules rules = plain_rules;
    struct alert_change change = change_of("b", EMBMON_FIRING, EMBMON_WARNING);

    rules.one_group = true;
    begin(&rules);
    fire("a");
    change.detector = "gradient_spike";
    outbox_put(outbox, &change, now_ms);
    fire("c");
    assert_true(outbox_take(outbox, now_ms, &batch));
    assert_int_equal(batch.count, 2);
    assert_string_equal(batch.items[1].change->layer, "c");
    outbox_settle(outbox, batch.ticket, OUTBOX_DELIVERED, now_ms);
    assert_true(outbox_take(outbox, now_ms, &batch));
    assert_int_equal(batch.count, 1);
    assert_string_equal(batch.items[0].change->layer, "b");
}

/* Where the severity is a label, an alert of another severity is another alert to the receiver. */
static void severities_it_may_still_believe_in_are_said(void **state)
{
    (void)state;
    begin(&plain_rules);
    fire_as("a", EMBMON_WARNING);
    assert_true(outbox_take(outbox, now_ms, &batch));
    assert_int_equal(batch.items[0].also, 0);
    outbox_settle(outbox, batch.ticket, OUTBOX_DELIVERED, now_ms);
    fire_as("a", EMBMON_CRITICAL);
    assert_true(outbox_take(outbox, now_ms, &batch));
    assert_int_equal(batch.items[0].also, 1u << EMBMON_WARNING);
    outbox_settle(outbox, batch.ticket, OUTBOX_FAILED, now_ms); /* it may have both now */
    clear("a");
    now_ms += A_MINUTE;
    assert_true(outbox_take(outbox, now_ms, &batch));
    assert_int_equal(batch.items[0].change->state, EMBMON_RESOLVED);
    assert_int_equal(batch.items[0].also, 1u << EMBMON_CRITICAL);
    outbox_settle(outbox, batch.ticket, OUTBOX_DELIVERED, now_ms);
    now_ms += 10 * A_MINUTE;
    fire_as("a", EMBMON_CRITICAL);
    assert_true(outbox_take(outbox, now_ms, &batch));
    assert_int_equal(batch.items[0].also, 0);
}

static void at_the_end_nothing_is_held_back(void **state)
{
    (void)state;
    begin(&plain_rules);
    fire("a");
    clear("a");
    deliver();
    fire("a");
    fire("b");
    assert_true(try_in_vain());
    heard();
    outbox_hurry(outbox);
    deliver();
    assert_string_equal(heard(), " F:a F:b");
    assert_true(outbox_idle(outbox));
}

static void at_the_end_what_fails_is_dropped(void **state)
{
    (void)state;
    begin(&plain_rules);
    fire("a");
    fire("b");
    outbox_hurry(outbox);
    assert_true(try_in_vain());
    assert_true(outbox_idle(outbox));
    assert_int_equal(counts().dropped, 2);
    assert_false(try_in_vain());
}

static void what_is_over_is_forgotten(void **state)
{
    (void)state;
    struct outbox_rules rules = plain_rules;
    char name[32];

    rules.capacity = 16;
    begin(&rules);
    for (int i = 0; i < 1000; i++) { /* more alerts than there is room for, none lost */
        snprintf(name, sizeof name, "layer%d", i);
        fire(name);
        deliver();
        clear(name);
        deliver();
        now_ms += A_MINUTE;
    }
    assert_int_equal(counts().delivered, 2000);
    assert_int_equal(counts().dropped, 0);
}

/* ---- so many in a minute */

static struct outbox_rules hurried_rules(uint32_t a_minute)
{
    struct outbox_rules rules = plain_rules;

    rules.a_minute = a_minute;
    rules.batch = 1;
    return rules;
}

static void beyond_three_a_minute_they_wait(void **state)
{
    (void)state;
    struct outbox_rules rules = hurried_rules(3);

    begin(&rules);
    fire("a");
    fire("b");
    deliver();
    fire("c");
    deliver();
    assert_string_equal(heard(), " F:a F:b F:c");
    assert_int_equal(counts().held, 0);
    fire("d");
    fire("e");
    deliver();
    now_ms += A_MINUTE - 1;
    deliver();
    assert_string_equal(heard(), "");
    assert_int_equal(counts().held, 2); /* each counts once */
    assert_int_equal(counts().waiting, 2);
    now_ms += 1;
    deliver();
    assert_string_equal(heard(), " F:d F:e");
    assert_int_equal(counts().delivered, 5);
    assert_int_equal(counts().dropped, 0);
}

static void what_waited_comes_with_the_most_severe_first(void **state)
{
    (void)state;
    struct outbox_rules rules = hurried_rules(1);

    begin(&rules);
    fire("a");
    deliver();
    fire("b");
    fire_as("c", EMBMON_CRITICAL);
    fire("d");
    fire_as("e", EMBMON_CRITICAL);
    deliver();
    heard();
    now_ms += A_MINUTE;
    assert_true(outbox_take(outbox, now_ms, &batch));
    assert_string_equal(batch.items[0].change->layer, "c");
    assert_int_equal(batch.more, 3);
    outbox_settle(outbox, batch.ticket, OUTBOX_DELIVERED, now_ms);
    for (int i = 0; i < 3; i++) {
        deliver();
        now_ms += A_MINUTE;
    }
    deliver();
    assert_string_equal(heard(), " F:e F:b F:d");
}

static void what_waited_is_told_together_whatever_its_group(void **state)
{
    (void)state;
    struct outbox_rules rules = hurried_rules(1);
    struct alert_change change = change_of("b", EMBMON_FIRING, EMBMON_WARNING);

    rules.batch = OUTBOX_BATCH_MAX;
    rules.one_group = true;
    begin(&rules);
    fire("a");
    assert_true(outbox_take(outbox, now_ms, &batch));
    assert_false(batch.pooled);
    outbox_settle(outbox, batch.ticket, OUTBOX_DELIVERED, now_ms);
    fire("c");
    change.detector = "gradient_spike";
    outbox_put(outbox, &change, now_ms);
    deliver();
    now_ms += A_MINUTE;
    assert_true(outbox_take(outbox, now_ms, &batch));
    assert_true(batch.pooled);
    assert_int_equal(batch.count, 2);
    assert_int_equal(batch.more, 0);
    outbox_settle(outbox, batch.ticket, OUTBOX_DELIVERED, now_ms);
    now_ms += A_MINUTE;
    fire("d");
    change.layer = "e";
    outbox_put(outbox, &change, now_ms);
    assert_true(outbox_take(outbox, now_ms, &batch));
    assert_false(batch.pooled); /* nothing was held back this time */
    assert_int_equal(batch.count, 1);
}

static void what_is_over_before_its_turn_is_told_as_it_was(void **state)
{
    (void)state;
    struct outbox_rules rules = hurried_rules(1);

    begin(&rules);
    fire("a");
    deliver();
    fire("b");
    clear("b");
    deliver();
    heard();
    now_ms += A_MINUTE;
    deliver();
    now_ms += A_MINUTE;
    deliver();
    assert_string_equal(heard(), " F:b R:b");
}

static void attempts_and_repeats_count_too(void **state)
{
    (void)state;
    struct outbox_rules rules = hurried_rules(2);

    rules.resend_ms = 1000;
    begin(&rules);
    fire("a");
    assert_true(try_in_vain());
    now_ms += 2000;
    deliver();
    now_ms += 1000;
    deliver();
    assert_string_equal(heard(), " F:a");
    now_ms += A_MINUTE - 3000;
    deliver();
    assert_string_equal(heard(), " f:a");
}

static void at_the_end_all_of_it_is_told(void **state)
{
    (void)state;
    struct outbox_rules rules = hurried_rules(1);

    begin(&rules);
    fire("a");
    deliver();
    fire("b");
    fire("c");
    deliver();
    outbox_hurry(outbox);
    deliver();
    assert_string_equal(heard(), " F:a F:b F:c");
}

/* A storm: 300 alerts that change 10,000 times in three hours. In no minute more than 20 messages,
 * and at the end the receiver knows the state of things. */
static void a_storm_is_twenty_messages_a_minute(void **state)
{
    (void)state;
    enum { ALERTS = 300, SECONDS = 3 * 3600 };
    static bool firing[ALERTS], shown[ALERTS];
    static uint64_t taken_ms[SECONDS];
    struct outbox_rules rules = plain_rules;
    uint64_t random = 7, changes = 0;
    size_t messages = 0;
    char name[8];

    rules.a_minute = 20;
    rules.capacity = ALERTS;
    rules.one_group = true;
    begin(&rules);
    for (int second = 0; second < SECONDS; second++) {
        now_ms += 1000;
        for (int i = 0; i < 2 && changes < 10000; i++, changes++) {
            size_t which = random_below(&random, ALERTS);
            struct alert_change change;

            firing[which] = !firing[which];
            snprintf(name, sizeof name, "%zu", which);
            change =
                change_of(name, firing[which] ? EMBMON_FIRING : EMBMON_RESOLVED, EMBMON_WARNING);
            change.detector = which % 2 ? "gradient_spike" : "gradient_vanishing";
            outbox_put(outbox, &change, now_ms);
        }
        while (outbox_take(outbox, now_ms, &batch)) {
            for (size_t i = 0; i < batch.count; i++)
                shown[atoi(batch.items[i].change->layer)] =
                    batch.items[i].change->state == EMBMON_FIRING;
            outbox_settle(outbox, batch.ticket, OUTBOX_DELIVERED, now_ms);
            taken_ms[messages++] = now_ms;
            assert_true(messages <= 20 || now_ms >= taken_ms[messages - 21] + A_MINUTE);
        }
    }
    assert_int_equal(changes, 10000);
    assert_memory_equal(firing, shown, sizeof firing);
    assert_true(counts().held > 100);
    assert_int_equal(counts().dropped, 0);
    assert_true(outbox_idle(outbox));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, end)
    const struct CMUnitTest tests[] = {
        TEST(what_fires_is_told_again_every_minute),
        TEST(that_it_is_over_is_told_again_for_a_quarter_of_an_hour),
        TEST(what_is_held_back_does_not_end_the_repeating),
        TEST(without_repeating_nothing_is_repeated),
        TEST(a_receiver_that_is_down_is_tried_less_and_less_often),
        TEST(two_daemons_do_not_knock_at_the_same_time),
        TEST(what_may_have_arrived_is_put_right),
        TEST(a_refused_alert_is_not_tried_again),
        TEST(a_batch_is_bounded),
        TEST(so_many_may_be_under_way),
        TEST(groups_are_told_apart),
        TEST(severities_it_may_still_believe_in_are_said),
        TEST(at_the_end_nothing_is_held_back),
        TEST(at_the_end_what_fails_is_dropped),
        TEST(what_is_over_is_forgotten),
        TEST(beyond_three_a_minute_they_wait),
        TEST(what_waited_comes_with_the_most_severe_first),
        TEST(what_waited_is_told_together_whatever_its_group),
        TEST(what_is_over_before_its_turn_is_told_as_it_was),
        TEST(attempts_and_repeats_count_too),
        TEST(at_the_end_all_of_it_is_told),
        TEST(a_storm_is_twenty_messages_a_minute),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
