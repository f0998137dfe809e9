#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <limits.h>
#include <math.h>

#include "tests/unit/post_world.h"

static struct msg_ids next_ids(struct world *w, struct message *message)
{
    fake_expect(w->fake, FRAME_IDS, message);
    return message->ids;
}

static struct embmon_client_stats counts(struct world *w)
{
    struct embmon_client_stats stats = EMBMON_CLIENT_STATS_INIT;

    assert_int_equal(embmon_stats(w->client, &stats), 0);
    return stats;
}

static void ids_arrive_as_they_reached_the_layer(void **to)
{
    struct world *w = *to;
    const int32_t ids[] = {3, 1, 0, 7, 0, 0};
    const uint8_t mask[] = {1, 1, 0, 1, 0, 1};
    struct message m;
    struct msg_ids i;

    assert_int_equal(embmon_post_ids(w->client, w->table, 7, ids, 6, EMBMON_I32, 3, mask), 1);
    i = next_ids(w, &m);
    assert_int_equal(i.sequence, 1);
    assert_int_equal(i.target, w->table);
    assert_int_equal(i.phase, EMBMON_TRAIN);
    assert_int_equal(i.step, 7);
    assert_false(i.fed);
    assert_string_equal(i.input, "");
    assert_int_equal(i.dtype, EMBMON_I32);
    assert_int_equal(i.stats.count, 6);
    assert_int_equal(i.stats.sequences, 2);
    assert_int_equal(i.stats.beyond, 1);
    assert_true(i.stats.worst == 7);
    assert_int_equal(i.stats.worst_position, 3);
    assert_int_equal(i.stats.padded, 3);
    assert_int_equal(i.stats.trailing, 2);
    assert_int_equal(i.stats.length_max, 2);
    assert_int_equal(i.stats.mismatched, 1);
    assert_int_equal(i.stats.mismatch_position, 5);
    assert_int_equal(i.stats.unique, 2);
    assert_int_equal(i.stats.rows_seen, 2);
}

static void fed_ids_arrive_with_the_name_of_their_input(void **to)
{
    struct world *w = *to;
    const float ids[] = {3.5f, 1};
    struct message m;
    struct msg_ids i;

    assert_int_equal(embmon_post_fed(w->client, w->table, "model/input1", 7, ids, 2, EMBMON_F32, 0),
                     1);
    i = next_ids(w, &m);
    assert_true(i.fed);
    assert_string_equal(i.input, "model/input1");
    assert_int_equal(i.dtype, EMBMON_F32);
    assert_int_equal(i.stats.fractional, 1);
    assert_true(i.stats.fractional_value == 3.5);
    assert_int_equal(i.stats.unique, 2);
    assert_int_equal(i.stats.rows_seen, 0); /* look-ups are those of the layer */
    assert_int_equal(embmon_post_fed(w->client, w->table, "", 7, ids, 2, EMBMON_F32, 2), 1);
    i = next_ids(w, &m);
    assert_true(i.fed);
    assert_string_equal(i.input, "");
    assert_int_equal(i.stats.sequences, 1);
}

static void rows_seen_are_those_of_an_epoch_of_training(void **to)
{
    struct world *w = *to;
    const int64_t first[] = {1, 2}, second[] = {2, 3, 0};
    struct message m;

    embmon_post_ids(w->client, w->table, 0, first, 2, EMBMON_I64, 0, NULL);
    assert_int_equal(next_ids(w, &m).stats.rows_seen, 2);
    embmon_post_ids(w->client, w->table, 1, second, 3, EMBMON_I64, 0, NULL);
    assert_int_equal(next_ids(w, &m).stats.rows_seen, 3); /* the padding is no row that is learnt */
    embmon_phase(w->client, EMBMON_VALIDATE);
    embmon_post_ids(w->client, w->table, 0, first, 2, EMBMON_I64, 0, NULL);
    assert_int_equal(next_ids(w, &m).stats.rows_seen, 0);
    embmon_phase(w->client, EMBMON_TRAIN);
    embmon_epoch(w->client, 0);
    fake_expect(w->fake, FRAME_EPOCH, &m);
    embmon_post_ids(w->client, w->table, 2, second, 3, EMBMON_I64, 0, NULL);
    assert_int_equal(next_ids(w, &m).stats.rows_seen, 2);
}

static void the_words_of_what_is_named_come_along(void **to)
{
    const char *const words[] = {"[PAD]", "dress", NULL, "shoe", "never fed", "a\nhat"};
    struct world *w = *to;
    const int32_t ids[] = {1, 1, 2, 0, 3, 5};
    struct message m;
    struct msg_ids i;

    assert_int_equal(embmon_vocabulary(w->client, w->table, words, 6), 0);
    assert_int_equal(embmon_post_ids(w->client, w->table, 7, ids, 6, EMBMON_I32, 0, NULL), 1);
    i = next_ids(w, &m);
    assert_int_equal(i.word_count, 4);
    assert_int_equal(i.words[0].id, 5); /* past the table, and in the vocabulary */
    assert_string_equal(i.words[0].word, "a\xef\xbf\xbdhat");
    assert_int_equal(i.words[1].id, 0);
    assert_string_equal(i.words[1].word, "[PAD]");
    assert_int_equal(i.words[2].id, 1);
    assert_string_equal(i.words[2].word, "dress");
    assert_int_equal(i.words[3].id, 3);
    assert_string_equal(i.words[3].word, "shoe");
    assert_int_equal(embmon_post_fed(w->client, w->table, "input1", 7, ids, 2, EMBMON_I32, 0), 1);
    i = next_ids(w, &m);
    assert_string_equal(i.input, "input1");
    assert_int_equal(i.word_count, 2);
    assert_string_equal(i.words[1].word, "dress");
    assert_int_equal(embmon_post_ids(w->client, w->dense, 7, ids, 6, EMBMON_I32, 0, NULL), 1);
    assert_int_equal(next_ids(w, &m).word_count, 0);
    assert_int_equal(embmon_vocabulary(w->client, w->table, words, 6), EMBMON_EEXISTS);
    assert_int_equal(embmon_vocabulary(w->client, w->kernel, words, 6), EMBMON_EUNKNOWN);
}

static void a_layer_without_rows_has_none_beyond_them(void **to)
{
    struct world *w = *to;
    const int64_t ids[] = {INT64_MAX, -1, 5, 5};
    struct message m;
    struct msg_ids i;

    assert_int_equal(embmon_post_ids(w->client, w->dense, 0, ids, 4, EMBMON_I64, 0, NULL), 1);
    i = next_ids(w, &m);
    assert_int_equal(i.stats.beyond, 0);
    assert_int_equal(i.stats.negative, 1);
    assert_int_equal(i.stats.unique, 1);
    assert_int_equal(i.stats.rows_seen, 0);
}

static void no_ids_are_a_post_too(void **to)
{
    struct world *w = *to;
    struct message m;

    assert_int_equal(embmon_post_ids(w->client, w->table, 0, NULL, 0, EMBMON_F16, 5, NULL), 1);
    assert_int_equal(next_ids(w, &m).stats.count, 0);
    assert_int_equal(m.ids.stats.sequence_length, 5);
}

static void what_is_wrong_with_ids_is_said_and_not_counted(void **to)
{
    struct world *w = *to;
    struct embmon_client *c = w->client;
    const int64_t ids[4] = {0};
    char longest[EMBMON_NAME_MAX + 2];

    memset(longest, 'a', sizeof longest);
    longest[EMBMON_NAME_MAX + 1] = '\0';
#define POST(layer, step, data, count, dtype, length)                                              \
    embmon_post_ids(c, layer, step, data, count, dtype, length, NULL)
    assert_int_equal(POST(w->table, -1, ids, 4, EMBMON_I64, 0), EMBMON_EINVAL);
    assert_int_equal(POST(w->table, INT64_MAX, ids, 4, EMBMON_I64, 0), EMBMON_EINVAL);
    assert_int_equal(POST(w->table, 0, NULL, 4, EMBMON_I64, 0), EMBMON_EINVAL);
    assert_int_equal(POST(w->table, 0, ids, 4, EMBMON_I64, 3), EMBMON_EINVAL);
    assert_int_equal(POST(w->table, 0, ids, 4, EMBMON_I64, SIZE_MAX), EMBMON_EINVAL);
    assert_int_equal(POST(w->table, 0, ids, SIZE_MAX, EMBMON_I64, 0), EMBMON_EINVAL);
    assert_int_equal(POST(w->table, 0, ids, 4, 0, 0), EMBMON_EDTYPE);
    assert_int_equal(POST(w->table, 0, ids, 4, 9, 0), EMBMON_EDTYPE);
    assert_int_equal(POST(99, 0, ids, 4, EMBMON_I64, 0), EMBMON_EUNKNOWN);
    assert_int_equal(POST(-1, 0, ids, 4, EMBMON_I64, 0), EMBMON_EUNKNOWN);
    assert_int_equal(POST(w->kernel, 0, ids, 4, EMBMON_I64, 0), EMBMON_EUNKNOWN);
#undef POST
    assert_int_equal(embmon_post_fed(c, w->table, "a//b", 0, ids, 4, EMBMON_I64, 0), EMBMON_ENAME);
    assert_int_equal(embmon_post_fed(c, w->table, longest, 0, ids, 4, EMBMON_I64, 0), EMBMON_ENAME);
    assert_int_equal(embmon_post(c, w->table, EMBMON_IDS, 0, ids, 4, EMBMON_I64), EMBMON_EINVAL);
    assert_int_equal(counts(w).produced, 0);
    assert_int_equal(counts(w).skipped, 0);
    longest[EMBMON_NAME_MAX] = '\0';
    assert_int_equal(embmon_post_fed(c, w->table, longest, 0, ids, 4, EMBMON_I64, 0), 1);
}

/* Every fourth step is sampled from now on; step 10000 has ended. */
static void sample_every_fourth(struct world *w)
{
    fake_welcome(w->fake, "run", 0, 4);
    for (int64_t step = 0; embmon_step(w->client, step) == 1 && step < 5000; step++)
        usleep(1000); /* until the sender has heard it */
    embmon_step(w->client, 10000);
}

static void ids_are_sampled_as_activations_are(void **to)
{
    struct world *w = *to;
    const int8_t ids[] = {1};
    struct message m;

    assert_int_equal(embmon_wanted(w->client, w->table, EMBMON_IDS), 1);
    assert_int_equal(embmon_wanted(w->client, w->table, EMBMON_IDS + 1), EMBMON_EINVAL);
    assert_int_equal(embmon_wanted(w->client, 99, EMBMON_IDS), EMBMON_EUNKNOWN);
    sample_every_fourth(w);
    assert_int_equal(embmon_wanted(w->client, w->table, EMBMON_IDS), 0);
    assert_int_equal(embmon_post_ids(w->client, w->table, 10001, ids, 1, EMBMON_I8, 0, NULL), 0);
    assert_int_equal(embmon_post_fed(w->client, w->table, "", 10001, ids, 1, EMBMON_I8, 0), 0);
    assert_int_equal(counts(w).skipped, 2);
    embmon_step(w->client, 10003);
    assert_int_equal(embmon_wanted(w->client, w->table, EMBMON_IDS), 1);
    assert_int_equal(embmon_post_ids(w->client, w->table, 10004, ids, 1, EMBMON_I8, 0, NULL), 1);
    do
        assert_true(fake_next(w->fake, &m, 5000));
    while (m.type != FRAME_IDS);
    assert_int_equal(m.ids.step, 10004);
}

static void ids_that_are_wrong_arrive_at_any_step(void **to)
{
    struct world *w = *to;
    const int64_t wrong[] = {1, 4}, fine[] = {1, 3};
    const float fraction[] = {1.5f};
    struct embmon_client_stats before, after;
    struct message m;

    sample_every_fourth(w);
    before = counts(w);
    assert_int_equal(embmon_post_ids(w->client, w->table, 10001, fine, 2, EMBMON_I64, 0, NULL), 0);
    assert_int_equal(embmon_post_ids(w->client, w->table, 10001, wrong, 2, EMBMON_I64, 0, NULL), 1);
    assert_int_equal(embmon_post_fed(w->client, w->table, "", 10001, fraction, 1, EMBMON_F32, 0),
                     1);
    assert_int_equal(embmon_post_ids(w->client, w->dense, 10001, wrong, 2, EMBMON_I64, 0, NULL), 0);
    assert_int_equal(embmon_step(w->client, 10001), 0); /* its end is not told */
    after = counts(w);
    assert_int_equal(after.skipped - before.skipped, 2);
    assert_int_equal(after.produced - before.produced, 2);
    do
        assert_true(fake_next(w->fake, &m, 5000));
    while (m.type != FRAME_IDS);
    assert_int_equal(m.ids.step, 10001);
    assert_int_equal(m.ids.stats.beyond, 1);
    assert_int_equal(m.ids.stats.count, 2);
    assert_true(next_ids(w, &m).stats.fractional == 1);
}

/* ---- shapes ---- */

static void a_shape_arrives_whole(void **to)
{
    struct world *w = *to;
    struct embmon_shape shape = EMBMON_SHAPE_INIT;
    const int64_t dims[] = {-1, 12, 64};
    struct message m;

    shape.role = EMBMON_SHAPE_INPUT;
    shape.index = 1, shape.inputs = 2, shape.axis = -1, shape.dtype = EMBMON_BF16;
    shape.dims = dims, shape.rank = 3;
    assert_int_equal(embmon_post_shape(w->client, w->dense, 7, &shape), 1);
    fake_expect(w->fake, FRAME_SHAPE, &m);
    assert_int_equal(m.shape.sequence, 1);
    assert_int_equal(m.shape.target, w->dense);
    assert_int_equal(m.shape.phase, EMBMON_TRAIN);
    assert_int_equal(m.shape.step, 7);
    assert_int_equal(m.shape.role, EMBMON_SHAPE_INPUT);
    assert_int_equal(m.shape.index, 1);
    assert_int_equal(m.shape.inputs, 2);
    assert_int_equal(m.shape.axis, -1);
    assert_int_equal(m.shape.dtype, EMBMON_BF16);
    assert_int_equal(m.shape.dim_count, 3);
    assert_memory_equal(m.shape.dims, dims, sizeof dims);
}

static void the_shape_of_a_variables_gradient_and_of_a_scalar(void **to)
{
    struct world *w = *to;
    struct embmon_shape shape = EMBMON_SHAPE_INIT;
    const int64_t dims[] = {3, 2};
    struct message m;

    shape.role = EMBMON_SHAPE_GRADIENT;
    shape.dims = dims, shape.rank = 2;
    assert_int_equal(embmon_post_shape(w->client, w->kernel, 0, &shape), 1);
    fake_expect(w->fake, FRAME_SHAPE, &m);
    assert_int_equal(m.shape.target, w->kernel);
    shape = (struct embmon_shape)EMBMON_SHAPE_INIT;
    assert_int_equal(embmon_post_shape(w->client, w->dense, 0, &shape), 1);
    fake_expect(w->fake, FRAME_SHAPE, &m);
    assert_int_equal(m.shape.role, EMBMON_SHAPE_OUTPUT);
    assert_int_equal(m.shape.dim_count, 0);
}

static void a_shape_is_wanted_at_steps_that_are_not_sampled_too(void **to)
{
    struct embmon_options options = EMBMON_OPTIONS_INIT;
    struct embmon_shape shape = EMBMON_SHAPE_INIT;
    struct world *w = *to;
    struct message m;

    embmon_close(w->client, 0);
    fake_hang_up(w->fake);
    options.address = w->fake->address;
    options.run = "run";
    options.every = 4;
    options.log = hush;
    assert_int_equal(embmon_open(&options, &w->client), 0);
    fake_greet(w->fake, 0, 4);
    assert_int_equal(embmon_layer(w->client,
                                  &(struct embmon_layer_info){
                                      .size = sizeof(struct embmon_layer_info),
                                      .path = "dense",
                                      .padding_id = EMBMON_NO_PADDING,
                                  }),
                     0);
    assert_int_equal(embmon_post_ids(w->client, 0, 3, NULL, 0, EMBMON_I64, 0, NULL), 0);
    assert_int_equal(embmon_post_shape(w->client, 0, 3, &shape), 1);
    fake_expect(w->fake, FRAME_LAYERS, &m);
    fake_expect(w->fake, FRAME_SHAPE, &m);
    assert_int_equal(m.shape.step, 3);
}

static void what_is_wrong_with_a_shape_is_said(void **to)
{
    struct world *w = *to;
    const int64_t dims[9] = {0}, negative[] = {-2};

#define REFUSED(result, ...)                                                                       \
    do {                                                                                           \
        struct embmon_shape shape = EMBMON_SHAPE_INIT;                                             \
        __VA_ARGS__;                                                                               \
        assert_int_equal(embmon_post_shape(w->client, w->dense, 0, &shape), result);               \
    } while (0)
    REFUSED(EMBMON_EINVAL, shape.size = 3);
    REFUSED(EMBMON_EINVAL, shape.role = 0);
    REFUSED(EMBMON_EINVAL, shape.role = 4);
    REFUSED(EMBMON_EINVAL, shape.role = EMBMON_SHAPE_INPUT);
    REFUSED(EMBMON_EINVAL, shape.inputs = 1);
    REFUSED(EMBMON_EINVAL, shape.index = 1);
    REFUSED(EMBMON_EINVAL, shape.role = EMBMON_SHAPE_INPUT, shape.inputs = shape.index = 2);
    REFUSED(EMBMON_EINVAL, shape.role = EMBMON_SHAPE_INPUT, shape.inputs = 65);
    REFUSED(EMBMON_EINVAL, shape.axis = -9);
    REFUSED(EMBMON_EINVAL, shape.axis = 8);
    REFUSED(EMBMON_EINVAL, shape.dims = dims, shape.rank = 9);
    REFUSED(EMBMON_EINVAL, shape.rank = 1);
    REFUSED(EMBMON_EINVAL, shape.dims = negative, shape.rank = 1);
    REFUSED(EMBMON_EDTYPE, shape.dtype = -1);
    REFUSED(EMBMON_EDTYPE, shape.dtype = 9);
#undef REFUSED
    assert_int_equal(embmon_post_shape(w->client, 99, 0, &(struct embmon_shape)EMBMON_SHAPE_INIT),
                     EMBMON_EUNKNOWN);
    assert_int_equal(
        embmon_post_shape(w->client, w->dense, -1, &(struct embmon_shape)EMBMON_SHAPE_INIT),
        EMBMON_EINVAL);
    assert_int_equal(counts(w).produced, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
    const struct CMUnitTest tests[] = {
        TEST(ids_arrive_as_they_reached_the_layer),
        TEST(fed_ids_arrive_with_the_name_of_their_input),
        TEST(rows_seen_are_those_of_an_epoch_of_training),
        TEST(the_words_of_what_is_named_come_along),
        TEST(a_layer_without_rows_has_none_beyond_them),
        TEST(no_ids_are_a_post_too),
        TEST(what_is_wrong_with_ids_is_said_and_not_counted),
        TEST(ids_are_sampled_as_activations_are),
        TEST(ids_that_are_wrong_arrive_at_any_step),
        TEST(a_shape_arrives_whole),
        TEST(the_shape_of_a_variables_gradient_and_of_a_scalar),
        TEST(a_shape_is_wanted_at_steps_that_are_not_sampled_too),
        TEST(what_is_wrong_with_a_shape_is_said),
    };
#undef TEST

    return cmocka_run_group_tests(tests, NULL, NULL);
}
