#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/unit/outbox_world.h"
#include "tests/unit/random.h"

static void a_change_is_told_once(void **state)
{
    (void)state;
    begin(&plain_rules);
    fire("a");
    deliver();
    deliver();
    assert_string_equal(heard(), " F:a");
    now_ms += 10 * A_MINUTE;
    clear("a");
    deliver();
    now_ms += 60 * A_MINUTE;
    deliver();
    assert_string_equal(heard(), " R:a");
    assert_int_equal(counts().delivered, 2);
    assert_true(outbox_idle(outbox));
}

static void pending_is_not_told_nor_that_it_cleared(void **state)
{
    (void)state;
    struct alert_change pending = change_of("a", EMBMON_PENDING, EMBMON_CRITICAL);
    struct alert_change cleared = change_of("a", EMBMON_RESOLVED, EMBMON_CRITICAL);

    begin(&plain_rules);
    outbox_put(outbox, &pending, now_ms);
    cleared.before = EMBMON_PENDING;
    outbox_put(outbox, &cleared, now_ms);
    deliver();
    assert_string_equal(heard(), "");
    assert_int_equal(counts().dropped, 0);
}

static void below_the_severity_nothing_is_told(void **state)
{
    (void)state;
    struct alert_change over = change_of("a", EMBMON_RESOLVED, EMBMON_INFO);

    begin(&plain_rules);
    fire_as("a", EMBMON_INFO);
    outbox_put(outbox, &over, now_ms);
    deliver();
    assert_string_equal(heard(), "");
}

static void what_becomes_milder_than_asked_for_is_followed_to_its_end(void **state)
{
    (void)state;
    struct alert_change over = change_of("a", EMBMON_RESOLVED, EMBMON_INFO);

    begin(&plain_rules);
    fire_as("a", EMBMON_CRITICAL);
    deliver();
    now_ms += 6 * A_MINUTE;
    fire_as("a", EMBMON_INFO);
    deliver();
    outbox_put(outbox, &over, now_ms);
    deliver();
    assert_string_equal(heard(), " F:a F:a R:a");
}

static void a_healthy_receiver_is_told_of_an_alert_that_is_over_at_once(void **state)
{
    (void)state;
    begin(&plain_rules);
    fire("a");
    clear("a");
    deliver();
    assert_string_equal(heard(), " F:a R:a");
}

static void one_that_was_down_is_told_the_state_of_things(void **state)
{
    (void)state;
    begin(&plain_rules);
    fire("a");
    fire("b");
    assert_true(try_in_vain());
    clear("a");
    fire("c");
    clear("c");
    now_ms += A_MINUTE;
    deliver();
    assert_string_equal(heard(), " F:b R:a R:c");
}

static void tellings_come_in_the_order_of_the_changes(void **state)
{
    (void)state;
    begin(&plain_rules);
    fire("a");
    fire("b");
    deliver();
    clear("b");
    clear("a");
    deliver();
    assert_string_equal(heard(), " F:a F:b R:b R:a");
}

static void what_flaps_within_five_minutes_is_folded(void **state)
{
    (void)state;
    begin(&plain_rules);
    fire("a");
    deliver();
    now_ms += 10;
    clear("a");
    deliver();
    heard();
    for (int i = 0; i < 5; i++) {
        now_ms += 10000;
        fire("a");
        deliver();
        now_ms += 10000;
        clear("a");
        deliver();
    }
    now_ms += 10 * A_MINUTE;
    deliver();
    assert_string_equal(heard(), ""); /* it is over, as was told */
    fire("a");
    deliver();
    assert_string_equal(heard(), " F:a");
}

static void the_last_state_is_told_when_the_five_minutes_are_over(void **state)
{
    (void)state;
    begin(&plain_rules);
    fire("a");
    deliver();
    now_ms += 1000;
    clear("a");
    deliver();
    now_ms += 1000;
    fire("a");
    heard();
    now_ms += OUTBOX_QUIET_MS - 2001;
    deliver();
    assert_string_equal(heard(), "");
    assert_int_equal(counts().waiting, 1);
    now_ms += 1;
    deliver();
    assert_string_equal(heard(), " F:a");
    assert_int_equal(counts().waiting, 0);
}

static void more_severe_is_told_at_once_but_once(void **state)
{
    (void)state;
    begin(&plain_rules);
    fire_as("a", EMBMON_WARNING);
    deliver();
    now_ms += 1000;
    fire_as("a", EMBMON_CRITICAL);
    deliver();
    assert_string_equal(heard(), " F:a F:a");
    now_ms += 1000;
    fire_as("a", EMBMON_WARNING);
    deliver();
    now_ms += 1000;
    fire_as("a", EMBMON_CRITICAL);
    deliver();
    assert_string_equal(heard(), "");
    now_ms += 10 * A_MINUTE;
    deliver();
    assert_string_equal(heard(), ""); /* it is critical, as was told */
}

static void it_began_when_it_first_fired(void **state)
{
    (void)state;
    double began;

    begin(&plain_rules);
    began = 1000 + (double)now_ms / 1e3;
    fire("a");
    deliver();
    now_ms += 10 * A_MINUTE;
    fire_as("a", EMBMON_CRITICAL);
    assert_true(outbox_take(outbox, now_ms, &batch));
    assert_float_equal(batch.items[0].started, began, 0);
    outbox_settle(outbox, batch.ticket, OUTBOX_DELIVERED, now_ms);
    now_ms += 10 * A_MINUTE;
    clear("a");
    assert_true(outbox_take(outbox, now_ms, &batch));
    assert_float_equal(batch.items[0].started, began, 0);
    outbox_settle(outbox, batch.ticket, OUTBOX_DELIVERED, now_ms);
    now_ms += 10 * A_MINUTE;
    fire("a");
    assert_true(outbox_take(outbox, now_ms, &batch));
    assert_float_equal(batch.items[0].started, began + 30 * 60, 0);
}

static void a_change_during_a_telling_follows_it(void **state)
{
    (void)state;
    begin(&plain_rules);
    fire("a");
    assert_true(outbox_take(outbox, now_ms, &batch));
    hear();
    clear("a");
    fire("a"); /* what is under way says so already */
    outbox_settle(outbox, batch.ticket, OUTBOX_DELIVERED, now_ms);
    deliver();
    assert_string_equal(heard(), " F:a");
    clear("a");
    deliver();
    assert_string_equal(heard(), " R:a");
}

static void a_full_table_keeps_what_matters_most(void **state)
{
    (void)state;
    struct alert_change over;
    char name[] = "0";

    begin(&plain_rules);
    try_in_vain();
    for (; *name < '8'; ++*name)
        fire(name);
    fire("more"); /* as severe as what is there: the first ones are the causes */
    assert_int_equal(counts().dropped, 1);
    fire_as("worse", EMBMON_CRITICAL);
    assert_int_equal(counts().dropped, 2);
    assert_int_equal(counts().waiting, 8);
    deliver();
    assert_string_equal(heard(), " F:1 F:2 F:3 F:4 F:5 F:6 F:7 F:worse");
    over = change_of("1", EMBMON_RESOLVED, EMBMON_WARNING);
    outbox_put(outbox, &over, now_ms);
    deliver();
    fire("new"); /* in place of what is over and told */
    deliver();
    assert_string_equal(heard(), " R:1 F:new");
    assert_int_equal(counts().dropped, 2);
}

static void the_end_of_an_unknown_alert_is_told(void **state)
{
    (void)state;
    begin(&plain_rules);
    clear("a"); /* it fired before this sink was there */
    deliver();
    assert_string_equal(heard(), " R:a");
}

static void alerts_of_other_places_are_other_alerts(void **state)
{
    (void)state;
    struct alert_change change = change_of("a", EMBMON_FIRING, EMBMON_WARNING);

    begin(&plain_rules);
    outbox_put(outbox, &change, now_ms);
    change.phase = EMBMON_VALIDATE;
    outbox_put(outbox, &change, now_ms);
    change.variable = "kernel";
    outbox_put(outbox, &change, now_ms);
    change.detector = "gradient_spike";
    outbox_put(outbox, &change, now_ms);
    change.run = "other";
    outbox_put(outbox, &change, now_ms);
    deliver();
    assert_int_equal(counts().delivered, 5);
}

/* 10,000 steps of a second in which three alerts change as they like and the receiver fails as it
 * likes: never more than one telling of a kind in five minutes, and what it knows at the end is the
 * state of things. */
static void ten_thousand_steps_of_flapping(void **state)
{
    (void)state;
    static const char *const names[] = {"a", "b", "c"};
    uint32_t firing[3] = {0}, shown[3] = {0};
    uint64_t last[3][2] = {{0}}, tellings = 0, changes = 0;
    uint64_t random = 20;

    begin(&plain_rules);
    for (int step = 0; step < 10000; step++) {
        now_ms += 1000;
        for (size_t i = 0; i < 3; i++) {
            if (random_below(&random, i + 2) != 0 || step >= 9000)
                continue;
            firing[i] = !firing[i];
            changes++;
            if (firing[i])
                fire(names[i]);
            else
                clear(names[i]);
        }
        bool well = step >= 9000 || random_below(&random, 3) != 0;
        while (outbox_take(outbox, now_ms, &batch)) {
            for (size_t i = 0; well && i < batch.count; i++) {
                size_t which = (size_t)(batch.items[i].change->layer[0] - 'a');
                bool fires = batch.items[i].change->state == EMBMON_FIRING;

                assert_true(last[which][fires] == 0 ||
                            now_ms >= last[which][fires] + OUTBOX_QUIET_MS);
                last[which][fires] = now_ms;
                shown[which] = fires;
                tellings++;
            }
            outbox_settle(outbox, batch.ticket, well ? OUTBOX_DELIVERED : OUTBOX_FAILED, now_ms);
        }
    }
    assert_memory_equal(firing, shown, sizeof firing);
    assert_true(changes > 8000);
    assert_in_range(tellings, 60, 3 * 2 * (10000 / 300 + 1));
    assert_int_equal(counts().delivered, tellings);
    assert_int_equal(counts().dropped, 0);
    assert_true(outbox_idle(outbox));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, end)
    const struct CMUnitTest tests[] = {
        TEST(a_change_is_told_once),
        TEST(pending_is_not_told_nor_that_it_cleared),
        TEST(below_the_severity_nothing_is_told),
        TEST(what_becomes_milder_than_asked_for_is_followed_to_its_end),
        TEST(a_healthy_receiver_is_told_of_an_alert_that_is_over_at_once),
        TEST(one_that_was_down_is_told_the_state_of_things),
        TEST(tellings_come_in_the_order_of_the_changes),
        TEST(what_flaps_within_five_minutes_is_folded),
        TEST(the_last_state_is_told_when_the_five_minutes_are_over),
        TEST(more_severe_is_told_at_once_but_once),
        TEST(it_began_when_it_first_fired),
        TEST(a_change_during_a_telling_follows_it),
        TEST(a_full_table_keeps_what_matters_most),
        TEST(the_end_of_an_unknown_alert_is_told),
        TEST(alerts_of_other_places_are_other_alerts),
        TEST(ten_thousand_steps_of_flapping),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
