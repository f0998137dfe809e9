#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/report.h"
#include "tests/unit/fake_runs.h"

static void must_report(size_t runs, const char *expected)
{
    struct registry registry = fake_registry(runs);
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    report_print(out, &registry);
    fclose(out);
    assert_string_equal(text, expected);
    free(text);
}

static void each_run_says_what_ever_fired(void **state)
{
    (void)state;
    must_report(2, "embmond: run reviews, 97 steps:\n"
                   "embmond:     warning gradient_vanishing in inner/embedding: first at step 40, "
                   "over at step 90\n"
                   "embmond:     critical loss_nonfinite: first at step 95, now firing\n"
                   "embmond: run quiet, 0 steps:\n"
                   "embmond:     nothing flagged\n");
}

static void a_command_that_posted_nothing_is_told_so(void **state)
{
    (void)state;
    must_report(0, "embmond: the command posted nothing, so nothing was watched\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_run_says_what_ever_fired),
        cmocka_unit_test(a_command_that_posted_nothing_is_told_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
