/* Layers that pass, beside alerts that ask every detector about every layer at every step: both say
 * the same of random trainings, word for word, also why a detector is silent. */
#include "daemon/alert/slot.h"
#include "tests/unit/random.h"
#include "tests/unit/training.h"

enum { LAYERS = 12, TRAININGS = 40, STEPS = 60, ELEMENTS = 80 };

static uint64_t seed;

static bool one_in(uint64_t n)
{
    return random_below(&seed, n) == 0;
}

/* ---- the other alerts */

static struct alerts *plain;
static uint64_t plain_told[2]; /* how often, and a sum over what */

static uint64_t hash(const struct alert_change *change)
{
    uint64_t sum = 14695981039346656037u;
    char text[64];
    const char *const parts[] = {change->detector, change->layer, change->summary, change->reason,
                                 text};

    snprintf(text, sizeof text, "%u %u %llu", change->phase, change->state,
             (unsigned long long)change->step);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        for (const char *c = parts[i]; *c; c++)
            sum = (sum ^ (uint8_t)*c) * 1099511628211u;
    return sum;
}

static void listen_sum(void *context, const struct alert_change *change)
{
    uint64_t *to = context;

    to[0]++;
    to[1] = 31 * to[1] + hash(change);
}

static void must_be_the_same(void)
{
    for (uint32_t phase = 1; phase <= STEP_PHASES; phase++) {
        if (!plain->slots[phase - 1])
            continue;
        for (size_t d = 0; d < detector_count; d++)
            for (size_t i = 0; i < training.model.layer_count; i++) {
                const struct slot *a = slot_of(training.alerts, phase, d, i),
                                  *b = slot_of(plain, phase, d, i);

                if (a->silent != b->silent)
                    print_error("%s of layer %zu at step %llu: \"%s\", not \"%s\"\n",
                                detectors[d].name, i, (unsigned long long)training.number,
                                a->silent ? a->silent : "", b->silent ? b->silent : "");
                assert_ptr_equal(a->silent, b->silent);
                assert_int_equal(a->state, b->state);
            }
    }
}

/* ---- what a clause says without what it looks at */

enum { REASONS_MAX = 1 << 14 };

static struct reason {
    const struct clause *clause;
    size_t layer;
    uint32_t traits;
    uint64_t changes;
    const char *text;
} reasons[REASONS_MAX];
static size_t reason_count, reasons_seen;

/* As long as the model is what it was, the same. */
static void must_be_as_before(const struct reason *now)
{
    for (size_t i = 0; i < reason_count; i++) {
        const struct reason *was = &reasons[i];

        if (was->clause != now->clause || was->layer != now->layer || was->traits != now->traits ||
            was->changes != now->changes)
            continue;
        assert_ptr_equal(was->text, now->text);
        reasons_seen++;
        return;
    }
    assert_true(reason_count < REASONS_MAX);
    reasons[reason_count++] = *now;
}

static void must_be_silent_without(const struct clause *clause, size_t of)
{
    const struct measures *m = step_closed();
    uint32_t traits = pass_traits(m, &training.baseline, of);
    struct finding finding = {.silent = NULL};
    enum verdict verdict;

    if ((clause->looks_at & ~traits) == 0)
        return;
    verdict = clause->judge(m, of, &training.baseline, &limits_default, &finding);
    assert_int_equal(verdict, VERDICT_SILENT);
    must_be_as_before(&(struct reason){clause, of, traits, training.model.changes, finding.silent});
}

static void clauses_must_be_silent(void)
{
    for (size_t d = 0; d < detector_count; d++)
        for (size_t c = 0; c < CLAUSES_MAX && detectors[d].clauses[c].judge; c++)
            for (size_t i = 0; i < training.model.layer_count; i++)
                must_be_silent_without(&detectors[d].clauses[c], i);
}

/* Both, and in this order, so that neither learns from the other. */
static void judge_both(void)
{
    (void)step_closed();
    clauses_must_be_silent();
    assert_true(
        alerts_judge(plain, &training.measures, &training.baseline, &training.rules, training.now));
    step_done();
    must_be_the_same();
}

static void judge_both_at(const struct step *step, size_t of, enum occasion occasion)
{
    struct measures m = {.step = step,
                         .model = &training.model,
                         .layer_count = training.model.layer_count,
                         .first_sight = true};

    judge_at(step, of, occasion); /* makes room in the baseline, too */
    assert_true(alerts_judge_at(plain, &m, of, occasion, &training.baseline, &training.rules,
                                training.now));
}

/* ---- a random training */

static void declare(size_t index)
{
    static const char *const activations[] = {"", "relu", "tanh", "softmax"};
    static const int64_t shape[] = {-1, 10, 8};
    char path[16];

    snprintf(path, sizeof path, "layer_%zu", index);
    (void)layer_like((struct msg_layer){
        .path = path,
        .kind = one_in(2) ? EMBMON_EMBEDDING : (uint32_t)random_below(&seed, EMBMON_POOLING + 1),
        .activation = activations[random_below(&seed, 4)],
        .trainable = !one_in(5),
        .has_padding = one_in(2),
        .tied = one_in(8),
        .rows = one_in(4) ? 0 : 1000,
        .columns = one_in(4) ? 1 : 64,
        .dtype = one_in(4) ? EMBMON_F16 : EMBMON_F32,
        .mask = (uint32_t)random_below(&seed, EMBMON_MASK_MISSED + 1),
        .shape = shape,
        .shape_length = one_in(2) ? 3 : 0});
}

static void connect(size_t of)
{
    const size_t inputs[] = {random_below(&seed, of + 1), MODEL_NO_LAYER};

    assert_true(model_inputs(&training.model, of, inputs, random_below(&seed, 3)));
}

/* A trainer comes back, and says something else of a layer. */
static void declare_again(void)
{
    size_t of = random_below(&seed, training.model.layer_count);

    model_reopen(&training.model);
    declare(of);
    if (one_in(2))
        connect(of);
    if (one_in(4))
        model_variable_dtype(&training.model, table(of), EMBMON_F16);
}

static void post_of(size_t of, uint32_t signal, double scale)
{
    static const uint32_t keys[] = {EXTRA_ROWS_LOOKED_UP, EXTRA_ROWS_TOUCHED,    EXTRA_IDS,
                                    EXTRA_BUSIEST,        EXTRA_PADDING_SQUARES, EXTRA_EXAMPLES,
                                    EXTRA_UNITS,          EXTRA_UNITS_DEAD,      EXTRA_SATURATED,
                                    EXTRA_VARIANCE,       EXTRA_COSINE,          EXTRA_SPREAD};
    double values[ELEMENTS];
    struct summary s;

    for (size_t i = 0; i < ELEMENTS; i++)
        values[i] = one_in(1000) ? 0 : scale * (1 + 0.1 * (double)random_below(&seed, 10));
    if (one_in(2000))
        values[0] = NAN;
    summarise(&s, values, ELEMENTS);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (one_in(2))
            assert_true(summary_set_extra(&s, keys[i], (double)random_below(&seed, 8)));
    post_summary(0, table(of), signal, &s);
    summary_free(&s);
}

static void post_ids_of(size_t of)
{
    struct msg_ids ids = {.phase = training.phase,
                          .step = training.number,
                          .fed = one_in(2),
                          .input = "",
                          .dtype = one_in(8) ? EMBMON_F32 : EMBMON_I32,
                          .stats = {.count = 640,
                                    .sequences = 64,
                                    .sequence_length = 10,
                                    .full = 64,
                                    .length_min = 10,
                                    .length_max = 10,
                                    .unique = 300,
                                    .rows_seen = 300}};
    const struct step *step;

    if (one_in(100))
        ids.stats.beyond = 1;
    assert_null(ids_check(&ids.stats));
    assert_int_equal(steps_ids(training.steps, 0, of, &ids, &step), STEPS_OK);
    judge_both_at(step, of, AT_IDS);
}

static void post_shape_of(size_t of)
{
    const int64_t dims[] = {32, one_in(20) ? 11 : 10, 64};
    struct posted_shape posted = {.role = EMBMON_SHAPE_OUTPUT,
                                  .phase = training.phase,
                                  .step = training.number,
                                  .shape = shape_of(dims, 3)};
    const struct step *step;

    assert_int_equal(steps_shape(training.steps, &posted, of, &step), STEPS_OK);
    judge_both_at(step, of, AT_SHAPE);
}

/* What each layer posts: mostly the same at each step, as a trainer does. */
static void post_step(const bool posts[LAYERS][7], double scale)
{
    for (size_t i = 0; i < training.model.layer_count; i++) {
        for (uint32_t signal = EMBMON_GRADIENT; signal <= EMBMON_UPDATE; signal++)
            if (posts[i][signal] != one_in(100))
                post_of(i, signal, signal == EMBMON_UPDATE ? 1e-3 * scale : scale);
        if (posts[i][5] != one_in(100))
            post_ids_of(i);
        if (posts[i][6] && one_in(4))
            post_shape_of(i);
    }
    loss(1 + 0.01 * (double)random_below(&seed, 10));
    rate(0.1);
    batch(one_in(10) ? 7 : 32);
}

static void train(void)
{
    bool posts[LAYERS][7];

    for (size_t i = 0; i < LAYERS / 2; i++)
        declare(i);
    for (size_t i = 0; i < LAYERS; i++)
        for (size_t k = 0; k < 7; k++)
            posts[i][k] = one_in(3);
    for (int i = 0; i < STEPS; i++) {
        training.phase = one_in(6) ? EMBMON_VALIDATE : EMBMON_TRAIN;
        if (training.model.layer_count < LAYERS && one_in(10))
            declare(training.model.layer_count);
        if (one_in(20)) {
            declare_again();
            reason_count = 0; /* none of them counts any more */
        }
        post_step(posts, one_in(30) ? 1e4 : 1);
        judge_both();
    }
}

static void both_say_the_same_of_random_trainings(void **state)
{
    uint64_t told[2] = {0}, ever = 0, skipped = 0;

    (void)state;
    for (uint64_t i = 0; i < TRAININGS; i++) {
        seed = i;
        reason_count = 0;
        assert_int_equal(training_begin(NULL), 0);
        alerts_free(training.alerts);
        told[0] = told[1] = plain_told[0] = plain_told[1] = 0;
        training.alerts = alerts_new("run", listen_sum, told);
        plain = alerts_new("run", listen_sum, plain_told);
        assert_true(training.alerts && plain);
        for (size_t p = 0; p < STEP_PHASES; p++)
            plain->passes[p].plain = true;
        train();
        assert_int_equal(told[0], plain_told[0]);
        assert_int_equal(told[1], plain_told[1]);
        ever += told[0];
        skipped += training.alerts->passes[0].count > 0 && plain->passes[0].count == 0;
        alerts_free(plain);
        (void)training_end(NULL);
    }
    assert_true(ever > TRAININGS); /* not all was quiet */
    assert_int_equal(skipped, TRAININGS);
    assert_true(reasons_seen > (uint64_t)TRAININGS * STEPS * LAYERS);
}

/* ---- what is skipped */

static void a_detector_is_asked_where_there_is_something_to_look_at(void **state)
{
    size_t a = embedding("a"), b = dense("b");
    const struct pass *pass = &training.alerts->passes[0];

    (void)state;
    for (int i = 0; i < 3; i++) {
        gradient(a, 0.3);
        gradient(b, 0.4);
        step_done();
        assert_true(i == 0 ? pass->any == UINT16_MAX : pass->any == (TRAIT_TABLE | TRAIT_GRADIENT));
    }
    gradient(a, 0.3);
    gradient(b, 0.4);
    activation(b, 1);
    step_done();
    assert_int_equal(pass->any, UINT16_MAX); /* of b all is asked */
    (void)dense("c");
    gradient(a, 0.3);
    gradient(b, 0.4);
    activation(b, 1);
    step_done();
    assert_int_equal(pass->any, UINT16_MAX); /* it was declared anew */
}

/* A later step, whose first rank has ended it, is judged for non-finite values in between. */
static void what_is_judged_early_is_not_taken_for_what_closes(void **state)
{
    size_t a = dense("a"), d = detector_find("activation_nonfinite");
    const char *why;

    (void)state;
    for (int i = 0; i < 3; i++) {
        gradient(a, 0.3);
        step_done();
    }
    why = alerts_silent(training.alerts, d, a);
    assert_string_equal(why, "no activation was posted for this layer");
    training.number += 10;
    activation(a, 1);
    training.number -= 10;
    for (struct step *step; (step = steps_take(training.steps, training.now, true));) {
        measure_now(step, 0);
        assert_true(alerts_judge_early(training.alerts, &training.measures, &training.baseline,
                                       &training.rules, training.now));
        steps_recycle(training.steps, step);
    }
    assert_null(alerts_silent(training.alerts, d, a));
    training.number += 20;
    for (int i = 0; i < 2; i++) {
        gradient(a, 0.3);
        step_done();
        assert_ptr_equal(alerts_silent(training.alerts, d, a), why);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_say_the_same_of_random_trainings),
        training_test(a_detector_is_asked_where_there_is_something_to_look_at),
        training_test(what_is_judged_early_is_not_taken_for_what_closes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
