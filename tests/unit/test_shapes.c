#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "daemon/shapes.h"
#include "embmon/embmon.h"

#define SHAPE(...)                                                                                 \
    shape_of((const int64_t[]){__VA_ARGS__}, sizeof((const int64_t[]){__VA_ARGS__}) / 8)

static void a_shape_reads_like_a_tuple(void **state)
{
    struct shape_text text;
    struct shape shapes[] = {SHAPE(32, -1, 64),
                             {.count = 0},
                             SHAPE(INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX,
                                   INT64_MAX, INT64_MAX)};

    (void)state;
    assert_string_equal(shape_text(&text, &shapes[0]), "(32, ?, 64)");
    assert_string_equal(shape_text(&text, &shapes[1]), "()");
    assert_int_equal(strlen(shape_text(&text, &shapes[2])), 2 + 8 * 19 + 7 * 2);
}

static void shapes_differ_where_both_are_known(void **state)
{
    struct shape a = SHAPE(32, 10, -1), b = SHAPE(16, 10, 8), c = SHAPE(32, 11, 8);

    (void)state;
    assert_int_equal(shape_differs(&a, &b, -1), 0);
    assert_int_equal(shape_differs(&a, &b, 0), -1);
    assert_int_equal(shape_differs(&a, &c, -1), 1);
    assert_false(shape_equal(&a, &b));
    assert_true(shape_equal(&a, &a));
}

static void a_scalar_broadcasts_with_anything(void **state)
{
    struct shape a = SHAPE(32, 10), scalar = {.count = 0}, other = SHAPE(10, 32);

    (void)state;
    assert_true(shape_broadcasts(&a, &scalar));
    assert_true(shape_broadcasts(&scalar, &a));
    assert_false(shape_broadcasts(&a, &other));
}

static struct posted_shape posted(uint32_t phase, uint32_t index, uint64_t step, uint32_t rank,
                                  int64_t width)
{
    return (struct posted_shape){.phase = phase,
                                 .role = EMBMON_SHAPE_INPUT,
                                 .index = index,
                                 .inputs = 64,
                                 .step = step,
                                 .rank = rank,
                                 .shape = SHAPE(32, width)};
}

static void a_list_holds_each_once(void **state)
{
    struct shape_list list = {0};
    struct posted_shape a = posted(1, 0, 5, 0, 8), b = posted(1, 1, 5, 0, 9),
                        c = posted(2, 0, 5, 0, 10), newer = posted(1, 0, 6, 0, 11);

    (void)state;
    assert_null(shape_list_find(&list, &a));
    assert_true(shape_list_put(&list, &a) && shape_list_put(&list, &b) &&
                shape_list_put(&list, &c) && shape_list_put(&list, &newer));
    assert_int_equal(list.count, 3);
    assert_int_equal(shape_list_find(&list, &a)->shape.dims[1], 11);
    assert_int_equal(shape_list_find(&list, &b)->shape.dims[1], 9);
    assert_int_equal(shape_list_find(&list, &c)->shape.dims[1], 10);
    assert_false(shape_list_find(&list, &a)->several);
    shape_list_free(&list);
}

static void two_shapes_of_a_rank_in_one_step_are_two_calls(void **state)
{
    struct shape_list list = {0};
    struct posted_shape a = posted(1, 0, 5, 0, 8), again = posted(1, 0, 5, 0, 8),
                        other_rank = posted(1, 0, 5, 1, 9), other = posted(1, 0, 5, 1, 10);

    (void)state;
    assert_true(shape_list_put(&list, &a) && shape_list_put(&list, &again) &&
                shape_list_put(&list, &other_rank));
    assert_false(shape_list_find(&list, &a)->several);
    assert_true(shape_list_put(&list, &other));
    assert_true(shape_list_find(&list, &a)->several);
    shape_list_free(&list);
}

static void a_layer_has_1024_of_them_at_most(void **state)
{
    struct shape_list list = {0};
    struct posted_shape one = posted(1, 0, 0, 0, 1);

    (void)state;
    for (; one.variable < SHAPES_OF_LAYER_MAX; one.variable++)
        assert_true(shape_list_put(&list, &one));
    assert_false(shape_list_put(&list, &one));
    assert_int_equal(list.count, SHAPES_OF_LAYER_MAX);
    one.variable = 7;
    assert_true(shape_list_put(&list, &one)); /* in the place of what is there */
    shape_list_free(&list);
}

static void what_is_known_is_the_newest_and_has_a_ceiling(void **state)
{
    struct shapes shapes = {0};
    struct shape_list list = {0};
    struct posted_shape last = posted(1, 63, 0, 0, 1), more = posted(1, 63, 7, 0, 9);
    size_t layers = SHAPES_KNOWN_MAX / 64 + 1;

    (void)state;
    for (uint32_t i = 0; i < 64; i++) {
        struct posted_shape one = posted(1, i, 0, 0, 1);

        assert_true(shape_list_put(&list, &one));
    }
    assert_true(shapes_resize(&shapes, layers));
    for (size_t i = 0; i <= layers; i++)
        shapes_learn(&shapes, i, &list);
    assert_int_equal(shapes.known, SHAPES_KNOWN_MAX);
    assert_non_null(shapes_find(&shapes, layers - 2, &last));
    assert_null(shapes_find(&shapes, layers - 1, &last));
    assert_null(shapes_find(&shapes, layers + 1, &last));
    list.count = 0;
    assert_true(shape_list_put(&list, &more));
    shapes_learn(&shapes, 0, &list); /* what is known stays up to date */
    assert_int_equal(shapes_find(&shapes, 0, &last)->shape.dims[1], 9);
    assert_int_equal(shapes.known, SHAPES_KNOWN_MAX);
    shape_list_free(&list);
    shapes_free(&shapes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_layer_has_1024_of_them_at_most),
        cmocka_unit_test(a_shape_reads_like_a_tuple),
        cmocka_unit_test(shapes_differ_where_both_are_known),
        cmocka_unit_test(a_scalar_broadcasts_with_anything),
        cmocka_unit_test(a_list_holds_each_once),
        cmocka_unit_test(two_shapes_of_a_rank_in_one_step_are_two_calls),
        cmocka_unit_test(what_is_known_is_the_newest_and_has_a_ceiling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
