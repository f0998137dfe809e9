#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <float.h>
#include <math.h>
#include <pthread.h>
#include <time.h>

#include "tests/unit/post_world.h"

static struct msg_sample next_sample(struct world *w, struct message *message)
{
    fake_expect(w->fake, FRAME_SAMPLE, message);
    return message->sample;
}

static void a_dense_gradient_arrives_with_its_moments_and_buckets(void **to)
{
    struct world *w = *to;
    const float gradient[] = {1, -2, 0, INFINITY, NAN, 0.5f};
    struct message m;
    struct msg_sample s;

    assert_int_equal(embmon_post(w->client, w->kernel, EMBMON_GRADIENT, 7, gradient, 6, EMBMON_F32),
                     1);
    s = next_sample(w, &m);
    assert_int_equal(s.sequence, 1);
    assert_int_equal(s.target, w->kernel);
    assert_int_equal(s.signal, EMBMON_GRADIENT);
    assert_int_equal(s.phase, EMBMON_TRAIN);
    assert_int_equal(s.step, 7);
    assert_int_equal(s.summary.count, 6);
    assert_int_equal(s.summary.parts, 1);
    assert_int_equal(s.summary.zeros, 1);
    assert_int_equal(s.summary.nans, 1);
    assert_int_equal(s.summary.positive_infinities, 1);
    assert_int_equal(s.summary.negative_infinities, 0);
    assert_true(s.summary.min == -2 && s.summary.max == 1);
    assert_true(s.summary.sum == -0.5 && s.summary.absolute_sum == 3.5);
    assert_true(s.summary.square_sum == 5.25);
    assert_int_equal(s.summary.positive.first, 126 << 3);
    assert_int_equal(s.summary.positive.length, 9); /* 0.5 and 1 */
    assert_int_equal(s.summary.negative.first, 128 << 3);
    assert_int_equal(s.summary.negative.length, 1);
    assert_int_equal(s.summary.extra_count, 0);
}

static void a_dense_gradient_of_a_table_is_seen_by_its_touched_rows(void **to)
{
    struct world *w = *to;
    const float gradient[8] = {0, 0, 3, 0, 0, -0.0f, 0, 4};
    const float nothing[8] = {0};
    struct message m;
    struct msg_sample s;

    assert_int_equal(embmon_post(w->client, w->table, EMBMON_GRADIENT, 0, gradient, 8, EMBMON_F32),
                     1);
    s = next_sample(w, &m);
    assert_int_equal(s.summary.count, 4);
    assert_int_equal(s.summary.zeros, 2);
    assert_true(s.summary.square_sum == 25);
    assert_int_equal(s.summary.extra_count, 2);
    assert_true(summary_extra(&s.summary, EXTRA_PADDING_SQUARES, -1) == 0);
    assert_true(summary_extra(&s.summary, EXTRA_ROWS_TOUCHED, -1) == 2);

    assert_int_equal(embmon_post(w->client, w->table, EMBMON_GRADIENT, 1, nothing, 8, EMBMON_F32),
                     1);
    s = next_sample(w, &m);
    assert_int_equal(s.summary.count, 8); /* nothing touched: the zeros are what there is */
    assert_int_equal(s.summary.zeros, 8);
    assert_int_equal(s.summary.parts, 1);
    assert_true(summary_extra(&s.summary, EXTRA_ROWS_TOUCHED, -1) == 0);

    /* A weight is the whole table. */
    assert_int_equal(embmon_post(w->client, w->table, EMBMON_WEIGHT, 1, gradient, 8, EMBMON_F32),
                     1);
    s = next_sample(w, &m);
    assert_int_equal(s.summary.count, 8);
    assert_int_equal(s.summary.extra_count, 0);
}

static void rows_that_got_no_gradient_are_zeros(void **to)
{
    struct world *w = *to;
    const int32_t ids[] = {2, 0, 2};
    const float values[] = {1, 2, 0, 0, -1, -2};
    struct message m;
    struct msg_sample s;

    assert_int_equal(embmon_post_rows(w->client, w->table, EMBMON_GRADIENT, 3, ids, EMBMON_I32,
                                      values, 3, 2, EMBMON_F32),
                     1);
    s = next_sample(w, &m);
    assert_int_equal(s.summary.count, 2); /* row 2; row 0 is the padding's */
    assert_int_equal(s.summary.zeros, 2);
    assert_true(s.summary.min == 0 && s.summary.max == 0 && s.summary.square_sum == 0);
    assert_true(summary_extra(&s.summary, EXTRA_ROWS_LOOKED_UP, -1) == 1);
    assert_true(summary_extra(&s.summary, EXTRA_ROWS_TOUCHED, -1) == 0);
}

static void sparse_rows_are_coalesced(void **to)
{
    struct world *w = *to;
    const int32_t ids[] = {2, 0, 2, 1};
    const float values[] = {1, 2, 5, 5, -1, 1, 0, 0};
    struct message m;
    struct msg_sample s;

    assert_int_equal(embmon_post_rows(w->client, w->table, EMBMON_GRADIENT, 3, ids, EMBMON_I32,
                                      values, 4, 2, EMBMON_F32),
                     1);
    s = next_sample(w, &m);
    assert_int_equal(s.summary.count, 4); /* rows 2 and 0; row 1 is untouched */
    assert_int_equal(s.summary.zeros, 1);
    assert_true(s.summary.square_sum == 9 + 25 + 25);
    assert_true(summary_extra(&s.summary, EXTRA_ROWS_LOOKED_UP, -1) == 2);
    assert_true(summary_extra(&s.summary, EXTRA_ROWS_TOUCHED, -1) == 2);
    assert_true(summary_extra(&s.summary, EXTRA_UNCOALESCED, -1) == -1);
}

static void a_summary_made_elsewhere_is_trimmed_and_checked(void **to)
{
    struct world *w = *to;
    const uint64_t counts[] = {0, 3, 0};
    struct embmon_summary s = EMBMON_SUMMARY_INIT;
    struct message m;

    s.count = 3;
    s.positive_first = 1015, s.positive_length = 3, s.positive_counts = counts;
    s.min = s.max = 1;
    s.sum = s.absolute_sum = s.square_sum = 3;
    assert_int_equal(embmon_post_summary(w->client, w->dense, EMBMON_ACTIVATION, 1, &s), 1);
    fake_expect(w->fake, FRAME_SAMPLE, &m);
    assert_int_equal(m.sample.summary.positive.first, 1016);
    assert_int_equal(m.sample.summary.positive.length, 1);
    assert_int_equal(m.sample.summary.positive.counts[0], 3);

    s.count = 4;
    assert_int_equal(embmon_post_summary(w->client, w->dense, EMBMON_ACTIVATION, 1, &s),
                     EMBMON_EINVAL);
    s.count = 3, s.positive_first = 2039;
    assert_int_equal(embmon_post_summary(w->client, w->dense, EMBMON_ACTIVATION, 1, &s),
                     EMBMON_EINVAL);
    s.positive_first = 1015, s.sum = NAN;
    assert_int_equal(embmon_post_summary(w->client, w->dense, EMBMON_ACTIVATION, 1, &s),
                     EMBMON_EINVAL);
    s.sum = 3, s.parts = 0;
    assert_int_equal(embmon_post_summary(w->client, w->dense, EMBMON_ACTIVATION, 1, &s),
                     EMBMON_EINVAL);
    s.parts = 1, s.positive_counts = NULL;
    assert_int_equal(embmon_post_summary(w->client, w->dense, EMBMON_ACTIVATION, 1, &s),
                     EMBMON_EINVAL);
}

static void scalars_steps_and_epochs_arrive_in_order(void **to)
{
    struct world *w = *to;
    struct message m;

    assert_int_equal(embmon_post_scalar(w->client, "loss", 4, NAN), 1);
    assert_int_equal(embmon_step(w->client, 4), 1);
    assert_int_equal(embmon_epoch(w->client, 0), 0);
    assert_int_equal(embmon_phase(w->client, EMBMON_VALIDATE), 0);
    assert_int_equal(embmon_post_scalar(w->client, "loss", 0, 2.5), 1);
    fake_expect(w->fake, FRAME_SCALAR, &m);
    assert_string_equal(m.scalar.name, "loss");
    assert_true(isnan(m.scalar.value));
    assert_int_equal(m.scalar.sequence, 1);
    fake_expect(w->fake, FRAME_STEP_END, &m);
    assert_int_equal(m.step_end.step, 4);
    assert_int_equal(m.step_end.posted, 1);
    assert_int_equal(m.step_end.dropped, 0);
    fake_expect(w->fake, FRAME_EPOCH, &m);
    assert_int_equal(m.epoch.step, 4);
    fake_expect(w->fake, FRAME_SCALAR, &m);
    assert_int_equal(m.scalar.phase, EMBMON_VALIDATE);
    assert_int_equal(m.scalar.sequence, 4);
}

static void the_steps_end_counts_the_posts_of_that_step_and_phase_only(void **to)
{
    struct world *w = *to;
    const float one = 1;
    struct message m;

    for (int i = 0; i < 3; i++)
        embmon_post(w->client, w->kernel, EMBMON_GRADIENT, 1, &one, 1, EMBMON_F32);
    embmon_post(w->client, w->kernel, EMBMON_GRADIENT, 2, &one, 1, EMBMON_F32);
    embmon_step(w->client, 1);
    embmon_step(w->client, 2);
    for (int i = 0; i < 4; i++)
        fake_expect(w->fake, FRAME_SAMPLE, &m);
    fake_expect(w->fake, FRAME_STEP_END, &m);
    assert_int_equal(m.step_end.posted, 3);
    fake_expect(w->fake, FRAME_STEP_END, &m);
    assert_int_equal(m.step_end.posted, 1);
}

static void what_is_out_of_range_is_refused_and_not_counted(void **to)
{
    struct world *w = *to;
    struct embmon_client_stats stats = EMBMON_CLIENT_STATS_INIT;
    const float one = 1;
    const int64_t id = 0;

#define POST(id, signal, step, data, count, dtype)                                                 \
    embmon_post(w->client, id, signal, step, data, count, dtype)
    assert_int_equal(POST(-1, EMBMON_GRADIENT, 0, &one, 1, EMBMON_F32), EMBMON_EUNKNOWN);
    assert_int_equal(POST(3, EMBMON_GRADIENT, 0, &one, 1, EMBMON_F32), EMBMON_EUNKNOWN);
    assert_int_equal(POST(INT32_MAX, EMBMON_GRADIENT, 0, &one, 1, EMBMON_F32), EMBMON_EUNKNOWN);
    assert_int_equal(POST(0, (enum embmon_signal)5, 0, &one, 1, EMBMON_F32), EMBMON_EINVAL);
    assert_int_equal(POST(0, (enum embmon_signal)0, 0, &one, 1, EMBMON_F32), EMBMON_EINVAL);
    assert_int_equal(POST(0, EMBMON_GRADIENT, -1, &one, 1, EMBMON_F32), EMBMON_EINVAL);
    assert_int_equal(POST(0, EMBMON_GRADIENT, (int64_t)STEP_MAX, &one, 1, EMBMON_F32),
                     EMBMON_EINVAL);
    assert_int_equal(POST(0, EMBMON_GRADIENT, 0, &one, 1, (enum embmon_dtype)9), EMBMON_EDTYPE);
    assert_int_equal(POST(0, EMBMON_GRADIENT, 0, &one, 1, (enum embmon_dtype)0), EMBMON_EDTYPE);
    assert_int_equal(POST(0, EMBMON_GRADIENT, 0, NULL, 1, EMBMON_F32), EMBMON_EINVAL);
#undef POST
    assert_int_equal(
        embmon_post_rows(w->client, 0, EMBMON_GRADIENT, 0, &id, EMBMON_F32, &one, 1, 1, EMBMON_F32),
        EMBMON_EDTYPE);
    assert_int_equal(
        embmon_post_rows(w->client, 0, EMBMON_GRADIENT, 0, &id, EMBMON_I64, &one, 1, 1, EMBMON_I32),
        EMBMON_EDTYPE);
    assert_int_equal(
        embmon_post_rows(w->client, 0, EMBMON_WEIGHT, 0, &id, EMBMON_I64, &one, 1, 1, EMBMON_F32),
        EMBMON_EINVAL);
    assert_int_equal(embmon_post_rows(w->client, 0, EMBMON_GRADIENT, 0, &id, EMBMON_I64, &one,
                                      SIZE_MAX / 2, 3, EMBMON_F32),
                     EMBMON_EINVAL);
    assert_int_equal(embmon_post_scalar(w->client, "", 0, 1), EMBMON_ENAME);
    assert_int_equal(embmon_post_scalar(w->client, "a\nb", 0, 1), EMBMON_ENAME);
    assert_int_equal(embmon_step(w->client, -1), EMBMON_EINVAL);
    assert_int_equal(embmon_epoch(w->client, -1), EMBMON_EINVAL);
    assert_int_equal(embmon_phase(w->client, (enum embmon_phase)0), EMBMON_EINVAL);
    assert_int_equal(embmon_wanted(w->client, 9, EMBMON_GRADIENT), EMBMON_EUNKNOWN);
    assert_int_equal(embmon_stats(w->client, &stats), 0);
    assert_int_equal(stats.produced, 0);
}

static void an_empty_tensor_is_a_sample_of_count_0(void **to)
{
    struct world *w = *to;
    struct message m;

    assert_int_equal(embmon_post(w->client, w->kernel, EMBMON_GRADIENT, 0, NULL, 0, EMBMON_F32), 1);
    assert_int_equal(embmon_post_rows(w->client, w->table, EMBMON_GRADIENT, 0, NULL, EMBMON_I32,
                                      NULL, 0, 2, EMBMON_F32),
                     1);
    fake_expect(w->fake, FRAME_SAMPLE, &m);
    assert_int_equal(m.sample.summary.count, 0);
    assert_int_equal(m.sample.summary.parts, 1);
    fake_expect(w->fake, FRAME_SAMPLE, &m);
    assert_int_equal(m.sample.summary.count, 0);
    assert_true(summary_extra(&m.sample.summary, EXTRA_ROWS_LOOKED_UP, -1) == 0);
}

/* Until the next end of a step nothing changes; then only steps of `every` are sampled. */
static void what_is_not_wanted_is_skipped_and_counted(void **to)
{
    struct world *w = *to;
    struct embmon_client_stats stats = EMBMON_CLIENT_STATS_INIT;
    const float one = 1;
    struct message m;

    fake_hang_up(w->fake);
    fake_greet(w->fake, 0, 4);
    fake_expect(w->fake, FRAME_LAYERS, &m);
    assert_int_equal(embmon_post(w->client, 1, EMBMON_GRADIENT, 3, &one, 1, EMBMON_F32), 1);
    assert_int_equal(embmon_step(w->client, 3), 1); /* 4 is to be sampled */
    assert_int_equal(embmon_step(w->client, 4), 0);
    assert_int_equal(embmon_wanted(w->client, 1, EMBMON_GRADIENT), 0);
    assert_int_equal(embmon_post(w->client, 1, EMBMON_GRADIENT, 5, &one, 1, EMBMON_F32), 0);
    assert_int_equal(embmon_post_scalar(w->client, "loss", 5, 1), 0);
    assert_int_equal(embmon_step(w->client, 7), 1);
    assert_int_equal(embmon_wanted(w->client, 1, EMBMON_WEIGHT), 1);
    assert_int_equal(embmon_stats(w->client, &stats), 0);
    assert_int_equal(stats.skipped, 2);
    assert_int_equal(stats.produced, 3); /* a post and two ends; those of 5 ... 7 are not told */
    assert_true(stats.post_ns > 0);
}

static void *post_many(void *argument)
{
    struct world *w = argument;
    const float values[] = {1, 2, 3};
    const int64_t ids[] = {1, 1, 2};

    for (int i = 0; i < 2000; i++) {
        embmon_post(w->client, w->kernel, EMBMON_GRADIENT, i, values, 3, EMBMON_F32);
        embmon_post_rows(w->client, w->table, EMBMON_GRADIENT, i, ids, EMBMON_I64, values, 3, 1,
                         EMBMON_F32);
    }
    return NULL;
}

/* The sum is looked at all the while, from a third thread. */
static void threads_may_post_together_and_the_sum_always_holds(void **to)
{
    struct world *w = *to;
    pthread_t threads[2];
    struct embmon_client_stats stats = EMBMON_CLIENT_STATS_INIT;
    uint64_t highest = 0;
    struct message m;

    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, post_many, w), 0);
    while (highest < 8000 && fake_next(w->fake, &m, 5000)) {
        if (m.type != FRAME_SAMPLE)
            continue;
        assert_int_equal(m.sample.sequence, ++highest);
        if (m.sample.target == (uint32_t)w->table)
            assert_true(m.sample.summary.square_sum == 9 + 9);
        if (highest % 100 == 0)
            fake_ack(w->fake, highest);
        assert_int_equal(embmon_stats(w->client, &stats), 0);
        assert_int_equal(stats.produced,
                         stats.acked + stats.rejected + stats.dropped + stats.in_flight);
        assert_true(stats.in_flight <= stats.produced);
    }
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(highest, 8000);
    assert_int_equal(embmon_close(w->client, 5000), 0);
    w->client = NULL;
}

/* With sanitizers a frame is larger than what it holds. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

enum { LARGE = 1 << 20 };

static void *post_from_a_small_stack(void *of)
{
    struct world *w = of;
    float *values = calloc(LARGE, sizeof *values);
    int64_t *ids = calloc(LARGE / 1024, sizeof *ids);

    if (!values || !ids)
        return NULL;
    for (size_t i = 0; i < LARGE; i++)
        values[i] = (float)(i % 1000);
    embmon_post(w->client, w->kernel, EMBMON_GRADIENT, 1, values, LARGE, EMBMON_F32);
    embmon_post(w->client, w->dense, EMBMON_ACTIVATION, 1, values, LARGE, EMBMON_F32);
    embmon_post(w->client, w->table, EMBMON_WEIGHT, 1, values, 8, EMBMON_F32);
    for (size_t i = 0; i < LARGE / 1024; i++)
        ids[i] = (int64_t)(i / 2); /* every two rows are added up */
    embmon_post_rows(w->client, w->table, EMBMON_GRADIENT, 1, ids, EMBMON_I64, values, LARGE / 1024,
                     1024, EMBMON_F32);
    embmon_post_rows(w->client, w->table, EMBMON_GRADIENT, 1, ids, EMBMON_I64, values, 2, LARGE / 2,
                     EMBMON_F32);
    embmon_post_ids(w->client, w->table, 1, ids, LARGE / 1024, EMBMON_I64, 2, NULL);
    free(values);
    free(ids);
    return w;
}

static void a_post_fits_into_160_kib_of_stack(void **to)
{
    struct embmon_options options = EMBMON_OPTIONS_INIT;
    struct world *w = *to, sampling = *w;
    struct embmon_layer_info info = EMBMON_LAYER_INFO_INIT;
    pthread_attr_t attributes;

    options.address = "unix:/nowhere";
    options.log = hush;
    options.buckets = EMBMON_BUCKETS_SAMPLED;
    assert_int_equal(embmon_open(&options, &sampling.client), 0);
    info.path = "layer";
    sampling.table = sampling.dense = sampling.kernel = embmon_layer(sampling.client, &info);
    assert_int_equal(pthread_attr_init(&attributes), 0);
    assert_int_equal(pthread_attr_setstacksize(&attributes, 160 << 10), 0);
    for (int i = 0; i < 2; i++) {
        struct world *of = i == 0 ? w : &sampling;
        pthread_t thread;
        void *done;

        assert_int_equal(pthread_create(&thread, &attributes, post_from_a_small_stack, of), 0);
        assert_int_equal(pthread_join(thread, &done), 0);
        assert_ptr_equal(done, of);
    }
    pthread_attr_destroy(&attributes);
    embmon_close(sampling.client, 0);
}
#endif

int main(void)
{
#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, open_world, close_world)
    const struct CMUnitTest tests[] = {
        WITH_WORLD(a_dense_gradient_arrives_with_its_moments_and_buckets),
        WITH_WORLD(a_dense_gradient_of_a_table_is_seen_by_its_touched_rows),
        WITH_WORLD(rows_that_got_no_gradient_are_zeros),
        WITH_WORLD(sparse_rows_are_coalesced),
        WITH_WORLD(a_summary_made_elsewhere_is_trimmed_and_checked),
        WITH_WORLD(scalars_steps_and_epochs_arrive_in_order),
        WITH_WORLD(the_steps_end_counts_the_posts_of_that_step_and_phase_only),
        WITH_WORLD(what_is_out_of_range_is_refused_and_not_counted),
        WITH_WORLD(an_empty_tensor_is_a_sample_of_count_0),
        WITH_WORLD(what_is_not_wanted_is_skipped_and_counted),
        WITH_WORLD(threads_may_post_together_and_the_sum_always_holds),
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
        WITH_WORLD(a_post_fits_into_160_kib_of_stack),
#endif
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
