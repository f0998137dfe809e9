#include "tests/unit/fake_tensorflow.h"

#include <dlfcn.h>
#include <math.h>
#include <time.h>

#include "client/client_struct.h"
#include "tests/unit/post_world.h"

enum { LARGE = 1 << 16 };

static struct embmon_gate *gate;

static int open_graph(void **to)
{
    struct world *w;

    assert_int_equal(embmon_tensorflow(dlopen(NULL, RTLD_NOW)), 0);
    if (open_world(to) != 0)
        return -1;
    w = *to;
    return embmon_gate_new(w->client, &gate);
}

static int close_graph(void **to)
{
    assert_int_equal(close_world(to), 0);
    assert_int_equal(fake_tf.held, 0);
    assert_int_equal(fake_tf.statuses, 0);
    return 0;
}

static struct fake_operation make(const char *kind, int target, int signal, int64_t slot,
                                  const char *text)
{
    const struct fake_attribute attributes[] = {{"gate", NULL, (int64_t)(intptr_t)gate},
                                                {"target", NULL, target},
                                                {"signal", NULL, signal},
                                                {"slot", NULL, slot},
                                                {"text", text, 0}};

    return fake_make(kind, attributes, text ? 5 : 4);
}

static struct embmon_client_stats stats_of(struct world *w)
{
    struct embmon_client_stats stats = EMBMON_CLIENT_STATS_INIT;

    assert_int_equal(embmon_stats(w->client, &stats), 0);
    return stats;
}

static void expect_sample(struct world *w, int target, int signal, uint64_t step, uint64_t count,
                          double sum)
{
    struct message m;

    fake_expect(w->fake, FRAME_SAMPLE, &m);
    assert_int_equal(m.sample.target, target);
    assert_int_equal(m.sample.signal, signal);
    assert_int_equal(m.sample.step, step);
    assert_int_equal(m.sample.summary.count, count);
    assert_true(m.sample.summary.sum == sum);
}

static void a_tensor_is_posted_while_a_step_is_under_way(void **state)
{
    struct world *w = *state;
    const float values[] = {1, 2, 3, 4, 5, 6};
    TF_Tensor tensor = fake_tensor(FAKE_FLOAT, values, 2, 3, 2);
    struct fake_operation op = make("EmbmonPost", w->kernel, EMBMON_GRADIENT, 0, NULL);

    fake_run(&op, &tensor, NULL, NULL); /* shut: nobody's step */
    embmon_gate_open(gate, 5);
    fake_run(&op, &tensor, NULL, NULL);
    embmon_gate_shut(gate);
    fake_run(&op, &tensor, NULL, NULL);
    assert_int_equal(stats_of(w).produced, 1);
    expect_sample(w, w->kernel, EMBMON_GRADIENT, 5, 6, 21);
    fake_end(&op);
}

static void wait_until_given_back(void)
{
    for (int ms = 0; ms < 5000 && atomic_load(&fake_tf.held) > 0; ms++)
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    assert_int_equal(atomic_load(&fake_tf.held), 0);
}

static void a_large_one_is_lent_until_it_was_read(void **state)
{
    static float values[LARGE];
    struct world *w = *state;
    TF_Tensor tensor = fake_tensor(FAKE_FLOAT, values, 1, LARGE, 0);
    struct fake_operation op = make("EmbmonPost", w->dense, EMBMON_ACTIVATION, 0, NULL);
    double sum = 0;

    for (int i = 0; i < LARGE; i++)
        sum += (double)(values[i] = (float)(i % 7));
    for (uint64_t step = 0; step < 3; step++) {
        embmon_gate_open(gate, (int64_t)step);
        fake_run(&op, &tensor, NULL, NULL);
        fake_run(&op, &tensor, NULL, NULL);
        expect_sample(w, w->dense, EMBMON_ACTIVATION, step, LARGE, sum);
        expect_sample(w, w->dense, EMBMON_ACTIVATION, step, LARGE, sum);
        wait_until_given_back(); /* before the operation is run again */
    }
    fake_end(&op);
}

/* More than may be lent is summarised within the operation, and nothing stays. */
static void what_is_too_much_to_lend_is_posted_at_once(void **state)
{
    enum { MANY = (LOANS_BYTES >> 2) + 1 };
    struct world *w = *state;
    float *values = calloc(MANY, sizeof *values);
    TF_Tensor tensor = fake_tensor(FAKE_FLOAT, values, 1, MANY, 0);
    struct fake_operation op = make("EmbmonPost", w->dense, EMBMON_ACTIVATION, 0, NULL);

    assert_non_null(values);
    embmon_gate_open(gate, 0);
    fake_run(&op, &tensor, NULL, NULL);
    assert_int_equal(atomic_load(&fake_tf.held), 0);
    expect_sample(w, w->dense, EMBMON_ACTIVATION, 0, MANY, 0);
    fake_end(&op);
    free(values);
}

/* Read or not. */
static void what_is_lent_is_given_back_with_the_client(void **state)
{
    static float values[LARGE];
    struct world *w = *state;
    TF_Tensor tensor = fake_tensor(FAKE_FLOAT, values, 1, LARGE, 0);
    struct fake_operation op = make("EmbmonPost", w->dense, EMBMON_ACTIVATION, 0, NULL);

    embmon_gate_open(gate, 0);
    for (int i = 0; i < 100; i++)
        fake_run(&op, &tensor, NULL, NULL);
    embmon_close(w->client, 0);
    w->client = NULL;
    assert_int_equal(atomic_load(&fake_tf.held), 0);
    fake_run(&op, &tensor, NULL, NULL); /* leads nowhere */
    fake_end(&op);
}

static void rows_of_a_table(void **state)
{
    struct world *w = *state;
    const int64_t ids[] = {1, 3, 1};
    const float values[] = {1, 1, 2, 2, 3, 3};
    TF_Tensor keys = fake_tensor(FAKE_INT64, ids, 1, 3, 0);
    TF_Tensor rows = fake_tensor(FAKE_FLOAT, values, 2, 3, 2);
    TF_Tensor five = fake_tensor(FAKE_FLOAT, values, 1, 5, 0);
    struct fake_operation op = make("EmbmonRows", w->table, EMBMON_GRADIENT, 0, NULL);
    struct message m;

    embmon_gate_open(gate, 2);
    fake_run(&op, &keys, &rows, NULL);
    fake_expect(w->fake, FRAME_SAMPLE, &m);
    assert_int_equal(m.sample.summary.count, 4); /* two rows: those of one id are added up */
    assert_true(m.sample.summary.max == 4);
    fake_run(&op, &keys, &five, NULL); /* no whole rows */
    assert_int_equal(stats_of(w).produced, 1);
    fake_end(&op);
}

static void ids_as_fed_and_as_they_reach_the_table(void **state)
{
    struct world *w = *state;
    const int32_t ids[] = {1, 2, 0, 0, 3, 0};
    const bool kept[] = {true, true, false, false, true, false};
    TF_Tensor batch = fake_tensor(FAKE_INT32, ids, 2, 2, 3);
    TF_Tensor mask = fake_tensor(FAKE_BOOL, kept, 2, 2, 3);
    TF_Tensor other_mask = fake_tensor(FAKE_BOOL, kept, 1, 5, 0);
    TF_Tensor column = fake_tensor(FAKE_INT32, ids, 2, 6, 1);
    struct fake_operation fed = make("EmbmonIds", w->table, 1, 0, "words");
    struct fake_operation reached = make("EmbmonIds", w->table, 0, 0, "");
    struct message m;

    embmon_gate_open(gate, 0);
    fake_run(&fed, &batch, NULL, NULL);
    fake_expect(w->fake, FRAME_IDS, &m);
    assert_true(m.ids.fed);
    assert_string_equal(m.ids.input, "words");
    assert_int_equal(m.ids.stats.sequences, 2);
    fake_run(&reached, &batch, &mask, NULL);
    fake_expect(w->fake, FRAME_IDS, &m);
    assert_false(m.ids.fed);
    assert_int_equal(m.ids.stats.masked, 6);       /* positions it was given for */
    fake_run(&reached, &batch, &other_mask, NULL); /* not of these ids */
    fake_expect(w->fake, FRAME_IDS, &m);
    assert_int_equal(m.ids.stats.masked, 0);
    fake_run(&reached, &column, NULL, NULL);
    fake_expect(w->fake, FRAME_IDS, &m);
    assert_int_equal(m.ids.stats.sequences, 0); /* of one id each: none */
    fake_end(&fed);
    fake_end(&reached);
}

static void scalars_are_means(void **state)
{
    struct world *w = *state;
    const float values[] = {1, 2, 6};
    TF_Tensor batch = fake_tensor(FAKE_FLOAT, values, 1, 3, 0);
    TF_Tensor handle = fake_tensor(FAKE_RESOURCE, NULL, 0, 0, 0);
    struct fake_operation op = make("EmbmonScalar", 0, 0, 0, "loss");
    struct message m;

    embmon_gate_open(gate, 9);
    fake_run(&op, &batch, NULL, NULL);
    fake_expect(w->fake, FRAME_SCALAR, &m);
    assert_string_equal(m.scalar.name, "loss");
    assert_int_equal(m.scalar.step, 9);
    assert_true(m.scalar.value == 3);
    fake_run(&op, &handle, NULL, NULL); /* no number */
    assert_int_equal(stats_of(w).produced, 1);
    fake_end(&op);
}

/* At a step that is not sampled, too: what follows of it is wanted then. */
static void a_lost_loss_is_not_waited_with(void **state)
{
    struct world *w = *state;
    const float lost[] = {NAN}, fine[] = {2};
    TF_Tensor nan = fake_tensor(FAKE_FLOAT, lost, 0, 0, 0);
    TF_Tensor two = fake_tensor(FAKE_FLOAT, fine, 0, 0, 0);
    struct fake_operation look = make("EmbmonLook", 0, 0, 0, NULL);
    struct fake_operation op = make("EmbmonPost", w->dense, EMBMON_ACTIVATION, 0, NULL);

    sampling_ask(&w->client->state.sampling, 64);
    sampling_decide(&w->client->state.sampling);
    embmon_gate_open(gate, 5);
    fake_run(&look, &two, NULL, NULL);
    fake_run(&op, &two, NULL, NULL);
    assert_int_equal(stats_of(w).produced, 0);
    fake_run(&look, &nan, NULL, NULL);
    assert_int_equal(stats_of(w).produced, 0); /* it posts nothing itself */
    fake_run(&op, &two, NULL, NULL);
    expect_sample(w, w->dense, EMBMON_ACTIVATION, 5, 1, 2);
    fake_end(&look);
    fake_end(&op);
}

static void a_variable_before_and_after(void **state)
{
    struct world *w = *state;
    const float was[] = {1, 2, 3, 4, 5, 6}, is[] = {2, 2, 3, 4, 5, 9};
    TF_Tensor handle = fake_tensor(FAKE_RESOURCE, NULL, 0, 0, 0);
    TF_Tensor old = fake_tensor(FAKE_FLOAT, was, 2, 3, 2);
    TF_Tensor new = fake_tensor(FAKE_FLOAT, is, 2, 3, 2);
    const int both = 1 << EMBMON_WEIGHT | 1 << EMBMON_UPDATE;
    struct fake_operation before = make("EmbmonBefore", w->kernel, both, 1, NULL);
    struct fake_operation after = make("EmbmonAfter", w->kernel, EMBMON_UPDATE, 1, NULL);

    embmon_gate_open(gate, 3);
    fake_run(&before, &handle, &old, NULL);
    fake_run(&after, &handle, &new, NULL);
    expect_sample(w, w->kernel, EMBMON_WEIGHT, 3, 6, 21);
    expect_sample(w, w->kernel, EMBMON_UPDATE, 3, 6, 4);
    fake_run(&after, &handle, &new, NULL); /* nothing is kept any more */
    fake_run(&before, &handle, &old, NULL);
    embmon_gate_open(gate, 4); /* the step before has raised */
    fake_run(&before, &handle, &new, NULL);
    fake_run(&after, &handle, &new, NULL);
    expect_sample(w, w->kernel, EMBMON_WEIGHT, 3, 6, 21);
    expect_sample(w, w->kernel, EMBMON_WEIGHT, 4, 6, 25);
    expect_sample(w, w->kernel, EMBMON_UPDATE, 4, 6, 0);
    fake_end(&before);
    fake_end(&after);
}

static struct fake_operation make_touched(int signal, int64_t rows, struct world *w)
{
    const struct fake_attribute attributes[] = {{"gate", NULL, (int64_t)(intptr_t)gate},
                                                {"target", NULL, w->table},
                                                {"signal", NULL, signal},
                                                {"rows", NULL, rows}};

    return fake_make("EmbmonTouched", attributes, 4);
}

static void rows_are_named_where_they_are_wanted(void **state)
{
    struct world *w = *state;
    const int32_t ids[] = {3, 1, 3, 77, -1};
    TF_Tensor keys = fake_tensor(FAKE_INT32, ids, 1, 5, 0);
    struct fake_operation some = make_touched(EMBMON_UPDATE, 4, w);
    struct fake_operation all = make_touched(EMBMON_WEIGHT, 4, w);
    int64_t rows[FAKE_OUTPUT];

    assert_int_equal(fake_ask(&some, &keys, rows), 0); /* shut: nobody's step */
    embmon_gate_open(gate, 0);
    assert_int_equal(fake_ask(&some, &keys, rows), 2);
    assert_int_equal(rows[0], 3);
    assert_int_equal(rows[1], 1);
    assert_int_equal(fake_ask(&all, NULL, rows), 4);
    for (int64_t i = 0; i < 4; i++)
        assert_int_equal(rows[i], i);
    assert_int_equal(fake_ask(&some, &keys, NULL), 0); /* no memory: none, and the step goes on */
    sampling_ask(&w->client->state.sampling, 64);
    sampling_decide(&w->client->state.sampling);
    embmon_gate_open(gate, 5);
    assert_int_equal(fake_ask(&some, &keys, rows), 0);
    assert_int_equal(fake_ask(&all, NULL, rows), 0);
    embmon_close(w->client, 0);
    w->client = NULL;
    assert_int_equal(fake_ask(&some, &keys, rows), 0); /* leads nowhere */
    fake_end(&some);
    fake_end(&all);
}

/* What was looked up of them; none where they were not wanted then, and nothing is posted. */
static void rows_that_were_looked_up(void **state)
{
    struct world *w = *state;
    const int64_t ids[] = {3, 1};
    const float change[] = {0, 1, 2, 2}, weights[] = {1, 2, 3, 4, 5, 6, 7, 8};
    TF_Tensor keys = fake_tensor(FAKE_INT64, ids, 1, 2, 0);
    TF_Tensor rows = fake_tensor(FAKE_FLOAT, change, 2, 2, 2);
    TF_Tensor table = fake_tensor(FAKE_FLOAT, weights, 2, 4, 2);
    TF_Tensor no_keys = fake_tensor(FAKE_INT64, NULL, 1, 0, 0);
    TF_Tensor no_rows = fake_tensor(FAKE_FLOAT, NULL, 2, 0, 2);
    struct fake_operation update = make("EmbmonRows", w->table, EMBMON_UPDATE, 0, NULL);
    struct fake_operation weight = make("EmbmonPost", w->table, EMBMON_WEIGHT, 0, NULL);

    embmon_gate_open(gate, 0);
    fake_run(&update, &keys, &rows, NULL);
    fake_run(&weight, &table, NULL, NULL);
    expect_sample(w, w->table, EMBMON_UPDATE, 0, 4, 5);
    expect_sample(w, w->table, EMBMON_WEIGHT, 0, 8, 36);
    fake_run(&update, &no_keys, &no_rows, NULL);
    fake_run(&weight, &no_rows, NULL, NULL);
    assert_int_equal(stats_of(w).produced, 2);
    fake_end(&update);
    fake_end(&weight);
}

static void a_step_that_is_not_sampled_reads_nothing(void **state)
{
    struct world *w = *state;
    TF_Tensor poison = {FAKE_FLOAT, 2, {1 << 20, 1 << 20}, NULL};
    const int both = 1 << EMBMON_WEIGHT | 1 << EMBMON_UPDATE;
    struct fake_operation ops[] = {make("EmbmonPost", w->dense, EMBMON_ACTIVATION, 0, NULL),
                                   make("EmbmonRows", w->table, EMBMON_GRADIENT, 0, NULL),
                                   make("EmbmonBefore", w->kernel, both, 1, NULL),
                                   make("EmbmonAfter", w->kernel, EMBMON_UPDATE, 1, NULL)};

    sampling_ask(&w->client->state.sampling, 64);
    sampling_decide(&w->client->state.sampling);
    embmon_gate_open(gate, 5);
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++)
        fake_run(&ops[i], &poison, &poison, &poison);
    assert_int_equal(stats_of(w).produced, 0);
    assert_int_equal(stats_of(w).skipped, 4); /* activation, rows, weight, update */
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++)
        fake_end(&ops[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_tensor_is_posted_while_a_step_is_under_way, open_graph,
                                        close_graph),
        cmocka_unit_test_setup_teardown(a_large_one_is_lent_until_it_was_read, open_graph,
                                        close_graph),
        cmocka_unit_test_setup_teardown(what_is_too_much_to_lend_is_posted_at_once, open_graph,
                                        close_graph),
        cmocka_unit_test_setup_teardown(what_is_lent_is_given_back_with_the_client, open_graph,
                                        close_graph),
        cmocka_unit_test_setup_teardown(rows_of_a_table, open_graph, close_graph),
        cmocka_unit_test_setup_teardown(ids_as_fed_and_as_they_reach_the_table, open_graph,
                                        close_graph),
        cmocka_unit_test_setup_teardown(scalars_are_means, open_graph, close_graph),
        cmocka_unit_test_setup_teardown(a_lost_loss_is_not_waited_with, open_graph, close_graph),
        cmocka_unit_test_setup_teardown(a_variable_before_and_after, open_graph, close_graph),
        cmocka_unit_test_setup_teardown(rows_are_named_where_they_are_wanted, open_graph,
                                        close_graph),
        cmocka_unit_test_setup_teardown(rows_that_were_looked_up, open_graph, close_graph),
        cmocka_unit_test_setup_teardown(a_step_that_is_not_sampled_reads_nothing, open_graph,
                                        close_graph),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
