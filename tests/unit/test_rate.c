#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/alert/rate.h"
#include "tests/unit/random.h"

static void three_of_three_and_a_fourth_a_minute_after_the_first(void **state)
{
    struct rate rate = {{0}, 0, 0};

    (void)state;
    for (uint64_t i = 0; i < 3; i++) {
        assert_true(rate_allows(&rate, 3, 1000 + i * 100));
        rate_take(&rate, 3, 1000 + i * 100);
    }
    assert_false(rate_allows(&rate, 3, 1000 + RATE_SPAN_MS - 1));
    assert_true(rate_allows(&rate, 3, 1000 + RATE_SPAN_MS));
    rate_take(&rate, 3, 1000 + RATE_SPAN_MS);
    assert_false(rate_allows(&rate, 3, 1100 + RATE_SPAN_MS - 1));
    assert_true(rate_allows(&rate, 3, 1100 + RATE_SPAN_MS));
}

/* Whatever comes when: in no 60 seconds more than so many, and never fewer than there might be. */
static void no_minute_has_more(void **state)
{
    (void)state;
    for (size_t most = 1; most <= RATE_MAX; most = most * 3 + 1) {
        struct rate rate = {{0}, 0, 0};
        uint64_t taken[4096], random = most, now_ms = 0;
        size_t count = 0;

        while (count < 4096 && now_ms < 100u * RATE_SPAN_MS) {
            now_ms += random_below(&random, 2 * RATE_SPAN_MS / most);
            bool fine = count < most || now_ms >= taken[count - most] + RATE_SPAN_MS;

            assert_int_equal(rate_allows(&rate, most, now_ms), fine);
            if (!fine)
                continue;
            rate_take(&rate, most, now_ms);
            taken[count++] = now_ms;
        }
        assert_true(count > 50);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_of_three_and_a_fourth_a_minute_after_the_first),
        cmocka_unit_test(no_minute_has_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
