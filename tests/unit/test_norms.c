#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>

#include "daemon/norms.h"

static struct norms norms;

static int start(void **state)
{
    (void)state;
    norms = (struct norms){0};
    return 0;
}

static int stop(void **state)
{
    (void)state;
    norms_free(&norms);
    return 0;
}

/* A step in which the layer has this norm, and no other layer a gradient. */
static void add(size_t layer, double norm)
{
    struct layer_measure layers[4] = {{.has_gradient = false}};
    struct measures m = {.layers = layers, .layer_count = 4};

    layers[layer].has_gradient = true;
    layers[layer].norm = isnan(norm) ? 7 : norm;
    layers[layer].nonfinite_gradient = isnan(norm) ? 1u : 0u;
    norms_add(&norms, &m);
}

static void nothing_is_known_before_the_first_step(void **state)
{
    float recent[NORMS_KEPT];

    (void)state;
    assert_true(norms_last(&norms, 0) == -1);
    assert_int_equal(norms_recent(&norms, 0, NORMS_KEPT, recent), 0);
    add(0, 1);
    assert_true(norms_last(&norms, 1) == -1);
    assert_true(norms_last(&norms, 99) == -1);
    assert_int_equal(norms_recent(&norms, 1, NORMS_KEPT, recent), 0);
}

static void a_layer_keeps_its_norm_while_others_have_steps(void **state)
{
    float recent[NORMS_KEPT];

    (void)state;
    add(1, 0.1);
    add(2, 5);
    assert_true(norms_last(&norms, 1) == 0.1); /* as it is, not as an f32 */
    assert_int_equal(norms_recent(&norms, 1, NORMS_KEPT, recent), 1);
    assert_true(recent[0] == 0.1f);
}

static void what_is_not_finite_has_no_norm(void **state)
{
    float recent[NORMS_KEPT];

    (void)state;
    add(0, 1);
    add(0, NAN);
    assert_true(isnan(norms_last(&norms, 0)));
    assert_int_equal(norms_recent(&norms, 0, NORMS_KEPT, recent), 2);
    assert_true(recent[0] == 1.0f && isnan(recent[1]));
}

static void the_last_ones_come_oldest_first(void **state)
{
    float recent[NORMS_KEPT];

    (void)state;
    for (int step = 0; step < NORMS_KEPT + 10; step++)
        add(3, step);
    assert_int_equal(norms_recent(&norms, 3, 1000, recent), NORMS_KEPT);
    for (int i = 0; i < NORMS_KEPT; i++)
        assert_true(recent[i] == (float)(i + 10));
    assert_int_equal(norms_recent(&norms, 3, 2, recent), 2);
    assert_true(recent[0] == NORMS_KEPT + 8 && recent[1] == NORMS_KEPT + 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_is_known_before_the_first_step, start, stop),
        cmocka_unit_test_setup_teardown(a_layer_keeps_its_norm_while_others_have_steps, start,
                                        stop),
        cmocka_unit_test_setup_teardown(what_is_not_finite_has_no_norm, start, stop),
        cmocka_unit_test_setup_teardown(the_last_ones_come_oldest_first, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
