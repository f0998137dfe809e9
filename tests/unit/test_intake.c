#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>

#include "daemon/intake.h"
#include "embmon/embmon.h"

/* n sequences of 10 places with this many ids; padded after them, or before. */
static struct ids_stats sequences(uint64_t n, uint64_t ids, bool after)
{
    struct ids_stats s = {.count = n * 10,
                          .sequences = n,
                          .sequence_length = 10,
                          .padded = n * (10 - ids),
                          .length_min = ids,
                          .length_max = ids};

    *(ids == 10 ? &s.full : after ? &s.trailing : &s.leading) = n;
    return s;
}

static void near(double a, double b)
{
    assert_true(fabs(a - b) < 1e-9);
}

static void training_has_a_mean_share_a_spread_and_ranges(void **state)
{
    const uint64_t lengths[] = {4, 6, 5, 9};
    struct intake intake = {0};

    (void)state;
    near(intake_spread(&intake), 0);
    for (size_t i = 0; i < 4; i++) {
        struct ids_stats s = sequences(8, lengths[i], true);

        intake_train(&intake, &s);
    }
    near(intake.share_mean, (0.6 + 0.4 + 0.5 + 0.1) / 4);
    near(intake_spread(&intake), sqrt((0.04 + 0 + 0.01 + 0.09) / 3));
    assert_int_equal(intake.sequences, 32);
    assert_int_equal(intake.length_min, 4);
    assert_int_equal(intake.length_max, 9);
    assert_int_equal(intake.input_min, 10);
    assert_int_equal(intake.input_max, 10);
}

static void ids_that_are_no_sequences_teach_nothing(void **state)
{
    struct intake intake = {0};
    struct ids_stats s = {.count = 5};

    (void)state;
    intake_train(&intake, &s);
    intake_compare(&intake, EMBMON_INFER, &s);
    assert_int_equal(intake.steps, 0);
    assert_true(isnan(intake_share(&intake, EMBMON_INFER)));
}

static void a_side_is_where_nine_of_ten_are_padded(void **state)
{
    struct intake intake = {0};
    struct ids_stats after = sequences(9, 5, true), before = sequences(1, 5, false);

    (void)state;
    assert_int_equal(intake_side(&intake), SIDE_UNKNOWN);
    intake_train(&intake, &before);
    assert_int_equal(intake_side(&intake), SIDE_UNKNOWN); /* one says nothing */
    intake_train(&intake, &after);
    assert_int_equal(intake_side(&intake), SIDE_TRAILING);
    intake_train(&intake, &before);
    assert_int_equal(intake_side(&intake), SIDE_UNKNOWN);
    intake = (struct intake){.leading = 9, .trailing = 1};
    assert_int_equal(intake_side(&intake), SIDE_LEADING);
}

static void older_sequences_count_less_and_less(void **state)
{
    struct intake intake = {0};
    struct ids_stats train = sequences(100, 5, true), many = sequences(4000, 5, false),
                     few = sequences(100, 5, true);
    struct intake_recent *recent = &intake.recent[EMBMON_INFER - 1];

    (void)state;
    intake_train(&intake, &train);
    intake_compare(&intake, EMBMON_INFER, &many);
    assert_int_equal(recent->total, 4000);
    near(recent->sequences, INTAKE_WINDOW / 2);
    near(recent->wrong, INTAKE_WINDOW / 2);
    for (int i = 0; i < 10; i++)
        intake_compare(&intake, EMBMON_INFER, &few);
    assert_true(recent->wrong < 0.2 * recent->side);
    near(recent->last_sick, 0);
    near(recent->last_side, 100);
    near(intake_share(&intake, EMBMON_INFER), 0.5);
    assert_int_equal(intake.recent[EMBMON_VALIDATE - 1].total, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(training_has_a_mean_share_a_spread_and_ranges),
        cmocka_unit_test(ids_that_are_no_sequences_teach_nothing),
        cmocka_unit_test(a_side_is_where_nine_of_ten_are_padded),
        cmocka_unit_test(older_sequences_count_less_and_less),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
