#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>

#include "daemon/rank_list.h"

static void ranks_are_ascending_and_each_is_there_once(void **state)
{
    static const uint32_t added[] = {7, 0, 1023, 7, 3, 0}, expected[] = {0, 3, 7, 1023};
    struct rank_list list = {0};

    (void)state;
    for (size_t i = 0; i < sizeof added / sizeof *added; i++)
        assert_true(rank_list_add(&list, added[i]));
    assert_int_equal(list.length, 4);
    assert_memory_equal(list.ranks, expected, sizeof expected);
    free(list.ranks);
}

static void an_empty_list_has_nobody(void **state)
{
    struct rank_list list = {0};

    (void)state;
    assert_false(rank_list_has(&list, 0));
    assert_true(rank_list_add(&list, 5));
    assert_true(rank_list_has(&list, 5));
    assert_false(rank_list_has(&list, 4));
    assert_false(rank_list_has(&list, 6));
    free(list.ranks);
}

static void a_thousand_ranks_come_in_any_order(void **state)
{
    struct rank_list list = {0};

    (void)state;
    for (uint32_t i = 0; i < 1024; i++)
        assert_true(rank_list_add(&list, i * 397 % 1024));
    assert_int_equal(list.length, 1024);
    for (uint32_t i = 0; i < 1024; i++)
        assert_int_equal(list.ranks[i], i);
    free(list.ranks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranks_are_ascending_and_each_is_there_once),
        cmocka_unit_test(an_empty_list_has_nobody),
        cmocka_unit_test(a_thousand_ranks_come_in_any_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
