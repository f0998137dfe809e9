#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "client/budget.h"

/* A training whose clock is ours: ns of a step, and what a sampled one takes more, of which `own`
 * is within posting calls. */
struct world {
    struct budget budget;
    uint64_t now, step, random;
    double plain, added, own, tail, noise;
    bool record[4096]; /* which steps were sampled */
};

static void start(struct world *w, double overhead, double plain, double added)
{
    memset(w, 0, sizeof *w);
    budget_open(&w->budget, overhead, false);
    w->now = 1000;
    w->random = 1;
    w->plain = plain;
    w->added = added;
    w->own = added / 2;
}

/* Between -1 and 1, the same in every run. */
static double noise(struct world *w)
{
    w->random = w->random * 6364136223846793005u + 1442695040888963407u;
    return (double)(w->random >> 33) / (double)(1u << 30) - 1;
}

static void one(struct world *w, bool wished)
{
    bool sampled = wished || w->step % budget_every(&w->budget) == 0;
    bool after = w->step > 0 && w->record[w->step - 1];
    double ns = w->plain * (1 + w->noise * noise(w));

    /* A part of what is added comes behind the call that ends the step. */
    ns += (sampled ? w->added * (1 - w->tail) : 0) + (after ? w->added * w->tail : 0);
    w->now += (uint64_t)ns;
    w->record[w->step++] = sampled;
    budget_step(&w->budget, w->now, sampled, sampled ? (uint64_t)w->own : 0);
}

static void go(struct world *w, uint64_t steps)
{
    for (uint64_t i = 0; i < steps; i++)
        one(w, false);
}

/* The largest share that any BUDGET_WINDOW steps from `from` on have added. */
static double worst(const struct world *w, uint64_t from)
{
    double most = 0;

    for (uint64_t first = from; first + BUDGET_WINDOW <= w->step; first++) {
        size_t n = 0;

        for (uint64_t i = first; i < first + BUDGET_WINDOW; i++)
            n += w->record[i];
        most = fmax(most, (double)n * w->added / (BUDGET_WINDOW * w->plain));
    }
    return most;
}

static void the_first_steps_are_all_sampled(void **state)
{
    struct world w;

    (void)state;
    start(&w, 0.01, 5e6, 5e6);
    go(&w, BUDGET_FIRST);
    for (size_t i = 0; i < BUDGET_FIRST; i++)
        assert_true(w.record[i]);
    assert_true(budget_every(&w.budget) > BUDGET_EVERY_MIN);
    assert_true(isnan(budget_overhead(&w.budget)));
}

static void any_100_steps_keep_the_share(void **state)
{
    static const double added[] = {1e4, 2e5, 5e5, 1e6, 2e6, 4.9e6};

    (void)state;
    for (size_t i = 0; i < sizeof added / sizeof *added; i++) {
        struct world w;

        start(&w, 0.01, 5e6, added[i]);
        go(&w, 4000);
        assert_true(worst(&w, 300) <= 0.01);
        assert_true(budget_overhead(&w.budget) <= 0.01);
    }
}

static void it_is_measured_before_much_is_left_out(void **state)
{
    struct world w;

    (void)state;
    start(&w, 0.01, 5e6, 1e5);
    w.own = 2e7; /* at first, as of tables and code that nobody has used before */
    go(&w, BUDGET_FIRST + 1);
    assert_int_equal(budget_every(&w.budget), BUDGET_EVERY_GUESSED);
    w.own = 0;
    go(&w, 4 * BUDGET_EVERY_GUESSED);
    assert_true(budget_overhead(&w.budget) >= 0);
    go(&w, 2000);
    assert_int_equal(budget_every(&w.budget), BUDGET_EVERY_MIN);
}

static void no_more_is_left_out_than_the_share_asks_for(void **state)
{
    struct world w;

    (void)state;
    start(&w, 0.01, 5e6, 1e4); /* 0.2 % */
    go(&w, 1000);
    assert_int_equal(budget_every(&w.budget), BUDGET_EVERY_MIN);
    start(&w, 0.01, 5e6, 5e5); /* 10 %: 1 of 10 steps, 7 of 100 as a power of two */
    go(&w, 1000);
    assert_int_equal(budget_every(&w.budget), 16);
    start(&w, 0.05, 5e6, 5e5);
    go(&w, 1000);
    assert_int_equal(budget_every(&w.budget), BUDGET_EVERY_MIN);
}

static void what_happens_behind_the_end_of_a_step_counts(void **state)
{
    struct world w;

    (void)state;
    start(&w, 0.01, 5e6, 1e6);
    w.own = 0;
    w.tail = 0.8;
    go(&w, 2000);
    assert_int_equal(budget_every(&w.budget), 32);
    assert_true(budget_overhead(&w.budget) > 0.0055 && budget_overhead(&w.budget) <= 0.01);
}

static void steps_that_differ_among_themselves_hide_little(void **state)
{
    struct world w;

    (void)state;
    start(&w, 0.01, 5e6, 5e5);
    w.noise = 0.3;
    go(&w, 4000);
    assert_true(worst(&w, 1000) <= 0.03);
    assert_true(budget_every(&w.budget) >= 8 && budget_every(&w.budget) <= 64);
}

static void what_posting_takes_is_the_least_that_is_believed(void **state)
{
    struct world w;

    (void)state;
    start(&w, 0.01, 5e6, 5e5);
    w.own = 5e5;
    go(&w, 500);
    w.plain = 1e7; /* steps grow, and the difference vanishes among them */
    w.added = 0;
    go(&w, 3000);
    assert_true(budget_every(&w.budget) >= 8);
}

static void it_follows_a_training_that_changes(void **state)
{
    struct world w;

    (void)state;
    start(&w, 0.01, 5e6, 5e5);
    go(&w, 500);
    assert_int_equal(budget_every(&w.budget), 16);
    w.plain = 5e7;
    go(&w, 1500);
    assert_int_equal(budget_every(&w.budget), BUDGET_EVERY_MIN);
    w.plain = 5e6;
    go(&w, 500);
    assert_int_equal(budget_every(&w.budget), 16);
}

static void wishes_count_as_what_they_cost(void **state)
{
    struct world w;

    (void)state;
    start(&w, 0.01, 5e6, 5e5);
    go(&w, 1000);
    for (size_t i = 0; i < 64; i++)
        one(&w, true);
    go(&w, 4);
    assert_true(budget_overhead(&w.budget) > 0.06);
    go(&w, 500);
    assert_true(budget_overhead(&w.budget) <= 0.01);
    assert_int_equal(budget_every(&w.budget), 16);
}

static void a_pause_is_no_step(void **state)
{
    struct world w;

    (void)state;
    start(&w, 0.01, 5e6, 5e5);
    go(&w, 200);
    for (size_t i = 0; i < 200; i++) {
        go(&w, 10);
        budget_pause(&w.budget); /* validation */
        w.now += 1000000000;
    }
    assert_int_equal(budget_every(&w.budget), 16);
    assert_true(budget_overhead(&w.budget) <= 0.01);
}

static void where_somebody_else_says_how_often_it_only_measures(void **state)
{
    struct budget b;
    uint64_t now = 1;

    (void)state;
    budget_open(&b, 0.01, true);
    for (uint64_t step = 0; step < 200; step++) {
        now += step % 8 == 0 ? 6000000 : 5000000;
        budget_step(&b, now, step % 8 == 0, 1000);
        assert_int_equal(budget_every(&b), 1);
    }
    assert_float_equal(budget_overhead(&b), 0.2 * 13 / 100, 0.002);
}

/* Steps of 1 ms, of which the trainer's side takes 2 %: twice the share. Half of the share is for
 * sampling all the same, and what is measured says that it is more. */
static void what_is_spent_at_every_step_leaves_half_of_the_share(void **state)
{
    struct budget b;
    uint64_t now = 1, sampled = 0;
    bool measured = false;

    (void)state;
    budget_open(&b, 0.01, false);
    for (uint64_t step = 0; step < 2000; step++) {
        bool is = step % budget_every(&b) == 0;

        now += is ? 1100000 : 1000000;
        measured |= budget_step(&b, now, is, is ? 0 : 20000);
        sampled += step >= 200 && is;
    }
    assert_true(measured);
    assert_int_equal(budget_every(&b), 32); /* 4 of 100 steps of 0.1 ms: 0.4 % */
    assert_in_range(sampled, 50, 60);
    assert_float_equal(budget_overhead(&b), 0.024, 0.002);
}

static void a_clock_that_stands_still_is_survived(void **state)
{
    struct budget b;

    (void)state;
    budget_open(&b, 0.01, false);
    for (uint64_t step = 0; step < 200; step++)
        budget_step(&b, 5, step % budget_every(&b) == 0, 0);
    assert_true(isnan(budget_overhead(&b)));
    assert_true(budget_every(&b) <= BUDGET_EVERY_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_steps_are_all_sampled),
        cmocka_unit_test(any_100_steps_keep_the_share),
        cmocka_unit_test(it_is_measured_before_much_is_left_out),
        cmocka_unit_test(no_more_is_left_out_than_the_share_asks_for),
        cmocka_unit_test(what_happens_behind_the_end_of_a_step_counts),
        cmocka_unit_test(steps_that_differ_among_themselves_hide_little),
        cmocka_unit_test(what_posting_takes_is_the_least_that_is_believed),
        cmocka_unit_test(it_follows_a_training_that_changes),
        cmocka_unit_test(wishes_count_as_what_they_cost),
        cmocka_unit_test(a_pause_is_no_step),
        cmocka_unit_test(where_somebody_else_says_how_often_it_only_measures),
        cmocka_unit_test(what_is_spent_at_every_step_leaves_half_of_the_share),
        cmocka_unit_test(a_clock_that_stands_still_is_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
