#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>

#include "daemon/limits.h"
#include "tests/unit/fake_runs.h"

static void each_limit_says_what_is_used_and_what_was_refused(void **state)
{
    struct registry registry = fake_registry(2);
    json_t *limits;

    (void)state;
    registry.usage.connections = (struct gauge){3, 1};
    registry.usage.frame_seconds.refused = 2;
    limits = limits_object(&registry);
    assert_non_null(limits);
#define LOOK(name, least, most, standard)                                                          \
    assert_non_null(json_object_get(limits, #name));                                               \
    assert_true(json_integer_value(json_object_get(json_object_get(limits, #name), "limit")) ==    \
                (json_int_t)(standard));
    CEILINGS(LOOK)
#undef LOOK
    char *text = json_dumps(json_object_get(limits, "connections"), JSON_COMPACT);
    assert_string_equal(text, "{\"used\":3,\"limit\":1024,\"refused\":1}");
    free(text);
    text = json_dumps(json_object_get(limits, "frame_seconds"), JSON_COMPACT);
    assert_string_equal(text, "{\"used\":null,\"limit\":30,\"refused\":2}");
    free(text);
    json_decref(limits);
}

static uint64_t used(const json_t *limits, const char *name)
{
    return (uint64_t)json_integer_value(json_object_get(json_object_get(limits, name), "used"));
}

static void of_runs_it_is_the_sum_or_the_one_that_has_most(void **state)
{
    struct registry registry = fake_registry(2);
    json_t *limits;

    (void)state;
    registry.runs[0].status.alerts = 30;
    registry.runs[1].status.alerts = 70;
    registry.usage.alerts.refused = 5;
    registry.usage.all_alerts.used = 100;
    registry.runs[0].status.bytes = 5000;
    registry.runs[1].status.bytes = 700;
    registry.runs[1].status.layers = 30;
    limits = limits_object(&registry);
    registry.runs[0].status.bytes = registry.runs[1].status.bytes = 0;
    registry.runs[1].status.layers = 0;
    registry.runs[0].status.alerts = registry.runs[1].status.alerts = 0;
    assert_int_equal(used(limits, "alerts"), 70);
    assert_int_equal(used(limits, "all_alerts"), 100);
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(limits, "alerts"), "refused")), 5);
    assert_int_equal(used(limits, "runs"), 2);
    assert_int_equal(used(limits, "ranks"), 2);
    assert_int_equal(used(limits, "layers"), 30);
    assert_int_equal(used(limits, "all_layers"), 32);
    assert_int_equal(used(limits, "run_bytes"), 5000);
    json_decref(limits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_limit_says_what_is_used_and_what_was_refused),
        cmocka_unit_test(of_runs_it_is_the_sum_or_the_one_that_has_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
