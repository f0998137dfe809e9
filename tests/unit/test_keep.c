/* Alerts beyond what may be kept: at one below the limit, at it and above it, and against a run
 * that keeps all. */
#include <malloc.h>

#include "tests/unit/random.h"
#include "tests/unit/restarted.h"

enum { MANY = 100 };

static size_t tables[MANY];
static struct gauge of_run, of_all;

static void begin(size_t most, size_t all_most)
{
    static char paths[MANY][16];

    for (size_t i = 0; i < MANY; i++) {
        (void)snprintf(paths[i], sizeof paths[i], "t%zu", i);
        tables[i] = embedding(paths[i]);
    }
    of_run = of_all = (struct gauge){0};
    alerts_share(training.alerts, &of_run, &of_all);
    alerts_limit(training.alerts, most, all_most);
}

/* A step in which an id of these tables is out of range: critical at first sight. */
static void bad_ids(size_t from, size_t n)
{
    struct ids_stats stats = {
        .count = 4, .sequences = 1, .sequence_length = 4, .unique = 2, .negative = 1, .worst = -1};

    for (size_t i = from; i < from + n; i++)
        ids(tables[i], stats);
    step_done();
}

/* All tables are looked up as they should be, for long enough that what is up is over. */
static void good_ids(void)
{
    for (int step = 0; step < 12; step++) {
        for (size_t i = 0; i < MANY; i++)
            ids(tables[i],
                (struct ids_stats){.count = 4, .sequences = 1, .sequence_length = 4, .unique = 2});
        step_done();
    }
}

struct seen {
    size_t kept, firing, groups, more, more_firing;
    uint32_t severity;
};

static void see_kept(void *context, const struct alert_change *change, bool ever_fired)
{
    struct seen *seen = context;

    seen->kept++;
    assert_int_equal(ever_fired, change->fired_severity > 0);
}

static void see_firing(void *context, const struct alert_change *change, bool ever_fired)
{
    struct seen *seen = context;

    seen->firing++;
    assert_true(ever_fired);
    assert_int_equal(change->state, EMBMON_FIRING);
    assert_string_equal(change->detector, "ids_out_of_range");
    assert_int_equal(change->severity, EMBMON_CRITICAL);
}

static void see_more(void *context, const struct alert_change *change, size_t count)
{
    struct seen *seen = context;

    seen->groups++;
    seen->more += count;
    seen->more_firing += change->state == EMBMON_FIRING ? count : 0;
    if (change->fired_severity > seen->severity)
        seen->severity = change->fired_severity;
    assert_string_equal(change->layer, "");
}

static struct seen look(void)
{
    struct seen seen = {0};

    alerts_each(training.alerts, see_kept, &seen);
    alerts_each_firing(training.alerts, see_firing, &seen);
    alerts_more(training.alerts, see_more, &seen);
    assert_int_equal(seen.kept, alerts_kept(training.alerts));
    assert_int_equal(seen.kept, of_all.used);
    return seen;
}

static void must_know(size_t kept, size_t firing, size_t fired)
{
    struct seen seen = look();

    assert_int_equal(seen.kept, kept);
    assert_int_equal(seen.firing, firing);
    assert_int_equal(alerts_firing(training.alerts), firing);
    assert_int_equal(alerts_ever_fired(training.alerts, EMBMON_CRITICAL), fired);
    assert_int_equal(seen.more, fired - kept);
}

static void so_many_are_kept_and_all_are_known(void **state)
{
    for (size_t most = MANY - 1; most <= MANY + 1; most++) {
        size_t kept = most < MANY ? most : MANY;

        begin(most, 1000);
        bad_ids(0, MANY);
        must_know(kept, MANY, MANY);
        assert_int_equal(of_run.refused, MANY - kept);
        assert_int_equal(of_all.refused, 0);
        assert_int_equal(times_told("ids_out_of_range"), MANY);
        good_ids();
        must_know(kept, 0, MANY);
        assert_int_equal(times_told("ids_out_of_range"), 2 * MANY);
        assert_false(alerts_any(training.alerts));
        training_end(state);
        assert_int_equal(of_all.used, 0);
        training_begin(state);
    }
}

static void of_all_runs_so_many_are_kept_but_for_a_few_of_each(void **state)
{
    const struct {
        size_t others, kept;
    } cases[] = {{99, MANY}, {100, MANY}, {101, MANY - 1}, {135, 65}, {136, 64}, {1000, 64}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct seen seen;

        begin(1000, 200);
        of_all.used = cases[i].others; /* kept of other runs */
        bad_ids(0, MANY);
        assert_int_equal(of_all.refused, MANY - cases[i].kept);
        assert_int_equal(of_run.refused, 0);
        of_all.used -= cases[i].others;
        seen = look();
        assert_int_equal(seen.kept, cases[i].kept);
        assert_int_equal(seen.more_firing, MANY - cases[i].kept);
        training_end(state);
        training_begin(state);
    }
}

static void what_is_over_makes_room(void **state)
{
    struct seen seen;

    (void)state;
    begin(64, 1000);
    bad_ids(0, 64);
    good_ids();
    must_know(64, 0, 64);
    bad_ids(64, 10);
    must_know(64, 10, 74);
    assert_int_equal(of_run.refused, 10);
    seen = look();
    assert_int_equal(seen.more_firing, 0); /* the oldest that are over have gone */
    assert_int_equal(seen.groups, 1);
    assert_int_equal(seen.severity, EMBMON_CRITICAL);
}

static void see_layer(void *context, const struct alert_change *change, bool ever_fired)
{
    (void)ever_fired;
    strcat(strcat(context, change->layer), " ");
}

static void the_oldest_that_is_over_goes_first_also_after_a_restart(void **state)
{
    char kept[1024] = "";

    (void)state;
    begin(64, 1000);
    bad_ids(1, 1); /* t1 is over before t0, which comes up first and lasts */
    bad_ids(0, 1);
    for (int i = 0; i < 30; i++) {
        for (size_t t = 1; t < 4; t++)
            ids(tables[t],
                (struct ids_stats){.count = 4, .sequences = 1, .sequence_length = 4, .unique = 2});
        bad_ids(0, 1);
    }
    good_ids();
    training_restart();
    alerts_share(training.alerts, &of_run, &of_all);
    alerts_limit(training.alerts, 64, 1000);
    bad_ids(2, 62);
    assert_int_equal(of_run.refused, 0);
    bad_ids(70, 1);
    alerts_each(training.alerts, see_layer, kept);
    assert_memory_equal(kept, "t0 t2 ", 6); /* t1 has gone */
}

/* What fires makes room for nothing that matters as little, and for what matters more. */
static void what_is_worse_takes_the_place(void **state)
{
    struct seen seen = {0};
    size_t told;

    (void)state;
    begin(64, 1000);
    for (int step = 0; step < 30; step++) {
        for (size_t i = 0; i < MANY; i++)
            gradient_of_rows(tables[i], 2, 2, i == MANY - 1 ? 1 : 0);
        step_done();
    }
    assert_int_equal(alerts_firing(training.alerts), MANY - 1); /* warnings: vanishing */
    alerts_more(training.alerts, see_more, &seen);
    assert_int_equal(seen.more_firing, MANY - 1 - 64);
    assert_int_equal(seen.severity, EMBMON_WARNING);
    bad_ids(0, 10);
    assert_int_equal(alerts_ever_fired(training.alerts, EMBMON_CRITICAL), 10);
    assert_int_equal(alerts_ever_fired(training.alerts, EMBMON_WARNING), MANY - 1);
    seen = (struct seen){0};
    alerts_more(training.alerts, see_more, &seen);
    assert_int_equal(alerts_kept(training.alerts), 64);
    assert_int_equal(seen.more_firing, MANY - 1 - 64 + 10); /* no critical one is among them: */
    assert_int_equal(seen.severity, EMBMON_WARNING);
    told = training.told_count;
    alerts_close(training.alerts, EMBMON_TRAIN, training.number, training.now);
    assert_int_equal(training.told_count - told, MANY - 1 + 10); /* each is told to be over */
    for (size_t i = 0; i < MANY - 1; i++)
        must_be("gradient_vanishing", training.model.layers[tables[i]].path, EMBMON_RESOLVED,
                training.number);
    assert_int_equal(alerts_firing(training.alerts), 0);
}

/* What is over and never fired goes before a warning, that before what was critical, and all of
 * them before what is up: however old they are. */
static void what_is_over_goes_by_what_it_was(void **state)
{
    struct seen seen = {0};
    char kept[2048] = "";

    (void)state;
    begin(3, 1000);
    bad_ids(0, 1); /* critical */
    for (int step = 0; step < 30; step++) {
        gradient_of_rows(tables[1], 2, 2, 0);                 /* a warning */
        gradient_of_rows(tables[2], 2, 2, step == 0 ? 0 : 1); /* pending, and no more */
        gradient_of_rows(tables[MANY - 1], 2, 2, 1);
        ids(tables[0],
            (struct ids_stats){.count = 4, .sequences = 1, .sequence_length = 4, .unique = 2});
        step_done();
    }
    for (int step = 0; step < 30; step++) {
        for (size_t i = 1; i < 3; i++)
            gradient_of_rows(tables[i], 2, 2, 1);
        gradient_of_rows(tables[MANY - 1], 2, 2, 1);
        step_done();
    }
    assert_false(alerts_any(training.alerts));
    assert_int_equal(look().kept, 3);
    bad_ids(10, 1);
    bad_ids(11, 1);
    alerts_each(training.alerts, see_layer, kept);
    assert_string_equal(kept, "t0 t10 t11 ");
    bad_ids(12, 1);
    *kept = '\0';
    alerts_each(training.alerts, see_layer, kept);
    assert_string_equal(kept, "t10 t11 t12 ");
    alerts_more(training.alerts, see_more, &seen);
    assert_int_equal(seen.more, 2); /* what never fired is not among them */
    assert_int_equal(seen.groups, 2);
}

/* Of one that is forgotten while it fires everything is known that says which one it is. */
static void what_is_forgotten_is_still_the_same(void **state)
{
    const struct told *told;
    size_t kernel;

    (void)state;
    begin(1, 1000);
    kernel = variable(tables[0], "kernel");
    post_values(0, kernel, EMBMON_GRADIENT, &(double){NAN}, 1);
    step_done();
    must_be("gradient_nonfinite", "t0", EMBMON_FIRING, 0);
    alerts_limit(training.alerts, 0, 1000);
    training_restart();
    alerts_close(training.alerts, EMBMON_TRAIN, 5, training.now);
    told = last_told("gradient_nonfinite", "t0");
    assert_int_equal(told->state, EMBMON_RESOLVED);
    assert_int_equal(told->before, EMBMON_FIRING);
    assert_string_equal(told->variable, "kernel");
    assert_int_equal(told->severity, EMBMON_CRITICAL);
    assert_string_equal(told->summary,
                        "gradient_nonfinite of t0 is up since step 0; what was found is in its "
                        "earlier changes; still firing when the run was closed at step 5");
    assert_false(told->value_given || told->threshold_given || told->baseline_given);
    assert_int_equal(told->rank_count, 0);
}

/* Bytes from malloc that are in use; 0 under AddressSanitizer, whose memory it does not know. */
static size_t in_use(void)
{
    return mallinfo2().uordblks;
}

static void what_is_not_kept_takes_no_memory(void **state)
{
    enum { ALERT_LEAST = 1700, ROOM = 16 << 10 }; /* bytes; what else comes up with 100 alerts */
    size_t before, few, many;

    (void)state;
    begin(10, 1000);
    good_ids();
    before = in_use();
    bad_ids(0, MANY);
    good_ids();
    few = in_use();
    alerts_limit(training.alerts, MANY, 1000);
    bad_ids(0, MANY);
    good_ids();
    many = in_use();
    assert_int_equal(alerts_kept(training.alerts), MANY);
    if (before > 0) {
        print_message("%zu bytes for 10 alerts, %zu for 100\n", few - before, many - before);
        assert_in_range(few - before, 10 * ALERT_LEAST, 10 * 2 * ALERT_LEAST + ROOM);
        assert_true(many - few >= (MANY - 10) * ALERT_LEAST);
        alerts_limit(training.alerts, 10, 1000);
        assert_true(many - in_use() >= (MANY - 10) * ALERT_LEAST);
    }
}

static void see_fired_step(void *context, const struct alert_change *change, bool ever_fired)
{
    *(uint64_t *)context = change->fired_step;
    assert_true(ever_fired);
}

static void the_first_time_it_fired_is_remembered(void **state)
{
    uint64_t fired_step = 0;

    (void)state;
    begin(1, 1000);
    step_done();
    bad_ids(0, 1);
    good_ids();
    bad_ids(1, 1); /* takes its place */
    good_ids();
    training_restart();
    alerts_limit(training.alerts, 1, 1000);
    bad_ids(0, 1);
    alerts_each(training.alerts, see_fired_step, &fired_step);
    assert_int_equal(fired_step, 1);
    alerts_limit(training.alerts, 0, 1000);
    fired_step = 0;
    alerts_each_firing(training.alerts, see_fired_step, &fired_step);
    assert_int_equal(fired_step, 1);
    assert_int_equal(alerts_ever_fired(training.alerts, EMBMON_CRITICAL), 2);
}

static void a_lower_limit_forgets_and_a_higher_one_keeps_again(void **state)
{
    (void)state;
    begin(100, 1000);
    bad_ids(0, MANY);
    must_know(100, MANY, MANY);
    alerts_limit(training.alerts, 70, 1000);
    must_know(70, MANY, MANY);
    alerts_limit(training.alerts, 100, 1000);
    must_know(70, MANY, MANY);
    good_ids();
    bad_ids(0, MANY);
    must_know(100, MANY, MANY);
}

/* ---- against a run that keeps all */

static size_t layers[6], kernels[6];

static void some_layers(void)
{
    static const char *const paths[] = {"a", "b", "c", "d", "e", "f"};

    for (size_t i = 0; i < 6; i++) {
        layers[i] = i < 3 ? embedding(paths[i]) : dense(paths[i]);
        kernels[i] = variable(layers[i], "kernel");
    }
}

/* The same for the same state of `random`. */
static void post_step(uint64_t *random)
{
    for (size_t i = 0; i < 6; i++) {
        uint64_t luck = random_below(random, 100);

        gradient(layers[i], luck < 10 ? 1e-9 : luck > 95 ? 1e5 : 0.3);
        post_even(kernels[i], EMBMON_WEIGHT, 100, 0.5);
        post_even(kernels[i], EMBMON_UPDATE, 100, luck > 80 ? 0 : luck < 15 ? 3 : 1e-3);
        post_values(0, kernels[i], EMBMON_GRADIENT, &(double){luck == 50 ? NAN : 0.3}, 1);
        activation(layers[i], luck > 97 ? INFINITY : 0.5);
        if (i < 3)
            ids(layers[i], (struct ids_stats){.count = 40,
                                              .sequences = 4,
                                              .sequence_length = 10,
                                              .negative = luck % 17 == 0,
                                              .worst = luck % 17 == 0 ? -1 : 0,
                                              .unique = 20});
    }
    loss(1);
    rate(0.01);
    batch(32);
}

static void train(size_t most, bool with_restarts)
{
    uint64_t random = 11, when = 5;

    some_layers();
    for (int step = 0; step < 600; step++) {
        alerts_limit(training.alerts, most, 1000);
        post_step(&random);
        step_done();
        if (with_restarts && random_below(&when, 3) == 0)
            training_restart();
        assert_in_range(alerts_kept(training.alerts), 0, most);
    }
    alerts_close(training.alerts, EMBMON_TRAIN, training.number, training.now);
}

/* What was told, and how many fired: the caller's. */
struct course {
    struct told *told;
    size_t count, fired[EMBMON_CRITICAL + 1];
};

static struct course course_of(size_t most, bool with_restarts)
{
    struct course course;

    train(most, with_restarts);
    course = (struct course){training.told, training.told_count, {0}};
    for (uint32_t s = EMBMON_INFO; s <= EMBMON_CRITICAL; s++)
        course.fired[s] = alerts_ever_fired(training.alerts, s);
    training.told = NULL;
    training_end(NULL);
    training_begin(NULL);
    return course;
}

static size_t of_variables; /* that do not, and are about one */

/* exact: what is over says also what was found. Returns how many do not. */
static size_t must_be_same(const struct course *one, const struct course *other, bool exact)
{
    size_t others = 0;

    assert_int_equal(one->count, other->count);
    assert_memory_equal(one->fired, other->fired, sizeof one->fired);
    for (size_t i = 0; i < one->count; i++) {
        const struct told *a = &one->told[i], *b = &other->told[i];
        bool same = strcmp(a->summary, b->summary) == 0;

        assert_string_equal(a->detector, b->detector);
        assert_string_equal(a->layer, b->layer);
        assert_string_equal(a->variable, b->variable);
        assert_string_equal(a->reason, b->reason);
        assert_int_equal(a->state, b->state);
        assert_int_equal(a->before, b->before);
        assert_int_equal(a->severity, b->severity);
        assert_int_equal(a->step, b->step);
        assert_int_equal(a->first_step, b->first_step);
        assert_true(same || (!exact && a->state == EMBMON_RESOLVED));
        if (same && a->value_given)
            assert_memory_equal(&a->value, &b->value, sizeof a->value);
        others += !same;
        of_variables += !same && *a->variable;
    }
    return others;
}

static void nothing_is_told_otherwise(void **state)
{
    struct course all = course_of(1000, false);

    (void)state;
    of_variables = 0;
    assert_true(all.count > 200);
    for (size_t most = 1; most <= 13; most += 4) {
        struct course few = course_of(most, false), again = course_of(most, true);
        size_t others = must_be_same(&all, &few, false);

        assert_in_range(others, 1, all.count / 2);
        must_be_same(&few, &again, true);
        free(few.told);
        free(again.told);
    }
    assert_true(of_variables > 0);
    free(all.told);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        training_test(so_many_are_kept_and_all_are_known),
        training_test(of_all_runs_so_many_are_kept_but_for_a_few_of_each),
        training_test(what_is_over_makes_room),
        training_test(the_oldest_that_is_over_goes_first_also_after_a_restart),
        training_test(what_is_worse_takes_the_place),
        training_test(what_is_over_goes_by_what_it_was),
        training_test(what_is_forgotten_is_still_the_same),
        training_test(what_is_not_kept_takes_no_memory),
        training_test(the_first_time_it_fired_is_remembered),
        training_test(a_lower_limit_forgets_and_a_higher_one_keeps_again),
        training_test(nothing_is_told_otherwise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
