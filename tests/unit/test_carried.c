#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>

#include "daemon/carried.h"
#include "tests/unit/again.h"
#include "tests/unit/random.h"
#include "tests/unit/tensors.h"

static void carry_summary(struct carry *c, void *thing)
{
    summary_carry(c, thing);
}

static void fresh_summary(void *thing)
{
    summary_free(thing);
    *(struct summary *)thing = (struct summary){0};
}

static const struct kept summary_kept = {carry_summary, fresh_summary};

static void summaries_of_any_tensor_come_back(void **state)
{
    uint64_t random = 7;
    struct summary into = {0};

    (void)state;
    for (int round = 0; round < 40; round++) {
        double values[64];
        size_t n = 1 + random_below(&random, 64);
        struct summary s;

        for (size_t i = 0; i < n; i++)
            values[i] =
                ldexp((double)random_next(&random) - 9e18, (int)random_below(&random, 90) - 90);
        if (round % 3 == 0)
            values[0] = NAN;
        s = tensor_of(values, n);
        assert_true(summary_set_extra(&s, EXTRA_IDS, 17) &&
                    summary_set_extra(&s, EXTRA_COSINE, 0.5));
        assert_true(summary_add(&s, &s)); /* as if of two ranks */
        again(&summary_kept, &s, &into);
        assert_null(summary_check(&into));
        assert_true(summary_add(&into, &s)); /* its memory is its own, and can grow */
        summary_free(&s);
    }
    fresh_summary(&into);
}

static void an_empty_summary_comes_back(void **state)
{
    struct summary empty = {0}, into = {0};

    (void)state;
    again(&summary_kept, &empty, &into);
    fresh_summary(&into);
}

static void a_summary_that_contradicts_itself_is_refused(void **state)
{
    struct summary s = TENSOR(1, 2, 3), into = {0};
    struct carry saved;

    (void)state;
    s.count++;
    saved = again_saved(&summary_kept, &s);
    assert_string_equal(again_loaded(&summary_kept, saved.data, saved.length, &into),
                        "the counts do not add up to count");
    carry_free(&saved);
    summary_free(&s);
    fresh_summary(&into);
}

static void carry_ids(struct carry *c, void *thing)
{
    ids_stats_carry(c, thing);
}

static void fresh_ids(void *thing)
{
    *(struct ids_stats *)thing = (struct ids_stats){0};
}

static void ids_come_back_also_when_they_are_of_several_ranks(void **state)
{
    static const struct kept ids_kept = {carry_ids, fresh_ids};
    struct ids_stats a = {.count = 40,
                          .sequences = 4,
                          .sequence_length = 10,
                          .beyond = 2,
                          .worst = 512,
                          .worst_position = 3,
                          .padded = 9,
                          .trailing = 3,
                          .full = 1,
                          .length_min = 7,
                          .length_max = 10,
                          .unique = 20,
                          .rows_seen = 90,
                          .busiest = {{4, 9}, {-3, 2}},
                          .busiest_count = 2};
    struct ids_stats b = {.count = 30,
                          .sequences = 2,
                          .sequence_length = 15,
                          .full = 2,
                          .length_min = 15,
                          .length_max = 15,
                          .fractional = 1,
                          .fractional_value = NAN,
                          .unique = 30};
    struct ids_stats into = {0};

    (void)state;
    assert_null(ids_check(&a));
    assert_true(ids_add(&a, &b));
    again(&ids_kept, &a, &into);
    assert_memory_equal(&into, &a, sizeof a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(summaries_of_any_tensor_come_back),
        cmocka_unit_test(an_empty_summary_comes_back),
        cmocka_unit_test(a_summary_that_contradicts_itself_is_refused),
        cmocka_unit_test(ids_come_back_also_when_they_are_of_several_ranks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
