#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "daemon/alert/sink_options.h"

/* Strings that are not constant, as the options own theirs. */
#define TEXT(text) ((char[]){text})

static char *arguments[] = {TEXT("/bin/notify"), TEXT("two words"), TEXT(""), NULL};

static const struct sink_options full = {
    .kind = SINK_EXEC,
    .name = TEXT("pager"),
    .severity = 2,
    .url = TEXT("https://host/x"),
    .format = WEBHOOK_RECEIVER_V4,
    .a_minute = 20,
    .resend_s = 60,
    .timeout_ms = 5000,
    .argv = arguments,
    .token_file = TEXT("/run/token"),
};

static void a_copy_is_equal_and_its_own(void **state)
{
    (void)state;
    struct sink_options copy;

    assert_true(sink_options_copy(&copy, &full));
    assert_true(sink_options_equal(&copy, &full));
    assert_ptr_not_equal(copy.name, full.name);
    assert_ptr_not_equal(copy.argv[1], full.argv[1]);
    sink_options_clear(&copy);
    assert_null(copy.name);
}

static void what_is_not_given_stays_so(void **state)
{
    (void)state;
    struct sink_options bare = {.kind = SINK_WEBHOOK,
                                .name = TEXT("hook"),
                                .url = TEXT("http://h")},
                        copy;

    assert_true(sink_options_copy(&copy, &bare));
    assert_null(copy.token_file);
    assert_null(copy.argv);
    assert_true(sink_options_equal(&copy, &bare));
    sink_options_clear(&copy);
}

static void any_difference_is_one(void **state)
{
    (void)state;
    char *longer[] = {TEXT("/bin/notify"), TEXT("two words"), TEXT(""), TEXT("more"), NULL};
    char *other[] = {TEXT("/bin/notify"), TEXT("two"), TEXT(""), NULL};
    struct sink_options changed[13];
    size_t i = 0;

    for (size_t n = 0; n < 13; n++)
        changed[n] = full;
    changed[i++].kind = SINK_WEBHOOK;
    changed[i++].name = TEXT("other");
    changed[i++].severity = 3;
    changed[i++].url = NULL;
    changed[i++].format = WEBHOOK_API_V2;
    changed[i++].resend_s = 61;
    changed[i++].a_minute = 21;
    changed[i++].allow_private = true;
    changed[i++].timeout_ms = 1;
    changed[i++].argv = longer;
    changed[i++].argv = other;
    changed[i++].argv = NULL;
    changed[i++].token_file = TEXT("");
    assert_int_equal(i, sizeof changed / sizeof changed[0]);
    while (i-- > 0) {
        assert_false(sink_options_equal(&full, &changed[i]));
        assert_false(sink_options_equal(&changed[i], &full));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_is_equal_and_its_own),
        cmocka_unit_test(what_is_not_given_stays_so),
        cmocka_unit_test(any_difference_is_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
