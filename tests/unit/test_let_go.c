#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>

#include "client/let_go.h"
#include "tests/unit/random.h"

static struct let_go *none(void)
{
    struct let_go *numbers = calloc(1, sizeof *numbers);

    assert_non_null(numbers);
    return numbers;
}

static void what_was_let_go_is_taken_up_to_a_number_once(void **state)
{
    struct let_go *g = none();

    (void)state;
    for (uint64_t n = 1; n <= 1000; n += 3)
        assert_int_equal(let_go_add(g, n), 0);
    assert_int_equal(g->count, 334);
    assert_int_equal(let_go_take(g, 0), 0);
    assert_int_equal(let_go_take(g, 1), 1);
    assert_int_equal(let_go_take(g, 1), 0);
    assert_int_equal(let_go_take(g, 3), 0);
    assert_int_equal(let_go_take(g, 300), 99);
    assert_int_equal(let_go_take(g, 200), 0);
    assert_int_equal(let_go_take(g, UINT64_MAX - 1), 234);
    assert_int_equal(g->count, 0);
    free(g);
}

static void one_is_taken_by_its_number(void **state)
{
    struct let_go *g = none();

    (void)state;
    let_go_add(g, 64), let_go_add(g, 65);
    assert_false(let_go_take_one(g, 63));
    assert_false(let_go_take_one(g, 64 + LET_GO_NUMBERS));
    assert_true(let_go_take_one(g, 64));
    assert_false(let_go_take_one(g, 64));
    assert_int_equal(let_go_take(g, 100), 1);
    assert_false(let_go_take_one(g, 65));
    free(g);
}

static void older_ones_than_a_million_are_given_up(void **state)
{
    struct let_go *g = none();
    const uint64_t first = 77;

    (void)state;
    for (uint64_t n = 0; n < LET_GO_NUMBERS; n++)
        assert_int_equal(let_go_add(g, first + n), 0);
    assert_int_equal(let_go_add(g, first + LET_GO_NUMBERS), 1);
    assert_int_equal(let_go_add(g, first), 1); /* itself */
    assert_int_equal(let_go_add(g, first + LET_GO_NUMBERS + 10), 10);
    assert_int_equal(let_go_add(g, first + 100 * (uint64_t)LET_GO_NUMBERS), LET_GO_NUMBERS - 9);
    assert_int_equal(g->count, 1);
    free(g);
}

static void all_are_taken_at_the_end(void **state)
{
    struct let_go *g = none();

    (void)state;
    let_go_add(g, 5), let_go_add(g, 500000);
    assert_int_equal(let_go_take_all(g), 2);
    assert_int_equal(let_go_take_all(g), 0);
    let_go_add(g, 500001);
    assert_int_equal(let_go_take(g, 500001), 1);
    free(g);
}

/* Beside a plain array of what is there. */
static void it_counts_as_a_plain_array_does(void **state)
{
    static bool there[20000];
    struct let_go *g = none();
    uint64_t next = 1, base = 0, seed = 1;

    (void)state;
    for (int round = 0; round < 3000; round++) {
        uint64_t to = base + random_below(&seed, next - base + 70), expected = 0;

        for (uint64_t i = random_below(&seed, 6); i > 0 && next < 20000; i--) {
            assert_int_equal(let_go_add(g, next), 0);
            there[next] = true;
            next += 1 + random_below(&seed, 3);
        }
        if (round % 7 == 0) {
            to = to < next ? to : next - 1;
            for (uint64_t n = base; n <= to; n++)
                expected += there[n], there[n] = false;
            assert_int_equal(let_go_take(g, to), to < base ? 0 : expected);
            base = to + 1 > base ? to + 1 : base;
        } else if (to < 20000) {
            assert_int_equal(let_go_take_one(g, to), there[to]);
            there[to] = false;
        }
    }
    free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_let_go_is_taken_up_to_a_number_once),
        cmocka_unit_test(one_is_taken_by_its_number),
        cmocka_unit_test(older_ones_than_a_million_are_given_up),
        cmocka_unit_test(all_are_taken_at_the_end),
        cmocka_unit_test(it_counts_as_a_plain_array_does),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
