#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "daemon/alert/tracker.h"
#include "embmon/embmon.h"

/* Plays "x" (sick), "h" (sick, held back) and "." (clear); a number repeats what follows it. The
 * states after each step, as "r", "p" and "f", are compared with `states` written the same way. */
static const char *spelled(const char *text)
{
    static char out[2][4096];
    static int which;
    size_t n = 0;

    which = !which;
    for (; *text; text++) {
        unsigned count = 0;

        while (*text >= '0' && *text <= '9')
            count = 10 * count + (unsigned)(*text++ - '0');
        for (count = count ? count : 1; count > 0; count--)
            out[which][n++] = *text;
    }
    out[which][n] = '\0';
    return out[which];
}

static void must_go(uint32_t hold, const char *steps, const char *states)
{
    static const char names[] = {
        [EMBMON_RESOLVED] = 'r', [EMBMON_PENDING] = 'p', [EMBMON_FIRING] = 'f'};
    struct tracker t = {0};
    const char *expected = spelled(states), *played = spelled(steps);

    assert_int_equal(strlen(expected), strlen(played));
    for (size_t i = 0; played[i]; i++) {
        if (played[i] == '.')
            tracker_clear(&t, hold);
        else
            tracker_sick(&t, hold, played[i] == 'h');
        if (names[t.state] != expected[i])
            print_error("step %zu of %s, hold %u\n", i, steps, hold);
        assert_int_equal(names[t.state], expected[i]);
    }
}

static void hold_1_fires_at_once_and_clears_after_10(void **state)
{
    (void)state;
    must_go(1, "3.x9.", "3r10f");
    must_go(1, "x10.", "10fr");
    must_go(1, "x9.x9..", "20fr");
}

static void hold_3_fires_at_the_third_of_six(void **state)
{
    (void)state;
    must_go(3, "xxx", "ppf");
    must_go(3, "x..x.x", "5pf");
    must_go(3, "x...x.x", "7p"); /* three of seven */
    must_go(3, "x...x.xx", "7pf");
}

static void hold_10_fires_at_the_tenth_of_twenty(void **state)
{
    (void)state;
    must_go(10, "9xx", "9pf");
    must_go(10, "9x9.x", "18pf");
    must_go(10, "x9.9x", "18pf");
    must_go(10, "xx9.8x", "18pf");
    must_go(10, "x10.", "10pr");
    must_go(10, "9x9.", "18p");
    must_go(10, "10x19..", "9p20fr");
}

static void hold_150_counts_across_words_of_its_history(void **state)
{
    (void)state;
    must_go(150, "149xx", "149pf");
    must_go(150, "149x100.x", "249pf");
    must_go(150, "149x149..", "298pr");
    must_go(150, "150x299..", "149p300fr");
}

static void every_second_step_is_enough_to_fire_and_one_of_three_is_not(void **state)
{
    (void)state;
    struct tracker often = {0}, seldom = {0};

    for (int i = 0; i < 1000; i++) {
        if (i % 2 == 0)
            tracker_sick(&often, 150, false);
        else
            tracker_clear(&often, 150);
        if (i % 3 == 0)
            tracker_sick(&seldom, 150, false);
        else
            tracker_clear(&seldom, 150);
        assert_int_equal(often.state, i < 298 ? EMBMON_PENDING : EMBMON_FIRING);
        assert_int_equal(seldom.state, EMBMON_PENDING);
    }
}

static void a_pending_clears_after_max_of_hold_and_10(void **state)
{
    (void)state;
    must_go(3, "x9..", "10pr");
    must_go(3, "x9.x9..", "20pr");
    must_go(150, "x149..", "150pr");
}

static void a_firing_one_clears_after_max_of_twice_hold_and_10(void **state)
{
    (void)state;
    must_go(3, "3x9..", "2p10fr");
    must_go(6, "6x11..", "5p12fr");
}

static void held_back_it_stays_pending_and_fires_once_it_may(void **state)
{
    (void)state;
    must_go(1, "3h", "3p");
    must_go(10, "30hx", "30pf");
    must_go(10, "30h10.", "39pr");
    must_go(1, "xh", "ff"); /* what fires goes on */
}

static void what_was_before_it_cleared_counts_no_more(void **state)
{
    (void)state;
    must_go(10, "9x10.x", "18prp");
    must_go(3, "xx10.xx", "11prpp");
    struct tracker t = {0};
    tracker_sick(&t, 1, false);
    tracker_reset(&t);
    assert_int_equal(t.state, EMBMON_RESOLVED);
    tracker_sick(&t, 2, false);
    assert_int_equal(t.state, EMBMON_PENDING);
}

static void the_largest_hold_works(void **state)
{
    (void)state;
    must_go(TRACKER_HOLD_MAX, "255xx", "255pf");
    must_go(TRACKER_HOLD_MAX, "255x255.x", "510pf");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hold_1_fires_at_once_and_clears_after_10),
        cmocka_unit_test(hold_3_fires_at_the_third_of_six),
        cmocka_unit_test(hold_10_fires_at_the_tenth_of_twenty),
        cmocka_unit_test(hold_150_counts_across_words_of_its_history),
        cmocka_unit_test(every_second_step_is_enough_to_fire_and_one_of_three_is_not),
        cmocka_unit_test(a_pending_clears_after_max_of_hold_and_10),
        cmocka_unit_test(a_firing_one_clears_after_max_of_twice_hold_and_10),
        cmocka_unit_test(held_back_it_stays_pending_and_fires_once_it_may),
        cmocka_unit_test(what_was_before_it_cleared_counts_no_more),
        cmocka_unit_test(the_largest_hold_works),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
