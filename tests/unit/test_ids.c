#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "tests/unit/one_of_each.h"

static struct ids_stats good(void)
{
    return one_of_each(FRAME_IDS - 1).ids.stats;
}

#define BROKEN(change, sentence)                                                                   \
    do {                                                                                           \
        struct ids_stats s = good();                                                               \
        const char *problem;                                                                       \
        change;                                                                                    \
        problem = ids_check(&s);                                                                   \
        assert_string_equal(problem ? problem : "", sentence);                                     \
    } while (0)

static void what_contradicts_itself_is_found(void **state)
{
    static const char above[] = "a count of ids is above the number of ids";
    static const char lengths[] = "the true lengths are not within the sequence length";
    static const char busiest[] = "the busiest ids are not in descending order of their counts";

    (void)state;
    BROKEN((void)0, "");
    BROKEN(s.negative = 640, "more ids are out of range than there are");
    BROKEN(s.beyond = UINT64_MAX, "more ids are out of range than there are");
    BROKEN(s.fractional = 641, above);
    BROKEN(s.padded = 641, above);
    BROKEN(s.mismatched = 641, above);
    BROKEN(s.unique = 641, "there are more distinct ids than ids");
    BROKEN(s.worst = NAN, "the worst id is not finite");
    BROKEN(s.worst = -INFINITY, "the worst id is not finite");
    BROKEN(s.busiest_count = 9, "there are more than 8 busiest ids");
    BROKEN(s.busiest[1].count = 23, busiest);
    BROKEN(s.busiest[1].count = 0, busiest);
    BROKEN(s.sequence_length = 0, "there are sequences of no length");
    BROKEN(s.sequences = 641, "there are more sequences than ids");
    BROKEN(s.empty = 65, "more sequences are padded or varied than there are");
    BROKEN(s.length_min = 10, lengths);
    BROKEN(s.length_max = 11, lengths);
}

static void counts_add_up_and_examples_are_of_the_worse(void **state)
{
    struct ids_stats a = good(), b = good();

    (void)state;
    a.worst = 700;
    a.fractional = 0;
    b.worst_position = 99;
    b.length_min = 2;
    b.length_max = 10;
    b.rows_seen = 3;
    assert_true(ids_add(&a, &b));
    assert_int_equal(a.count, 1280);
    assert_int_equal(a.beyond, 4);
    assert_true(a.worst == -0x1p63);
    assert_int_equal(a.worst_position, 99);
    assert_int_equal(a.fractional, 4);
    assert_true(a.fractional_value == 9.99);
    assert_int_equal(a.length_min, 1);
    assert_int_equal(a.length_max, 10);
    assert_int_equal(a.unique, 18);
    assert_int_equal(a.unique_error, 19 + 19 + 18);
    assert_true(a.rows_seen == UINT64_MAX);
    assert_int_equal(a.busiest_count, 2);
    assert_true(a.busiest[0].id == INT64_MIN);
    assert_int_equal(a.busiest[0].count, 44);
    assert_int_equal(a.busiest[1].count, 42);
    assert_null(ids_check(&a));
}

static void nothing_is_the_neutral_element(void **state)
{
    struct ids_stats a = {0}, b = good(), none = {0};

    (void)state;
    assert_true(ids_add(&a, &b));
    assert_memory_equal(&a, &b, sizeof a);
    assert_true(ids_add(&a, &none));
    assert_memory_equal(&a, &b, sizeof a);
}

static void a_count_that_would_wrap_changes_nothing(void **state)
{
    struct ids_stats a = good(), b = good(), before = a;

    (void)state;
    b.count = UINT64_MAX;
    assert_false(ids_add(&a, &b));
    assert_memory_equal(&a, &before, sizeof a);
}

static void the_busiest_of_both_stay_the_busiest(void **state)
{
    struct ids_stats a = {.count = 100, .busiest_count = IDS_BUSIEST_MAX}, b;

    (void)state;
    for (int i = 0; i < IDS_BUSIEST_MAX; i++)
        a.busiest[i] = (struct ids_busiest){i, (uint64_t)(10 - i)};
    b = a;
    b.busiest[0] = (struct ids_busiest){77, 20};
    b.busiest[7] = (struct ids_busiest){78, 1};
    assert_true(ids_add(&a, &b));
    assert_int_equal(a.busiest_count, IDS_BUSIEST_MAX);
    assert_int_equal(a.busiest[0].id, 77);
    assert_int_equal(a.busiest[1].id, 1);
    assert_int_equal(a.busiest[1].count, 18);
    for (uint32_t i = 0; i < a.busiest_count; i++)
        assert_true(a.busiest[i].id != 78);
    assert_int_equal(a.busiest_error, 3);
    assert_null(ids_check(&a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_contradicts_itself_is_found),
        cmocka_unit_test(counts_add_up_and_examples_are_of_the_worse),
        cmocka_unit_test(nothing_is_the_neutral_element),
        cmocka_unit_test(a_count_that_would_wrap_changes_nothing),
        cmocka_unit_test(the_busiest_of_both_stay_the_busiest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
