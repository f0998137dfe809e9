#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/ladder.h"

static uint64_t records_of(struct ladder *ladder, uint64_t steps)
{
    uint64_t records = 0;

    for (uint64_t i = 0; i < steps; i++)
        records += ladder_step(ladder);
    return records;
}

static void the_first_64_steps_are_windows_of_their_own(void **state)
{
    struct ladder ladder;

    (void)state;
    ladder_init(&ladder, LADDER_HISTOGRAMS);
    for (int i = 0; i < 64; i++) {
        assert_int_equal(ladder.stride, 1);
        assert_true(ladder_step(&ladder));
    }
    assert_int_equal(ladder.stride, 2);
    assert_false(ladder_step(&ladder));
    assert_true(ladder_step(&ladder));
}

static void the_stride_doubles_after_every_64_windows(void **state)
{
    struct ladder ladder;
    uint64_t steps = 0;

    (void)state;
    ladder_init(&ladder, LADDER_HISTOGRAMS);
    for (uint64_t stride = 1; stride <= 1024; stride *= 2) {
        assert_int_equal(ladder.stride, stride);
        assert_int_equal(records_of(&ladder, 64 * stride), 64);
        steps += 64 * stride;
    }
    assert_int_equal(steps, 64 * 2047);
    assert_int_equal(ladder.own, 11 * 64);
}

static void a_million_steps_cost_a_bounded_number_of_records(void **state)
{
    struct ladder histograms, scalars;

    (void)state;
    ladder_init(&histograms, LADDER_HISTOGRAMS);
    ladder_init(&scalars, LADDER_SCALARS);
    assert_int_equal(records_of(&histograms, 1000000), 13 * 64 + (1000000 - 64 * 8191) / 8192);
    assert_int_equal(records_of(&scalars, 1000000), 10 * 512 + (1000000 - 512 * 1023) / 1024);
}

static void a_burst_records_64_steps_one_by_one(void **state)
{
    struct ladder ladder;

    (void)state;
    ladder_init(&ladder, LADDER_HISTOGRAMS);
    records_of(&ladder, 64 * 1023 + 10); /* the stride is 1,024 */
    assert_int_equal(ladder.stride, 1024);
    assert_true(ladder_burst(&ladder, true));
    assert_int_equal(records_of(&ladder, 64), 64);
    assert_int_equal(records_of(&ladder, 500), 0);
    assert_int_equal(ladder.bursts, 65);
    assert_int_equal(records_of(&ladder, 1024), 1); /* where the ladder's own window ends */
    assert_int_equal(ladder.own, 10 * 64 + 1);
}

static void an_empty_window_is_not_recorded_before_a_burst(void **state)
{
    struct ladder ladder;

    (void)state;
    ladder_init(&ladder, LADDER_HISTOGRAMS);
    assert_false(ladder_burst(&ladder, false));
    assert_int_equal(ladder.bursts, 0);
}

static void a_burst_while_every_step_is_recorded_costs_nothing(void **state)
{
    struct ladder ladder;

    (void)state;
    ladder_init(&ladder, LADDER_SCALARS);
    (void)ladder_burst(&ladder, false);
    assert_int_equal(records_of(&ladder, 64), 64);
    assert_int_equal(ladder.bursts, 0);
}

static void bursts_never_exceed_the_ladders_own_records_and_64(void **state)
{
    struct ladder ladder;
    uint64_t records = 0, steps = 0;

    (void)state;
    ladder_init(&ladder, LADDER_HISTOGRAMS);
    for (int alert = 0; alert < 10000; alert++) {
        records += ladder_burst(&ladder, true);
        records += records_of(&ladder, 100);
        steps += 100;
        assert_true(ladder.bursts <= ladder.own + 64);
        assert_int_equal(records, ladder.own + ladder.bursts);
    }
    assert_int_equal(steps, 1000000);
    assert_int_equal(ladder.own, 13 * 64 + (1000000 - 64 * 8191) / 8192);
    assert_int_equal(ladder.bursts, ladder.own + 64); /* used up */
    assert_false(ladder_burst(&ladder, true));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_64_steps_are_windows_of_their_own),
        cmocka_unit_test(the_stride_doubles_after_every_64_windows),
        cmocka_unit_test(a_million_steps_cost_a_bounded_number_of_records),
        cmocka_unit_test(a_burst_records_64_steps_one_by_one),
        cmocka_unit_test(an_empty_window_is_not_recorded_before_a_burst),
        cmocka_unit_test(a_burst_while_every_step_is_recorded_costs_nothing),
        cmocka_unit_test(bursts_never_exceed_the_ladders_own_records_and_64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
