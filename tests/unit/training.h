/* A small training for tests of what comes after a step: layers are declared, a step is posted to
 * in single lines, and closed the way run.c does it. No socket, no clock. */
#ifndef EMBMON_TESTS_TRAINING_H
#define EMBMON_TESTS_TRAINING_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "daemon/alert/alert.h"
#include "daemon/detect/families.h"
#include "daemon/learn.h"
#include "daemon/tensorboard/record.h"
#include "embmon/embmon.h"
#include "tests/unit/values.h"

enum { TOLD_MAX = 4096 };

/* A change of an alert as the listener got it. */
struct told {
    char detector[32], layer[256], variable[64], reason[16], summary[FINDING_SUMMARY],
        hint[FINDING_HINT];
    uint32_t state, before, severity, phase;
    uint64_t step, first_step;
    double value, threshold, baseline, time;
    bool value_given, threshold_given, baseline_given;
    uint32_t ranks[8];
    size_t rank_count;
};

struct training {
    struct model model;
    struct steps *steps;
    struct baseline baseline;
    struct rules rules;
    struct measures measures;
    struct alerts *alerts;
    struct record *record; /* NULL: nothing is recorded */
    struct record_losses losses;
    struct step *open; /* the step in hand; it is made by the first look at it */
    struct moment now;
    uint32_t phase, ranks, every;
    uint64_t number; /* of the step that is posted to */
    struct told *told;
    size_t told_count;
};

static struct training training; /* of the running test */

static inline void must_near(double value, double expected, double tolerance)
{
    if (!(fabs(value - expected) <= tolerance))
        print_error("%.17g is not %.17g\n", value, expected);
    assert_true(fabs(value - expected) <= tolerance);
}

/* ---- layers */

static inline size_t layer_like(struct msg_layer layer)
{
    int index = model_layer(&training.model, &layer);

    assert_true(index >= 0);
    return (size_t)index;
}

static inline size_t layer(const char *path, uint32_t kind)
{
    return layer_like((struct msg_layer){.path = path, .kind = kind, .trainable = true});
}

static inline size_t embedding(const char *path)
{
    return layer(path, EMBMON_EMBEDDING);
}

static inline size_t dense(const char *path)
{
    return layer(path, EMBMON_DENSE);
}

static inline size_t variable(size_t of, const char *name)
{
    int index = model_variable(&training.model, of, name);

    assert_true(index >= 0);
    return (size_t)index;
}

/* What is posted with the layer's own id. */
static inline size_t table(size_t of)
{
    return training.model.layers[of].table;
}

/* ---- posts */

static inline void post_summary(uint32_t rank, size_t of, uint32_t signal, const struct summary *s)
{
    assert_null(summary_check(s));
    assert_int_equal(
        steps_sample(training.steps, training.phase, training.number, rank, of, signal, s),
        STEPS_OK);
}

/* values.h leaves the moments to its own tests. */
static inline void summarise(struct summary *s, const double *values, size_t n)
{
    assert_true(values_summarise(s, values, n));
    s->parts = 1; /* an empty tensor is one too */
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(values[i]))
            continue;
        s->sum += values[i];
        s->absolute_sum += fabs(values[i]);
        s->square_sum += values[i] * values[i];
    }
}

static inline void post_values(uint32_t rank, size_t of, uint32_t signal, const double *values,
                               size_t n)
{
    struct summary s;

    summarise(&s, values, n);
    post_summary(rank, of, signal, &s);
    summary_free(&s);
}

/* A gradient of this norm for the layer's own variable. */
static inline void gradient(size_t of, double norm)
{
    const double values[] = {0.6 * norm, -0.8 * norm};

    post_values(0, table(of), EMBMON_GRADIENT, values, 2);
}

static inline void gradient_with(size_t of, double odd)
{
    const double values[] = {0.5, odd, -0.5};

    post_values(0, table(of), EMBMON_GRADIENT, values, 3);
}

/* A table's sparse gradient, as posted by rows: looked up, of these touched, and their norm. */
static inline void gradient_of_rows(size_t of, double looked_up, double touched, double norm)
{
    const double values[] = {0.6 * norm, -0.8 * norm};
    struct summary s;

    summarise(&s, values, touched > 0 ? 2 : 0);
    assert_true(summary_set_extra(&s, EXTRA_ROWS_LOOKED_UP, looked_up));
    assert_true(summary_set_extra(&s, EXTRA_ROWS_TOUCHED, touched));
    post_summary(0, table(of), EMBMON_GRADIENT, &s);
    summary_free(&s);
}

static inline void activation(size_t of, double value)
{
    const double values[] = {0.25, value};

    post_values(0, table(of), EMBMON_ACTIVATION, values, 2);
}

/* n elements that all have this value. */
static inline void post_even(size_t of, uint32_t signal, size_t n, double value)
{
    double *values = calloc(n + 1, sizeof *values);

    assert_non_null(values);
    for (size_t i = 0; i < n; i++)
        values[i] = value;
    post_values(0, of, signal, values, n);
    free(values);
}

/* ---- ids and shapes: each is judged at first sight, as run_sight.c does */

static inline void judge_at(const struct step *step, size_t of, enum occasion occasion)
{
    struct measures m = {.step = step,
                         .model = &training.model,
                         .layer_count = training.model.layer_count,
                         .several_ranks = training.ranks > 1,
                         .some_steps = training.every > 1,
                         .first_sight = occasion != AT_EPOCH,
                         .only_rank = 0};

    assert_true(baseline_resize(&training.baseline, training.model.layer_count,
                                training.model.variable_count));
    assert_true(rules_resolve(&training.rules, &training.model));
    assert_true(alerts_judge_at(training.alerts, &m, of, occasion, &training.baseline,
                                &training.rules, training.now));
}

static inline void ids_from(uint32_t rank, size_t of, bool fed, const char *input, uint32_t dtype,
                            struct ids_stats stats)
{
    struct msg_ids ids = {.phase = training.phase,
                          .step = training.number,
                          .fed = fed,
                          .input = input,
                          .dtype = dtype,
                          .stats = stats};
    const struct step *step;

    assert_null(ids_check(&stats));
    assert_int_equal(steps_ids(training.steps, rank, of, &ids, &step), STEPS_OK);
    judge_at(step, of, AT_IDS);
}

static inline void ids(size_t of, struct ids_stats stats)
{
    ids_from(0, of, false, "", EMBMON_I32, stats);
}

/* What an id of the layer's table stands for, as a post of ids would say. */
static inline void word_of(size_t of, int64_t id, const char *word)
{
    words_take(&training.model.layers[of].words, &(struct ids_word){id, word}, 1);
}

static inline void shape_at(size_t layer_of, struct posted_shape posted, const int64_t *dims,
                            size_t count)
{
    const struct step *step;

    posted.phase = training.phase;
    posted.step = training.number;
    posted.shape = shape_of(dims, count);
    assert_int_equal(steps_shape(training.steps, &posted, layer_of, &step), STEPS_OK);
    judge_at(step, layer_of, AT_SHAPE);
}

/* The epoch ends with the last step that was done. */
static inline void epoch_ends(void)
{
    struct step last = {.phase = EMBMON_TRAIN, .number = training.number - 1};

    for (size_t i = 0; i < training.model.layer_count; i++) {
        judge_at(&last, i, AT_EPOCH);
        baseline_epoch(&training.baseline, i);
    }
}

static inline void scalar(size_t of, double value)
{
    assert_int_equal(steps_scalar(training.steps, training.phase, training.number, 0, of, value),
                     STEPS_OK);
}

static inline void loss(double value)
{
    scalar(SCALAR_LOSS, value);
}

static inline void rate(double value)
{
    scalar(SCALAR_LEARNING_RATE, value);
}

static inline void batch(double value)
{
    scalar(SCALAR_BATCH_SIZE, value);
}

/* ---- a step's way: the order is run.c's */

static inline void measure_now(const struct step *step, int64_t only_rank)
{
    assert_true(baseline_resize(&training.baseline, training.model.layer_count,
                                training.model.variable_count));
    assert_true(rules_resolve(&training.rules, &training.model));
    assert_true(
        measure_step(&training.measures, step, &training.model, &training.baseline, only_rank));
}

/* Closes the step that was posted to and measures it; the functions under test may look at it. */
static inline const struct measures *step_closed(void)
{
    bool trains = training.phase == EMBMON_TRAIN;

    if (training.open)
        return &training.measures;
    assert_int_equal(steps_end(training.steps, training.phase, training.number, 0, training.now),
                     STEPS_OK);
    training.open = steps_take(training.steps, training.now, true);
    assert_non_null(training.open);
    assert_true(baseline_resize(&training.baseline, training.model.layer_count,
                                training.model.variable_count));
    if (trains) {
        baseline_loss(&training.baseline, step_scalar(training.open, SCALAR_LOSS));
        baseline_batch(&training.baseline, step_scalar(training.open, SCALAR_BATCH_SIZE));
        if (baseline_rate(&training.baseline, step_scalar(training.open, SCALAR_LEARNING_RATE))) {
            baseline_forget_levels(&training.baseline);
            alerts_new_level(training.alerts, training.number, training.now);
        }
        measure_weights(&training.baseline, training.open, &training.model);
    }
    measure_intake(&training.baseline, training.open, &training.model);
    measure_now(training.open, -1);
    return &training.measures;
}

/* Judges, learns and records the step, and goes on to the next one. */
static inline void step_done(void)
{
    (void)step_closed();
    assert_true(alerts_judge(training.alerts, &training.measures, &training.baseline,
                             &training.rules, training.now));
    learn_step(&training.baseline, &training.measures, training.alerts);
    measure_shapes(&training.baseline, training.open, &training.model);
    if (training.record)
        record_step(training.record, &training.measures, &training.baseline, &training.rules,
                    training.alerts, &training.losses, training.now);
    steps_recycle(training.steps, training.open);
    training.open = NULL;
    training.number++;
    training.now.ms += 100;
    training.now.wall += 0.1;
}

/* ---- what the listener was told */

static inline void listen(void *context, const struct alert_change *change)
{
    struct told *told = &training.told[training.told_count];

    (void)context;
    assert_true(training.told_count < TOLD_MAX);
    training.told_count++;
    *told = (struct told){
        .state = change->state,
        .before = change->before,
        .severity = change->severity,
        .phase = change->phase,
        .step = change->step,
        .first_step = change->first_step,
        .value = change->value,
        .threshold = change->threshold,
        .baseline = change->baseline,
        .value_given = change->value_given,
        .threshold_given = change->threshold_given,
        .baseline_given = change->baseline_given,
        .time = change->time,
        .rank_count = change->rank_count,
    };
    assert_true(change->rank_count <= 8);
    for (size_t i = 0; i < change->rank_count; i++)
        told->ranks[i] = change->ranks[i];
    strcpy(told->detector, change->detector);
    strcpy(told->layer, change->layer);
    strcpy(told->variable, change->variable);
    strcpy(told->reason, change->reason);
    strcpy(told->summary, change->summary);
    strcpy(told->hint, change->hint);
    if (training.record)
        record_alert(training.record, change, alerts_fired(training.alerts), training.now);
}

/* The newest change of a detector on a layer ("" for the model); one of no state when there was
 * none.
 */
static inline const struct told *last_told(const char *detector, const char *path)
{
    static const struct told never = {.state = UINT32_MAX};

    for (size_t i = training.told_count; i > 0; i--) {
        const struct told *told = &training.told[i - 1];

        if (strcmp(told->detector, detector) == 0 && strcmp(told->layer, path) == 0)
            return told;
    }
    return &never;
}

static inline size_t times_told(const char *detector)
{
    size_t count = 0;

    for (size_t i = 0; i < training.told_count; i++)
        count += strcmp(training.told[i].detector, detector) == 0;
    return count;
}

/* The newest change took the alert to this state, at this step. */
static inline void must_be(const char *detector, const char *path, uint32_t state, uint64_t step)
{
    const struct told *told = last_told(detector, path);

    if (told->state != state || told->step != step)
        print_error("%s of %s: state %u at step %llu\n", detector, path, told->state,
                    (unsigned long long)told->step);
    assert_int_equal(told->state, state);
    assert_int_equal(told->step, step);
}

static inline void must_be_quiet(void)
{
    if (training.told_count > 0)
        print_error("%s\n", training.told[0].summary);
    assert_int_equal(training.told_count, 0);
}

/* ---- single verdicts of the step in hand */

static inline enum verdict verdict_of(detect_fn *judge, size_t of, struct finding *finding)
{
    *finding = (struct finding){.value = NAN, .threshold = NAN, .baseline = NAN, .variable = ""};
    return judge(step_closed(), of, &training.baseline, rules_limits(&training.rules, of), finding);
}

static inline struct finding must_flag(detect_fn *judge, size_t of)
{
    struct finding finding;

    assert_int_equal(verdict_of(judge, of, &finding), VERDICT_SICK);
    assert_true(*finding.summary && *finding.hint);
    assert_null(finding.silent);
    return finding;
}

static inline struct finding must_pass(detect_fn *judge, size_t of)
{
    struct finding finding;

    assert_int_equal(verdict_of(judge, of, &finding), VERDICT_CLEAR);
    assert_null(finding.silent);
    return finding;
}

static inline void must_be_silent(detect_fn *judge, size_t of, const char *why)
{
    struct finding finding;

    assert_int_equal(verdict_of(judge, of, &finding), VERDICT_SILENT);
    assert_non_null(finding.silent);
    assert_string_equal(finding.silent, why);
}

/* ---- set-up */

static inline int training_begin_with(uint32_t world_size)
{
    training = (struct training){
        .phase = EMBMON_TRAIN, .ranks = world_size, .now = {.ms = 1000, .wall = 1.7e9}};
    training.told = calloc(TOLD_MAX, sizeof *training.told);
    training.steps = steps_new(world_size, (size_t)64 << 20, training.now);
    training.alerts = alerts_new("run", listen, NULL);
    baseline_init(&training.baseline);
    return training.told && training.steps && training.alerts && model_init(&training.model) ? 0
                                                                                             : -1;
}

static inline int training_begin(void **state)
{
    (void)state;
    return training_begin_with(1);
}

/* A run of four ranks. */
static inline int training_begin_4(void **state)
{
    (void)state;
    return training_begin_with(4);
}

static inline int training_end(void **state)
{
    (void)state;
    if (training.open)
        steps_recycle(training.steps, training.open);
    record_close(training.record);
    alerts_free(training.alerts);
    measures_free(&training.measures);
    baseline_free(&training.baseline);
    rules_free(&training.rules);
    steps_free(training.steps);
    model_clear(&training.model);
    free(training.told);
    return 0;
}

#define training_test(test) cmocka_unit_test_setup_teardown(test, training_begin, training_end)
#define training_test_of_4(test)                                                                   \
    cmocka_unit_test_setup_teardown(test, training_begin_4, training_end)

#endif
