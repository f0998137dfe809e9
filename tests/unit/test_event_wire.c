#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/tensorboard/event_wire.h"
#include "tests/unit/random.h"

enum { LIMIT = 1 << 20 };

static void must_be_same(struct pending *a, struct pending *b)
{
    assert_int_equal(a->length, b->length);
    assert_memory_equal(a->data, b->data, a->length);
    a->length = b->length = 0;
}

static const uint64_t STEPS[] = {0, 1, 127, 128, 16383, 16384, (uint64_t)1 << 35, INT64_MAX};
static const double WALLS[] = {0, -0.0, 1.7e9, 1e-300, -5};

/* Tags of every length around those at which a length takes another byte. */
static void each_head(void (*check)(const struct event_head *head))
{
    char tag[400];

    memset(tag, 't', sizeof tag);
    for (size_t n = 0; n < sizeof tag; n++) {
        tag[n] = '\0';
        for (size_t s = 0; s < sizeof STEPS / sizeof *STEPS; s++) {
            struct event_head head = {WALLS[(n + s) % (sizeof WALLS / sizeof *WALLS)], STEPS[s],
                                      tag, false};

            check(&head);
        }
        tag[n] = 't';
    }
}

static void check_scalar(const struct event_head *head)
{
    static const float values[] = {0, -0.0f, 1.5f, -1e38f, INFINITY, NAN};
    struct pending a = PENDING_INIT, b = PENDING_INIT;

    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        assert_true(event_wire_scalar(&a, LIMIT, head, values[i]));
        assert_true(event_scalar_by_library(&b, LIMIT, head, (double)values[i]));
        must_be_same(&a, &b);
    }
    (void)pending_close(&a);
    (void)pending_close(&b);
}

static void scalars_are_as_the_library_writes_them(void **state)
{
    (void)state;
    each_head(check_scalar);
}

static void check_histogram(const struct event_head *head)
{
    static uint64_t seed = 1;
    struct pending a = PENDING_INIT, b = PENDING_INIT;
    struct histogram h = {.length = 1 + (size_t)random_below(&seed, HISTOGRAM_BUCKETS_MAX)};

    for (size_t i = 0; i < h.length; i++) {
        h.left[i] = (double)i - 0.1;
        h.right[i] = -0.0;
        h.count[i] = (double)random_below(&seed, 1000000);
    }
    assert_true(event_wire_histogram(&a, LIMIT, head, &h));
    assert_true(event_histogram_by_library(&b, LIMIT, head, &h));
    must_be_same(&a, &b);
    (void)pending_close(&a);
    (void)pending_close(&b);
}

static void histograms_are_as_the_library_writes_them(void **state)
{
    (void)state;
    each_head(check_histogram);
}

/* At the very byte, and nothing is left in the queue of what does not fit. */
static void what_does_not_fit_is_not_begun(void **state)
{
    const struct event_head head = {2.0, 7, "loss", false};
    struct histogram h = {.length = 2};
    struct pending a = PENDING_INIT, b = PENDING_INIT;
    size_t scalar, both;

    (void)state;
    assert_true(event_scalar_by_library(&b, LIMIT, &head, 1));
    scalar = b.length;
    assert_true(event_histogram_by_library(&b, LIMIT, &head, &h));
    both = b.length;
    assert_false(event_wire_scalar(&a, scalar - 1, &head, 1));
    assert_int_equal(a.length, 0);
    assert_true(event_wire_scalar(&a, scalar, &head, 1));
    assert_false(event_wire_histogram(&a, both - 1, &head, &h));
    assert_false(event_wire_histogram(&a, scalar - 1, &head, &h));
    assert_int_equal(a.length, scalar);
    assert_true(event_wire_histogram(&a, both, &head, &h));
    must_be_same(&a, &b);
    (void)pending_close(&a);
    (void)pending_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scalars_are_as_the_library_writes_them),
        cmocka_unit_test(histograms_are_as_the_library_writes_them),
        cmocka_unit_test(what_does_not_fit_is_not_begun),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
