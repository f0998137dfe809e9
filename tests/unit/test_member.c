#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/member.h"
#include "embmon/embmon.h"

static struct run_member *member;
static struct model model;

static int start(void **state)
{
    (void)state;
    member = calloc(1, sizeof *member);
    return member && model_init(&model) ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    member_free(member);
    model_clear(&model);
    return 0;
}

static struct msg_layer layer(uint32_t id, const char *path)
{
    return (struct msg_layer){.id = id, .path = path, .activation = "", .kind = EMBMON_DENSE};
}

static enum nack_reason declare(const struct msg_layer *layers, size_t layer_count,
                                const struct msg_variable *variables, size_t variable_count,
                                const char **problem)
{
    struct msg_layers message = {.layers = layers,
                                 .layer_count = layer_count,
                                 .variables = variables,
                                 .variable_count = variable_count};

    return member_layers(member, &model, &message, problem);
}

static void ids_lead_to_layers_and_variables(void **state)
{
    const struct msg_layer layers[] = {layer(10, "a"), layer(3, "b")};
    const struct msg_variable variables[] = {{.id = 4, .layer = 3, .name = "kernel"}};
    const char *problem = "none";

    (void)state;
    assert_int_equal(declare(layers, 2, variables, 1, &problem), 0);
    assert_string_equal(problem, "none");
    assert_int_equal(member_target(member, 10).layer, 1);
    assert_int_equal(member_target(member, 3).layer, 2);
    assert_int_equal(member_target(member, 4).layer, 0); /* a variable is no layer */
    assert_string_equal(model.variables[member_target(member, 10).variable - 1].label, "a");
    assert_string_equal(model.variables[member_target(member, 4).variable - 1].label, "b/kernel");
    assert_int_equal(member_target(member, 5).variable, 0);
    assert_int_equal(member_target(member, UINT32_MAX).variable, 0);
    member_unmap(member);
    assert_int_equal(member_target(member, 10).variable, 0);
}

static void inputs_and_shapes_come_along(void **state)
{
    static const uint32_t inputs[] = {10, 999};
    static const int64_t shape[] = {-1, 10, 8};
    struct msg_layer layers[] = {layer(10, "a"), layer(3, "b")};
    const struct msg_variable variables[] = {
        {.id = 4, .layer = 3, .name = "kernel", .shape = shape + 1, .shape_length = 2}};
    const char *problem = "none";

    (void)state;
    layers[1].inputs = inputs;
    layers[1].input_count = 2;
    layers[1].shape = shape;
    layers[1].shape_length = 3;
    assert_int_equal(declare(layers, 2, variables, 1, &problem), 0);
    assert_int_equal(model.layers[1].input_count, 2);
    assert_int_equal(model.layers[1].inputs[0], 0);
    assert_true(model.layers[1].inputs[1] == MODEL_NO_LAYER);
    assert_int_equal(model.layers[1].shape.count, 3);
    assert_int_equal(model.layers[1].shape.dims[0], -1);
    assert_int_equal(model.variables[member_target(member, 4).variable - 1].shape.dims[1], 8);
    assert_int_equal(model.layers[0].input_count, 0);
}

static void a_refused_layer_does_not_take_the_others_with_it(void **state)
{
    struct msg_layer layers[] = {layer(0, "a"), layer(1, "b"), layer(2, "c")};
    const struct msg_variable variables[] = {{.id = 3, .layer = 1, .name = "kernel"},
                                             {.id = 4, .layer = 2, .name = "kernel"}};
    const char *problem = "";

    (void)state;
    assert_int_equal(declare(layers, 3, NULL, 0, &problem), 0);
    layers[1].rows = 7; /* as another rank sees it */
    assert_int_equal(declare(layers, 3, variables, 2, &problem), NACK_INVALID);
    assert_non_null(strstr(problem, "another kind, rows or columns"));
    assert_int_equal(member_target(member, 0).layer, 1);
    assert_int_equal(member_target(member, 1).layer, 0); /* its id means nothing any more */
    assert_int_equal(member_target(member, 2).layer, 3);
    assert_int_equal(member_target(member, 3).variable, 0);
    assert_string_equal(model.variables[member_target(member, 4).variable - 1].label, "c/kernel");
}

static void inputs_lead_to_the_layers_they_name(void **state)
{
    const uint32_t of_b[] = {10, 3, 77}, of_c[] = {3};
    struct msg_layer layers[] = {layer(10, "a"), layer(3, "b"), layer(5, "c")};
    const char *problem;

    (void)state;
    layers[1].inputs = of_b, layers[1].input_count = 3; /* itself, and one that nobody knows */
    layers[2].inputs = of_c, layers[2].input_count = 1;
    assert_int_equal(declare(layers, 3, NULL, 0, &problem), 0);
    assert_int_equal(model.layers[0].input_count, 0);
    assert_int_equal(model.layers[1].input_count, 3);
    assert_int_equal(model.layers[1].inputs[0], 0);
    assert_true(model.layers[1].inputs[1] == MODEL_NO_LAYER);
    assert_true(model.layers[1].inputs[2] == MODEL_NO_LAYER);
    assert_int_equal(model.layers[2].inputs[0], 1);
    assert_true(model.layers[0].is_read && model.layers[1].is_read && !model.layers[2].is_read);
}

static void a_layer_is_half_by_its_output_or_a_variable(void **state)
{
    struct msg_layer layers[] = {layer(0, "a"), layer(1, "b"), layer(2, "c")};
    const struct msg_variable variables[] = {
        {.id = 3, .layer = 1, .name = "kernel", .dtype = EMBMON_F16},
        {.id = 4, .layer = 2, .name = "kernel", .dtype = EMBMON_BF16}};
    const char *problem;

    (void)state;
    layers[0].dtype = EMBMON_F16;
    assert_int_equal(declare(layers, 3, variables, 2, &problem), 0);
    assert_true(model.layers[0].half && model.layers[1].half && !model.layers[2].half);
}

static void a_variable_needs_its_layer_first(void **state)
{
    const struct msg_variable variables[] = {{.id = 1, .layer = 9, .name = "kernel"},
                                             {.id = 2, .layer = 1, .name = "kernel"}};
    const char *problem = "";

    (void)state;
    assert_int_equal(declare(NULL, 0, variables, 2, &problem), NACK_UNKNOWN);
    assert_non_null(strstr(problem, "not declared before"));
    assert_int_equal(model.variable_count, 0);
}

static void ids_above_all_that_a_run_may_have_are_refused(void **state)
{
    const struct msg_layer far = layer(ID_MAX, "far"),
                           last = layer(LAYERS_MAX + VARIABLES_MAX - 1, "last");
    const char *problem = "";

    (void)state;
    assert_int_equal(declare(&far, 1, NULL, 0, &problem), NACK_LIMIT);
    for (size_t i = 0; i < TARGETS_PAGES; i++)
        assert_null(member->targets[i]);
    assert_int_equal(declare(&last, 1, NULL, 0, &problem), 0);
    for (size_t i = 0; i < TARGETS_PAGES - 1; i++) /* one id costs one page */
        assert_null(member->targets[i]);
    assert_int_equal(member_target(member, LAYERS_MAX + VARIABLES_MAX - 1).layer, 1);
    assert_int_equal(member_target(member, LAYERS_MAX + VARIABLES_MAX).layer, 0);
}

static void a_layer_too_many_is_refused_and_the_rest_stays(void **state)
{
    static char paths[LAYERS_MAX + 1][8];
    static struct msg_layer layers[LAYERS_MAX + 1];
    const char *problem = "";

    (void)state;
    for (uint32_t i = 0; i <= LAYERS_MAX; i++) {
        (void)snprintf(paths[i], sizeof paths[i], "l%u", i);
        layers[i] = layer(i, paths[i]);
    }
    assert_int_equal(declare(layers, LAYERS_MAX + 1, NULL, 0, &problem), NACK_LIMIT);
    assert_non_null(strstr(problem, "more layers"));
    assert_int_equal(model.layer_count, LAYERS_MAX);
    assert_int_equal(member_target(member, LAYERS_MAX - 1).layer, LAYERS_MAX);
    assert_int_equal(member_target(member, LAYERS_MAX).layer, 0);
}

static void says(uint64_t produced, uint64_t dropped, uint64_t unsent)
{
    struct msg_heartbeat beat = {.produced = produced, .dropped = dropped, .unsent = unsent};

    member_says(member, &beat);
}

static void its_posts_are(uint64_t produced, uint64_t lost, uint64_t in_flight)
{
    assert_int_equal(member_produced(member), produced);
    assert_int_equal(member_lost(member), lost);
    assert_int_equal(member_in_flight(member), in_flight);
    assert_int_equal(produced, member->acked + member->rejected + lost + in_flight);
}

static void what_it_has_produced_is_answered_lost_or_on_its_way(void **state)
{
    (void)state;
    its_posts_are(0, 0, 0);
    member->acked = 3; /* before its first heartbeat */
    its_posts_are(3, 0, 0);
    says(10, 1, 6);
    its_posts_are(10, 1, 6);
    member->acked = 7;
    member->rejected = 1;
    its_posts_are(10, 1, 1);
    member->acked = 9; /* one more than it has said */
    its_posts_are(11, 1, 0);
    says(20, 1, 9);
    member->given_up = true;
    its_posts_are(20, 1 + 9, 0);
    member->given_up = false; /* it comes after all */
    its_posts_are(20, 1, 9);
    says(20, 0, 9); /* what is lost does not come back */
    its_posts_are(20, 1, 9);
}

static void what_comes_again_after_a_reconnect_is_counted_once(void **state)
{
    (void)state;
    member->acked = 8;
    says(10, 0, 5); /* three of these five have come before, unanswered */
    its_posts_are(10, 0, 2);
}

/* It was answered by an embmond of which nothing is kept. */
static void what_is_not_known_here_is_not_missed(void **state)
{
    (void)state;
    says(1000, 10, 5);
    its_posts_are(15, 10, 5);
    member->acked = 5;
    its_posts_are(15, 10, 0);
}

static struct run_member *session_of(uint32_t rank, bool gone, uint64_t acked)
{
    struct run_member *made = calloc(1, sizeof *made);

    assert_non_null(made);
    *made = (struct run_member){
        .rank = rank, .live = !gone, .given_up = gone, .acked = acked, .produced = acked + 1};
    return made;
}

/* Who is there, or the last of its rank, stays. */
static void the_oldest_that_has_a_successor_is_forgotten(void **state)
{
    struct run_member *members[] = {session_of(0, true, 1), session_of(1, false, 2),
                                    session_of(1, true, 4), session_of(2, true, 8),
                                    session_of(1, true, 16)};
    size_t count = 5;

    (void)state;
    assert_true(members_forget(members, &count));
    assert_int_equal(count, 4);
    assert_int_equal(members[0]->acked, 1 + 4); /* an heir of what is not his */
    assert_int_equal(member_lost(members[0]), 2);
    assert_int_equal(member_produced(members[0]), 1 + 4 + 2);
    assert_int_equal(members[1]->acked, 2);
    assert_int_equal(members[2]->acked, 8);
    assert_int_equal(members[3]->acked, 16);
    assert_false(members_forget(members, &count));
    assert_int_equal(count, 4);
    for (size_t i = 0; i < count; i++)
        member_free(members[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_it_has_produced_is_answered_lost_or_on_its_way, start,
                                        stop),
        cmocka_unit_test_setup_teardown(what_comes_again_after_a_reconnect_is_counted_once, start,
                                        stop),
        cmocka_unit_test_setup_teardown(what_is_not_known_here_is_not_missed, start, stop),
        cmocka_unit_test_setup_teardown(ids_lead_to_layers_and_variables, start, stop),
        cmocka_unit_test_setup_teardown(inputs_and_shapes_come_along, start, stop),
        cmocka_unit_test_setup_teardown(a_refused_layer_does_not_take_the_others_with_it, start,
                                        stop),
        cmocka_unit_test_setup_teardown(inputs_lead_to_the_layers_they_name, start, stop),
        cmocka_unit_test_setup_teardown(a_layer_is_half_by_its_output_or_a_variable, start, stop),
        cmocka_unit_test_setup_teardown(a_variable_needs_its_layer_first, start, stop),
        cmocka_unit_test_setup_teardown(the_oldest_that_has_a_successor_is_forgotten, start, stop),
        cmocka_unit_test_setup_teardown(ids_above_all_that_a_run_may_have_are_refused, start, stop),
        cmocka_unit_test_setup_teardown(a_layer_too_many_is_refused_and_the_rest_stays, start,
                                        stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
