/* Tests of the configuration file: texts in place of files. */
#ifndef EMBMON_TESTS_CONFIG_TEXT_H
#define EMBMON_TESTS_CONFIG_TEXT_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "daemon/config_file.h"

static struct config config_line, config_text; /* the command line; what came of both */
static char config_problem[CONFIG_PROBLEM_MAX];

static inline int config_text_begin(void **state)
{
    (void)state;
    config_line = (struct config){
        .logdir = "./runs", .level = LOG_LEVEL_INFO, .ceilings = CEILINGS_DEFAULT, .file = "f"};
    config_text = (struct config){0};
    return 0;
}

static inline int config_text_end(void **state)
{
    (void)state;
    config_free(&config_text);
    return 0;
}

/* What the text means; it lives until the next one, or the test's end. */
static inline const struct config *reads(const char *text)
{
    bool fine;

    config_free(&config_text);
    *config_problem = '\0';
    fine = config_read_text(&config_line, text, strlen(text), &config_text, config_problem);
    if (!fine)
        print_error("%s\n%s\n", text, config_problem);
    assert_true(fine);
    return &config_text;
}

/* The file is refused with this problem, "f:" left out. */
static inline void must_refuse(const char *text, const char *problem)
{
    struct config nothing;

    assert_false(config_read_text(&config_line, text, strlen(text), &nothing, config_problem));
    assert_memory_equal(config_problem, "f:", 2);
    assert_string_equal(config_problem + 2, problem);
}

/* The same; these words are in the problem. */
static inline void must_say(const char *text, const char *words)
{
    struct config nothing;

    assert_false(config_read_text(&config_line, text, strlen(text), &nothing, config_problem));
    if (!strstr(config_problem, words))
        print_error("\"%s\" is not in: %s\n", words, config_problem);
    assert_non_null(strstr(config_problem, words));
}

#define config_test(test) cmocka_unit_test_setup_teardown(test, config_text_begin, config_text_end)

#endif
