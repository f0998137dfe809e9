#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/exec_sink.h"
#include "daemon/sink_files.h"
#include "daemon/webhook.h"

static const struct sink_options sinks[] = {
    {.kind = SINK_WEBHOOK}, {.kind = SINK_EXEC}, {.kind = SINK_WEBHOOK}, {.kind = SINK_EXEC}};

enum { ALL = 2 * WEBHOOK_FILES + 2 * EXEC_AT_ONCE * EXEC_FILES };

static void each_has_what_it_needs(void **state)
{
    (void)state;
    assert_int_equal(sink_files(&sinks[0]), WEBHOOK_FILES);
    assert_int_equal(sink_files(&sinks[1]), EXEC_FILES);
    assert_int_equal(sink_files_all(sinks, 4, 0), ALL);
    assert_int_equal(sink_files_all(NULL, 0, 0), 0);
    assert_int_equal(sink_files_all(NULL, 0, 8), 0);
}

static void together_they_have_a_quarter_at_most(void **state)
{
    (void)state;
    assert_int_equal(sink_files_all(sinks, 4, 4 * (uint64_t)ALL), ALL);
    assert_int_equal(sink_files_all(sinks, 4, 4 * (uint64_t)ALL + 1), ALL);
    assert_int_equal(sink_files_all(sinks, 4, 4 * (uint64_t)ALL - 1), ALL - 1);
    assert_int_equal(sink_files_all(sinks, 4, 64), 16);
}

static void one_can_always_deliver(void **state)
{
    (void)state;
    assert_int_equal(sink_files_all(sinks, 4, 16), WEBHOOK_FILES);
    assert_int_equal(sink_files_all(&sinks[1], 1, 4), EXEC_FILES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_has_what_it_needs),
        cmocka_unit_test(together_they_have_a_quarter_at_most),
        cmocka_unit_test(one_can_always_deliver),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
